/**
 * Searching names over many snapshots. Equal results of several snapshots are folded into one with the list of snapshots that have it. A directory that does not read is
 * told and passed over: one damaged or hostile snapshot keeps nobody from searching the others. Those that hold the same directories many times over come last, and are
 * searched as far as there is time (see search-snapshot.ts).
 */
import { CorruptError, type NotFoundError } from '../errors.js';
import { manifestName } from '../format/names.js';
import type { Entry } from '../format/tree.js';
import type { Snapshot } from '../ledger/snapshots.js';
import { Turns } from '../repository/turns.js';
import type { OpenTree } from './open-tree.js';
import { sameContent, sameMetadata, sameType } from './same-entry.js';
import { Budget, type Match, matchesOf, Search, type Searched } from './search-snapshot.js';

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

/** What one snapshot may repeat before it is set aside, and all of those together then. */
const FIRST = { steps: 5_000, share: 4 };
const LAST = { steps: 100_000, share: 512 };

/** Searches `trees` (in order of time). Results are in order of path, then time. @throws StoreError, InterruptedError */
export async function findPaths(trees: readonly OpenTree[], options: FindOptions): Promise<Found[]> {
  const turns = new Turns('find', options.signal);
  const search = new Search(options, turns);
  const results: (Searched | undefined)[] = [];
  for (const tree of trees) {
    turns.check();
    results.push(await search.snapshot(tree, new Budget(FIRST)));
  }
  const last = new Budget(LAST);
  for (const [i, tree] of trees.entries()) {
    if (results[i] !== undefined) continue;
    results[i] = await search.snapshot(tree, last);
    if (results[i] !== undefined) continue;
    const error = new CorruptError(manifestName(tree.snapshot.id), 'holds the same directories too many times over');
    options.onUnreadable({ snapshot: tree.snapshot, path: Uint8Array.of(0x2f), error });
  }
  const folded = new Map<string, Found[]>();
  for (const [i, { snapshot }] of trees.entries())
    for (const match of matchesOf(results[i])) {
      fold(folded, match, snapshot);
      if (turns.isDue) await turns.take();
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
