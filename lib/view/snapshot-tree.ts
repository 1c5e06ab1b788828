/**
 * Directories and entries of snapshots as numbered nodes. A node is named by its place: nodeId = number of its directory × 2^22 + its position in it, where
 * numbers come from the table that all threads share; so any thread can find the entry behind a nodeId that another gave out, by going up to the snapshot's
 * root and down again. What was found is kept, bounded.
 */
import { equalBytes, toHex } from '../bytes.js';
import type { Entry, InnerPage, LeafPage, Page } from '../format/tree.js';
import { isDirectory, isFile } from '../format/tree.js';
import {
  findEntry,
  isLeaf,
  lastAtOrBefore,
  type PageCache,
  readChildPage,
  readPage,
  type TreeSource,
} from '../repository/tree-reader.js';
import { entryAttributes, type NamedNode, type NodeAttributes } from './attributes.js';
import { ByteLru } from './byte-lru.js';
import type { FileContents } from './file-content.js';
import { type Ino, inoBelow, inoNumber, linkIno } from './ino.js';
import type { NodeTable } from './node-table.js';
import type { ShownSnapshot } from './snapshot-table.js';

/** Positions in one number; a directory with more entries has several numbers. */
export const POSITIONS = 2 ** 22;
/** NodeTable kind of a directory's numbers: a = its own nodeId, b = which 2^22 entries. */
export const DIRECTORY_NUMBER = 0;

/** A page decoded weighs about this many times what it weighs encoded. */
const PAGE_WEIGHT = 8;
const DIRECTORY_WEIGHT = 400;
const DIRECTORIES_BYTES = 8 << 20;

/** A snapshot's directory that is being looked into. */
export interface Directory {
  readonly nodeId: number;
  readonly snapshot: ShownSnapshot;
  readonly source: TreeSource;
  /** Id of its page. */
  readonly tree: Uint8Array;
  readonly ino: Ino;
  readonly rootIno: Ino;
  /** Numbers given out for it, by b. */
  readonly numbers: number[];
}

/** An entry and where it stands. */
export interface Located {
  readonly snapshot: ShownSnapshot;
  readonly source: TreeSource;
  readonly entry: Entry;
  readonly ino: Ino;
}

export interface TreeOptions {
  readonly ownerRoot: boolean;
  readonly pageCacheBytes: number;
}

/** Makes the Directory of a nodeId that is no entry of a directory: a snapshot's root. Undefined for any other. */
export type RootResolver = (nodeId: number) => Directory | undefined;

export function pageCache(limitBytes: number): PageCache {
  const pages = new ByteLru<string, Page>(limitBytes);
  return {
    get: (id) => pages.get(toHex(id)),
    set: (id, page, bytes) => pages.set(toHex(id), page, bytes * PAGE_WEIGHT + 200),
  };
}

export class SnapshotTree {
  readonly #table: NodeTable;
  readonly #rootOf: RootResolver;
  readonly #contents: FileContents;
  readonly #ownerRoot: boolean;
  readonly #directories = new ByteLru<number, Directory>(DIRECTORIES_BYTES);

  constructor(table: NodeTable, rootOf: RootResolver, contents: FileContents, ownerRoot: boolean) {
    this.#table = table;
    this.#rootOf = rootOf;
    this.#contents = contents;
    this.#ownerRoot = ownerRoot;
  }

  /** The directory `nodeId`, or undefined when it is something else. @throws CorruptError */
  directory(nodeId: number): Directory | undefined {
    const known = this.#directories.get(nodeId);
    if (known !== undefined) return known;
    let made = this.#rootOf(nodeId);
    if (made === undefined) {
      const place = this.#place(nodeId);
      if (place === undefined) return undefined;
      const entry = entryAt(place.directory, place.position);
      if (entry === undefined || !isDirectory(entry)) return undefined;
      made = childDirectory(place.directory, entry.tree, nodeId, this.#inoOf(place.directory, entry));
    }
    this.#directories.set(nodeId, made, DIRECTORY_WEIGHT);
    return made;
  }

  /** The entry `nodeId` of some directory, or undefined. @throws CorruptError */
  locate(nodeId: number): Located | undefined {
    const place = this.#place(nodeId);
    if (place === undefined) return undefined;
    const { directory, position } = place;
    const entry = entryAt(directory, position);
    if (entry === undefined) return undefined;
    return { snapshot: directory.snapshot, source: directory.source, entry, ino: this.#inoOf(directory, entry) };
  }

  /** The entry `name` of a directory that was found by path and has no number yet. */
  child(parent: Located, root: Ino, name: Uint8Array): Located | undefined {
    if (!isDirectory(parent.entry)) return undefined;
    const entry = findEntry(parent.source, parent.entry.tree, name);
    if (entry === undefined) return undefined;
    const ino = entry.link === null ? inoBelow(parent.ino, entry.name) : linkIno(root, entry.link.id);
    return { snapshot: parent.snapshot, source: parent.source, entry, ino };
  }

  /** Whether `nodeId` is of something that is no entry of a directory. */
  isAbove(nodeId: number): boolean {
    const key = this.#table.keyOf(Math.floor(nodeId / POSITIONS));
    return key !== undefined && key.kind !== DIRECTORY_NUMBER;
  }

  lookup(directory: Directory, name: Uint8Array): NodeAttributes | undefined {
    let page = readPage(directory.source, directory.tree);
    let position = 0;
    while (!isLeaf(page)) {
      const inner = page as InnerPage;
      const row = lastAtOrBefore(inner.rows, ({ firstName }) => firstName, name);
      if (row < 0) return undefined;
      for (let i = 0; i < row; i++) position += inner.rows[i]!.count;
      page = readChildPage(directory.source, inner, row);
    }
    const at = lastAtOrBefore(page.entries, (entry) => entry.name, name);
    const entry = page.entries[at];
    if (entry === undefined || !equalBytes(entry.name, name)) return undefined;
    return this.#attributes(directory, entry, position + at);
  }

  /** Entries from `position`, at most `limit`, and whether these are the last. */
  list(directory: Directory, position: number, limit: number): { entries: NamedNode[]; next: number; end: boolean } {
    const entries: NamedNode[] = [];
    let at = position;
    while (entries.length < limit) {
      const found = leafAt(directory, at);
      if (found === undefined) return { entries, next: at, end: true };
      const stop = Math.min(found.leaf.entries.length, at - found.start + limit - entries.length);
      for (let i = at - found.start; i < stop; i++) {
        const entry = found.leaf.entries[i]!;
        entries.push({ name: entry.name, attributes: this.#attributes(directory, entry, found.start + i) });
      }
      at = found.start + stop;
      if (stop === found.leaf.entries.length && found.last) return { entries, next: at, end: true };
    }
    return { entries, next: at, end: false };
  }

  /** Attributes of what `locate` found. */
  attributesOf(nodeId: number, { entry, ino, source }: Located): NodeAttributes {
    return entryAttributes(entry, nodeId, inoNumber(ino), this.#dataBytes(source, entry), this.#ownerRoot);
  }

  #attributes(directory: Directory, entry: Entry, position: number): NodeAttributes {
    const nodeId = this.#numberFor(directory, Math.floor(position / POSITIONS)) * POSITIONS + (position % POSITIONS);
    const ino = inoNumber(this.#inoOf(directory, entry));
    return entryAttributes(entry, nodeId, ino, this.#dataBytes(directory.source, entry), this.#ownerRoot);
  }

  #dataBytes(source: TreeSource, entry: Entry): number {
    return isFile(entry) ? this.#contents.dataBytes(source, entry) : 0;
  }

  #inoOf(directory: Directory, entry: Entry): Ino {
    return entry.link === null ? inoBelow(directory.ino, entry.name) : linkIno(directory.rootIno, entry.link.id);
  }

  #numberFor(directory: Directory, extent: number): number {
    return (directory.numbers[extent] ??= this.#table.numberOf(DIRECTORY_NUMBER, directory.nodeId, extent));
  }

  #place(nodeId: number): { directory: Directory; position: number } | undefined {
    const key = this.#table.keyOf(Math.floor(nodeId / POSITIONS));
    if (key === undefined || key.kind !== DIRECTORY_NUMBER) return undefined;
    const directory = this.directory(key.a);
    return directory === undefined ? undefined : { directory, position: key.b * POSITIONS + (nodeId % POSITIONS) };
  }
}

/** The directory behind an entry of `parent`. */
export function childDirectory(parent: Directory, tree: Uint8Array, nodeId: number, ino: Ino): Directory {
  const { snapshot, source, rootIno } = parent;
  return { nodeId, snapshot, source, tree: tree.slice(), ino, rootIno, numbers: [] };
}

function entryAt(directory: Directory, position: number): Entry | undefined {
  const found = leafAt(directory, position);
  return found?.leaf.entries[position - found.start];
}

/** The leaf that holds `position`, the position of its first entry, and whether it is the last leaf. Undefined past the end. */
function leafAt(directory: Directory, position: number): { leaf: LeafPage; start: number; last: boolean } | undefined {
  let page = readPage(directory.source, directory.tree);
  let start = 0;
  let last = true;
  while (!isLeaf(page)) {
    const inner = page as InnerPage;
    let row = 0;
    while (row < inner.rows.length && start + inner.rows[row]!.count <= position) start += inner.rows[row++]!.count;
    if (row === inner.rows.length) return undefined;
    last &&= row === inner.rows.length - 1;
    page = readChildPage(directory.source, inner, row);
  }
  return position < start + page.entries.length ? { leaf: page, start, last } : undefined;
}
