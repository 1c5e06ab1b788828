/** `varve backup`: takes a snapshot of file trees, or of what a stream or a command gives. */
import type { Command } from 'commander';
import {
  type BackupOptions,
  type BackupReport,
  backup,
  compileExclusion,
  type FileState,
  idHex,
  type Pattern,
  prepareBackup,
  type Repository,
  type StreamSource,
  selectSnapshot,
  shortHex,
  slotNames,
} from '../lib/index.js';
import { Exit } from './exit.js';
import { globbedPaths, rawPaths, verbatimPaths } from './files-from.js';
import { bytesText, countText, durationText, jsonName, localTime, parseBytes, parseTime, rfc3339, safeText } from './human.js';
import { tellDamaged } from './left-out.js';
import type { ListLine } from './list-file.js';
import { addPatternOptions, compiled, PATTERN_HELP } from './patterns.js';
import { reasonOf } from './problem-text.js';
import { Progress } from './progress.js';
import { allArgumentBytes, argumentBytes, textVariable } from './raw-arguments.js';
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
  readonly ignoreInode?: boolean;
  readonly ignoreCtime?: boolean;
  readonly allowEmpty?: boolean;
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
    .option('-x, --one-file-system', 'stay on the file system of each path; names the mount points that are not entered')
    .option('--files-from <file>', 'read paths from a file, with wildcards; - for stdin (repeatable)', collect)
    .option('--files-from-verbatim <file>', 'one path a line, as it is (repeatable)', collect)
    .option('--files-from-raw <file>', 'paths ended by NUL (repeatable)', collect)
    .option('--stdin', 'store standard input as one file')
    .option('--stdin-filename <name>', 'its name; default stdin')
    .option('--stdin-from-command', 'store what a command prints; no snapshot if it fails')
    .option('--allow-empty', 'store a stream although not one byte comes')
    .option('-n, --dry-run', 'store nothing; say what would be stored')
    .option('--tag <tag,tag>', 'tags of the snapshot (repeatable)', collect)
    .option('--host <host>', 'host name to record (VARVE_HOST)')
    .option('--label <label>', 'name of this series of backups; default its paths')
    .option('--time <time>', 'time that the data is of; retention goes by the real one')
    .option('--force', 'read every file again, changed or not')
    .option(
      '--ignore-inode',
      'a file with another inode number may be the one seen before: for network and FUSE file systems that number anew',
    )
    .option('--ignore-ctime', 'a file with another time of change (of mode, owner, name) may be the one seen before')
    .addHelpText(
      'after',
      `
Exit status 3 means that a snapshot was stored, but something in the source could not be read: it is partial, and latest passes it over. It is also
the status when a wildcard of --files-from matches nothing; the snapshot may be complete then.

What is named is stored, wherever it lies and whatever excludes it. A symlink is stored as one; with a slash behind it, the directory it leads to is meant.
${PATTERN_HELP}

In lists, a line that names a file that is there means that file. Empty lines do not count, nor, with wildcards and in lists of patterns, lines that begin with #.
The repository, its cache and mounts of repositories are never stored.

Examples:
  varve backup /home /etc --exclude-caches -e '*.tmp' --tag nightly
  varve backup --stdin-from-command --stdin-filename shop.sql -- pg_dump shop
  tar c -C /data . | varve backup --stdin --stdin-filename data.tar`,
    )
    .action((paths: string[], flags: Flags) => runBackup(run, paths, flags, excludes));
}

/** All that is named. `onNothing` is called for a line of a list that matches nothing. */
async function sourcesOf(paths: readonly string[], flags: Flags, onNothing: (line: ListLine) => void): Promise<Uint8Array[]> {
  const { filesFrom = [], filesFromVerbatim = [], filesFromRaw = [] } = flags;
  const lists: Uint8Array[][] = [allArgumentBytes(paths)];
  for (const file of filesFrom) lists.push(await globbedPaths(file, onNothing));
  for (const file of filesFromVerbatim) lists.push(verbatimPaths(file));
  for (const file of filesFromRaw) lists.push(rawPaths(file));
  return lists.flat();
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
  const onNothing = ({ bytes, from }: ListLine): void => {
    out.warn(`${from}: nothing matches ${safeText(bytes)}`, { list: from, ...jsonName('pattern', bytes) });
    run.status = Exit.sourceUnread;
  };
  const sources = kind !== undefined ? [] : await sourcesOf(paths, flags, onNothing);
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
  const host = flags.host ?? textVariable('VARVE_HOST');
  const work = async (repository: Repository): Promise<void> => {
    // A command starts only now: nothing of it is lost when the repository does not open.
    const stdin = streamOf(kind, flags, paths, run.signal);
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
      ignoreInode: flags.ignoreInode === true,
      ignoreCtime: flags.ignoreCtime === true,
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
        onFile: (path: Uint8Array, state: FileState) => {
          out.record('file', { action: state, ...jsonName('path', path) });
          out.info(`${state.padEnd(7)} ${safeText(path)}`);
        },
      }),
      onCacheUnusable: ({ message }) =>
        out.warn(
          `the cache in ${repository.cacheDir} cannot be written (${message}); the next backup reads again what this one read`,
        ),
      onDamaged: tellDamaged(run),
      onWarning: (message, path) =>
        out.warn(
          `${path === undefined ? '' : `${safeText(path)}: `}${message}`,
          path === undefined ? {} : jsonName('path', path),
        ),
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

/** The stream to store, if one is. */
function streamOf(
  kind: 'stdin' | 'command' | undefined,
  { stdinFilename: name = 'stdin', allowEmpty = false }: Flags,
  argv: readonly string[],
  signal: AbortSignal,
): StreamSource | undefined {
  if (kind === undefined) return undefined;
  return kind === 'stdin' ? stdinSource(name, allowEmpty) : commandSource(name, argv, signal, allowEmpty);
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

const MOUNTS_NAMED = 10;

function mountsText(mounts: readonly Uint8Array[]): string {
  const named = mounts.slice(0, MOUNTS_NAMED).map(safeText).join(', ');
  const more = mounts.length - MOUNTS_NAMED;
  return `${countText(mounts.length, 'mount point')}: ${named}${more > 0 ? ` and ${more} more` : ''}`;
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
    files_read_again: counts.filesReadAgain,
    dirs_new: counts.directoriesNew,
    dirs_changed: counts.directoriesChanged,
    dirs_unmodified: counts.directoriesUnmodified,
    total_files: report.totalFiles,
    total_bytes: report.totalBytes,
    read_bytes: counts.readBytes,
    new_bytes: report.newBytes,
    problems: report.problems.length,
    mounts_not_entered: report.mountsNotEntered.map((path) => jsonName('path', path)),
    left_out: report.omissions.map(({ path, reason }) => ({ ...jsonName('path', path), reason })),
    ...(snapshotId === undefined
      ? {}
      : {
          retain_until: rfc3339({ sec: report.retainUntilSec, nsec: 0 }),
          slots: slotNames(report.slots),
          class: report.class ?? null,
        }),
    seconds: Math.round(seconds * 1000) / 1000,
  });
  const again = counts.filesReadAgain === 0 ? '' : ` (${counts.filesReadAgain} read again)`;
  out.info(`Files:        ${counts.filesNew} new, ${counts.filesChanged} changed, ${counts.filesUnmodified} unmodified${again}`);
  out.info(
    `Directories:  ${counts.directoriesNew} new, ${counts.directoriesChanged} changed, ${counts.directoriesUnmodified} unmodified`,
  );
  out.info(
    `${dryRun ? 'Would store:  ' : 'Stored:       '}${bytesText(report.newBytes)} for ${countText(report.totalFiles, 'file')} of ${bytesText(report.totalBytes)}, in ${durationText(seconds)}`,
  );
  for (const { path, reason } of report.omissions) out.info(`Left out:     ${safeText(path)}: ${reason}`);
  if (report.mountsNotEntered.length > 0) out.info(`Not entered:  ${mountsText(report.mountsNotEntered)} (-x)`);
  if (report.problems.length > 0) out.info(`Not complete: ${countText(report.problems.length, 'problem')}, named above`);
  if (snapshotId === undefined) out.info('A dry run: no snapshot was stored.');
  else
    out.info(
      `Snapshot ${shortHex(snapshotId)} stored${report.state === 'partial' ? ', marked partial' : ''}; kept until ${localTime({ sec: report.retainUntilSec, nsec: 0 })} at least (${whyText(report)}).`,
    );
}
