/** Reads chunks of every domain that the reader's key opens, through the local index; looks at no snapshot. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { decodePackHeader } from '../format/pack.js';
import { ChunkReader, type ReadKeys } from '../repository/chunk-reader.js';
import type { Ranges } from '../repository/ranges.js';
import type { PackKeys } from './pack-check.js';

/** Decoded metadata frames kept while trees are walked. */
const CACHE_BYTES = 24 << 20;

/** A reader of what `index` knows. */
export function chunksOf(index: ChunkIndex, ranges: Ranges, keys: PackKeys): ChunkReader {
  const chunkIds = new Map<string, Uint8Array>();
  for (const { packIndex } of index.packs()) {
    const domain = index.header(packIndex).subarray(56, 72);
    const hex = toHex(domain);
    if (!chunkIds.has(hex)) chunkIds.set(hex, keys.domain(domain).chunkId);
  }
  const read: ReadKeys = { sessions: new Map(), chunkIds };
  return new ChunkReader(index, ranges, read, {
    cacheBytes: CACHE_BYTES,
    missingSession: (_session, header) => keys.session(decodePackHeader(header, 'pack'), 'pack'),
  });
}
