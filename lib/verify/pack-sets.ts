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

/** What is known of a page that was walked. */
export interface WalkedPage {
  readonly sums: Sums;
  /** How many directories stand below one another in it. */
  readonly height: number;
}

const ABSENT = 0xffffffff;
const MAX_SET = 64;
const MAX_SETS = 100_000;
const MAX_PAGES = 4_000_000;

/** Words of one page: its set of packs, its height, and whether it says something that is not true. */
const SET_BITS = 17;
const SET_MASK = 2 ** SET_BITS - 1;
const HEIGHT_MASK = 4095;
const WRONG = 2 ** 29;

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

/** Sums, and a word, of numbered pages. */
class PageNumbers {
  #sums = new Float64Array(3 * 64);
  #words = new Uint32Array(64);
  count = 0;

  word(page: number): number {
    return this.#words[page]!;
  }

  sums(page: number): Sums {
    const at = page * 3;
    return { files: this.#sums[at]!, directories: this.#sums[at + 1]!, bytes: this.#sums[at + 2]! };
  }

  set(page: number, { files, directories, bytes }: Sums, word: number): void {
    if (page >= this.#words.length) {
      const [sums, words] = [this.#sums, this.#words];
      this.#sums = new Float64Array(sums.length * 2);
      this.#sums.set(sums);
      this.#words = new Uint32Array(words.length * 2);
      this.#words.set(words);
    }
    this.#sums.set([files, directories, bytes], page * 3);
    this.#words[page] = word;
    this.count = Math.max(this.count, page + 1);
  }
}

export class PageMemo {
  readonly #claims = native().claimsCreate();
  readonly #sets: Uint32Array[] = [];
  readonly #setNumbers = new Map<string, number>();
  readonly #pages = new PageNumbers();

  /** What is known of the page with this key (32 bytes), if `isGood` holds for every pack below it. */
  find(
    key: Uint8Array,
    isGood: (pack: number) => boolean,
  ): (WalkedPage & { readonly packs: Uint32Array; readonly isWrong: boolean }) | undefined {
    const page = native().claimed(this.#claims, key)[0]!;
    if (page === ABSENT) return undefined;
    const word = this.#pages.word(page);
    const packs = this.#sets[word & SET_MASK]!;
    for (const pack of packs) if (!isGood(pack)) return undefined;
    return { sums: this.#pages.sums(page), height: (word >>> SET_BITS) & HEIGHT_MASK, packs, isWrong: (word & WRONG) !== 0 };
  }

  /** Remembers a page under which everything was found. `isWrong`: something in or below it is not true. @returns false if there is no room for it */
  add(key: Uint8Array, { sums, height }: WalkedPage, packs: PackSet, isWrong: boolean): boolean {
    if (packs.numbers === undefined) return false;
    const set = this.#intern(packs.numbers);
    if (set === undefined || this.#pages.count >= MAX_PAGES) return false;
    let page = native().claim(this.#claims, key, this.#pages.count)[0]!;
    if (page === ABSENT) page = this.#pages.count;
    this.#pages.set(page, sums, (set | (height << SET_BITS) | (isWrong ? WRONG : 0)) >>> 0);
    return true;
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

const MAX_CULPRITS = 100_000;

/**
 * Pages of one snapshot that PageMemo does not take: those that lack something, and those that stand in too many packs. No page is walked twice in a snapshot, however
 * many paths lead to it. As large as the snapshot has such pages.
 */
export class SnapshotMemo<C> {
  readonly #claims = native().claimsCreate();
  readonly #pages = new PageNumbers();
  readonly #culprits: C[] = [];
  readonly #known = new Map<C, number>();

  find(key: Uint8Array): (WalkedPage & { readonly culprit: C | undefined }) | undefined {
    const page = native().claimed(this.#claims, key)[0]!;
    if (page === ABSENT) return undefined;
    const word = this.#pages.word(page);
    const culprit = this.#culprits[(word & SET_MASK) - 1];
    return { sums: this.#pages.sums(page), height: (word >>> SET_BITS) & HEIGHT_MASK, culprit };
  }

  /** `culprit`: what to blame for what is not there; equal ones are to be the same object. */
  add(key: Uint8Array, { sums, height }: WalkedPage, culprit: C | undefined): void {
    let page = native().claim(this.#claims, key, this.#pages.count)[0]!;
    if (page === ABSENT) page = this.#pages.count;
    const number = culprit === undefined ? 0 : this.#number(culprit);
    this.#pages.set(page, sums, (number | (height << SET_BITS)) >>> 0);
  }

  #number(culprit: C): number {
    let number = this.#known.get(culprit);
    if (number === undefined) {
      if (this.#culprits.length >= MAX_CULPRITS) return 1;
      number = this.#culprits.push(culprit);
      this.#known.set(culprit, number);
    }
    return number;
  }

  close(): void {
    native().claimsFree(this.#claims);
  }
}
