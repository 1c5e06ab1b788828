/** Everything to read one or more snapshots in this thread: index, keys, chunk reader. Owns the index and the open files. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import type { VarveError } from '../errors.js';
import { blockingPlace } from '../store/blocking.js';
import type { Store } from '../store/store.js';
import { ChunkReader } from './chunk-reader.js';
import { coverPacks, type OnDamaged, openIndex } from './open-index.js';
import { openRanges, type Ranges } from './ranges.js';
import { collectReadKeys } from './read-keys.js';
import type { Repository } from './repository.js';
import type { TreeSource } from './tree-reader.js';

export interface SnapshotReader {
  readonly index: ChunkIndex;
  readonly ranges: Ranges;
  readonly reader: ChunkReader;
  /** Packs, sessions and index objects found damaged while opening; reading what needs them throws. */
  readonly damage: readonly VarveError[];
  /** A source for a snapshot of `domain` with joined pins `pins`. */
  source(domain: Uint8Array, pins: Uint8Array): TreeSource;
  close(): Promise<void>;
}

export interface SnapshotReaderOptions {
  readonly cacheBytes?: number;
  /** Called for each index object, and each pack that is needed, whose directory cannot be taken up. */
  readonly onDamaged?: OnDamaged;
}

/** Ranges over a store. Reading throws StoreError for one that cannot be read from a blocking thread. */
export function rangesOf(store: Store): Ranges {
  return openRanges(() => blockingPlace(store));
}

/**
 * Opens a reader for snapshots that pin `pins` (joined ids, one array per snapshot).
 *
 * @throws RoleError without the root secret
 */
export async function openSnapshotReader(
  repository: Repository,
  pins: readonly Uint8Array[],
  { cacheBytes = 64 << 20, onDamaged = () => undefined }: SnapshotReaderOptions = {},
): Promise<SnapshotReader> {
  const damage: VarveError[] = [];
  const damaged = (error: VarveError): void => {
    damage.push(error);
    onDamaged(error);
  };
  const index = await openIndex(repository, { filter: false, onDamaged: damaged });
  const ranges = rangesOf(repository.store);
  const wanted = new Map<string, Uint8Array>();
  for (const joined of pins)
    for (let at = 0; at < joined.byteLength; at += 32)
      wanted.set(toHex(joined.subarray(at, at + 32)), joined.subarray(at, at + 32));
  for (const error of await coverPacks(repository, ranges, index, wanted.values())) damaged(error);
  const { keys, failed } = await collectReadKeys(repository, index, (packId) => wanted.has(toHex(packId)));
  damage.push(...failed);
  const reader = new ChunkReader(index, ranges, keys, { cacheBytes });
  return {
    index,
    ranges,
    reader,
    damage,
    source(domain, joined) {
      const pinned = new Set<string>();
      for (let at = 0; at < joined.byteLength; at += 32) pinned.add(toHex(joined.subarray(at, at + 32)));
      return { chunks: reader.within((packId) => pinned.has(toHex(packId))), chunkIdKey: repository.domainKeys(domain).chunkId };
    },
    async close() {
      ranges.close();
      await index.close();
    },
  };
}
