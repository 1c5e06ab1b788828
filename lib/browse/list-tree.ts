/**
 * Listing a snapshot: every entry at or below a path, parents before children, in the order of their names. Ends with an error where a directory holds more than it claims.
 */

import { manifestName } from '../format/names.js';
import { type DirectoryEntry, type Entry, isDirectory } from '../format/tree.js';
import { TreeBounds } from '../repository/tree-bounds.js';
import { namesOfPath } from '../repository/tree-path.js';
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
  else yield* below(tree, start as Located & { readonly entry: DirectoryEntry }, options);
}

function* below(
  { source, snapshot }: OpenTree,
  start: { readonly path: Uint8Array; readonly entry: DirectoryEntry },
  options: ListOptions,
): Generator<Located> {
  const bounds = new TreeBounds(manifestName(snapshot.id), namesOfPath(start.path).length);
  bounds.enter(start.entry.totals);
  // An explicit stack: trees nest up to 2,048 deep, and delegating generators would cost that many steps for each entry.
  const stack = [{ path: start.path, entries: readDirectory(source, start.entry.tree) }];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return;
    const next = top.entries.next();
    if (next.done === true) {
      stack.pop();
      bounds.leave();
      continue;
    }
    bounds.count();
    const located = { path: joinPath(top.path, next.value.name), entry: next.value };
    yield located;
    if (options.recursive === true && isDirectory(located.entry) && (options.enter?.(located) ?? true)) {
      bounds.enter(located.entry.totals);
      stack.push({ path: located.path, entries: readDirectory(source, located.entry.tree) });
    }
  }
}
