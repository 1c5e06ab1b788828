/**
 * Numbers for directories and for named things, the same in all threads that serve one mount: an open-addressed table in shared memory that only grows.
 * Looking up takes no lock. 24 bytes a number; memory is touched as numbers are given out. And how often one of these threads heard of new names.
 *
 * Shared buffer: 64 bytes (u32 lock, u32 count, u32 news) ‖ records of 16 bytes (f64 a, u32 b, u32 kind) ‖ slots (u32 record number, 0 = free) in tiers of rising size, so
 * that a small table touches few pages: an insert goes to the first tier that is less than half full.
 */

/** What a number stands for: `a` is a safe integer and `b` a u32 whose meaning depends on `kind`, a u32. */
export interface NodeKey {
  readonly a: number;
  readonly b: number;
  readonly kind: number;
}

const HEADER_BYTES = 64;
const RECORD_BYTES = 16;
const LOCK = 0;
const COUNT = 1;
const NEWS = 2;
const TIERS: readonly number[] = [0, 1, 2, 3, 4, 5, 6].map((i) => 2 ** (12 + 2 * i));
const SLOTS = TIERS.reduce((sum, size) => sum + size, 0);
const MAX_NUMBERS = SLOTS / 2 - 1;
const SLOTS_AT = HEADER_BYTES + (MAX_NUMBERS + 1) * RECORD_BYTES;

/** Memory for one table: reserved, and used as it fills. */
export function createNodeTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS_AT + SLOTS * 4);
}

export class NodeTable {
  readonly #header: Int32Array;
  readonly #as: Float64Array;
  readonly #words: Uint32Array;
  readonly #slots: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#header = new Int32Array(shared, 0, HEADER_BYTES / 4);
    this.#as = new Float64Array(shared, HEADER_BYTES, (MAX_NUMBERS + 1) * 2);
    this.#words = new Uint32Array(shared, HEADER_BYTES, (MAX_NUMBERS + 1) * 4);
    this.#slots = new Int32Array(shared, SLOTS_AT, SLOTS);
  }

  /** The number of a key, from 1, given out now if need be. @throws RangeError when eleven million are in use */
  numberOf(kind: number, a: number, b: number): number {
    const hash = hashOf(kind, a, b);
    return this.#find(hash, kind, a, b) || this.#insert(hash, kind, a, b);
  }

  /** What `number` stands for, or undefined when it was never given out. */
  keyOf(number: number): NodeKey | undefined {
    if (!(number >= 1 && number <= Atomics.load(this.#header, COUNT))) return undefined;
    return { a: this.#as[number * 2]!, b: this.#words[number * 4 + 2]!, kind: this.#words[number * 4 + 3]! };
  }

  get count(): number {
    return Atomics.load(this.#header, COUNT);
  }

  /** How often a thread told that it knows names which the others may not know. */
  get news(): number {
    return Atomics.load(this.#header, NEWS);
  }

  /** To be called before anybody is given such a name. */
  tellNews(): void {
    Atomics.add(this.#header, NEWS, 1);
  }

  #find(hash: number, kind: number, a: number, b: number): number {
    const last = tierOf(Atomics.load(this.#header, COUNT));
    let start = 0;
    for (let tier = 0; tier <= last; tier++) {
      const size = TIERS[tier]!;
      for (let at = hash & (size - 1); ; at = (at + 1) & (size - 1)) {
        const number = Atomics.load(this.#slots, start + at);
        if (number === 0) break;
        if (this.#as[number * 2] === a && this.#words[number * 4 + 2] === b && this.#words[number * 4 + 3] === kind)
          return number;
      }
      start += size;
    }
    return 0;
  }

  #insert(hash: number, kind: number, a: number, b: number): number {
    while (Atomics.compareExchange(this.#header, LOCK, 0, 1) !== 0) Atomics.wait(this.#header, LOCK, 1, 1);
    try {
      const known = this.#find(hash, kind, a, b);
      if (known !== 0) return known;
      const number = Atomics.load(this.#header, COUNT) + 1;
      if (number > MAX_NUMBERS) throw new RangeError('more directories were visited than this mount can number; mount again');
      this.#as[number * 2] = a;
      this.#words[number * 4 + 2] = b;
      this.#words[number * 4 + 3] = kind;
      const tier = tierOf(number);
      let start = 0;
      for (let i = 0; i < tier; i++) start += TIERS[i]!;
      const size = TIERS[tier]!;
      let at = hash & (size - 1);
      while (this.#slots[start + at] !== 0) at = (at + 1) & (size - 1);
      // The count first: a number that is seen in a slot must be one that keyOf knows.
      Atomics.store(this.#header, COUNT, number);
      Atomics.store(this.#slots, start + at, number);
      return number;
    } finally {
      Atomics.store(this.#header, LOCK, 0);
      Atomics.notify(this.#header, LOCK);
    }
  }
}

/** The tier that holds `number`: each takes half as many as it has slots. */
function tierOf(number: number): number {
  let end = 0;
  for (let tier = 0; tier < TIERS.length; tier++) {
    end += TIERS[tier]! / 2;
    if (number < end) return tier;
  }
  return TIERS.length - 1;
}

function hashOf(kind: number, a: number, b: number): number {
  let hash = Math.imul((a >>> 0) ^ 0x9e3779b9, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15) ^ Math.floor(a / 0x1_0000_0000), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 13) ^ b, 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 16) ^ kind, 0x85ebca6b);
  return (hash ^ (hash >>> 14)) >>> 0;
}
