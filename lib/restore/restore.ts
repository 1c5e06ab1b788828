/**
 * Restores a snapshot, or a part of it, into a folder. Never writes outside that folder, whatever the snapshot or the folder holds; what cannot be restored
 * is listed and everything else is. Run again after an interruption, it completes what is there.
 */

import { closeSync, constants, openSync, realpathSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { NotFoundError, RefusedError, StoreError } from '../errors.js';
import { makeFolders } from '../folders.js';
import { manifestName } from '../format/names.js';
import { type DirectoryEntry, type Entry, isDirectory, isFile } from '../format/tree.js';
import { hasPin, resolvePins } from '../ledger/pins.js';
import { readEnvelope, type Snapshot } from '../ledger/snapshots.js';
import { native } from '../native.js';
import { collectReadKeys } from '../repository/read-keys.js';
import type { Repository } from '../repository/repository.js';
import { openSnapshotReader, type SnapshotReader } from '../repository/snapshot-reader.js';
import { findEntry, readDirectory, type TreeSource } from '../repository/tree-reader.js';
import { blockingPlace } from '../store/blocking.js';
import { DirectoryCache } from './directory-cache.js';
import { Journal } from './journal.js';
import type { RestoreOptions, RestoreReport } from './options.js';
import { ownerMap } from './owners.js';
import { Pipeline, throwIfAborted } from './pipeline.js';
import { Planner } from './plan.js';
import type { Run } from './run.js';
import { deleteExtras, type TargetDirectory } from './target.js';
import { Walk } from './walk.js';
import { Writers } from './writers.js';

const MAX_THREADS = 4;
const PROGRESS_MS = 200;

/**
 * Restores `snapshot` as `options` say.
 *
 * @returns counts and problems; a report with problems is not a failure of the call
 * @throws NotFoundError if `subPath` is not in the snapshot
 * @throws RefusedError if `delete` is asked for where it would empty the whole system
 * @throws CorruptError if not even the root of the tree can be read
 * @throws StoreError if the target takes nothing more, or the repository cannot be read
 * @throws InterruptedError
 */
export async function restore(repository: Repository, snapshot: Snapshot, options: RestoreOptions): Promise<RestoreReport> {
  const name = manifestName(snapshot.id);
  const pins = await resolvePins(snapshot.envelope, async (id) => (await readEnvelope(repository, id)).envelope, name);
  const reader = await openSnapshotReader(
    repository,
    [pins],
    options.onDamaged === undefined ? {} : { onDamaged: options.onDamaged },
  );
  try {
    const source = reader.source(snapshot.envelope.domain, pins);
    const { parent, entry } = findRestored(source, snapshot.body.root, options.subPath);
    const target = openTarget(options);
    try {
      return await restoreInto(repository, reader, source, pins, { parent, entry }, target, options);
    } finally {
      if (target.fd !== undefined) closeSync(target.fd);
    }
  } finally {
    await reader.close();
  }
}

/** The entry at `subPath`, and the directory it is in. */
function findRestored(
  source: TreeSource,
  root: DirectoryEntry,
  subPath: Uint8Array | undefined,
): { parent: DirectoryEntry; entry: Entry } {
  let found: Entry = root;
  let parent = root;
  for (const part of Buffer.from(subPath ?? [])
    .toString('latin1')
    .split('/')) {
    if (part === '') continue;
    const child: Entry | undefined = isDirectory(found) ? findEntry(source, found.tree, Buffer.from(part, 'latin1')) : undefined;
    if (child === undefined) throw new NotFoundError('path', `${Buffer.from(subPath!).toString('utf8')} in this snapshot`);
    if (isDirectory(found)) parent = found;
    found = child;
  }
  return { parent, entry: found };
}

interface Target {
  /** Undefined in a dry run whose target does not exist. */
  readonly fd: number | undefined;
  readonly fresh: boolean;
}

function openTarget(options: RestoreOptions): Target {
  const { targetPath } = options;
  const isWhole = options.subPath === undefined || /^\/*$/.test(Buffer.from(options.subPath).toString('latin1'));
  let fresh = false;
  try {
    try {
      statSync(targetPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      fresh = true;
      if (options.dryRun === true) return { fd: undefined, fresh };
      makeFolders(targetPath);
    }
    if (options.delete === true && isWhole && realpathSync(targetPath) === '/') {
      throw new RefusedError(
        'refused to delete what the snapshot does not have from /: name a path of the snapshot (SNAP:PATH) or another target',
      );
    }
    return { fd: openSync(targetPath, constants.O_RDONLY | constants.O_DIRECTORY), fresh };
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw new StoreError(targetPath, 'open the target', error);
  }
}

async function restoreInto(
  repository: Repository,
  reader: SnapshotReader,
  source: TreeSource,
  pins: Uint8Array,
  restored: { readonly parent: DirectoryEntry; readonly entry: Entry },
  target: Target,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const { store } = repository;
  const { entry } = restored;
  const isPinned = (packId: Uint8Array): boolean => hasPin(pins, packId);
  const { keys } = await collectReadKeys(repository, reader.index, isPinned);
  const journal = new Journal(options);
  const directories = new DirectoryCache(target.fd ?? -1);
  const run: Run = {
    options,
    overwrite: options.overwrite ?? 'always',
    privileged: process.geteuid?.() === 0,
    native: native(),
    source,
    directories,
    owners: ownerMap(options.numericIds === true),
    journal,
  };
  const [totalFiles, totalBytes] = isDirectory(entry)
    ? [entry.totals.files, entry.totals.bytes]
    : [1, isFile(entry) ? entry.sizeBytes : 0];
  const counters = new SharedArrayBuffer(16);
  const stop = new SharedArrayBuffer(4);
  const writers = new Writers(
    { place: blockingPlace(store), keys, rootFd: target.fd ?? -1, sparse: options.sparse === true, counters, stop },
    options.threads ?? Math.min(MAX_THREADS, availableParallelism()),
  );
  const pipeline = new Pipeline(run, new Planner(reader.index, source.chunkIdKey, isPinned), writers);
  const counted = new BigInt64Array(counters);
  const tell = (): void =>
    options.onProgress?.({
      files: journal.otherFiles + Number(Atomics.load(counted, 1)),
      directories: journal.directories,
      bytes: journal.otherBytes + Number(Atomics.load(counted, 0)),
      totalFiles,
      totalBytes,
    });
  const timer = options.onProgress === undefined ? undefined : setInterval(tell, PROGRESS_MS);
  const halt = (): void => void Atomics.store(new Int32Array(stop), 0, 1);
  options.signal?.addEventListener('abort', halt);
  try {
    throwIfAborted(run);
    const root: TargetDirectory = {
      parent: undefined,
      path: '',
      entry: undefined,
      state: 'ready',
      fresh: target.fresh,
      ours: false,
    };
    if (options.delete === true && !target.fresh && isDirectory(entry)) deleteExtras(run, root, entry.tree);
    await new Walk(run, pipeline).directory(
      root,
      isDirectory(entry) ? readDirectory(source, entry.tree) : [entry],
      options.include === undefined,
    );
    await pipeline.finish();
    tell();
  } catch (error) {
    halt();
    throw error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', halt);
    await pipeline.settle();
    await writers.close();
    directories.close();
  }
  return journal.report();
}
