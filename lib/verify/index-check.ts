/**
 * Index objects: each one opened anew from the store, whatever the local index holds, and compared with the packs that are there (docs/format.md §8). Then
 * the local index is brought up to date, from packs themselves where no index object describes them.
 */
import { join } from 'node:path';
import { fromHex, toHex } from '../bytes.js';
import { type ChunkIndex, openChunkIndex } from '../chunk-index/chunk-index.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError, NotFoundError, VarveError } from '../errors.js';
import { MAX_INDEX_BYTES, type PackDirectory } from '../format/index-object.js';
import { packName } from '../format/names.js';
import { type Directory, decodeDirectory, MAX_PACK_BYTES } from '../format/pack.js';
import { coverPacks, refreshIndex } from '../repository/open-index.js';
import { openIndexObject, readPackDirectory } from '../repository/pack-directory.js';
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
  /** Of all that describe it. */
  readonly objects: readonly string[];
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
      for (const { packId, packBytes } of openIndexObject(repository, name, await repository.store.get(name))) {
        const hex = toHex(packId);
        const other = packs.get(hex);
        const said = { bytes: packBytes, index: name, objects: [...(other?.objects ?? []), name] };
        if (other === undefined || other.bytes === packBytes) packs.set(hex, said);
        else {
          const [right, wrong] = other.bytes === listing.packs.get(hex) ? [other, said] : [said, other];
          findings.error(wrong.index, 'CORRUPT', `says that ${packName(packId)} has ${wrong.bytes} bytes, which another denies`);
          packs.set(hex, { ...right, objects: said.objects });
        }
      }
    } catch (error) {
      findings.thrown(error instanceof VarveError ? error : new CorruptError(name, (error as Error).message, {}, error), name);
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

/** Whether a pack's own directory stands where its size says, so that whoever says another size is wrong. */
function isWhole(repository: Repository, ranges: Ranges, hex: string): boolean {
  try {
    readPackDirectory(repository, ranges, fromHex(hex));
    return true;
  } catch (error) {
    if (error instanceof VarveError) return false;
    throw error;
  }
}

/** Reports packs whose size is not what index objects say, and finds the frames that a cut took away. */
export function checkPackSizes(
  repository: Repository,
  ranges: Ranges,
  indexed: ReadonlyMap<string, IndexedPack>,
  index: ChunkIndex,
  listing: Listing,
  damage: Damage,
  findings: Findings,
): void {
  const wrong = new Map<string, { size: number; message: string }>();
  for (const [hex, { bytes, index: object }] of indexed) {
    const size = listing.packs.get(hex);
    if (size === undefined || size === bytes) continue;
    if (isWhole(repository, ranges, hex)) {
      findings.error(object, 'CORRUPT', `says that ${packName(fromHex(hex))} has ${bytes} bytes; it has ${size}`);
      continue;
    }
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
    const directory = describedDirectory(index, packIndex, packId);
    directory?.frames.forEach(({ offset, sealedBytes }, number) => {
      if (offset + sealedBytes > found.size) frames.add(number);
    });
    damage.set(hex, { code: 'CORRUPT', message: found.message, frames: directory === undefined ? undefined : frames });
  }
}

/** Undefined where the local index no longer verifies. */
function describedDirectory(index: ChunkIndex, packIndex: number, packId: Uint8Array): Directory | undefined {
  try {
    return decodeDirectory(index.directory(packIndex), MAX_PACK_BYTES, packName(packId));
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/** SHA-256 of header ‖ directory of every description of a pack that the index holds. */
export function* indexDigests(index: ChunkIndex): Generator<{ hex: string; digest: string }> {
  for (const { packIndex, packId } of index.packs())
    yield { hex: toHex(packId), digest: toHex(sha256(index.header(packIndex), index.directory(packIndex))) };
}

/** Which of `objects` describe a pack of `truth` (hex id → its own digest) otherwise than it is, by pack; none where only the local index does. */
export async function findLiars(
  repository: Repository,
  objects: ReadonlySet<string>,
  truth: ReadonlyMap<string, string>,
): Promise<Map<string, string[]>> {
  const liars = new Map<string, string[]>([...truth.keys()].map((hex) => [hex, []]));
  for (const name of objects) {
    const packs = await listedBy(repository, name);
    for (const { packId, header, directory } of packs) {
      const own = truth.get(toHex(packId));
      if (own !== undefined && own !== toHex(sha256(header, directory))) liars.get(toHex(packId))!.push(name);
    }
  }
  return liars;
}

/** Nothing where the object was pruned meanwhile, or no longer opens. */
async function listedBy(repository: Repository, name: string): Promise<readonly PackDirectory[]> {
  try {
    return openIndexObject(repository, name, await repository.store.get(name));
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof CorruptError) return [];
    throw error;
  }
}
