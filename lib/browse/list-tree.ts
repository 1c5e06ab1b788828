/** Listing a snapshot: every entry at or below a path, parents before children, in the order of their names. */
import type { Entry } from '../format/tree.js';
import { isDirectory } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { readDirectory } from '../repository/tree-reader.js';
import { entryAt, joinPath, type OpenTree } from './open-tree.js';

/** An entry and where it is. */
export interface Located {
  /** Absolute path. */
  readonly path: Uint8Array;
  readonly entry: Entry;
}

export interface ListOptions {
  /** Start here; default `/`. */
  readonly path?: Uint8Array;
  /** Go into directories below the first. */
  readonly recursive?: boolean;
  /** Whether to go into the directory at `path`; default yes. */
  readonly enter?: (directory: Located) => boolean;
}

/**
 * Yields what is at `path`: a file alone, or a directory's entries without the directory itself.
 *
 * @throws NotFoundError, CorruptError
 */
export function* listTree(tree: OpenTree, options: ListOptions = {}): Generator<Located> {
  const start = entryAt(tree, options.path ?? Uint8Array.of(0x2f));
  if (!isDirectory(start.entry)) yield start;
  else yield* below(tree.source, start.path, start.entry.tree, options);
}

function* below(source: TreeSource, path: Uint8Array, treeId: Uint8Array, options: ListOptions): Generator<Located> {
  // An explicit stack: trees nest up to 2,048 deep, and delegating generators would cost that many steps for each entry.
  const stack = [{ path, entries: readDirectory(source, treeId) }];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return;
    const next = top.entries.next();
    if (next.done === true) {
      stack.pop();
      continue;
    }
    const located = { path: joinPath(top.path, next.value.name), entry: next.value };
    yield located;
    if (options.recursive === true && isDirectory(located.entry) && (options.enter?.(located) ?? true)) {
      stack.push({ path: located.path, entries: readDirectory(source, located.entry.tree) });
    }
  }
}
