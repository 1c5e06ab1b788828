/** Since when a file is what it is: one snapshot of its stream after another is asked, backwards, until one has something else at its path. */
import { equalBytes } from '../bytes.js';
import { type Entry, isDirectory, isFile } from '../format/tree.js';
import { locateByPath, type SnapshotParts } from './one-snapshot.js';
import type { ShownSnapshot } from './snapshot-table.js';
import type { Located, SnapshotTree } from './snapshot-tree.js';

/** The oldest snapshot of the stream from which on `here`, which stands at the path `names`, is unchanged. One that does not open ends the search. */
export function firstSeen(parts: SnapshotParts, tree: SnapshotTree, here: Located, names: readonly Uint8Array[]): ShownSnapshot {
  let first = here.snapshot;
  try {
    for (const earlier of parts.table.earlierOf(here.snapshot)) {
      const there = locateByPath(parts, tree, earlier, names);
      if (there === undefined || !isSame(there.entry, here.entry)) break;
      first = earlier;
    }
  } catch {
    // What cannot be read is no evidence.
  }
  return first;
}

function isSame(a: Entry, b: Entry): boolean {
  if (a.kind !== b.kind || a.mtimeSec !== b.mtimeSec || a.mtimeNsec !== b.mtimeNsec) return false;
  if (isDirectory(a) && isDirectory(b)) return equalBytes(a.tree, b.tree);
  if (isFile(a) && isFile(b))
    return a.sizeBytes === b.sizeBytes && (a.digest === null || b.digest === null || equalBytes(a.digest, b.digest));
  return !('target' in a && 'target' in b) || equalBytes(a.target, b.target);
}
