/** `varve restore SNAP[:PATH] --target DIR`: brings files back. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { compileMatcher, idHex, type Overwrite, type RestoreReport, restore, selectSnapshot } from '../lib/index.js';
import { Exit } from './exit.js';
import { bytesText, countText, durationText, jsonName, safeText } from './human.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
import { addPatternOptions, compiled } from './patterns.js';
import { Progress } from './progress.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf, parseSnapshotPath } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

interface RestoreFlags extends FilterOptions {
  readonly target?: string;
  readonly overwrite: Overwrite;
  readonly delete?: boolean;
  readonly verify?: boolean;
  readonly sparse?: boolean;
  readonly dryRun?: boolean;
  readonly numericIds?: boolean;
}

export function configure(command: Command, run: Run): void {
  command
    .argument('<snapshot[:path]>', 'what to restore; a directory after the colon lands in the target itself')
    .option('-t, --target <dir>', 'where to; made if missing');
  const includes = addPatternOptions(command, 'include', undefined, 'restore only what matches');
  const excludes = addPatternOptions(command, 'exclude', 'e', 'leave out what matches');
  addFilterOptions(command)
    .addOption(
      new Option('--overwrite <when>', 'which existing files to replace')
        .choices(['always', 'if-changed', 'if-newer', 'never'])
        .default('always'),
    )
    .option('--delete', 'remove from the target what the snapshot does not have')
    .option('--verify', 'read every restored file again and compare its digest')
    .option('--sparse', 'leave holes where blocks of zeros stand')
    .option('-n, --dry-run', 'write nothing; say what would be restored')
    .option('--numeric-ids', 'take user and group numbers as they are, not names')
    .addHelpText(
      'after',
      `
A file that holds the right bytes already is left alone, so a restore that was interrupted goes on where it stopped.
Exit status 3 means that all is there but devices, which only root may make; 15 that some of the data is damaged.

Examples:
  varve restore latest --target /mnt/new
  varve restore @2026-03-01:/home/ann --target /home/ann --overwrite if-newer
  varve restore latest:/srv --target /srv --delete -n`,
    )
    .action(async (argument: string, flags: RestoreFlags) => {
      // An empty one is a variable of a script that was not set; it would mean the working directory.
      if (flags.target === undefined || flags.target === '') throw new UsageError('where to? give --target DIR');
      const { snapshot: name, path } = parseSnapshotPath(argument);
      const include = includes.length === 0 ? undefined : await compiled(() => compileMatcher(includes));
      const exclude = excludes.length === 0 ? undefined : await compiled(() => compileMatcher(excludes));
      const { out } = run;
      await withRepository(run, async (repository) => {
        const selected = { filter: filterOf(flags), onLeftOut: tellLeftOut(run) };
        const snapshot = await selectSnapshot(repository, name, selected);
        if (snapshot.body.problemCount > 0) {
          out.warn(
            `snapshot ${idHex(snapshot.id).slice(0, 8)} is partial: ${countText(snapshot.body.problemCount, 'item')} could not be read when it was taken`,
          );
        }
        const progress = new Progress(out, flags.dryRun === true ? 'would restore' : 'restoring');
        const startedMs = performance.now();
        let report: RestoreReport;
        try {
          report = await restore(repository, snapshot, {
            targetPath: resolve(flags.target!),
            ...(path === undefined ? {} : { subPath: path }),
            ...(include === undefined ? {} : { include }),
            ...(exclude === undefined ? {} : { exclude }),
            overwrite: flags.overwrite,
            delete: flags.delete === true,
            verify: flags.verify === true,
            sparse: flags.sparse === true,
            dryRun: flags.dryRun === true,
            numericIds: flags.numericIds === true,
            signal: run.signal,
            onDamaged: tellDamaged(run),
            onProgress: (step) => progress.update(step),
            onProblem: (problem) =>
              out.warn(`${safeText(problem.path)}: ${problem.message}`, {
                item: jsonName('path', problem.path).path,
                ...jsonName('path', problem.path),
                problem: problem.code,
              }),
          });
        } finally {
          progress.stop();
        }
        summarize(run, report, idHex(snapshot.id), (performance.now() - startedMs) / 1000, flags);
      });
    });
}

function summarize(run: Run, report: RestoreReport, snapshotId: string, seconds: number, flags: RestoreFlags): void {
  const { out } = run;
  out.record('summary', {
    snapshot_id: snapshotId,
    target: resolve(flags.target!),
    dry_run: flags.dryRun === true,
    restored: report.restored,
    directories: report.directories,
    skipped: report.skipped,
    deleted: report.deleted,
    bytes: report.bytes,
    verified: report.verified,
    problems: report.problemCount,
    seconds: Math.round(seconds * 1000) / 1000,
  });
  const deleted = flags.delete === true ? `, ${report.deleted} deleted` : '';
  const verified = flags.verify === true ? `, ${report.verified} verified` : '';
  out.info(
    `${flags.dryRun === true ? 'Would restore' : 'Restored'} ${countText(report.restored, 'file')} (${bytesText(report.bytes)}) and ` +
      `${countText(report.directories, 'directory', 'directories')} to ${resolve(flags.target!)} in ${durationText(seconds)}; ${report.skipped} left as they were${deleted}${verified}.`,
  );
  if (report.problemCount === 0) return;
  out.info(`Not complete: ${countText(report.problemCount, 'problem')}, named above.`);
  const codes = new Set(report.problems.map(({ code }) => code));
  if (codes.has('CORRUPT') || codes.has('VERIFY')) run.status = Exit.integrity;
  else if (codes.size === 1 && codes.has('DEVICE') && report.problemCount === report.problems.length)
    run.status = Exit.sourceUnread;
  else run.status = Exit.failed;
}
