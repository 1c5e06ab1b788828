/**
 * Brings the local chunk index up to date with a repository: index objects it lacks are fetched; packs that no index object describes are
 * read from their own directories. The index is a cache; deleting it costs this work again and nothing else.
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { type ChunkIndex, openChunkIndex } from '../chunk-index/chunk-index.js';
import type { IndexSource } from '../chunk-index/segment-file.js';
import { CorruptError, NotFoundError, RoleError, StoreError, VarveError } from '../errors.js';
import { MAX_INDEX_BYTES, type PackDirectory } from '../format/index-object.js';
import { packName, parseIdName, parsePackName } from '../format/names.js';
import { openIndexObject, readPackDirectory } from './pack-directory.js';
import type { Ranges } from './ranges.js';
import type { Repository } from './repository.js';

export interface OpenIndexOptions {
  readonly filter: boolean;
  /** As in ChunkIndexOptions. */
  readonly compact?: boolean;
  readonly onDamaged?: OnDamaged;
}

/** Called for an index object that cannot be taken up, once: its packs are then read from themselves. */
export type OnDamaged = (error: VarveError) => void;

/** Opens the repository's chunk index with every readable index object in it. @throws StoreError */
export async function openIndex(repository: Repository, options: OpenIndexOptions): Promise<ChunkIndex> {
  const index = await openChunkIndex(join(repository.cacheDir, 'index'), {
    filter: options.filter,
    compact: options.compact ?? true,
  });
  try {
    await refreshIndex(repository, index, options.onDamaged);
  } catch (error) {
    await index.close();
    throw error;
  }
  return index;
}

/**
 * Adds index objects that appeared since, one in memory at a time. They are hints, and a writer may have made any of them to do harm: one that cannot be taken
 * up, for whatever reason, is told and passed over.
 *
 * @throws StoreError
 */
export async function refreshIndex(repository: Repository, index: ChunkIndex, onDamaged?: OnDamaged): Promise<void> {
  const covered = index.covered();
  const missing: { name: string; sizeBytes: number }[] = [];
  for await (const { name, sizeBytes } of repository.store.list('index/')) {
    const id = parseIdName('index', name);
    if (id !== undefined && !covered.has(toHex(id))) missing.push({ name, sizeBytes });
  }
  if (missing.length === 0) return;
  await index.add(readSources(repository, missing, onDamaged), onDamaged ?? (() => undefined));
}

async function* readSources(
  repository: Repository,
  objects: readonly { readonly name: string; readonly sizeBytes: number }[],
  onDamaged: OnDamaged | undefined,
): AsyncGenerator<IndexSource> {
  for (const { name, sizeBytes } of objects) {
    let packs: PackDirectory[];
    try {
      if (sizeBytes > MAX_INDEX_BYTES) throw new CorruptError(name, 'larger than an index object may be');
      packs = openIndexObject(repository, name, await repository.store.get(name));
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (!(error instanceof NotFoundError) && !(error instanceof RoleError)) onDamaged?.(blamed(name, error));
      continue;
    }
    yield { name: name.slice('index/'.length), object: name, packs };
  }
}

/** What was thrown over object `name`, as an error that names it. */
function blamed(name: string, error: unknown): VarveError {
  return error instanceof VarveError ? error : new CorruptError(name, (error as Error).message, {}, error);
}

/**
 * Makes sure that `index` knows the packs whose joined ids are `pins`, reading the directories of those it does not.
 *
 * @returns what could not be read or taken up: damaged or missing packs, by name
 * @throws StoreError
 */
export async function coverPacks(
  repository: Repository,
  ranges: Ranges,
  index: ChunkIndex,
  pins: Iterable<Uint8Array>,
): Promise<CorruptError[]> {
  const known = new Set<string>();
  for (const { packId } of index.packs()) known.add(toHex(packId));
  const unknown: { hex: string; id: Uint8Array }[] = [];
  for (const id of pins) {
    const hex = toHex(id);
    if (known.has(hex)) continue;
    known.add(hex);
    unknown.push({ hex, id: id.slice() });
  }
  if (unknown.length === 0) return [];
  const failed: CorruptError[] = [];
  await index.add(readDirectories(repository, ranges, unknown, failed), (error) => failed.push(error));
  return failed;
}

function* readDirectories(
  repository: Repository,
  ranges: Ranges,
  packs: readonly { readonly hex: string; readonly id: Uint8Array }[],
  failed: CorruptError[],
): Generator<IndexSource> {
  for (const { hex, id } of packs) {
    let pack: PackDirectory;
    try {
      pack = readPackDirectory(repository, ranges, id);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (error instanceof RoleError) continue;
      if (error instanceof CorruptError) failed.push(error);
      else if (error instanceof NotFoundError) failed.push(new CorruptError(packName(id), 'is missing', {}, error));
      else failed.push(new CorruptError(packName(id), (error as Error).message, {}, error));
      continue;
    }
    yield { name: hex, object: packName(id), packs: [pack] };
  }
}

/** Ids of all packs in the store, as hex. */
export async function listPacks(repository: Pick<Repository, 'store'>): Promise<Map<string, number>> {
  const packs = new Map<string, number>();
  for await (const { name, sizeBytes } of repository.store.list('packs/')) {
    const id = parsePackName(name);
    if (id !== undefined) packs.set(toHex(id), sizeBytes);
  }
  return packs;
}
