/**
 * Mounts a repository: checks the mountpoint, loads the ledger, starts a driver with lib/view in its serving threads, and keeps the chunk index up to date
 * while mounted. Takes no lock and writes nothing but the cache.
 */
import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { lossyUtf8, toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { MountError, NotFoundError, RoleError } from '../errors.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { holdsReaderKeys } from '../ledger/roles.js';
import { findSnapshot, letsAllPass, type SnapshotFilter, snapshotRecords } from '../ledger/snapshots.js';
import { workerFile } from '../native.js';
import { openIndex, refreshIndex } from '../repository/open-index.js';
import type { Repository } from '../repository/repository.js';
import { blockingPlace } from '../store/blocking.js';
import { isLocalStore } from '../store/store.js';
import type { openFileSystem, ViewData } from '../view/file-system-thread.js';
import { LedgerFollower } from '../view/ledger-follower.js';
import { createNodeTable } from '../view/node-table.js';
import { objectReader } from '../view/objects.js';
import { createSharedFrames } from '../view/shared-frames.js';
import type { FileSystem, Mounted } from './driver.js';
import { mountDriver } from './drivers.js';
import { VIEW_FILE } from './prepare.js';

export interface MountRepositoryOptions {
  readonly mountpoint: string;
  /** Undefined: this platform's default. */
  readonly driver?: 'kernel' | 'fuse-native';
  /** Show this snapshot alone (see findSnapshot), from `subPath` down. */
  readonly snapshotName?: string;
  readonly subPath?: Uint8Array;
  /** Let other users in. */
  readonly allowOther?: boolean;
  /** Show everything as owned by root. */
  readonly ownerRoot?: boolean;
  /** Let the kernel check mode bits and ACLs. */
  readonly defaultPermissions?: boolean;
  /** Show these snapshots only. */
  readonly filter?: SnapshotFilter;
  readonly listVirtualXattrs?: boolean;
  /** KiB the kernel reads ahead; only root's mounts can raise it above 128. */
  readonly readAheadKib?: number;
  readonly threads?: number;
  /** A line for people: what is damaged, what a driver cannot show. */
  readonly onLog?: (message: string) => void;
}

const POLL_MS = 1000;
const DEFAULT_THREADS = 2;
const DEFAULT_READ_AHEAD_KIB = 1024;
const MIB = 1 << 20;
/** With two threads and one reader at a time a server stays below 256 MiB; 269 were seen with six readers, tar, find and rsync at once. */
const CACHE_BYTES = { frames: 48 * MIB, pages: 8 * MIB, lists: 4 * MIB } as const;

// What a view makes is what a driver takes: checked here, because the view does not know of drivers.
const _fits = (fs: ReturnType<typeof openFileSystem>): FileSystem => fs;

/**
 * Mounts `repository` and serves it until it is unmounted.
 *
 * @throws MountError when the mountpoint cannot be used or the driver cannot run
 * @throws NotFoundError when there is no such snapshot or path; RoleError without the root secret
 */
export async function mountRepository(repository: Repository, options: MountRepositoryOptions): Promise<Mounted> {
  const { store, keyring, cacheDir } = repository;
  const onLog = options.onLog ?? (() => undefined);
  const place = blockingPlace(store);
  if (keyring.root === null) throw new RoleError('reader', 'mounting');
  const driver = mountDriver(options.driver);
  const problem = driver.unavailable();
  if (problem !== undefined) throw new MountError(options.mountpoint, problem);
  await refuseOverlap(options.mountpoint, [
    ...(isLocalStore(store) ? [['the repository', store.location] as const] : []),
    ['the cache', cacheDir],
  ]);
  const ledger = await loadLedger(repository);
  if (!holdsReaderKeys(repository, ledger))
    onLog(
      'the reader key was rotated after this key was made: newer snapshots do not open (varve key export FILE --role reader)',
    );
  const only =
    options.snapshotName === undefined
      ? undefined
      : { hex: snapshotHex(ledger, options.snapshotName), path: options.subPath ?? new Uint8Array(0) };
  const data: ViewData = {
    location: store.location,
    place,
    repositoryId: repository.id,
    genesis: repository.genesis,
    keyring: { ...keyring, adminSeed: null, writer: null },
    cacheDir,
    ledger,
    ...(driver.name === 'kernel'
      ? { numbers: createNodeTable(), frames: createSharedFrames(CACHE_BYTES.frames) }
      : { numbers: undefined, frames: undefined }),
    view: {
      ownerRoot: options.ownerRoot ?? false,
      listVirtualXattrs: options.listVirtualXattrs ?? false,
      // A filter that asks nothing would open every manifest, and hide those that do not open.
      ...(options.filter === undefined || letsAllPass(options.filter) ? {} : { filter: options.filter }),
      ...(only === undefined ? {} : { only }),
    },
    cacheBytes: CACHE_BYTES,
  };
  if (only !== undefined && only.path.byteLength > 0) await checkSubPath(data, only.path);
  const tell = teller(onLog);
  const tellOnce = onceEach(onLog);
  // Before the first reader asks: a thread that finds nothing in the index reads the directory of every pack.
  const index = await openIndex(repository, { filter: false, onDamaged: tellOnce });
  const mounting = driver.mount(
    { file: workerFile(VIEW_FILE), data },
    {
      mountpoint: options.mountpoint,
      fsName: store.location,
      allowOther: options.allowOther ?? false,
      defaultPermissions: options.defaultPermissions ?? false,
      readAheadKib: options.readAheadKib ?? DEFAULT_READ_AHEAD_KIB,
      threads: options.threads ?? DEFAULT_THREADS,
      onLog,
    },
  );
  const mounted = await mounting.catch(async (error: unknown) => {
    await index.close();
    throw error;
  });
  const stop = keepIndex(repository, index, new LedgerFollower(repository, ledger, objectReader(place)), tell, tellOnce);
  mounted.finished.then(stop, stop);
  return mounted;
}

/** @throws NotFoundError */
function snapshotHex(ledger: Ledger, name: string): string {
  return toHex(
    findSnapshot(
      snapshotRecords(ledger).map((record) => ({ ...record, time: record.received })),
      name,
    ).id,
  );
}

/** @throws NotFoundError, CorruptError */
async function checkSubPath(data: ViewData, path: Uint8Array): Promise<void> {
  const { openFileSystem } = await import('../view/file-system-thread.js');
  const fs = openFileSystem({ ...data, numbers: undefined, frames: undefined });
  try {
    const mode = fs.getattr(1)?.mode;
    if (mode === undefined) throw new NotFoundError('path', lossyUtf8(path));
    if ((mode & 0o170000) !== 0o040000)
      throw new MountError(lossyUtf8(path), 'is not a directory, so it cannot be mounted; use dump for a file');
  } finally {
    fs.close();
  }
}

/**
 * Refuses a mountpoint that holds what the server needs (it would wait for itself), or lies inside it.
 *
 * @throws MountError
 */
async function refuseOverlap(mountpoint: string, places: readonly (readonly [string, string])[]): Promise<void> {
  const target = await realOrResolved(mountpoint);
  for (const [what, path] of places) {
    const place = await realOrResolved(path);
    if (isInside(place, target))
      throw new MountError(mountpoint, `holds ${what} (${place}), which the mount would hide; choose another directory`);
    if (isInside(target, place)) throw new MountError(mountpoint, `lies inside ${what} (${place}); choose another directory`);
  }
}

async function realOrResolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return resolve(path);
  }
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/** Brings the chunk index up to date whenever a snapshot appears. Returns what ends it and closes the index. */
function keepIndex(
  repository: Repository,
  index: ChunkIndex,
  follower: LedgerFollower,
  tell: (error: unknown) => void,
  tellOnce: (error: Error) => void,
): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    try {
      const before = await repository.heads?.recall();
      if (follower.poll()) {
        await refreshIndex(repository, index, tellOnce);
        if (before !== undefined) await repository.heads?.compare(follower.ledger.chains, before);
      }
    } catch (error) {
      if (!stopped) tell(error);
    }
    if (!stopped) timer = setTimeout(() => void look(), POLL_MS).unref();
  };
  void look();
  return () => {
    stopped = true;
    clearTimeout(timer);
    index.close().catch(tell);
  };
}

/** Tells each message once: what is wrong with an object is found again whenever the index is brought up to date. */
function onceEach(onLog: (message: string) => void): (error: Error) => void {
  const told = new Set<string>();
  return ({ message }) => {
    if (!told.has(message)) onLog(message);
    told.add(message);
  };
}

/** Tells the message of an error unless it is the one told last. */
function teller(onLog: (message: string) => void): (error: unknown) => void {
  let told = '';
  return (error) => {
    const message = error instanceof Error ? error.message : String(error);
    if (message !== told) onLog(message);
    told = message;
  };
}
