/**
 * Holds a walk through directories to what they say of themselves: no more entries than a directory's totals, and no deeper than a tree may be (docs/format.md §9). A page
 * may hold another many times over, so that few pages make more paths than anybody can walk; what was claimed is the bound, and more than that is damage.
 */
import { CorruptError } from '../errors.js';
import { MAX_DEPTH, type Totals } from '../format/tree.js';

export class TreeBounds {
  readonly #object: string;
  readonly #limits: number[] = [];
  readonly #depth: number;
  #counted = 0;

  /**
   * @param object - store name of the snapshot's manifest, for errors
   * @param depth - of the directory that is entered first
   */
  constructor(object: string, depth = 0) {
    this.#object = object;
    this.#depth = depth;
  }

  /** A directory's entries come next. @throws CorruptError if it lies too deep */
  enter(totals: Totals): void {
    if (this.#depth + this.#limits.length > MAX_DEPTH) throw new CorruptError(this.#object, 'directories nest too deep');
    const own = this.#counted + totals.files + totals.directories;
    this.#limits.push(Math.min(own, this.#limits.at(-1) ?? own));
  }

  /** The directory entered last is done. */
  leave(): void {
    this.#limits.pop();
  }

  /** Counts entries of the directory entered last, or below it. @throws CorruptError if they are more than a directory above them claims */
  count(entries = 1): void {
    this.#counted += entries;
    if (this.#counted > this.#limits.at(-1)!) throw new CorruptError(this.#object, 'a directory holds more than its totals say');
  }
}
