/**
 * Searching names over many snapshots. A directory whose tree was searched before is not read again, and equal results of several snapshots are folded
 * into one with the list of snapshots that have it.
 */
import { toHex } from '../bytes.js';
import { type Entry, isDirectory } from '../format/tree.js';
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
  readonly signal?: AbortSignal;
}

interface Match {
  readonly path: Uint8Array;
  readonly entry: Entry;
}

/** Above so many remembered directories, those without a match are forgotten and may be read again. */
const MAX_REMEMBERED = 500_000;

/** Searches `trees` (in order of time). Results are in order of path, then time. @throws CorruptError */
export function findPaths(trees: readonly OpenTree[], options: FindOptions): Found[] {
  const search = new Search(options);
  const folded = new Map<string, Found[]>();
  for (const tree of trees) {
    for (const match of search.directory(tree, Uint8Array.of(0x2f), tree.root.tree)) fold(folded, match, tree.snapshot);
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

  /** Matches below the directory `path` whose tree is `treeId`. Depth is bounded by the format (2,048). */
  directory(tree: OpenTree, path: Uint8Array, treeId: Uint8Array): readonly Match[] {
    const { domain } = tree.snapshot.envelope;
    const key = `${toHex(domain)}${toHex(treeId)}${Buffer.from(path).toString('latin1')}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    this.#options.signal?.throwIfAborted();
    const matches: Match[] = [];
    for (const entry of readDirectory(tree.source, treeId)) {
      const at = joinPath(path, entry.name);
      if (this.#options.wanted(at, entry)) matches.push({ path: at, entry });
      if (isDirectory(entry)) for (const match of this.directory(tree, at, entry.tree)) matches.push(match);
    }
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, matches);
    return matches;
  }
}
