/** How large a repository is, what it would restore to, and how much sharing saves. Reads listings and directories of packs, no content. */
import { toHex, viewOf } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { CorruptError } from '../errors.js';
import { parsePackName } from '../format/names.js';
import { CHUNK_ROW_BYTES, ChunkType, type Directory, decodeDirectory, MAX_PACK_BYTES } from '../format/pack.js';
import type { Snapshot } from '../ledger/snapshots.js';
import { native } from '../native.js';
import { type OnDamaged, openIndex } from '../repository/open-index.js';
import type { Repository } from '../repository/repository.js';
import { Turns } from '../repository/turns.js';

export interface RepositoryStats {
  readonly snapshots: number;
  /** Over all snapshots, as often as they hold it. */
  readonly restoreFiles: number;
  readonly restoreDirectories: number;
  readonly restoreBytes: number;
  /** The newest snapshot alone; zero when there is none. */
  readonly latestBytes: number;
  readonly packs: number;
  /** Everything in the store. */
  readonly storedBytes: number;
  readonly packBytes: number;
  readonly indexBytes: number;
  readonly otherBytes: number;
  /** Distinct chunks, and their plaintext. */
  readonly chunks: number;
  readonly chunkBytes: number;
  readonly dataChunks: number;
  readonly dataChunkBytes: number;
  /** restoreBytes ÷ dataChunkBytes: what sharing saves before compression. */
  readonly dedupRatio: number;
  /** chunkBytes ÷ packBytes. */
  readonly compressionRatio: number;
  /** restoreBytes ÷ storedBytes. */
  readonly totalRatio: number;
}

/** What the set answers for an id that it did not hold. */
const UNCLAIMED = 0xffffffff;

const ratio = (a: number, b: number): number => (b === 0 ? 1 : a / b);

/**
 * Adds up the repository; the restore figures are those of `snapshots`. Index objects that cannot be taken up are told to `onDamaged` and not counted.
 *
 * @throws StoreError, RoleError, InterruptedError
 */
export async function repositoryStats(
  repository: Repository,
  snapshots: readonly Snapshot[],
  options: { readonly onDamaged?: OnDamaged; readonly signal?: AbortSignal } = {},
): Promise<RepositoryStats> {
  const turns = new Turns('stats', options.signal);
  const stored = { packs: 0, packBytes: 0, indexBytes: 0, otherBytes: 0 };
  for await (const { name, sizeBytes } of repository.store.list('')) {
    if (turns.isDue) await turns.take();
    if (parsePackName(name) !== undefined) {
      stored.packs++;
      stored.packBytes += sizeBytes;
    } else if (name.startsWith('index/')) stored.indexBytes += sizeBytes;
    else stored.otherBytes += sizeBytes;
  }
  const sum = { restoreFiles: 0, restoreDirectories: 0, restoreBytes: 0 };
  for (const { body } of snapshots) {
    sum.restoreFiles += body.root.totals.files;
    sum.restoreDirectories += body.root.totals.directories;
    sum.restoreBytes += body.root.totals.bytes;
  }
  const chunks = await countChunks(repository, turns, options.onDamaged);
  const storedBytes = stored.packBytes + stored.indexBytes + stored.otherBytes;
  return {
    snapshots: snapshots.length,
    ...sum,
    latestBytes: snapshots.at(-1)?.body.root.totals.bytes ?? 0,
    ...stored,
    storedBytes,
    ...chunks,
    dedupRatio: ratio(sum.restoreBytes, chunks.dataChunkBytes),
    compressionRatio: ratio(chunks.chunkBytes, stored.packBytes),
    totalRatio: ratio(sum.restoreBytes, storedBytes),
  };
}

/** Distinct chunks of all packs. The ids go into the addon's set: JavaScript's own ends at 16 million. */
async function countChunks(
  repository: Repository,
  turns: Turns,
  onDamaged: OnDamaged | undefined,
): Promise<Pick<RepositoryStats, 'chunks' | 'chunkBytes' | 'dataChunks' | 'dataChunkBytes'>> {
  const index = await openIndex(repository, { filter: false, ...(onDamaged === undefined ? {} : { onDamaged }) });
  const seen = native().claimsCreate();
  const seenPacks = new Set<string>();
  const counts = { chunks: 0, chunkBytes: 0, dataChunks: 0, dataChunkBytes: 0 };
  try {
    for (const { packIndex, packId } of index.packs()) {
      if (turns.isDue) await turns.take();
      const hex = toHex(packId);
      if (seenPacks.has(hex)) continue;
      seenPacks.add(hex);
      const directory = directoryOf(index, packIndex, hex);
      if (directory === undefined) continue;
      const { chunkRows, chunkCount } = directory;
      const ids = new Uint8Array(chunkCount * 32);
      for (let i = 0; i < chunkCount; i++) ids.set(chunkRows.subarray(i * CHUNK_ROW_BYTES, i * CHUNK_ROW_BYTES + 32), i * 32);
      const before = native().claim(seen, ids, 0);
      const view = viewOf(chunkRows);
      for (let i = 0; i < chunkCount; i++) {
        if (before[i] !== UNCLAIMED) continue;
        const lengthBytes = view.getUint32(i * CHUNK_ROW_BYTES + 33, true);
        counts.chunks++;
        counts.chunkBytes += lengthBytes;
        if (chunkRows[i * CHUNK_ROW_BYTES + 32] !== ChunkType.data) continue;
        counts.dataChunks++;
        counts.dataChunkBytes += lengthBytes;
      }
    }
  } finally {
    native().claimsFree(seen);
    await index.close();
  }
  return counts;
}

/** Undefined where the local index no longer verifies. */
function directoryOf(index: ChunkIndex, packIndex: number, hex: string): Directory | undefined {
  try {
    return decodeDirectory(index.directory(packIndex), MAX_PACK_BYTES, hex);
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
