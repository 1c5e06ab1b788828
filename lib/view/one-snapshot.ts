/** The part of one snapshot that a mount of `SNAP:PATH` shows as its root, found anew in each thread by its path. */
import { isDirectory } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { rootIno } from './ino.js';
import { Fixed } from './root-names.js';
import type { ShownSnapshot, SnapshotTable } from './snapshot-table.js';
import type { Directory, Located, SnapshotTree } from './snapshot-tree.js';

interface Parts {
  readonly table: SnapshotTable;
  readonly sourceOf: (snapshot: ShownSnapshot) => TreeSource;
}

/** The root directory of a snapshot, as node `nodeId`. @throws CorruptError */
export function snapshotDirectory({ table, sourceOf }: Parts, snapshot: ShownSnapshot, nodeId: number): Directory {
  const ino = rootIno(snapshot.record.id);
  const { root } = table.summary(snapshot);
  return { nodeId, snapshot, source: sourceOf(snapshot), tree: root.tree, ino, rootIno: ino, numbers: [] };
}

export class OneSnapshot {
  readonly #parts: Parts;
  readonly #tree: SnapshotTree;
  readonly #only: { readonly hex: string; readonly path: Uint8Array };

  constructor(parts: Parts, tree: SnapshotTree, only: { readonly hex: string; readonly path: Uint8Array }) {
    this.#parts = parts;
    this.#tree = tree;
    this.#only = only;
  }

  /** Undefined when it has gone. */
  get snapshot(): ShownSnapshot | undefined {
    return this.#parts.table.withHex(this.#only.hex);
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
    if (snapshot === undefined) return undefined;
    const { table, sourceOf } = this.#parts;
    const top = rootIno(snapshot.record.id);
    let located: Located = { snapshot, source: sourceOf(snapshot), entry: table.summary(snapshot).root, ino: top };
    for (const name of splitPath(this.#only.path)) {
      if (!isDirectory(located.entry)) return undefined;
      const child = this.#tree.child(located, top, name);
      if (child === undefined) return undefined;
      located = child;
    }
    return located;
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
