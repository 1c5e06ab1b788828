/** `varve backup`: takes a snapshot of file trees, or of what a stream or a command gives. */
import type { Command } from 'commander';
import {
  type BackupOptions,
  type BackupReport,
  backup,
  compileExclusion,
  idHex,
  type Pattern,
  prepareBackup,
  type Repository,
  selectSnapshot,
  shortHex,
  slotNames,
} from '../lib/index.js';
import { Exit } from './exit.js';
import { globbedPaths, rawPaths, verbatimPaths } from './files-from.js';
import { bytesText, countText, durationText, jsonName, localTime, parseBytes, parseTime, rfc3339, safeText } from './human.js';
import { addPatternOptions, compiled } from './patterns.js';
import { Progress } from './progress.js';
import { argumentBytes } from './raw-arguments.js';
import { type Run, withRepository } from './run.js';
import { collect } from './snapshot-arguments.js';
import { commandSource, stdinSource } from './stream-source.js';
import { UsageError } from './usage-error.js';

interface Flags {
  readonly excludeCaches?: boolean;
  readonly excludeIfPresent?: string[];
  readonly excludeLargerThan?: string;
  readonly oneFileSystem?: boolean;
  readonly filesFrom?: string[];
  readonly filesFromVerbatim?: string[];
  readonly filesFromRaw?: string[];
  readonly stdin?: boolean;
  readonly stdinFilename?: string;
  readonly stdinFromCommand?: boolean;
  readonly dryRun?: boolean;
  readonly tag?: string[];
  readonly host?: string;
  readonly label?: string;
  readonly time?: string;
  readonly force?: boolean;
}

export function configure(command: Command, run: Run): void {
  const excludes = addPatternOptions(
    command.argument('[path...]', 'files and directories; after --stdin-from-command the command'),
    'exclude',
    'e',
    'leave out what matches',
  );
  command
    .option('--exclude-caches', 'leave out directories that a CACHEDIR.TAG marks as caches')
    .option('--exclude-if-present <file[:header]>', 'leave out directories that hold this file (repeatable)', collect)
    .option('--exclude-larger-than <size>', 'leave out larger files, e.g. 2G')
    .option('-x, --one-file-system', 'stay on the file system of each path')
    .option('--files-from <file>', 'read paths from a file, with wildcards (repeatable)', collect)
    .option('--files-from-verbatim <file>', 'one path a line, as it is (repeatable)', collect)
    .option('--files-from-raw <file>', 'paths ended by NUL (repeatable)', collect)
    .option('--stdin', 'store standard input as one file')
    .option('--stdin-filename <name>', 'its name; default stdin')
    .option('--stdin-from-command', 'store what a command prints; no snapshot if it fails')
    .option('-n, --dry-run', 'store nothing; say what would be stored')
    .option('--tag <tag,tag>', 'tags of the snapshot (repeatable)', collect)
    .option('--host <host>', 'host name to record (VARVE_HOST)')
    .option('--label <label>', 'name of this series of backups; default its paths')
    .option('--time <time>', 'time that the data is of; retention goes by the real one')
    .option('--force', 'read every file again, changed or not')
    .addHelpText(
      'after',
      `
Exit status 3 means that a snapshot was stored, but something in the source could not be read: it is partial, and latest passes it over.

Examples:
  varve backup /home /etc --exclude-caches -e '*.tmp' --tag nightly
  varve backup --stdin-from-command --stdin-filename shop.sql -- pg_dump shop
  tar c -C /data . | varve backup --stdin --stdin-filename data.tar`,
    )
    .action((paths: string[], flags: Flags) => runBackup(run, paths, flags, excludes));
}

async function sourcesOf(paths: readonly string[], flags: Flags): Promise<Uint8Array[]> {
  const all: Uint8Array[] = paths.map(argumentBytes);
  for (const file of flags.filesFrom ?? []) all.push(...(await globbedPaths(file)));
  for (const file of flags.filesFromVerbatim ?? []) all.push(...verbatimPaths(file));
  for (const file of flags.filesFromRaw ?? []) all.push(...rawPaths(file));
  return all;
}

/** Which stream is to be stored, if one is. @throws UsageError for what does not go with it */
function streamKind(paths: readonly string[], flags: Flags): 'stdin' | 'command' | undefined {
  const { stdin, stdinFromCommand, filesFrom, filesFromVerbatim, filesFromRaw } = flags;
  if (stdin !== true && stdinFromCommand !== true) return undefined;
  if (stdin === true && stdinFromCommand === true) throw new UsageError('give --stdin or --stdin-from-command, not both');
  if (filesFrom !== undefined || filesFromVerbatim !== undefined || filesFromRaw !== undefined)
    throw new UsageError('a stream is stored alone; --stdin and --stdin-from-command do not go with lists of paths');
  if (stdin === true && paths.length > 0) throw new UsageError('--stdin stores standard input alone; it does not go with paths');
  if (stdinFromCommand === true && paths.length === 0)
    throw new UsageError('--stdin-from-command needs a command: varve backup --stdin-from-command -- pg_dump shop');
  return stdin === true ? 'stdin' : 'command';
}

async function runBackup(run: Run, paths: readonly string[], flags: Flags, excludes: readonly Pattern[]): Promise<void> {
  const { out } = run;
  const kind = streamKind(paths, flags);
  const sources = kind !== undefined ? [] : await sourcesOf(paths, flags);
  if (kind === undefined && sources.length === 0)
    throw new UsageError('nothing to back up: name paths, --files-from FILE, --stdin or --stdin-from-command');
  const exclusion = await compiled(() =>
    compileExclusion({
      patterns: excludes,
      caches: flags.excludeCaches === true,
      ifPresent: (flags.excludeIfPresent ?? []).map(tagRule),
      ...(flags.excludeLargerThan === undefined ? {} : { largerThanBytes: parseBytes(flags.excludeLargerThan) }),
    }),
  );
  const claimedTimeMs = flags.time === undefined ? undefined : parseTime(flags.time, Date.now());
  const host = flags.host ?? (process.env.VARVE_HOST || undefined);
  const work = async (repository: Repository): Promise<void> => {
    // A command starts only now: nothing of it is lost when the repository does not open.
    const name = flags.stdinFilename ?? 'stdin';
    const stdin = kind === 'stdin' ? stdinSource(name) : kind === 'command' ? commandSource(name, paths, run.signal) : undefined;
    const estimate = process.stderr.isTTY && !out.quiet && !out.json ? await lastTotals(repository, sources, host) : undefined;
    const progress = new Progress(out, flags.dryRun === true ? 'would back up' : 'backing up');
    const startedMs = performance.now();
    const options: BackupOptions = {
      ...(stdin === undefined ? { paths: sources } : { stdin }),
      exclusion,
      oneFileSystem: flags.oneFileSystem === true,
      ...(host === undefined ? {} : { host }),
      ...(flags.label === undefined ? {} : { label: flags.label }),
      tags: (flags.tag ?? []).flatMap((list) => list.split(',')).filter((tag) => tag !== ''),
      ...(claimedTimeMs === undefined ? {} : { claimedTimeMs }),
      force: flags.force === true,
      dryRun: flags.dryRun === true,
      signal: run.signal,
      onProgress: (counts) =>
        progress.update({
          files: counts.filesNew + counts.filesChanged + counts.filesUnmodified,
          bytes: counts.processedBytes,
          totalFiles: estimate?.files,
          totalBytes: estimate?.bytes,
        }),
      onProblem: ({ path, code }) =>
        out.warn(`${safeText(path)}: ${reasonOf(code)}`, {
          item: jsonName('path', path).path,
          ...jsonName('path', path),
          problem: code,
        }),
      ...(run.globals.verbose > 1 && {
        onFile: (path: Uint8Array, state: 'new' | 'changed') => {
          out.record('file', { action: state, ...jsonName('path', path) });
          out.info(`${state.padEnd(8)}${safeText(path)}`);
        },
      }),
      onForeign: (warning) => out.warn(warning),
      onNote: (note) => run.globals.verbose > 0 && out.warn(note),
    };
    let report: BackupReport;
    try {
      report = await backup(repository, options);
    } finally {
      progress.stop();
    }
    summarize(run, report, (performance.now() - startedMs) / 1000, flags.dryRun === true);
    if (report.state === 'partial') run.status = Exit.sourceUnread;
  };
  await withRepository(run, work, () => void prepareBackup().catch(() => undefined));
}

/** `FILE[:HEADER]`. */
function tagRule(text: string): { name: Uint8Array; header?: string } {
  const colon = text.indexOf(':');
  return colon < 0 ? { name: argumentBytes(text) } : { name: argumentBytes(text.slice(0, colon)), header: text.slice(colon + 1) };
}

function reasonOf(code: string): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'vanished, or was never there',
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    CHANGED: 'changed while it was read',
  };
  return known[code] === undefined ? `not read (${code})` : `${known[code]} (${code})`;
}

/** How much the last snapshot held, if it is one of the same sources: what the bar counts towards. */
async function lastTotals(
  repository: Repository,
  sources: readonly Uint8Array[],
  host: string | undefined,
): Promise<{ files: number; bytes: number } | undefined> {
  try {
    const { body } = await selectSnapshot(repository, 'latest');
    if (host !== undefined && body.host !== host) return undefined;
    return body.paths.length === sources.length ? body.root.totals : undefined;
  } catch {
    // No snapshot yet, or none that this key opens: there is nothing to go by.
    return undefined;
  }
}

/** Why it is kept so long. */
function whyText({ slots, class: name, state }: BackupReport): string {
  const names = slotNames(slots);
  const first =
    names.length === 0 ? `the minimum${state === 'partial' ? ' for a partial one' : ''}` : `first of its ${names.join(', ')}`;
  return name === undefined ? first : `${first}; class ${name}`;
}

function summarize(run: Run, report: BackupReport, seconds: number, dryRun: boolean): void {
  const { out } = run;
  const { counts, snapshotId } = report;
  out.record('summary', {
    ...(snapshotId === undefined ? {} : { snapshot_id: idHex(snapshotId) }),
    dry_run: dryRun,
    state: report.state,
    files_new: counts.filesNew,
    files_changed: counts.filesChanged,
    files_unmodified: counts.filesUnmodified,
    dirs_new: counts.directoriesNew,
    dirs_changed: counts.directoriesChanged,
    dirs_unmodified: counts.directoriesUnmodified,
    total_files: report.totalFiles,
    total_bytes: report.totalBytes,
    read_bytes: counts.readBytes,
    new_bytes: report.newBytes,
    problems: report.problems.length,
    ...(snapshotId === undefined
      ? {}
      : {
          retain_until: rfc3339({ sec: report.retainUntilSec, nsec: 0 }),
          slots: slotNames(report.slots),
          class: report.class ?? null,
        }),
    seconds: Math.round(seconds * 1000) / 1000,
  });
  out.info(`Files:        ${counts.filesNew} new, ${counts.filesChanged} changed, ${counts.filesUnmodified} unmodified`);
  out.info(
    `Directories:  ${counts.directoriesNew} new, ${counts.directoriesChanged} changed, ${counts.directoriesUnmodified} unmodified`,
  );
  out.info(
    `${dryRun ? 'Would store:  ' : 'Stored:       '}${bytesText(report.newBytes)} for ${countText(report.totalFiles, 'file')} of ${bytesText(report.totalBytes)}, in ${durationText(seconds)}`,
  );
  if (report.problems.length > 0) out.info(`Not complete: ${countText(report.problems.length, 'problem')}, named above`);
  if (snapshotId === undefined) out.info('A dry run: no snapshot was stored.');
  else
    out.info(
      `Snapshot ${shortHex(snapshotId)} stored${report.state === 'partial' ? ', marked partial' : ''}; kept until ${localTime({ sec: report.retainUntilSec, nsec: 0 })} at least (${whyText(report)}).`,
    );
}
