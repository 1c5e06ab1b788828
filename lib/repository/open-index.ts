/**
 * Brings the local chunk index up to date with a repository: index objects it lacks are fetched; packs that no index object describes are
 * read from their own directories. The index is a cache; deleting it costs this work again and nothing else.
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { type ChunkIndex, openChunkIndex } from '../chunk-index/chunk-index.js';
import { CorruptError, NotFoundError, RoleError } from '../errors.js';
import type { PackDirectory } from '../format/index-object.js';
import { packName, parseIdName, parsePackName } from '../format/names.js';
import { decodeDirectory, MAX_PACK_BYTES } from '../format/pack.js';
import { openIndexObject, readPackDirectory } from './pack-directory.js';
import type { Ranges } from './ranges.js';
import type { Repository } from './repository.js';

const BATCH = 64;

export interface OpenIndexOptions {
  readonly filter: boolean;
  /** As in ChunkIndexOptions. */
  readonly compact?: boolean;
  /** Called for an index object that is damaged: its packs are then read from themselves. */
  readonly onDamaged?: (error: CorruptError) => void;
}

/** Opens the repository's chunk index with every readable index object in it. @throws StoreError */
export async function openIndex(repository: Repository, options: OpenIndexOptions): Promise<ChunkIndex> {
  const index = await openChunkIndex(join(repository.cacheDir, 'index'), {
    filter: options.filter,
    compact: options.compact ?? true,
  });
  await refreshIndex(repository, index, options.onDamaged);
  return index;
}

/** Adds index objects that appeared since. */
export async function refreshIndex(
  repository: Repository,
  index: ChunkIndex,
  onDamaged?: (error: CorruptError) => void,
): Promise<void> {
  const covered = index.covered();
  const missing: string[] = [];
  for await (const { name } of repository.store.list('index/')) {
    const id = parseIdName('index', name);
    if (id !== undefined && !covered.has(toHex(id))) missing.push(name);
  }
  for (let at = 0; at < missing.length; at += BATCH) {
    const sources: { name: string; packs: PackDirectory[] }[] = [];
    for (const name of missing.slice(at, at + BATCH)) {
      try {
        const packs = openIndexObject(repository, name, await repository.store.get(name));
        for (const pack of packs) decodeDirectory(pack.directory, pack.packBytes || MAX_PACK_BYTES, name);
        sources.push({ name: name.slice('index/'.length), packs });
      } catch (error) {
        if (error instanceof CorruptError) onDamaged?.(error);
        else if (!(error instanceof NotFoundError) && !(error instanceof RoleError)) throw error;
      }
    }
    if (sources.length > 0) await index.add(sources);
  }
}

/**
 * Makes sure that `index` knows the packs whose joined ids are `pins`, reading the directories of those it does not.
 *
 * @returns what could not be read: damaged or missing packs, by name
 */
export async function coverPacks(
  repository: Repository,
  ranges: Ranges,
  index: ChunkIndex,
  pins: Iterable<Uint8Array>,
): Promise<CorruptError[]> {
  const known = new Set<string>();
  for (const { packId } of index.packs()) known.add(toHex(packId));
  const sources: { name: string; packs: PackDirectory[] }[] = [];
  const failed: CorruptError[] = [];
  for (const id of pins) {
    const hex = toHex(id);
    if (known.has(hex)) continue;
    known.add(hex);
    try {
      sources.push({ name: hex, packs: [readPackDirectory(repository, ranges, id.slice())] });
    } catch (error) {
      if (error instanceof CorruptError) failed.push(error);
      else if (error instanceof NotFoundError) failed.push(new CorruptError(packName(id), 'is missing', {}, error));
      else if (!(error instanceof RoleError)) throw error;
    }
  }
  try {
    if (sources.length > 0) await index.add(sources);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    // One that the index does not take must not keep the others out.
    for (const source of sources) {
      try {
        await index.add([source]);
      } catch (cause) {
        if (!(cause instanceof CorruptError)) throw cause;
        failed.push(new CorruptError(packName(source.packs[0]!.packId), 'its directory cannot be indexed', {}, cause));
      }
    }
  }
  return failed;
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
