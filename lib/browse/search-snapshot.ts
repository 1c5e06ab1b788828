/**
 * Searches the tree of one snapshot after another. A directory whose tree was searched before at the same path is not read again. A page may hold another many times over,
 * so that a dozen pages make more paths than can be searched: each snapshot is held to what its totals claim, and to a budget of what it may repeat. Never recurses.
 */
import { sha256 } from '../crypto/kdf.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { manifestName } from '../format/names.js';
import type { LeafPage } from '../format/page.js';
import { type DirectoryEntry, type Entry, isDirectory } from '../format/tree.js';
import { native } from '../native.js';
import { TreeBounds } from '../repository/tree-bounds.js';
import { readLeaves } from '../repository/tree-reader.js';
import type { Turns } from '../repository/turns.js';
import type { FindOptions } from './find-paths.js';
import { joinPath, type OpenTree } from './open-tree.js';

export interface Match {
  readonly path: Uint8Array;
  readonly entry: Entry;
}

/** What was found in and below a directory. */
export interface Searched {
  readonly own: readonly Match[];
  readonly below: readonly Searched[];
  /** Entries that were looked at. */
  readonly entries: number;
}

/** Above so many remembered directories, all are forgotten and may be read again. */
const MAX_REMEMBERED = 500_000;
/** Directories that wait to be searched, and bytes of paths that were found: beyond, a snapshot is none that a run made. */
const MAX_WAITING = 500_000;
const MAX_PATH_BYTES = 2 ** 30;
/** A long path costs like so many short ones, and a directory like so many entries. */
const STEP_BYTES = 512;
const DIRECTORY_STEPS = 10;
const MAX_NEW = 4_000_000;
const UNSEEN = 0xffffffff;
const NOTHING: readonly Searched[] = [];

/** How often directories may be looked at that were seen in the same snapshot at another path. What was not seen before in any of its snapshots adds to it. */
export class Budget {
  #left: number;
  readonly #share: number;
  readonly #seen = new Set<string>();

  /** @param share - more steps for each that is no repetition */
  constructor({ steps, share }: { readonly steps: number; readonly share: number }) {
    this.#left = steps;
    this.#share = share;
  }

  /** Whether this directory was in none of the snapshots that share the budget. */
  isNew(tree: Uint8Array): boolean {
    const key = Buffer.from(tree.buffer, tree.byteOffset, tree.byteLength).toString('latin1');
    if (this.#seen.has(key)) return false;
    // Beyond, nothing counts as new: the set stays bounded, and what was earned suffices.
    if (this.#seen.size < MAX_NEW) this.#seen.add(key);
    else return false;
    return true;
  }

  /** @returns whether there is any left */
  spend(steps: number, isAgain: boolean, isNew: boolean): boolean {
    if (isAgain) this.#left -= steps;
    else if (isNew) this.#left += steps * this.#share;
    return this.#left >= 0;
  }
}

/** Ends the search of a snapshot. */
class BudgetSpent extends Error {}

interface Waiting {
  readonly path: Uint8Array;
  readonly tree: Uint8Array;
  readonly totals: DirectoryEntry['totals'];
}

/** A directory under way. */
interface Frame {
  readonly path: Uint8Array;
  readonly key: string;
  readonly leaves: Iterator<LeafPage>;
  readonly isAgain: boolean;
  readonly isNew: boolean;
  readonly own: Match[];
  readonly below: Searched[];
  readonly waiting: Waiting[];
  entries: number;
  whole: boolean;
}

/** What was found, from the outermost directory on. */
export function* matchesOf(searched: Searched | undefined): Generator<Match> {
  const stack = searched === undefined ? [] : [searched];
  for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
    yield* one.own;
    for (const below of one.below) stack.push(below);
  }
}

export class Search {
  readonly #options: FindOptions;
  readonly #turns: Turns;
  readonly #remembered = new Map<string, Searched>();

  constructor(options: FindOptions, turns: Turns) {
    this.#options = options;
    this.#turns = turns;
  }

  /** Everything in the snapshot that is wanted; undefined if the budget did not suffice. */
  async snapshot(tree: OpenTree, budget: Budget): Promise<Searched | undefined> {
    const seen = native().claimsCreate();
    try {
      return await new OneSearch(tree, this.#options, this.#turns, this.#remembered, budget, seen).run();
    } catch (error) {
      if (error instanceof BudgetSpent) return undefined;
      throw error;
    } finally {
      native().claimsFree(seen);
    }
  }
}

class OneSearch {
  readonly #tree: OpenTree;
  readonly #options: FindOptions;
  readonly #turns: Turns;
  readonly #remembered: Map<string, Searched>;
  readonly #budget: Budget;
  readonly #seen: number;
  readonly #object: string;
  readonly #bounds: TreeBounds;
  readonly #stack: Frame[] = [];
  #waiting = 0;
  #pathBytes = 0;

  constructor(
    tree: OpenTree,
    options: FindOptions,
    turns: Turns,
    remembered: Map<string, Searched>,
    budget: Budget,
    seen: number,
  ) {
    this.#tree = tree;
    this.#options = options;
    this.#turns = turns;
    this.#remembered = remembered;
    this.#budget = budget;
    this.#seen = seen;
    this.#object = manifestName(tree.snapshot.id);
    this.#bounds = new TreeBounds(this.#object);
  }

  async run(): Promise<Searched> {
    const { root } = this.#tree;
    let result = this.#enter({ path: Uint8Array.of(0x2f), tree: root.tree, totals: root.totals });
    for (let frame = this.#stack.at(-1); frame !== undefined; frame = this.#stack.at(-1)) {
      let done: Searched | undefined;
      try {
        const next = frame.waiting.pop();
        if (next === undefined) done = (await this.#leaf(frame)) ? undefined : this.#leave(frame);
        else {
          this.#waiting--;
          done = this.#enter(next);
        }
      } catch (error) {
        this.#tell(frame.path, error);
        // Not what one directory lacks, but what all of the snapshot is: the rest of it is left alone.
        const isAll = (error as CorruptError).details.object === this.#object;
        do done = this.#leave(this.#stack.at(-1)!, false);
        while (isAll && this.#keep(done));
      }
      if (done !== undefined) result = this.#keep(done) ? result : done;
    }
    return result!;
  }

  /** Adds what was found to the directory above. @returns false if there is none */
  #keep(done: Searched): boolean {
    const above = this.#stack.at(-1);
    if (above === undefined) return false;
    above.entries += done.entries;
    if (done.own.length > 0 || done.below.length > 0) above.below.push(done);
    return true;
  }

  #tell(path: Uint8Array, error: unknown): void {
    if (!(error instanceof CorruptError || error instanceof NotFoundError)) throw error;
    this.#options.onUnreadable({ snapshot: this.#tree.snapshot, path, error });
  }

  /** Begins a directory. @returns what is in it if that is known @throws CorruptError */
  #enter({ path, tree, totals }: Waiting): Searched | undefined {
    const key = Buffer.from(sha256(this.#tree.snapshot.envelope.domain, tree, path)).toString('latin1');
    const known = this.#remembered.get(key);
    if (known !== undefined) {
      if (this.#stack.length > 0) this.#bounds.count(known.entries);
      return known;
    }
    this.#bounds.enter(totals);
    const isAgain: boolean = native().claim(this.#seen, tree, 1)[0] !== UNSEEN;
    const isNew = this.#budget.isNew(tree);
    if (!this.#budget.spend(DIRECTORY_STEPS, isAgain, isNew)) throw new BudgetSpent();
    const leaves = readLeaves(this.#tree.source, tree);
    const frame = { path, key, leaves, isAgain, isNew, own: [], below: [], waiting: [], entries: 0, whole: true };
    this.#stack.push(frame);
    return undefined;
  }

  /** Looks at the next page of a directory. @returns false at its end @throws CorruptError, BudgetSpent */
  async #leaf(frame: Frame): Promise<boolean> {
    const leaf = frame.leaves.next();
    if (leaf.done === true) return false;
    for (const entry of leaf.value.entries) {
      if (this.#turns.isDue) await this.#turns.take();
      const path = joinPath(frame.path, entry.name);
      frame.entries++;
      this.#bounds.count();
      if (!this.#budget.spend(1 + Math.floor(path.byteLength / STEP_BYTES), frame.isAgain, frame.isNew)) throw new BudgetSpent();
      if (this.#options.wanted(path, entry)) {
        frame.own.push({ path, entry });
        this.#pathBytes += path.byteLength;
      }
      if (!isDirectory(entry)) continue;
      frame.waiting.push({ path, tree: entry.tree.slice(), totals: entry.totals });
      this.#waiting++;
      if (this.#waiting > MAX_WAITING || this.#pathBytes > MAX_PATH_BYTES)
        throw new CorruptError(this.#object, 'holds more directories, and longer paths, than can be searched');
    }
    // In the order of names, so that what is told is too.
    frame.waiting.reverse();
    return true;
  }

  #leave(frame: Frame, whole = frame.whole): Searched {
    this.#stack.pop();
    this.#bounds.leave();
    this.#waiting -= frame.waiting.length;
    const done = { own: frame.own, below: frame.below.length === 0 ? NOTHING : frame.below, entries: frame.entries };
    // What did not read here may read in a snapshot that pins other packs.
    if (!whole) {
      const above = this.#stack.at(-1);
      if (above !== undefined) above.whole = false;
      return done;
    }
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(frame.key, done);
    return done;
  }
}
