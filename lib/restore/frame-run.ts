/** Decoded frames that are written from, one behind the other in the same memory: fresh memory for each would cost as much as decoding it. */
import { equalBytes } from '../bytes.js';
import { MAX_FRAME_BYTES } from '../format/pack.js';
import type { FrameMemory, FramePlace } from '../repository/chunk-reader.js';

interface Kept {
  readonly place: FramePlace;
  readonly raw: Uint8Array;
  readonly verified: Uint8Array;
}

export class FrameRun implements FrameMemory {
  readonly #memory = new Uint8Array(MAX_FRAME_BYTES);
  #kept: Kept[] = [];
  #used = 0;

  /** Lets all frames go. */
  clear(): void {
    this.#kept = [];
    this.#used = 0;
  }

  /** One that is not there yet comes behind the others, or in their place when it does not fit. */
  frame(place: FramePlace, decode: (into: Uint8Array) => void): { readonly raw: Uint8Array; readonly verified: Uint8Array } {
    const known = this.#kept.find((kept) => kept.place.frame === place.frame && equalBytes(kept.place.packId, place.packId));
    if (known !== undefined) return known;
    if (this.#used + place.rawBytes > this.#memory.byteLength) this.clear();
    const raw = this.#memory.subarray(this.#used, this.#used + place.rawBytes);
    decode(raw);
    const kept = { place, raw, verified: new Uint8Array(place.chunkCount) };
    this.#kept.push(kept);
    this.#used += place.rawBytes;
    return kept;
  }
}
