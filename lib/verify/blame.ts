/** What to name when a chunk of a snapshot cannot be read: the damaged pack that took it away, or else the manifest that needs it. Reads nothing. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { packName } from '../format/names.js';
import type { Damage, Pinned } from './damage.js';

export interface Culprit {
  /** Store name. */
  readonly object: string;
  readonly code: string;
  readonly message: string;
}

/** Answers for one snapshot. */
export class Blame {
  readonly #index: ChunkIndex;
  readonly #damage: Damage;
  readonly #pinned: Pinned;
  readonly #object: string;

  /** @param object - store name of the snapshot's manifest */
  constructor(index: ChunkIndex, damage: Damage, pinned: Pinned, object: string) {
    this.#index = index;
    this.#damage = damage;
    this.#pinned = pinned;
    this.#object = object;
  }

  /** Undefined if a readable copy of the chunk is pinned; else what to blame. */
  lost(id: Uint8Array): Culprit | undefined {
    const places = this.#index.locate(id).filter(({ packId }) => this.#pinned.hexes.has(toHex(packId)));
    for (const { packId, frame } of places) {
      const damaged = this.#damage.get(toHex(packId));
      if (damaged === undefined || (damaged.frames !== undefined && !damaged.frames.has(frame))) return undefined;
    }
    return (
      this.of(id) ?? {
        object: this.#object,
        code: 'CORRUPT',
        message: 'needs chunks that stand in none of its packs',
      }
    );
  }

  /** The damaged pack that took the chunk away: the one that holds it, or one of which nothing is known. */
  of(id: Uint8Array): Culprit | undefined {
    const suspects = this.#index.locate(id).flatMap(({ packId }) => {
      const hex = toHex(packId);
      return this.#pinned.hexes.has(hex) ? [hex] : [];
    });
    for (const hex of suspects.length > 0 ? suspects : this.#pinned.unknown) {
      const damaged = this.#damage.get(hex);
      if (damaged !== undefined)
        return { object: packName(Buffer.from(hex, 'hex')), code: damaged.code, message: damaged.message };
    }
    return undefined;
  }

  /** Store name of a pinned pack that holds `id`; the manifest if there is none. */
  packOf(id: Uint8Array): string {
    const place = this.#index.locate(id).find(({ packId }) => this.#pinned.hexes.has(toHex(packId)));
    return place === undefined ? this.#object : packName(place.packId);
  }
}
