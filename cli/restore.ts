/** `varve restore SNAP[:PATH] --target DIR`: brings files back. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  compileMatcher,
  idHex,
  type Matcher,
  type Overwrite,
  type Pattern,
  type RestoreAction,
  type RestoreProblem,
  type RestoreReport,
  restore,
  selectSnapshot,
} from '../lib/index.js';
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
  readonly inPlace?: boolean;
  readonly overwrite: Overwrite;
  readonly delete?: boolean;
  readonly verify?: boolean;
  readonly sparse?: boolean;
  readonly dryRun?: boolean;
  readonly numericIds?: boolean;
}

const HELP = `
A file that holds the right bytes already is left alone, so a restore that was interrupted goes on where it stopped. What it left unfinished is
finished by the next one, whatever --overwrite says.
A pattern is held against a path in the snapshot, in the target, and below what is restored. --overwrite if-newer replaces what is older than
the snapshot has it, whatever its kind.
--delete removes from restored directories what the snapshot knows not to be there. It keeps what --exclude names, what another file system that is
mounted in the target holds, and what could not be read when the snapshot was taken. What the backup itself left out by --exclude is not in
the snapshot: name it here too, or it is deleted. Look first with -n -v.

Exit status: 0 all is as in the snapshot; 3 all data is there, but not all owners, modes, attributes or devices; 1 something is missing, or an
--include matched nothing; 15 some of the data is damaged.

Examples:
  varve restore latest --target /mnt/new
  varve restore @2026-03-01:/home/ann --target /home/ann --overwrite if-newer
  varve restore latest:/etc/nginx --in-place
  varve restore latest:/srv --target /srv --delete -n -v`;

export function configure(command: Command, run: Run): void {
  command
    .argument('<snapshot[:path]>', 'what to restore; a directory after the colon lands in the target itself')
    .option('-t, --target <dir>', 'where to; made if missing')
    .option('--in-place', 'to where the path after the colon was');
  const includes = addPatternOptions(command, 'include', undefined, 'restore only what matches');
  const excludes = addPatternOptions(command, 'exclude', 'e', 'leave out what matches');
  addFilterOptions(command)
    .addOption(
      new Option('--overwrite <when>', 'which existing files to replace')
        .choices(['always', 'if-changed', 'if-newer', 'never'])
        .default('always'),
    )
    .option('--delete', 'remove from the target what the snapshot knows not to be there')
    .option('--verify', 'read every restored file again and compare its digest')
    .option('--sparse', 'leave holes where blocks of zeros stand')
    .option('-n, --dry-run', 'write nothing; say what would be restored, with -v each file')
    .option('--numeric-ids', 'take user and group numbers as they are, not names')
    .addHelpText('after', HELP)
    .action((argument: string, flags: RestoreFlags) => restoreSnapshot(run, argument, flags, includes, excludes));
}

async function restoreSnapshot(
  run: Run,
  argument: string,
  flags: RestoreFlags,
  includes: readonly Pattern[],
  excludes: readonly Pattern[],
): Promise<void> {
  const { out } = run;
  const inPlace = flags.inPlace === true;
  const { snapshot: name, path } = parseSnapshotPath(argument);
  if (inPlace && flags.target !== undefined) throw new UsageError('--in-place and --target exclude each other');
  if (inPlace && path === undefined) throw new UsageError('--in-place takes a path: varve restore SNAP:PATH --in-place');
  // An empty one is a variable of a script that was not set; it would mean the working directory.
  if (!inPlace && (flags.target === undefined || flags.target === ''))
    throw new UsageError('where to? give --target DIR, or --in-place for where it was');
  const wanted = includes.length === 0 ? undefined : await compiled(() => watched(includes));
  const exclude = excludes.length === 0 ? undefined : await compiled(() => compileMatcher(excludes));
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
        ...(inPlace ? { inPlace } : { targetPath: resolve(flags.target!) }),
        ...(path === undefined ? {} : { subPath: path }),
        ...(wanted === undefined ? {} : { include: wanted.include }),
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
        ...((out.json || run.globals.verbose > 0) && {
          onItem: (action: RestoreAction, item: Uint8Array) => tellItem(run, action, item, flags),
          // Whoever reads slowly is waited for; whoever has stopped reading does not end a restore.
          onTurn: () => out.breathe().catch(() => undefined),
        }),
        onNote: (message, item) =>
          out.warn(
            item === undefined ? message : `${safeText(item)}: ${message}`,
            item === undefined ? {} : jsonName('path', item),
          ),
        onProblem: (problem) => tellProblem(run, problem),
      });
    } finally {
      progress.stop();
    }
    summarize(run, report, idHex(snapshot.id), (performance.now() - startedMs) / 1000, flags);
    tellUnmatched(run, report, wanted?.unmatched() ?? [], includes.length + excludes.length > 0);
  });
}

/** One matcher of all patterns, and which of them have matched nothing so far. */
async function watched(patterns: readonly Pattern[]): Promise<{ include: Matcher; unmatched: () => Pattern[] }> {
  const all = await compileMatcher(patterns);
  const waiting = new Map<Pattern, Matcher>();
  for (const pattern of patterns)
    if (!Buffer.from(pattern.pattern).toString('latin1').startsWith('!')) waiting.set(pattern, await compileMatcher([pattern]));
  return {
    include(path, isDirectory) {
      for (const [pattern, matcher] of waiting) if (matcher(path, isDirectory) === 'yes') waiting.delete(pattern);
      return all(path, isDirectory);
    },
    unmatched: () => [...waiting.keys()],
  };
}

const WORDS: Readonly<Record<RestoreAction, readonly [string, string]>> = {
  restored: ['restored', 'would restore'],
  skipped: ['left', 'would leave'],
  deleted: ['deleted', 'would delete'],
  directory: ['directory', 'directory'],
};

function tellItem({ out }: Run, action: RestoreAction, path: Uint8Array, { dryRun }: RestoreFlags): void {
  out.record('file', { action, ...jsonName('path', path) });
  out.info(`${WORDS[action][dryRun === true ? 1 : 0].padEnd(dryRun === true ? 14 : 10)}${safeText(path)}`);
}

function tellProblem({ out }: Run, { path, code, message }: RestoreProblem): void {
  const name = jsonName('path', path);
  out.warn(`${path.byteLength === 0 ? 'the target' : safeText(path)}: ${message}`, { item: name.path, ...name, problem: code });
}

/** What was asked for and is not in the snapshot is missing from the target. */
function tellUnmatched(run: Run, report: RestoreReport, unmatched: readonly Pattern[], isFiltered: boolean): void {
  const { out } = run;
  for (const { pattern } of unmatched) {
    const text = safeText(typeof pattern === 'string' ? Buffer.from(pattern) : pattern);
    out.warn(`--include ${text} matched nothing; see what the snapshot holds with varve ls or varve find`, { pattern: text });
  }
  const nothing = report.restored + report.directories + report.skipped + report.deleted + report.problemCount === 0;
  if (isFiltered && nothing && unmatched.length === 0) out.warn('the patterns let nothing through: nothing was restored');
  if ((unmatched.length > 0 || (isFiltered && nothing)) && run.status === Exit.ok) run.status = Exit.failed;
}

function summarize(run: Run, report: RestoreReport, snapshotId: string, seconds: number, flags: RestoreFlags): void {
  const { out } = run;
  out.record('summary', {
    snapshot_id: snapshotId,
    target: report.targetPath,
    dry_run: flags.dryRun === true,
    restored: report.restored,
    directories: report.directories,
    skipped: report.skipped,
    deleted: report.deleted,
    bytes: report.bytes,
    verified: report.verified,
    problems: report.problemCount,
    missing: report.missing,
    metadata_refused: report.refusedMetadata,
    seconds: Math.round(seconds * 1000) / 1000,
  });
  const deleted = flags.delete === true ? `, ${report.deleted} deleted` : '';
  const verified = flags.verify === true ? `, ${report.verified} verified` : '';
  out.info(
    `${flags.dryRun === true ? 'Would restore' : 'Restored'} ${countText(report.restored, 'file')} (${bytesText(report.bytes)}) and ` +
      `${countText(report.directories, 'directory', 'directories')} to ${report.targetPath} in ${durationText(seconds)}; ${report.skipped} left as they were${deleted}${verified}.`,
  );
  if (report.problemCount === 0) return;
  const metadata =
    report.refusedMetadata === 0 ? '' : `; ${countText(report.refusedMetadata, 'piece')} of metadata not taken by the target`;
  out.info(
    report.missing === 0
      ? `All data is there${metadata === '' ? ', but some devices are not' : metadata}.`
      : `Not complete: ${countText(report.missing, 'item')} missing, named above${metadata}.`,
  );
  run.status = statusOf(report);
}

function statusOf({ problems, missing }: RestoreReport): Exit {
  if (problems.some(({ code }) => code === 'CORRUPT' || code === 'VERIFY')) return Exit.integrity;
  return missing > 0 ? Exit.failed : Exit.sourceUnread;
}
