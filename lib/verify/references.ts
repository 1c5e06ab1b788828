/** The chunks that a page or list page refers to, gathered so that they are looked up at once. Pure. */
import { isZeroId, ROW_BYTES } from '../format/content.js';

/** Ids referenced by one page, with the entry each belongs to. */
export class References {
  #ids = new Uint8Array(32 * 256);
  readonly owners: number[] = [];

  add(id: Uint8Array, owner: number): void {
    const at = this.owners.push(owner) * 32;
    if (at > this.#ids.byteLength) {
      const grown = new Uint8Array(this.#ids.byteLength * 2);
      grown.set(this.#ids);
      this.#ids = grown;
    }
    this.#ids.set(id, at - 32);
  }

  /** Forgets all of them, to be used for another page. */
  clear(): void {
    this.owners.length = 0;
  }

  get ids(): Uint8Array {
    return this.#ids.subarray(0, this.owners.length * 32);
  }

  /** The chunks of `rows`, which belong to entry `owner`; holes are left out. */
  addRows(rows: Uint8Array, owner: number): void {
    for (let at = 0; at < rows.byteLength; at += ROW_BYTES) {
      if (!isZeroId(rows, at + 8)) this.add(rows.subarray(at + 8, at + ROW_BYTES), owner);
    }
  }
}
