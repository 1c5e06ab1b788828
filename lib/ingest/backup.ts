/**
 * The verb `backup`: walks sources or reads a stream, stores what is new, commits a snapshot. Nothing is visible before the ledger entry; whatever an
 * interrupted run stored is found again by the next one.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { toHex, utf8 } from '../bytes.js';
import { hkdf } from '../crypto/kdf.js';
import { LocalSealer } from '../crypto/local-seal.js';
import { InterruptedError, SourceError, type VarveError } from '../errors.js';
import type { Problem } from '../format/manifest.js';
import { checkTags, MAX_BODY_TEXT_BYTES, MAX_PROBLEMS } from '../format/manifest.js';
import { type DirectoryEntry, type Entry, EntryKind, isValidName, type Owner } from '../format/tree.js';
import type { SnapshotId } from '../id.js';
import { requireAuthor } from '../ledger/append.js';
import { loadLedger } from '../ledger/ledger.js';
import { readerKeyInForce } from '../ledger/reader-key.js';
import { foreignWarning } from '../ledger/scope.js';
import { intended } from '../ledger/standing.js';
import { streamId } from '../ledger/stream.js';
import { coverPacks, listPacks, openIndex } from '../repository/open-index.js';
import { type Repository, writerAuthor } from '../repository/repository.js';
import { rangesOf } from '../repository/snapshot-reader.js';
import { ChangeCache } from './change-cache.js';
import { commit } from './commit.js';
import { Run } from './run.js';
import { defaultLabel, existingSources, type Source, sourceOf, sourceTree } from './sources.js';
import { ingestStream } from './stream.js';
import { Surroundings } from './surroundings.js';
import { encodeEntries, writeDirectory } from './tree-writer.js';
import { Walk, type WalkResult } from './walk.js';
import { type Exclusion, type FileState, newCounts, type Omission, type WalkCounts } from './walk-context.js';

/** A stream to store as one file. `finished` is awaited before the commit: a command that fails must reject it, and then there is no snapshot. */
export interface StreamSource {
  readonly name: string;
  readonly stream: AsyncIterable<Uint8Array>;
  readonly finished?: Promise<void>;
  /** False: a stream without a byte is an error. */
  readonly allowEmpty?: boolean;
}

export interface BackupOptions {
  /** Files and directories; relative ones are taken from the working directory. */
  readonly paths?: readonly (string | Uint8Array)[];
  readonly stdin?: StreamSource;
  readonly exclusion?: Exclusion | undefined;
  readonly oneFileSystem?: boolean;
  readonly host?: string;
  /** Names the stream together with the host; by default the sources. */
  readonly label?: string;
  readonly tags?: readonly string[];
  /** The time that the user claims for the data, milliseconds since 1970. Retention never looks at it. */
  readonly claimedTimeMs?: number;
  /** Read every file again, whatever the change cache says. */
  readonly force?: boolean;
  /** Files are not read again because their inode number, or their time of change, is another one: for file systems on which these mean nothing. */
  readonly ignoreInode?: boolean;
  readonly ignoreCtime?: boolean;
  /** Further directories of the program's own, which are no sources, each with what it is. */
  readonly ownFolders?: readonly { readonly path: string; readonly what: string }[];
  readonly dryRun?: boolean;
  /** zstd level, 1 … 19; 3 by default. */
  readonly level?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (counts: WalkCounts) => void;
  readonly onProblem?: (problem: Problem) => void;
  /** Called for every regular file that was read. */
  readonly onFile?: (path: Uint8Array, state: FileState) => void;
  /** Something that a person should know although nothing is missing. Without a path it is about the run. */
  readonly onWarning?: (message: string, path?: Uint8Array) => void;
  /** A condition that costs time but nothing else, for people. */
  readonly onNote?: (note: string) => void;
  /** Called once, at the end, when the change cache could not be written: the next run reads again what this one read. */
  readonly onCacheUnusable?: (error: Error) => void;
  /** Called for index objects and packs whose directories cannot be taken up: what they hold is stored again if it is needed. */
  readonly onDamaged?: (error: VarveError) => void;
  /** The snapshot will be shown under another host, or marked foreign: this writer's certificate does not name its host or label. */
  readonly onForeign?: (warning: string) => void;
  /** The clock; for tests. */
  readonly nowMs?: () => number;
  /** After so many new chunks the run's tables start anew; for tests. */
  readonly rotateChunks?: number;
}

export interface BackupReport {
  /** Undefined after a dry run. */
  readonly snapshotId: SnapshotId | undefined;
  readonly state: 'complete' | 'partial';
  readonly counts: WalkCounts;
  readonly totalFiles: number;
  readonly totalBytes: number;
  /** Bytes added to the store. */
  readonly newBytes: number;
  readonly retainUntilSec: number;
  readonly slots: number;
  /** The retention class that the policy gave it; absent for the default one. */
  readonly class?: string;
  readonly problems: readonly Problem[];
  /** What in the sources is left out because it is the run's own. */
  readonly omissions: readonly Omission[];
  /** Mount points that `oneFileSystem` kept out. */
  readonly mountsNotEntered: readonly Uint8Array[];
}

/** How many threads read and compress when nothing is said. */
export const DEFAULT_THREADS = 2;

/**
 * Stores a snapshot.
 *
 * @throws SourceError if no source exists
 * @throws InterruptedError when the signal fired
 * @throws RoleError without a writer's key, StoreError when the store fails; nothing is then visible
 */
export async function backup(repository: Repository, options: BackupOptions): Promise<BackupReport> {
  const nowMs = options.nowMs ?? Date.now;
  const startedMs = nowMs();
  checkTags(options.tags ?? []);
  // Before anything is read: a key that cannot commit, and a memory that cannot be kept.
  const author = writerAuthor(repository);
  await repository.heads?.recall(options.dryRun !== true);
  // It is awaited when the stream has ended; a command that fails before is no unhandled rejection.
  options.stdin?.finished?.catch(() => undefined);
  const note = options.onNote ?? (() => undefined);
  const damaged = options.onDamaged ?? ((error: VarveError): void => note(error.message));
  const missing: Problem[] = [];
  const named = distinct((options.paths ?? []).map(sourceOf));
  const onLink = (path: Uint8Array): void =>
    options.onWarning?.('it is a symlink and is stored as one; for the directory it leads to, write a slash behind it', path);
  const onMissing = (path: Uint8Array, code: string): void => void missing.push({ path, code });
  const sources = options.stdin !== undefined ? [] : existingSources(named, onMissing, onLink);
  for (const problem of missing) options.onProblem?.(problem);
  if (options.stdin !== undefined && !isValidName(utf8(options.stdin.name)))
    throw new SourceError(options.stdin.name, 'the name of a stream must be a file name without a slash');
  const paths = options.stdin !== undefined ? [utf8(`/${options.stdin.name}`)] : named.map(({ path }) => path);
  const host = options.host ?? hostname();
  const label = options.label ?? (options.stdin !== undefined ? `/${options.stdin.name}` : defaultLabel(named));
  // What a manifest cannot hold is said before anything is read.
  if (paths.reduce((sum, path) => sum + path.byteLength, utf8(label).byteLength) > MAX_BODY_TEXT_BYTES / 2)
    throw new RangeError(
      `${paths.length} sources have longer names than one snapshot can hold; name the directories that they lie in`,
    );

  // At once, and in any order: a pack that no intent names by now is not deleted within a day, whenever it was seen.
  const [ledger, stored] = await Promise.all([loadLedger(repository), listPacks(repository)]);
  requireAuthor(repository.genesis, ledger, author);
  const foreign = foreignWarning(repository, ledger, author, repository.keyring.writer!.domain, { host, label });
  if (foreign !== undefined) options.onForeign?.(foreign);
  // What is to be pruned is never used again: deletion and reuse must not meet.
  for (const hex of intended(ledger.entries).packs) stored.delete(hex);
  const index = await openIndex(repository, { filter: true, compact: false, onDamaged: damaged });
  const domain = repository.keyring.writer?.domain;
  let cache = ChangeCache.none();
  let run: Run | undefined;
  try {
    await index.compact();
    const ranges = rangesOf(repository.store);
    // Packs of a run that was killed stand in no index object, but their directories say what they hold.
    for (const error of await coverPacks(
      repository,
      ranges,
      index,
      [...stored.keys()].map((hex) => new Uint8Array(Buffer.from(hex, 'hex'))),
    ))
      damaged(error);
    ranges.close();
    const namesKey = domain === undefined ? new Uint8Array(32) : repository.domainKeys(domain).names;
    const stream = streamId(namesKey, host, label);
    if (options.stdin === undefined) {
      cache = await ChangeCache.open(
        join(repository.cacheDir, 'changes', toHex(stream)),
        new LocalSealer(hkdf(namesKey, repository.genesis.salt, 'varve local change cache')),
        (hex) => stored.has(hex),
        note,
        options.dryRun === true,
      );
    }
    run = await Run.start(repository, index, stored, cache, readerKeyInForce(repository, ledger), {
      level: options.level ?? 3,
      threads: options.threads ?? DEFAULT_THREADS,
      dryRun: options.dryRun === true,
      ...(options.rotateChunks === undefined ? {} : { rotateChunks: options.rotateChunks }),
    });
    const result =
      options.stdin === undefined
        ? await walkSources(run, namesKey, sources, options, surroundingsOf(repository, options))
        : await readStream(run, namesKey, options.stdin, options);
    if (options.signal?.aborted === true) throw new InterruptedError('backup');
    await run.storePacks(true);
    const problems = [...missing, ...result.problems];
    const complete = problems.length === 0;
    const report = {
      state: complete ? ('complete' as const) : ('partial' as const),
      counts: result.counts,
      totalFiles: result.root.totals.files,
      totalBytes: result.root.totals.bytes,
      problems,
      omissions: result.omissions,
      mountsNotEntered: result.mountsNotEntered,
    };
    if (options.dryRun === true)
      return { ...report, snapshotId: undefined, newBytes: run.storedBytes, retainUntilSec: 0, slots: 0 };
    const body = {
      host,
      label,
      paths,
      tags: [...new Set(options.tags ?? [])].sort(),
      root: result.root,
      problems: problems.slice(0, MAX_PROBLEMS),
      problemCount: problems.length,
      program: 'varve 0.1.0',
      notes: [],
    };
    const committed = await commit(
      repository,
      run,
      { stream, body, startedMs, claimedMs: options.claimedTimeMs ?? startedMs, complete },
      nowMs,
    );
    cache.rememberSparse(run.used);
    return {
      ...report,
      snapshotId: committed.id,
      newBytes: run.storedBytes,
      retainUntilSec: committed.retainUntilSec,
      slots: committed.slots,
      ...(committed.class === undefined ? {} : { class: committed.class }),
    };
  } catch (error) {
    if (run !== undefined && options.signal?.aborted === true && options.dryRun !== true) {
      // What was read so far is kept where the next run finds it.
      await run.storePacks(true).catch(() => undefined);
      throw new InterruptedError('backup');
    }
    throw error;
  } finally {
    await run?.close();
    await cache.close();
    if (cache.unwritten !== undefined) options.onCacheUnusable?.(cache.unwritten);
    await index.close();
  }
}

/** `sources`, each once. */
function distinct(sources: readonly Source[]): Source[] {
  const seen = new Set<string>();
  return sources.filter(({ path, follow }) => {
    const key = `${Buffer.from(path).toString('latin1')}${follow ? '/' : ''}`;
    return !seen.has(key) && seen.add(key);
  });
}

function surroundingsOf(repository: Repository, { ownFolders = [] }: BackupOptions): Surroundings {
  return new Surroundings(repository.id, [
    { path: repository.store.location, what: 'this repository' },
    { path: repository.cacheDir, what: 'the cache of this repository' },
    ...ownFolders,
  ]);
}

async function walkSources(
  run: Run,
  namesKey: Uint8Array,
  sources: readonly Source[],
  options: BackupOptions,
  surroundings: Surroundings,
): Promise<WalkResult> {
  const { exclusion, oneFileSystem, force, ignoreInode, ignoreCtime, signal, onProgress, onProblem, onFile, onWarning } = options;
  const walk = new Walk(run, namesKey, {
    ...(exclusion && { exclusion }),
    ...(oneFileSystem !== undefined && { oneFileSystem }),
    ...(force !== undefined && { force }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
    ...(onProblem && { onProblem }),
    ...(onFile && { onFile }),
    ...(onWarning && { onWarning }),
    ignoreInode: ignoreInode === true,
    ignoreCtime: ignoreCtime === true,
    surroundings,
  });
  return walk.walk(sourceTree(sources));
}

/** A snapshot of one file that came through a stream. */
async function readStream(run: Run, namesKey: Uint8Array, source: StreamSource, options: BackupOptions): Promise<WalkResult> {
  const counts: WalkCounts = { ...newCounts(), filesNew: 1, directoriesNew: 1, current: utf8(`/${source.name}`) };
  const file = await ingestStream(run, source.stream, options.signal, (bytes) => {
    counts.readBytes += bytes;
    counts.processedBytes += bytes;
    options.onProgress?.(counts);
  });
  await source.finished;
  if (file.sizeBytes === 0 && source.allowEmpty === false)
    throw new SourceError(source.name, 'the stream was empty; nothing was stored (with --allow-empty it is)');
  const owner: Owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, user: null, group: null };
  const seconds = Math.floor((options.nowMs ?? Date.now)() / 1000);
  const common = { owner, mtimeSec: seconds, mtimeNsec: 0, btimeSec: null, btimeNsec: 0, xattrs: [], link: null };
  const { sizeBytes, digest, content } = file;
  const entry: Entry = { ...common, name: utf8(source.name), mode: 0o600, kind: EntryKind.regular, sizeBytes, digest, content };
  const { tree, pages } = writeDirectory(run.meta, namesKey, encodeEntries([entry]));
  run.use(file.packs);
  run.use(pages.flatMap((page) => [run.packNumber(page.pack), page.lengthBytes]));
  const root: DirectoryEntry = {
    ...common,
    name: new Uint8Array(0),
    mode: 0o755,
    kind: EntryKind.directory,
    tree,
    totals: { files: 1, directories: 0, bytes: sizeBytes },
  };
  return { root, counts, problems: [], omissions: [], mountsNotEntered: [] };
}
