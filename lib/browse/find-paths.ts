/**
 * Searching names over many snapshots. A directory whose tree was searched before is not read again, and equal results of several snapshots are folded
 * into one with the list of snapshots that have it. A directory that does not read is told and passed over: one damaged or hostile snapshot keeps nobody from searching
 * the others.
 */
import { toHex } from '../bytes.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { manifestName } from '../format/names.js';
import { type Entry, isDirectory, MAX_DEPTH } from '../format/tree.js';
import type { Snapshot } from '../ledger/snapshots.js';
import { readDirectory } from '../repository/tree-reader.js';
import { joinPath, type OpenTree } from './open-tree.js';
import { sameContent, sameMetadata, sameType } from './same-entry.js';

/** Something found, the same in all of `snapshots`. */
export interface Found {
  readonly path: Uint8Array;
  readonly entry: Entry;
  readonly snapshots: Snapshot[];
}

export interface FindOptions {
  /** Whether an entry is wanted. Called once for each version of a directory, so it must depend on its arguments alone. */
  readonly wanted: (path: Uint8Array, entry: Entry) => boolean;
  /** Called for each directory that does not read: what is in it is not searched, all else is. */
  readonly onUnreadable: (unreadable: Unreadable) => void;
  readonly signal?: AbortSignal;
}

/** A directory of a snapshot that was passed over. */
export interface Unreadable {
  readonly snapshot: Snapshot;
  readonly path: Uint8Array;
  readonly error: CorruptError | NotFoundError;
}

interface Match {
  readonly path: Uint8Array;
  readonly entry: Entry;
}

/** Above so many remembered directories, those without a match are forgotten and may be read again. */
const MAX_REMEMBERED = 500_000;

/** Searches `trees` (in order of time). Results are in order of path, then time. @throws StoreError */
export function findPaths(trees: readonly OpenTree[], options: FindOptions): Found[] {
  const search = new Search(options);
  const folded = new Map<string, Found[]>();
  for (const tree of trees) {
    for (const match of search.directory(tree, Uint8Array.of(0x2f), tree.root.tree, 0).matches)
      fold(folded, match, tree.snapshot);
  }
  const order = [...folded.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return order.flatMap(([, found]) => found);
}

function fold(folded: Map<string, Found[]>, { path, entry }: Match, snapshot: Snapshot): void {
  const key = Buffer.from(path).toString('latin1');
  let versions = folded.get(key);
  if (versions === undefined) folded.set(key, (versions = []));
  const same = versions.find(
    (found) =>
      found.entry === entry ||
      (sameType(found.entry, entry) && sameContent(found.entry, entry) && sameMetadata(found.entry, entry)),
  );
  if (same === undefined) versions.push({ path, entry, snapshots: [snapshot] });
  else same.snapshots.push(snapshot);
}

class Search {
  readonly #options: FindOptions;
  readonly #remembered = new Map<string, readonly Match[]>();

  constructor(options: FindOptions) {
    this.#options = options;
  }

  /** Matches below the directory `path` whose tree is `treeId`; `whole` unless something there did not read. */
  directory(tree: OpenTree, path: Uint8Array, treeId: Uint8Array, depth: number): { matches: readonly Match[]; whole: boolean } {
    const { domain } = tree.snapshot.envelope;
    const key = `${toHex(domain)}${toHex(treeId)}${Buffer.from(path).toString('latin1')}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return { matches: known, whole: true };
    this.#options.signal?.throwIfAborted();
    const matches: Match[] = [];
    let whole = true;
    try {
      if (depth > MAX_DEPTH) throw new CorruptError(manifestName(tree.snapshot.id), 'directories nest too deep');
      for (const entry of readDirectory(tree.source, treeId)) {
        const at = joinPath(path, entry.name);
        if (this.#options.wanted(at, entry)) matches.push({ path: at, entry });
        if (!isDirectory(entry)) continue;
        const below = this.directory(tree, at, entry.tree, depth + 1);
        for (const match of below.matches) matches.push(match);
        whole &&= below.whole;
      }
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof NotFoundError)) throw error;
      this.#options.onUnreadable({ snapshot: tree.snapshot, path, error });
      whole = false;
    }
    // What did not read here may read in a snapshot that pins other packs.
    if (!whole) return { matches, whole };
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, matches);
    return { matches, whole };
  }
}
