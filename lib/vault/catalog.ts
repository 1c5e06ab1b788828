/**
 * What the store holds, in memory: id, size and age of every object that is named by an id, in flat arrays, so that 100,000 packs cost a few megabytes. Listings are
 * pages of it by number, which stay right while objects are added; what was removed leaves a gap.
 */

import type { ObjectInfo } from '../store/store.js';
import { refOfName } from '../store/vault-protocol.js';

export type ShelfKind = 'slot' | 'pack' | 'index' | 'manifest';

const FIRST_ROWS = 1024;

class Shelf {
  readonly #idBytes: number;
  readonly #byId = new Map<string, number>();
  #ids: Buffer;
  #sizes = new Float64Array(FIRST_ROWS);
  #stored = new Float64Array(FIRST_ROWS);
  /** Number of the domain + 1; 0: not known yet. */
  #domains = new Uint16Array(FIRST_ROWS);
  #count = 0;

  constructor(idBytes: number) {
    this.#idBytes = idBytes;
    this.#ids = Buffer.alloc(FIRST_ROWS * idBytes);
  }

  /** How many objects there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** One more than the last row's number. */
  get end(): number {
    return this.#count;
  }

  /** @param storedMs - when it was stored; 0: not known */
  add(id: Uint8Array, sizeBytes: number, storedMs: number): number {
    const key = keyOf(id);
    const known = this.#byId.get(key);
    if (known !== undefined) return known;
    if (this.#count === this.#sizes.length) this.#grow();
    const row = this.#count++;
    this.#ids.set(id, row * this.#idBytes);
    this.#sizes[row] = sizeBytes;
    this.#stored[row] = storedMs;
    this.#byId.set(key, row);
    return row;
  }

  /** Another file lies there now. */
  setStored(row: number, sizeBytes: number, storedMs: number): void {
    this.#sizes[row] = sizeBytes;
    this.#stored[row] = storedMs;
  }

  find(id: Uint8Array): number | undefined {
    return this.#byId.get(keyOf(id));
  }

  remove(id: Uint8Array): void {
    const key = keyOf(id);
    const row = this.#byId.get(key);
    if (row === undefined) return;
    this.#byId.delete(key);
    this.#sizes[row] = -1;
  }

  /** Whether a row's object is still there. */
  has(row: number): boolean {
    return row < this.#count && this.#sizes[row]! >= 0;
  }

  idOf(row: number): Uint8Array {
    return this.#ids.subarray(row * this.#idBytes, (row + 1) * this.#idBytes);
  }

  sizeOf(row: number): number {
    return this.#sizes[row]!;
  }

  storedMsOf(row: number): number {
    return this.#stored[row]!;
  }

  domainOf(row: number): number | undefined {
    const domain = this.#domains[row]!;
    return domain === 0 ? undefined : domain - 1;
  }

  setDomain(row: number, domain: number): void {
    this.#domains[row] = domain + 1;
  }

  #grow(): void {
    const length = this.#sizes.length * 2;
    const [ids, sizes, domains] = [Buffer.alloc(length * this.#idBytes), new Float64Array(length), new Uint16Array(length)];
    const stored = new Float64Array(length);
    stored.set(this.#stored);
    this.#stored = stored;
    ids.set(this.#ids);
    sizes.set(this.#sizes);
    domains.set(this.#domains);
    [this.#ids, this.#sizes, this.#domains] = [ids, sizes, domains];
  }
}

// One byte a character: half of what hex would take.
const keyOf = (id: Uint8Array): string => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');

export class Catalog {
  readonly shelves: Readonly<Record<ShelfKind, Shelf>> = {
    slot: new Shelf(8),
    pack: new Shelf(32),
    index: new Shelf(32),
    manifest: new Shelf(32),
  };
  /** Bytes of each entry's object, by author (hex). */
  readonly entrySizes = new Map<string, number[]>();
  /** When each was stored. */
  readonly entryTimes = new Map<string, number[]>();
  readonly #domainNumbers = new Map<string, number>();
  readonly #domainHex: string[] = [];

  static async read(objects: AsyncIterable<ObjectInfo>): Promise<Catalog> {
    const catalog = new Catalog();
    for await (const { name, sizeBytes, storedMs = 0 } of objects) {
      const ref = refOfName(name);
      if (ref === undefined || ref.kind === 'genesis') continue;
      if (ref.kind === 'entry') catalog.addEntry(ref.id, ref.sequence, sizeBytes, storedMs);
      else catalog.shelves[ref.kind].add(Buffer.from(ref.id, 'hex'), sizeBytes, storedMs);
    }
    return catalog;
  }

  addEntry(author: string, sequence: number, sizeBytes: number, storedMs: number): void {
    if (!this.entrySizes.has(author)) {
      this.entrySizes.set(author, []);
      this.entryTimes.set(author, []);
    }
    this.entrySizes.get(author)![sequence] = sizeBytes;
    this.entryTimes.get(author)![sequence] = storedMs;
  }

  /** Forgets one entry of a chain that an interrupted init left. */
  removeEntry(author: string, sequence: number): void {
    for (const map of [this.entrySizes, this.entryTimes]) {
      const list = map.get(author);
      if (list === undefined) continue;
      delete list[sequence];
      while (list.length > 0 && list.at(-1) === undefined) list.pop();
      if (list.length === 0) map.delete(author);
    }
  }

  /** The number that stands for a domain (hex) here. */
  domainNumber(hex: string): number {
    let number = this.#domainNumbers.get(hex);
    if (number === undefined) {
      number = this.#domainHex.push(hex) - 1;
      this.#domainNumbers.set(hex, number);
    }
    return number;
  }

  domainHex(number: number): string {
    return this.#domainHex[number]!;
  }
}
