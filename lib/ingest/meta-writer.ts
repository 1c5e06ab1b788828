/**
 * Stores metadata chunks (tree pages, list pages, long attribute values) on the main thread: looks them up, packs the new ones.
 */
import { chunkId } from '../crypto/chunk-id.js';
import type { ChunkType } from '../format/pack.js';
import type { ChunkId } from '../id.js';
import type { PackWriter } from '../repository/pack-writer.js';
import { type LookupTables, lookUp } from './lookup.js';

/** Where a chunk is, and how large. */
export interface Stored {
  readonly id: ChunkId;
  readonly pack: number;
  readonly lengthBytes: number;
}

export class MetaWriter {
  readonly #packs: PackWriter;
  readonly #chunkIdKey: Uint8Array;
  readonly #tables: () => LookupTables;
  newBytes = 0;

  constructor(packs: PackWriter, chunkIdKey: Uint8Array, tables: () => LookupTables) {
    this.#packs = packs;
    this.#chunkIdKey = chunkIdKey;
    this.#tables = tables;
  }

  put(type: ChunkType, plaintext: Uint8Array): Stored {
    const id = chunkId(this.#chunkIdKey, type, plaintext);
    const { packs, isNew } = lookUp(this.#tables(), id, this.#packs.ordinal());
    if (isNew[0] === 1) {
      this.#packs.add('metadata', id, type, plaintext);
      this.newBytes += plaintext.byteLength;
    }
    return { id, pack: packs[0]!, lengthBytes: plaintext.byteLength };
  }
}
