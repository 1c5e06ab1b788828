/**
 * Restores a snapshot, or a part of it, into a folder. Never writes outside that folder, whatever the snapshot or the folder holds; what cannot be restored
 * is listed and everything else is. Run again after an interruption, it completes what is there.
 */

import { closeSync, constants, openSync, realpathSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { concat, equalBytes, lossyUtf8, utf8 } from '../bytes.js';
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
import { namesOfPath } from '../repository/tree-path.js';
import { findEntry, type TreeSource } from '../repository/tree-reader.js';
import { blockingPlace } from '../store/blocking.js';
import { deleteExtras } from './delete.js';
import { DirectoryCache } from './directory-cache.js';
import { HeldFiles } from './held.js';
import { Journal } from './journal.js';
import { Listing } from './listing.js';
import type { RestoreOptions, RestoreReport } from './options.js';
import { ownerMap, type Renumbered } from './owners.js';
import { Pipeline, throwIfAborted } from './pipeline.js';
import { placeOf } from './place.js';
import { Planner } from './plan.js';
import type { Run } from './run.js';
import { type Selection, selectionOf } from './selection.js';
import { existingOf } from './stat.js';
import { finishDirectory, isUnfinished, mayReplace } from './target.js';
import { isOpenToOthers, openDirectory, type TargetDirectory } from './target-directory.js';
import { Step, UNFINISHED_DIRECTORY } from './task.js';
import { Walk } from './walk.js';
import { Writers } from './writers.js';

const MAX_THREADS = 4;
const PROGRESS_MS = 200;

/**
 * Restores `snapshot` as `options` say.
 *
 * @returns counts and problems; a report with problems is not a failure of the call
 * @throws NotFoundError if `subPath` is not in the snapshot
 * @throws RefusedError if `delete` is asked for where it would empty the whole system, or where the snapshot does not know what is gone
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
    const { entry, landing } = findRestored(source, snapshot.body.root, options.subPath);
    const targetPath = targetPathOf(options, landing);
    const selection = selectionOf(options, targetPath, landing, snapshot.body);
    const target = openTarget(options, targetPath);
    try {
      return await restoreInto(repository, reader, source, pins, { name, entry, selection }, target, options);
    } finally {
      if (target.fd !== undefined) closeSync(target.fd);
    }
  } finally {
    await reader.close();
  }
}

/** The entry at `subPath`, and the path in the snapshot of what lands in the target: its own, or for a single file its directory's. */
function findRestored(
  source: TreeSource,
  root: DirectoryEntry,
  subPath: Uint8Array | undefined,
): { entry: Entry; landing: Uint8Array } {
  if (subPath?.byteLength === 0) throw new RangeError('subPath must not be empty: / is all of a snapshot');
  let found: Entry = root;
  const names = namesOfPath(subPath ?? new Uint8Array(0));
  for (const name of names) {
    const child: Entry | undefined = isDirectory(found) ? findEntry(source, found.tree, name) : undefined;
    if (child === undefined) throw new NotFoundError('path', `${lossyUtf8(subPath!)} in this snapshot`);
    found = child;
  }
  if (!isDirectory(found)) names.pop();
  return { entry: found, landing: concat(...names.flatMap((name) => [utf8('/'), name])) };
}

/** @throws RefusedError when it cannot be restored in place */
function targetPathOf({ targetPath, inPlace, subPath }: RestoreOptions, landing: Uint8Array): string {
  if (inPlace !== true) {
    if (targetPath === undefined) throw new TypeError('targetPath is missing');
    return targetPath;
  }
  if (targetPath !== undefined || subPath === undefined) throw new TypeError('inPlace goes with subPath, and without targetPath');
  const path = lossyUtf8(landing);
  if (!equalBytes(utf8(path), landing))
    throw new RefusedError(`refused to restore ${path} in place: its name is not UTF-8; name a target`);
  const above = dirname(path === '' ? '/' : path);
  if (statSync(above, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new RefusedError(
      `refused to restore ${path} in place: there is no directory ${above}; restore that one in place, or name a target`,
    );
  return path === '' ? '/' : path;
}

interface Target {
  readonly path: string;
  /** Undefined in a dry run whose target does not exist. */
  readonly fd: number | undefined;
  readonly fresh: boolean;
}

function openTarget(options: RestoreOptions, targetPath: string): Target {
  const isWhole = namesOfPath(options.subPath ?? new Uint8Array(0)).length === 0;
  let fresh = false;
  try {
    try {
      statSync(targetPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      fresh = true;
      if (options.dryRun === true) return { path: targetPath, fd: undefined, fresh };
      makeFolders(targetPath);
    }
    if (options.delete === true && isWhole && realpathSync(targetPath) === '/') {
      throw new RefusedError(
        'refused to delete what the snapshot does not have from /: name a path of the snapshot (SNAP:PATH) or another target',
      );
    }
    return { path: targetPath, fd: openSync(targetPath, constants.O_RDONLY | constants.O_DIRECTORY), fresh };
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
  restored: { readonly name: string; readonly entry: Entry; readonly selection: Selection },
  target: Target,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const { store } = repository;
  const { name, entry, selection } = restored;
  const isPinned = (packId: Uint8Array): boolean => hasPin(pins, packId);
  const { keys } = await collectReadKeys(repository, reader.index, isPinned);
  const journal = new Journal(options, target.path, placeOf(target.fd, target.path));
  const directories = new DirectoryCache(target.fd ?? -1);
  const renumbered = new Map<string, Renumbered>();
  const run: Run = {
    options,
    overwrite: options.overwrite ?? 'always',
    privileged: process.geteuid?.() === 0,
    native: native(),
    source,
    directories,
    held: new HeldFiles(),
    targetFd: target.fd ?? -1,
    selection,
    owners: ownerMap(options.numericIds === true, (one) => renumbered.set(one.name + one.from, one)),
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
    const root = rootDirectory(run, target, isDirectory(entry) ? entry : undefined);
    if (options.delete === true && !target.fresh && isDirectory(entry)) deleteExtras(run, root, entry.tree);
    await new Walk(run, pipeline, name).begin(root, entry, options.include === undefined);
    await pipeline.finish();
    finishDirectory(run, root);
    noteRenumbered(journal, [...renumbered.values()]);
    tell();
  } catch (error) {
    halt();
    throw error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', halt);
    await pipeline.settle();
    await writers.close();
    run.held.closeAll();
    directories.close();
  }
  return journal.report();
}

const MOST_NAMES = 8;

/** Says once which names have other numbers here. */
function noteRenumbered(journal: Journal, all: readonly Renumbered[]): void {
  if (all.length === 0) return;
  const list = all.slice(0, MOST_NAMES).map(({ name, from, to }) => `${name} ${from} → ${to}`);
  const rest = all.length > MOST_NAMES ? ` and ${all.length - MOST_NAMES} more` : '';
  journal.note(
    '',
    `users and groups have other numbers here: ${list.join(', ')}${rest}; --numeric-ids keeps the numbers of the snapshot`,
  );
}

/** The target as the directory that the restored one lands in. Its own metadata is left alone unless this run, or an interrupted one, has made it. */
function rootDirectory(run: Run, { fd, fresh }: Target, entry: DirectoryEntry | undefined): TargetDirectory {
  const root: TargetDirectory = {
    parent: undefined,
    path: '',
    entry,
    asked: fresh,
    state: 'ready',
    fresh,
    ours: fresh,
    exposed: false,
    identity: undefined,
    dev: 0n,
    listing: undefined,
  };
  const isAsked = run.options.inPlace === true && run.options.include === undefined;
  if (fd === undefined) return root;
  const existing = existingOf(fd);
  root.identity = existing;
  root.dev = existing.dev;
  root.exposed = isOpenToOthers(existing);
  root.ours ||= entry !== undefined && (isUnfinished(existing, entry) || (isAsked && mayReplace(run, existing, entry)));
  if (fresh) run.native.setMetadataFd(fd, Step.clear | Step.mode, 0, 0, UNFINISHED_DIRECTORY, 0, 0, []);
  else root.listing = new Listing(() => openDirectory(run, root));
  return root;
}
