/** Snapshots by path: what a mount of `SNAP:PATH` shows as its root, found anew in each thread, and what stands at a path of any snapshot. */
import { isDirectory } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { rootIno } from './ino.js';
import { Fixed } from './root-names.js';
import type { ShownSnapshot, SnapshotTable } from './snapshot-table.js';
import type { Directory, Located, SnapshotTree } from './snapshot-tree.js';

export interface SnapshotParts {
  readonly table: SnapshotTable;
  readonly sourceOf: (snapshot: ShownSnapshot) => TreeSource;
}

/** The root directory of a snapshot, as node `nodeId`. @throws CorruptError */
export function snapshotDirectory({ table, sourceOf }: SnapshotParts, snapshot: ShownSnapshot, nodeId: number): Directory {
  const ino = rootIno(snapshot.record.id);
  const { root } = table.summary(snapshot);
  return { nodeId, snapshot, source: sourceOf(snapshot), tree: root.tree, ino, rootIno: ino, numbers: [] };
}

/** What stands at the path `names` of a snapshot; undefined when nothing does. @throws CorruptError, NotFoundError */
export function locateByPath(
  { table, sourceOf }: SnapshotParts,
  tree: SnapshotTree,
  snapshot: ShownSnapshot,
  names: readonly Uint8Array[],
): Located | undefined {
  const top = rootIno(snapshot.record.id);
  let located: Located = { snapshot, source: sourceOf(snapshot), entry: table.summary(snapshot).root, ino: top };
  for (const name of names) {
    if (!isDirectory(located.entry)) return undefined;
    const child = tree.child(located, top, name);
    if (child === undefined) return undefined;
    located = child;
  }
  return located;
}

export class OneSnapshot {
  readonly #parts: SnapshotParts;
  readonly #tree: SnapshotTree;
  readonly #hex: string;
  /** Names from the snapshot's root to what is shown. */
  readonly path: readonly Uint8Array[];

  constructor(parts: SnapshotParts, tree: SnapshotTree, only: { readonly hex: string; readonly path: Uint8Array }) {
    this.#parts = parts;
    this.#tree = tree;
    this.#hex = only.hex;
    this.path = splitPath(only.path);
  }

  /** Undefined when it has gone. */
  get snapshot(): ShownSnapshot | undefined {
    return this.#parts.table.withHex(this.#hex);
  }

  /** The directory that is the root; undefined when it is none. @throws CorruptError */
  directory(): Directory | undefined {
    const located = this.located();
    if (located === undefined || !isDirectory(located.entry)) return undefined;
    const top = snapshotDirectory(this.#parts, located.snapshot, Fixed.root);
    return { ...top, tree: located.entry.tree.slice(), ino: located.ino };
  }

  /** What stands at the path. @throws CorruptError */
  located(): Located | undefined {
    const { snapshot } = this;
    return snapshot && locateByPath(this.#parts, this.#tree, snapshot, this.path);
  }
}

/** Names of a slash-separated path; empty ones are left out. */
function splitPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let start = 0, at = 0; at <= path.byteLength; at++) {
    if (at < path.byteLength && path[at] !== 0x2f) continue;
    if (at > start) names.push(path.subarray(start, at));
    start = at + 1;
  }
  return names;
}
