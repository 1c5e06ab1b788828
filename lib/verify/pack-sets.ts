/**
 * What a walk over trees remembers of pages it has verified: their totals, and which packs everything below them stands in. A page seen under one snapshot
 * is good under another if that one pins these packs; else it is walked again. Bounded: what does not fit is simply walked again.
 */
import { native } from '../native.js';

/** Totals of a subtree, as a tree entry counts them. */
export interface Sums {
  files: number;
  directories: number;
  bytes: number;
}

const ABSENT = 0xffffffff;
const MAX_SET = 64;
const MAX_SETS = 100_000;
const MAX_PAGES = 4_000_000;

/** Pack numbers; `add` and `merge` give up beyond MAX_SET, after which `numbers` is undefined. */
export class PackSet {
  numbers: Set<number> | undefined = new Set();

  add(number: number): void {
    if (this.numbers === undefined) return;
    this.numbers.add(number);
    if (this.numbers.size > MAX_SET) this.numbers = undefined;
  }

  merge(other: Iterable<number> | undefined): void {
    if (other === undefined) this.numbers = undefined;
    else for (const number of other) this.add(number);
  }
}

export class PageMemo {
  readonly #claims = native().claimsCreate();
  readonly #sets: Uint32Array[] = [];
  readonly #setNumbers = new Map<string, number>();
  #totals = new Float64Array(3 * 1024);
  #setOf = new Uint32Array(1024);
  #pages = 0;

  /** What is known of the page with this key (32 bytes), if `isGood` holds for every pack below it. */
  find(key: Uint8Array, isGood: (pack: number) => boolean): { sums: Sums; packs: Uint32Array } | undefined {
    const page = native().claimed(this.#claims, key)[0]!;
    if (page === ABSENT) return undefined;
    const packs = this.#sets[this.#setOf[page]!]!;
    for (const pack of packs) if (!isGood(pack)) return undefined;
    const at = page * 3;
    return { sums: { files: this.#totals[at]!, directories: this.#totals[at + 1]!, bytes: this.#totals[at + 2]! }, packs };
  }

  /** Remembers a page under which everything was found. */
  add(key: Uint8Array, sums: Sums, packs: PackSet): void {
    if (packs.numbers === undefined) return;
    const set = this.#intern(packs.numbers);
    if (set === undefined || this.#pages >= MAX_PAGES) return;
    let page = native().claim(this.#claims, key, this.#pages)[0]!;
    if (page === ABSENT) page = this.#pages++;
    if (page >= this.#setOf.length) {
      const [totals, setOf] = [this.#totals, this.#setOf];
      this.#totals = new Float64Array(totals.length * 2);
      this.#totals.set(totals);
      this.#setOf = new Uint32Array(setOf.length * 2);
      this.#setOf.set(setOf);
    }
    this.#totals.set([sums.files, sums.directories, sums.bytes], page * 3);
    this.#setOf[page] = set;
  }

  #intern(numbers: Set<number>): number | undefined {
    const sorted = Uint32Array.from(numbers).sort();
    const key = sorted.join();
    const known = this.#setNumbers.get(key);
    if (known !== undefined || this.#sets.length >= MAX_SETS) return known;
    this.#setNumbers.set(key, this.#sets.length);
    return this.#sets.push(sorted) - 1;
  }

  close(): void {
    native().claimsFree(this.#claims);
  }
}
