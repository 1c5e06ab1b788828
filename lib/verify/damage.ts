/** Which packs are damaged and where, and which snapshot pins which packs: what decides whether a chunk can be read. Pure. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';

export interface DamagedPack {
  readonly code: string;
  /** The message of the error that was reported for it. */
  readonly message: string;
  /** Frames that do not verify; undefined: none can be read. */
  readonly frames: ReadonlySet<number> | undefined;
}

/** By pack id, hex. */
export type Damage = Map<string, DamagedPack>;

/** Numbers for packs that stay the same over all segments of an index. */
export class PackNumbers {
  readonly #byHex = new Map<string, number>();
  readonly #byIndex: number[] = [];

  constructor(index: ChunkIndex) {
    for (const { packIndex, packId } of index.packs()) {
      const hex = toHex(packId);
      let number = this.#byHex.get(hex);
      if (number === undefined) this.#byHex.set(hex, (number = this.#byHex.size));
      this.#byIndex[packIndex] = number;
    }
  }

  get count(): number {
    return this.#byHex.size;
  }

  ofHex(hex: string): number | undefined {
    return this.#byHex.get(hex);
  }

  ofIndex(packIndex: number): number {
    return this.#byIndex[packIndex]!;
  }
}

/** The packs of one snapshot. */
export class Pinned {
  readonly hexes: ReadonlySet<string>;
  /** By pack number: 1 if pinned and undamaged. */
  readonly good: Uint8Array;
  /** As ChunkIndex.find takes it: pinned and undamaged. */
  readonly usable: Uint8Array;
  /** Pinned packs of which not even the directory is known, hex. */
  readonly unknown: readonly string[];

  constructor(index: ChunkIndex, numbers: PackNumbers, damage: Damage, pins: Uint8Array) {
    const hexes = new Set<string>();
    const good = new Uint8Array(numbers.count);
    const unknown: string[] = [];
    for (let at = 0; at < pins.byteLength; at += 32) {
      const hex = toHex(pins.subarray(at, at + 32));
      hexes.add(hex);
      const number = numbers.ofHex(hex);
      if (number === undefined) unknown.push(hex);
      else if (!damage.has(hex)) good[number] = 1;
    }
    this.hexes = hexes;
    this.good = good;
    this.unknown = unknown;
    this.usable = index.usable((packId) => {
      const number = numbers.ofHex(toHex(packId));
      return number !== undefined && good[number] === 1;
    });
  }
}
