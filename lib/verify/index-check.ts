/**
 * Index objects: each one opened anew from the store, whatever the local index holds, and compared with the packs that are there (docs/format.md §8). Then
 * the local index is brought up to date, from packs themselves where no index object describes them.
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { type ChunkIndex, openChunkIndex } from '../chunk-index/chunk-index.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError } from '../errors.js';
import { MAX_INDEX_BYTES } from '../format/index-object.js';
import { packName } from '../format/names.js';
import { decodeDirectory, decodePackHeader } from '../format/pack.js';
import { coverPacks, refreshIndex } from '../repository/open-index.js';
import { openIndexObject } from '../repository/pack-directory.js';
import type { Ranges } from '../repository/ranges.js';
import type { Repository } from '../repository/repository.js';
import type { Damage } from './damage.js';
import type { Listing } from './listing.js';
import type { Findings } from './report.js';

/** What index objects say of a pack. */
export interface IndexedPack {
  readonly bytes: number;
  /** Store name of the index object. */
  readonly index: string;
}

/** Opens every index object. @returns what they say of packs, by hex id */
export async function checkIndexObjects(
  repository: Repository,
  listing: Listing,
  findings: Findings,
  breathe: () => Promise<void>,
): Promise<Map<string, IndexedPack>> {
  const packs = new Map<string, IndexedPack>();
  for (const [name, sizeBytes] of listing.index) {
    await breathe();
    try {
      if (sizeBytes > MAX_INDEX_BYTES) throw new CorruptError(name, 'larger than an index object may be');
      for (const { packId, packBytes, header, directory } of openIndexObject(
        repository,
        name,
        await repository.store.get(name),
      )) {
        decodePackHeader(header, name);
        decodeDirectory(directory, packBytes, name);
        packs.set(toHex(packId), { bytes: packBytes, index: name });
      }
    } catch (error) {
      findings.thrown(error, name);
    }
  }
  return packs;
}

const COVER_BATCH = 256;

/** The local index, up to date. `damage` gets the packs whose directories nobody can read. @throws StoreError */
export async function openCheckedIndex(
  repository: Repository,
  ranges: Ranges,
  listing: Listing,
  damage: Damage,
  findings: Findings,
): Promise<{ index: ChunkIndex; rebuilt: boolean }> {
  const index = await openChunkIndex(join(repository.cacheDir, 'index'), { filter: false, compact: true });
  try {
    const before = index.covered().size;
    await fillIndex(repository, ranges, index, listing, damage, findings);
    return { index, rebuilt: index.covered().size > before };
  } catch (error) {
    await index.close();
    throw error;
  }
}

/** Adds what `index` lacks. */
export async function fillIndex(
  repository: Repository,
  ranges: Ranges,
  index: ChunkIndex,
  listing: Listing,
  damage: Damage,
  findings: Findings,
): Promise<void> {
  await refreshIndex(repository, index);
  const known = new Set<string>();
  for (const { packId } of index.packs()) known.add(toHex(packId));
  const uncovered = [...listing.packs.keys()].filter((hex) => !known.has(hex));
  for (let at = 0; at < uncovered.length; at += COVER_BATCH) {
    const ids = uncovered.slice(at, at + COVER_BATCH).map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
    for (const error of await coverPacks(repository, ranges, index, ids)) {
      const name = String(error.details.object);
      const hex = name.slice(name.lastIndexOf('/') + 1);
      const message = error.message.slice(name.length + 2);
      findings.error(name, 'CORRUPT', message);
      damage.set(hex, { code: 'CORRUPT', message, frames: undefined });
    }
  }
}

/** Reports packs whose size is not what index objects say, and finds the frames that a cut took away. */
export function checkPackSizes(
  indexed: ReadonlyMap<string, IndexedPack>,
  index: ChunkIndex,
  listing: Listing,
  damage: Damage,
  findings: Findings,
): void {
  const wrong = new Map<string, { size: number; message: string }>();
  for (const [hex, { bytes }] of indexed) {
    const size = listing.packs.get(hex);
    if (size === undefined || size === bytes) continue;
    const message = size < bytes ? `is cut off: ${size} bytes of ${bytes}` : `is ${size} bytes long instead of ${bytes}`;
    findings.error(packName(Buffer.from(hex, 'hex')), 'CORRUPT', message);
    wrong.set(hex, { size, message });
  }
  if (wrong.size === 0) return;
  for (const { packIndex, packId } of index.packs()) {
    const hex = toHex(packId);
    const found = wrong.get(hex);
    if (found === undefined) continue;
    const frames = new Set<number>();
    const directory = decodeDirectory(index.directory(packIndex), Number.MAX_SAFE_INTEGER, packName(packId));
    directory.frames.forEach(({ offset, sealedBytes }, number) => {
      if (offset + sealedBytes > found.size) frames.add(number);
    });
    damage.set(hex, { code: 'CORRUPT', message: found.message, frames });
  }
}

/** SHA-256 of header ‖ directory as the index holds them, by hex id, for the packs in `wanted`. */
export function indexDigests(index: ChunkIndex, wanted: ReadonlySet<string>): Map<string, string> {
  const digests = new Map<string, string>();
  for (const { packIndex, packId } of index.packs()) {
    const hex = toHex(packId);
    if (wanted.has(hex) && !digests.has(hex))
      digests.set(hex, toHex(sha256(index.header(packIndex), index.directory(packIndex))));
  }
  return digests;
}
