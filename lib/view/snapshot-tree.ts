/**
 * Directories and entries of snapshots as numbered nodes. A node is named by its place: nodeId = number of its directory × 2^22 + its position in it, where
 * numbers come from the table that all threads share; so any thread can find the entry behind a nodeId that another gave out, by going up to the snapshot's
 * root and down again. What was found is kept, bounded.
 */
import { type Entry, isDirectory, isFile } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import {
  type Attributes,
  entryAttributes,
  fillBlocks,
  type Listing,
  MAX_LISTING_BYTES,
  type NamedNode,
  readListing,
  SNAPSHOT_TTL_SEC,
} from './attributes.js';
import { ByteLru } from './byte-lru.js';
import type { DirectoryPages } from './directory-pages.js';
import type { FileContents } from './file-content.js';
import { type Ino, inoBelow, inoNumber, linkIno } from './ino.js';
import type { LeafPage, ListingPlace } from './leaf-page.js';
import type { NodeTable } from './node-table.js';
import type { ShownSnapshot } from './snapshot-table.js';

/** Positions in one number; a directory with more entries has several numbers. */
export const POSITIONS = 2 ** 22;
/** NodeTable kind of a directory's numbers: a = its own nodeId, b = which 2^22 entries. */
export const DIRECTORY_NUMBER = 0;

const DIRECTORY_WEIGHT = 400;
const DIRECTORIES_BYTES = 4 << 20;
const LOCATED_WEIGHT = 1500;
const LOCATED_BYTES = 3 << 20;
/** Entries in one listing. */
const MAX_LISTED = 1024;

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
  /** Made when it is first listed. */
  place?: ListingPlace;
}

/** An entry and where it stands. */
export interface Located {
  readonly snapshot: ShownSnapshot;
  readonly source: TreeSource;
  readonly entry: Entry;
  readonly ino: Ino;
}

/** A position in a directory. */
interface Place {
  readonly directory: Directory;
  readonly position: number;
}

/** Makes the Directory of a nodeId that is no entry of a directory: a snapshot's root. Undefined for any other. */
export type RootResolver = (nodeId: number) => Directory | undefined;

export class SnapshotTree {
  readonly #table: NodeTable;
  readonly #rootOf: RootResolver;
  readonly #contents: FileContents;
  readonly #ownerRoot: boolean;
  readonly #pages: DirectoryPages;
  readonly #located = new ByteLru<number, Located>(LOCATED_BYTES);
  readonly #directories = new ByteLru<number, Directory>(DIRECTORIES_BYTES);
  /** Records of the listing given last. */
  readonly #records = new Uint8Array(MAX_LISTED * MAX_LISTING_BYTES);

  constructor(
    parts: { numbers: NodeTable; contents: FileContents; pages: DirectoryPages },
    rootOf: RootResolver,
    ownerRoot: boolean,
  ) {
    this.#table = parts.numbers;
    this.#contents = parts.contents;
    this.#pages = parts.pages;
    this.#rootOf = rootOf;
    this.#ownerRoot = ownerRoot;
  }

  /** The directory `nodeId`, or undefined when it is something else. @throws CorruptError */
  directory(nodeId: number): Directory | undefined {
    const known = this.#directories.get(nodeId);
    if (known !== undefined) return known;
    let made = this.#rootOf(nodeId);
    if (made === undefined) {
      const place = this.#place(nodeId);
      const located = place === undefined ? undefined : this.#locate(nodeId, place);
      if (place === undefined || located === undefined || !isDirectory(located.entry)) return undefined;
      const { snapshot, source, entry, ino } = located;
      made = { nodeId, snapshot, source, tree: entry.tree.slice(), ino, rootIno: place.directory.rootIno, numbers: [] };
    }
    this.#directories.set(nodeId, made, DIRECTORY_WEIGHT);
    return made;
  }

  /** The entry `nodeId` of some directory, or undefined. @throws CorruptError */
  locate(nodeId: number): Located | undefined {
    const known = this.#located.get(nodeId);
    if (known !== undefined) return known;
    const place = this.#place(nodeId);
    return place === undefined ? undefined : this.#locate(nodeId, place);
  }

  /** The snapshot in which `nodeId` stands, and the names from the root of what is mounted of it. Undefined for what stands above snapshots. @throws CorruptError */
  pathOf(nodeId: number): { snapshot: ShownSnapshot; names: Uint8Array[] } | undefined {
    const names: Uint8Array[] = [];
    for (let at = nodeId; ; ) {
      const root = this.#rootOf(at);
      if (root !== undefined) return { snapshot: root.snapshot, names };
      const place = this.#place(at);
      const located = place === undefined ? undefined : this.locate(at);
      if (place === undefined || located === undefined) return undefined;
      names.unshift(located.entry.name);
      at = place.directory.nodeId;
    }
  }

  #locate(nodeId: number, { directory, position }: Place): Located | undefined {
    const { snapshot, source, tree, ino, rootIno } = directory;
    const entry = this.#pages.entryAt(source, tree, position);
    if (entry === undefined) return undefined;
    const located = { snapshot, source, entry, ino: inoOf(ino, rootIno, entry.name, entry.link?.id) };
    this.#located.set(nodeId, located, LOCATED_WEIGHT);
    return located;
  }

  /** The entry `name` of a directory that was found by path and has no number. */
  child(parent: Located, root: Ino, name: Uint8Array): Located | undefined {
    if (!isDirectory(parent.entry)) return undefined;
    const { snapshot, source } = parent;
    const found = this.#pages.find(source, parent.entry.tree, name);
    const entry = found?.leaf.entry(found.index);
    return entry === undefined
      ? undefined
      : { snapshot, source, entry, ino: inoOf(parent.ino, root, entry.name, entry.link?.id) };
  }

  /** Whether `nodeId` is of something that is no entry of a directory. */
  isAbove(nodeId: number): boolean {
    const key = this.#table.keyOf(Math.floor(nodeId / POSITIONS));
    return key !== undefined && key.kind !== DIRECTORY_NUMBER;
  }

  lookup(directory: Directory, name: Uint8Array): Attributes | undefined {
    const found = this.#pages.find(directory.source, directory.tree, name);
    if (found === undefined) return undefined;
    const { leaf, index, position } = found;
    const end = this.#write(directory, leaf, index, 1, position, 0);
    for (const { attributes } of readListing(this.#records, end)) return attributes;
    return undefined;
  }

  /** As `listing`, as objects. */
  list(directory: Directory, position: number, limit: number): { entries: NamedNode[]; next: number; end: boolean } {
    const { records, count, end } = this.listing(directory, position, limit);
    return { entries: [...readListing(records, records.byteLength)], next: position + count, end };
  }

  /** Entries from `position`, at most `limit`, and whether these are the last. @throws CorruptError */
  listing(directory: Directory, position: number, limit: number): Listing {
    let count = 0;
    let written = 0;
    let end = false;
    const most = Math.min(limit, MAX_LISTED);
    while (count < most && !end) {
      const at = position + count;
      const found = this.#pages.at(directory.source, directory.tree, at);
      if (found === undefined) {
        end = true;
        break;
      }
      const { leaf, start, last } = found;
      const first = at - start;
      // A batch ends where another number begins.
      const taken = Math.min(leaf.count - first, most - count, POSITIONS - (at % POSITIONS));
      written = this.#write(directory, leaf, first, taken, at, written);
      count += taken;
      end = last && first + taken === leaf.count;
    }
    return { records: this.#records.subarray(0, written), count, end };
  }

  /** Attributes of what `locate` found. */
  attributesOf(nodeId: number, { entry, ino, source }: Located): Attributes {
    const dataBytes = isFile(entry) ? this.#contents.dataBytes(source, entry) : 0;
    return entryAttributes(entry, nodeId, inoNumber(ino), dataBytes, this.#ownerRoot);
  }

  /** Writes records of entries [first, first + count) of `leaf`, the first of which stands at `position`. Returns where they end. */
  #write(directory: Directory, leaf: LeafPage, first: number, count: number, position: number, at: number): number {
    const { ino, rootIno: root } = directory;
    const extent = Math.floor(position / POSITIONS);
    const number = (directory.numbers[extent] ??= this.#table.numberOf(DIRECTORY_NUMBER, directory.nodeId, extent));
    const nodeId = number * POSITIONS + (position - extent * POSITIONS);
    directory.place ??= {
      keys: Uint32Array.of(ino.lo, ino.hi, root.lo, root.hi),
      ownerRoot: this.#ownerRoot,
      ttlSec: SNAPSHOT_TTL_SEC,
    };
    const end = leaf.list(first, count, nodeId, directory.place, this.#records, at);
    if (leaf.hasUnknownBlocks)
      fillBlocks(this.#records, at, end, (i) => this.#listedDataBytes(directory.source, leaf.entry(first + i)));
    return end;
  }

  #listedDataBytes(source: TreeSource, entry: Entry): number {
    return isFile(entry) ? this.#contents.dataBytes(source, entry) : 0;
  }

  #place(nodeId: number): Place | undefined {
    const key = this.#table.keyOf(Math.floor(nodeId / POSITIONS));
    if (key === undefined || key.kind !== DIRECTORY_NUMBER) return undefined;
    const directory = this.directory(key.a);
    return directory === undefined ? undefined : { directory, position: key.b * POSITIONS + (nodeId % POSITIONS) };
  }
}

function inoOf(parent: Ino, root: Ino, name: Uint8Array, linkId: Uint8Array | undefined): Ino {
  return linkId === undefined ? inoBelow(parent, name) : linkIno(root, linkId);
}
