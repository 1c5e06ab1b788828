/**
 * Decoded frames in memory that all serving threads share: a frame that two threads need is decoded once, and both read it. Slots of one size, the longest
 * unused given up first; a frame is pinned while a thread copies from it. The other threads never see a frame before it was authenticated.
 * A frame that was read to its end is given up before all others, and before memory that was never used: the kernel keeps what it was told, and a long
 * sequential read does not take the place of what is used again.
 *
 * Shared buffer: 64 bytes (i32 lock, i32 clock) ‖ per slot 32 bytes (i32 state, pins, last use, frame number, first 16 bytes of the pack id) ‖ per slot
 * FLAGS bytes (1 where a chunk's id was recomputed) ‖ per slot SLOT_BYTES.
 */
import { equalBytes } from '../bytes.js';
import type { FrameMemory, FramePlace } from '../repository/chunk-reader.js';

const HEADER_BYTES = 64;
const ENTRY_WORDS = 8;
/** Frames of whole small files close at 512 KiB, of pieces at 256 KiB; one chunk more goes in. */
const SLOT_BYTES = 640 << 10;
const FLAGS = 2048;
const LOCK = 0;
const CLOCK = 1;
const State = { empty: 0, decoding: 1, ready: 2 } as const;
/** A thread that takes longer than this to decode is taken for dead. */
const PATIENCE_MS = 10_000;
/** Added to the age of what was read to its end. Ages are compared as u32. */
const SPENT_AGE = 0x4000_0000;

/** Memory for at most `bytes` of frames; used as it fills. */
export function createSharedFrames(bytes: number): SharedArrayBuffer {
  const slots = Math.max(4, Math.floor(bytes / SLOT_BYTES));
  return new SharedArrayBuffer(HEADER_BYTES + slots * (ENTRY_WORDS * 4 + FLAGS + SLOT_BYTES));
}

interface View {
  readonly packId: Uint8Array;
  readonly frame: number;
  readonly raw: Uint8Array;
  readonly verified: Uint8Array;
}

export class SharedFrames implements FrameMemory {
  readonly #buffer: SharedArrayBuffer;
  readonly #slots: number;
  readonly #words: Int32Array;
  readonly #flagsAt: number;
  readonly #dataAt: number;
  /** The slot pinned by this thread until its next call. */
  #held = -1;
  /** What it holds. */
  #view: View | undefined;
  /** Frames that fit no slot: the last one only. */
  #own: { key: string; raw: Uint8Array; verified: Uint8Array } | undefined;

  constructor(buffer: SharedArrayBuffer) {
    this.#buffer = buffer;
    this.#slots = Math.floor((buffer.byteLength - HEADER_BYTES) / (ENTRY_WORDS * 4 + FLAGS + SLOT_BYTES));
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4 + this.#slots * ENTRY_WORDS);
    this.#flagsAt = HEADER_BYTES + this.#slots * ENTRY_WORDS * 4;
    this.#dataAt = this.#flagsAt + this.#slots * FLAGS;
  }

  frame(place: FramePlace, decode: (into: Uint8Array) => void): { raw: Uint8Array; verified: Uint8Array } {
    const view = this.#view;
    if (view !== undefined && view.frame === place.frame && equalBytes(view.packId, place.packId)) return view;
    if (place.rawBytes > SLOT_BYTES || place.chunkCount > FLAGS) {
      this.#lock();
      this.#letGo();
      this.#unlock();
      return this.#alone(place, decode);
    }
    const id = new DataView(place.packId.buffer, place.packId.byteOffset, 16);
    const key = [place.frame, id.getInt32(0, true), id.getInt32(4, true), id.getInt32(8, true), id.getInt32(12, true)] as const;
    const deadline = performance.now() + PATIENCE_MS;
    this.#lock();
    this.#letGo();
    for (;;) {
      const found = this.#find(key);
      if (found >= 0) {
        const word = entryAt(found);
        if (Atomics.load(this.#words, word) === State.ready) {
          this.#hold(found);
          this.#unlock();
          return (this.#view = this.#viewOf(found, place));
        }
        this.#unlock();
        Atomics.wait(this.#words, word, State.decoding, 100);
        if (performance.now() > deadline) return this.#alone(place, decode);
        this.#lock();
        continue;
      }
      const free = this.#victim();
      if (free < 0) {
        this.#unlock();
        return this.#alone(place, decode);
      }
      const word = entryAt(free);
      Atomics.store(this.#words, word, State.decoding);
      this.#words.set(key, word + 3);
      this.#hold(free);
      this.#unlock();
      return this.#decode(free, place, decode);
    }
  }

  #decode(slot: number, place: FramePlace, decode: (into: Uint8Array) => void): { raw: Uint8Array; verified: Uint8Array } {
    const word = entryAt(slot);
    const view = this.#viewOf(slot, place);
    let state: number = State.empty;
    try {
      view.verified.fill(0);
      decode(view.raw);
      state = State.ready;
    } finally {
      if (state === State.empty) {
        this.#lock();
        this.#letGo();
        this.#words[word + 2] = 0;
        this.#unlock();
      }
      Atomics.store(this.#words, word, state);
      Atomics.notify(this.#words, word);
    }
    return (this.#view = view);
  }

  /** The frame held is the next to be given up, unless it is asked for before that. */
  spent(): void {
    if (this.#held < 0) return;
    const word = entryAt(this.#held);
    this.#lock();
    this.#words[word + 2] = (this.#words[CLOCK]! - SPENT_AGE) | 0;
    this.#unlock();
  }

  #viewOf(slot: number, { packId, frame, rawBytes, chunkCount }: FramePlace): View {
    return {
      packId,
      frame,
      raw: new Uint8Array(this.#buffer, this.#dataAt + slot * SLOT_BYTES, rawBytes),
      verified: new Uint8Array(this.#buffer, this.#flagsAt + slot * FLAGS, chunkCount),
    };
  }

  #alone(place: FramePlace, decode: (into: Uint8Array) => void): { raw: Uint8Array; verified: Uint8Array } {
    const key = `${Buffer.from(place.packId).toString('latin1')} ${place.frame}`;
    if (this.#own?.key === key) return this.#own;
    this.#own = undefined;
    const raw = new Uint8Array(place.rawBytes);
    decode(raw);
    this.#own = { key, raw, verified: new Uint8Array(place.chunkCount) };
    return this.#own;
  }

  #find(key: readonly number[]): number {
    const words = this.#words;
    for (let slot = 0, word = entryAt(0); slot < this.#slots; slot++, word += ENTRY_WORDS) {
      if (words[word + 4] !== key[1] || words[word + 3] !== key[0] || words[word] === State.empty) continue;
      if (words[word + 5] === key[2] && words[word + 6] === key[3] && words[word + 7] === key[4]) return slot;
    }
    return -1;
  }

  /** A free slot, or the one unused for longest; -1 when all are in use. */
  #victim(): number {
    let best = -1;
    let bestAge = -1;
    let empty = -1;
    const clock = this.#words[CLOCK]!;
    for (let slot = 0, word = entryAt(0); slot < this.#slots; slot++, word += ENTRY_WORDS) {
      if (empty < 0 && this.#words[word] === State.empty && this.#words[word + 1] === 0) empty = slot;
      if (this.#words[word] !== State.ready || this.#words[word + 1] !== 0) continue;
      const age = (clock - this.#words[word + 2]!) >>> 0;
      if (age > bestAge) {
        best = slot;
        bestAge = age;
      }
    }
    return empty >= 0 && bestAge < SPENT_AGE ? empty : best;
  }

  #hold(slot: number): void {
    const word = entryAt(slot);
    this.#words[word + 1]!++;
    this.#words[word + 2] = this.#words[CLOCK] = (this.#words[CLOCK]! + 1) | 0;
    this.#held = slot;
  }

  #letGo(): void {
    if (this.#held < 0) return;
    this.#words[entryAt(this.#held) + 1]!--;
    this.#held = -1;
    this.#view = undefined;
  }

  #lock(): void {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) Atomics.wait(this.#words, LOCK, 1, 1);
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
    Atomics.notify(this.#words, LOCK, 1);
  }
}

function entryAt(slot: number): number {
  return HEADER_BYTES / 4 + slot * ENTRY_WORDS;
}
