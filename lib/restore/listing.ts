/**
 * What a directory of the target held before this run put anything into it, asked for in the order of names. A file system may take two names for one (upper and lower
 * case, composed and decomposed letters): then it finds under a name what is not listed under it, and may be what this run has just made.
 */

import { compareBytes } from '../bytes.js';
import { scanOpen } from './remove.js';
import { type Existing, existingAt, isSame } from './stat.js';

export class Listing {
  readonly #fd: () => number;
  readonly #all: Iterable<Existing>;
  readonly #rest: Iterator<Existing>;
  #next: IteratorResult<Existing>;
  /** What was taken for an entry of another name, which then cannot have it. */
  #folded: Set<bigint> | undefined;

  /** `fd`: the directory, open, whenever it is asked for. */
  constructor(fd: () => number) {
    this.#fd = fd;
    this.#all = scanOpen(fd());
    this.#rest = this.#all[Symbol.iterator]();
    this.#next = this.#rest.next();
  }

  /** Everything listed, in order. */
  get all(): Iterable<Existing> {
    return this.#all;
  }

  /**
   * What stands under `name`; names come in order.
   *
   * @param has - whether the snapshot has an entry of this name in the directory
   * @returns undefined when nothing does; 'taken' when it is another entry of this restore, which the target takes to have the same name
   */
  find(name: Uint8Array, has: (name: Uint8Array) => boolean): Existing | 'taken' | undefined {
    while (this.#next.done !== true && compareBytes(this.#next.value.name, name) < 0) this.#next = this.#rest.next();
    if (this.#next.done !== true && compareBytes(this.#next.value.name, name) === 0) {
      const listed = this.#next.value.type === 0 ? existingAt(this.#fd(), name) : this.#next.value;
      return listed !== undefined && this.#folded?.has(listed.ino) === true ? 'taken' : listed;
    }
    const found = existingAt(this.#fd(), name);
    if (found === undefined) return undefined;
    for (const listed of this.#all) {
      if (!isSame(listed, found)) continue;
      if (has(listed.name) || this.#folded?.has(found.ino) === true) return 'taken';
      this.#folded ??= new Set();
      this.#folded.add(found.ino);
      return found;
    }
    return 'taken';
  }
}
