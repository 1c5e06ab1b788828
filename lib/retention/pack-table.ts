/**
 * The packs in a store as numbers, in the order of their ids, and what a listing says of each. Pruning thinks in these numbers: flat arrays instead of a hundred
 * thousand strings and objects. Pure.
 */
import { toHex, viewOf } from '../bytes.js';

const FIRST_ROWS = 256;
const HEX = 64;

/** Ids of packs as numbers, in the order of the ids. */
export class PackTable {
  readonly count: number;
  readonly #ids: Uint8Array;
  readonly #words: DataView;
  /** All ids in hex, one after another: parts of one string cost next to nothing. */
  readonly #hexes: string;
  /** Number of the first id whose first bits are at least so much: ids are hashes, so few share them. */
  readonly #starts: Uint32Array;
  readonly #shift: number;

  /** @param ids - joined, rising, each once */
  constructor(ids: Uint8Array) {
    this.count = ids.byteLength / 32;
    this.#ids = ids;
    this.#words = viewOf(ids);
    this.#hexes = toHex(ids);
    this.#shift = shiftFor(this.count);
    this.#starts = startsOf(this.count, this.#shift, (number) => this.#words.getUint16(number * 32));
  }

  number(hex: string): number | undefined {
    if (hex.length !== HEX) return undefined;
    const start = Number.parseInt(hex.slice(0, 4), 16) >>> this.#shift;
    for (let number = this.#starts[start]!; number < this.#starts[start + 1]!; number++)
      if (this.#hexes.startsWith(hex, number * HEX)) return number;
    return undefined;
  }

  id(number: number): Uint8Array {
    return this.#ids.subarray(number * 32, number * 32 + 32);
  }

  hex(number: number): string {
    return this.#hexes.slice(number * HEX, number * HEX + HEX);
  }

  /** Numbers of joined ids, rising; ids that are not in the store are left out. */
  numbersOf(joined: Uint8Array): Uint32Array {
    const view = viewOf(joined);
    const found = new Uint32Array(joined.byteLength / 32);
    let length = 0;
    for (let at = 0; at < joined.byteLength; at += 32) {
      const number = this.#findIn(view, at);
      if (number >= 0) found[length++] = number;
    }
    return found.slice(0, length);
  }

  /** The number of the id that stands at `at`, or -1. */
  find(bytes: Uint8Array, at: number): number {
    return this.#findIn(viewOf(bytes), at);
  }

  #findIn(view: DataView, at: number): number {
    const words = this.#words;
    const start = view.getUint16(at) >>> this.#shift;
    const end = this.#starts[start + 1]!;
    for (let number = this.#starts[start]!; number < end; number++) {
      let word = 0;
      while (word < 32 && view.getUint32(at + word) === words.getUint32(number * 32 + word)) word += 4;
      if (word === 32) return number;
    }
    return -1;
  }
}

/** How many of the 16 bits that ids are told apart by are left out: a table of all their values is more work than a few packs are. */
function shiftFor(count: number): number {
  return count < 4096 ? 8 : 0;
}

/** How many of `count` come before each value of the first bits, `first` without the last `shift`. */
function startsOf(count: number, shift: number, first: (number: number) => number): Uint32Array {
  const starts = new Uint32Array((65_536 >>> shift) + 1);
  for (let number = 0; number < count; number++) starts[(first(number) >>> shift) + 1]!++;
  for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
  return starts;
}

/** What a listing says of every pack, by number. */
export interface ListedPacks {
  readonly packs: PackTable;
  readonly packBytes: Float64Array;
  readonly packStoredSec: Float64Array;
}

/** Gathers a listing, in any order. */
export class PackListing {
  #ids = Buffer.alloc(FIRST_ROWS * 32);
  #bytes = new Float64Array(FIRST_ROWS);
  #storedSec = new Float64Array(FIRST_ROWS);
  #count = 0;

  /** @param hex - 64 digits; the last word about an id counts */
  add(hex: string, sizeBytes: number, storedSec: number): void {
    if (this.#count === this.#bytes.length) this.#grow();
    const row = this.#count++;
    this.#ids.write(hex, row * 32, 32, 'hex');
    this.#bytes[row] = sizeBytes;
    this.#storedSec[row] = storedSec;
  }

  #grow(): void {
    const [ids, bytes, storedSec] = [this.#ids, this.#bytes, this.#storedSec];
    this.#ids = Buffer.alloc(ids.length * 2);
    this.#bytes = new Float64Array(bytes.length * 2);
    this.#storedSec = new Float64Array(bytes.length * 2);
    this.#ids.set(ids);
    this.#bytes.set(bytes);
    this.#storedSec.set(storedSec);
  }

  finish(): ListedPacks {
    const order = this.#order();
    const ids = new Uint8Array(order.length * 32);
    const [packBytes, packStoredSec] = [new Float64Array(order.length), new Float64Array(order.length)];
    order.forEach((row, number) => {
      ids.set(this.#ids.subarray(row * 32, row * 32 + 32), number * 32);
      packBytes[number] = this.#bytes[row]!;
      packStoredSec[number] = this.#storedSec[row]!;
    });
    return { packs: new PackTable(ids), packBytes, packStoredSec };
  }

  /** Rows in the order of their ids, one of each id. By their first bits, which decide nearly always; what shares them is compared. */
  #order(): Uint32Array {
    const shift = shiftFor(this.#count);
    const first = (row: number): number => this.#ids.readUInt16BE(row * 32);
    const compare = (a: number, b: number): number =>
      this.#ids.compare(this.#ids, b * 32, b * 32 + 32, a * 32, a * 32 + 32) || a - b;
    const starts = startsOf(this.#count, shift, first);
    const next = starts.slice();
    const order = new Uint32Array(this.#count);
    for (let row = 0; row < this.#count; row++) order[next[first(row) >>> shift]!++] = row;
    for (let value = 0; value + 1 < starts.length; value++)
      if (starts[value + 1]! - starts[value]! > 1) order.subarray(starts[value], starts[value + 1]).sort(compare);
    const same = (a: number, b: number): boolean => this.#ids.compare(this.#ids, b * 32, b * 32 + 32, a * 32, a * 32 + 32) === 0;
    return order.filter((row, i) => i + 1 === order.length || !same(row, order[i + 1]!));
  }
}
