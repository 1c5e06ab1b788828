/**
 * Directories and entries of snapshots as numbered nodes. A node is named by its place: nodeId = number of its directory × 2^22 + its position in it, where
 * numbers come from the table that all threads share; so any thread can find the entry behind a nodeId that another gave out, by going up to the snapshot's
 * root and down again. What was found is kept, bounded.
 */
import { type Entry, EntryKind, isDirectory, isFile } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { blocksOf, entryAttributes, FILE_TYPE, type NamedNode, type NodeAttributes, SNAPSHOT_TTL_SEC } from './attributes.js';
import { ByteLru } from './byte-lru.js';
import type { DirectoryPages } from './directory-pages.js';
import type { FileContents } from './file-content.js';
import { type Ino, inoBelow, inoNumber, linkIno } from './ino.js';
import type { ScannedLeaf } from './leaf-scan.js';
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
/** What a directory says of its size. */
export const DIRECTORY_BYTES = 4096;

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
      if (place === undefined) return undefined;
      const { snapshot, source, tree, rootIno } = place.directory;
      const entry = this.#pages.entryAt(source, tree, place.position);
      if (entry === undefined || !isDirectory(entry)) return undefined;
      const ino = inoBelow(place.directory.ino, entry.name);
      made = { nodeId, snapshot, source, tree: entry.tree.slice(), ino, rootIno, numbers: [] };
    }
    this.#directories.set(nodeId, made, DIRECTORY_WEIGHT);
    return made;
  }

  /** The entry `nodeId` of some directory, or undefined. @throws CorruptError */
  locate(nodeId: number): Located | undefined {
    const known = this.#located.get(nodeId);
    if (known !== undefined) return known;
    const place = this.#place(nodeId);
    if (place === undefined) return undefined;
    const { snapshot, source, tree, ino, rootIno } = place.directory;
    const entry = this.#pages.entryAt(source, tree, place.position);
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

  lookup(directory: Directory, name: Uint8Array): NodeAttributes | undefined {
    const found = this.#pages.find(directory.source, directory.tree, name);
    return found === undefined ? undefined : this.#scanned(directory, found.leaf, found.index, found.position).attributes;
  }

  /** Entries from `position`, at most `limit`, and whether these are the last. */
  list(directory: Directory, position: number, limit: number): { entries: NamedNode[]; next: number; end: boolean } {
    const entries: NamedNode[] = [];
    let at = position;
    while (entries.length < limit) {
      const found = this.#pages.at(directory.source, directory.tree, at);
      if (found === undefined) return { entries, next: at, end: true };
      const { leaf, start, last } = found;
      const stop = Math.min(leaf.count, at - start + limit - entries.length);
      for (let i = at - start; i < stop; i++) entries.push(this.#scanned(directory, leaf, i, start + i));
      at = start + stop;
      if (stop === leaf.count && last) return { entries, next: at, end: true };
    }
    return { entries, next: at, end: false };
  }

  /** Attributes of what `locate` found. */
  attributesOf(nodeId: number, { entry, ino, source }: Located): NodeAttributes {
    const dataBytes = isFile(entry) ? this.#contents.dataBytes(source, entry) : 0;
    return entryAttributes(entry, nodeId, inoNumber(ino), dataBytes, this.#ownerRoot);
  }

  /** Name and attributes without decoding the entry: what a listing is made of. */
  #scanned(directory: Directory, leaf: ScannedLeaf, index: number, position: number): NamedNode {
    const scan = leaf.scan(index);
    const { name, kind, owner, mtimeSec, mtimeNsec, linkId } = scan;
    const extent = Math.floor(position / POSITIONS);
    const number = (directory.numbers[extent] ??= this.#table.numberOf(DIRECTORY_NUMBER, directory.nodeId, extent));
    const dataBytes = scan.dataBytes ?? this.#listedDataBytes(directory.source, leaf.entry(index));
    const isDir = kind === EntryKind.directory;
    return {
      name,
      attributes: {
        nodeId: number * POSITIONS + (position - extent * POSITIONS),
        ino: inoNumber(inoOf(directory.ino, directory.rootIno, name, linkId)),
        mode: FILE_TYPE[kind] | scan.mode,
        nlink: scan.nlink,
        uid: this.#ownerRoot ? 0 : owner.uid,
        gid: this.#ownerRoot ? 0 : owner.gid,
        rdevMajor: scan.major,
        rdevMinor: scan.minor,
        sizeBytes: isDir ? DIRECTORY_BYTES : scan.sizeBytes,
        blocks: blocksOf(dataBytes),
        mtimeSec,
        mtimeNsec,
        ctimeSec: mtimeSec,
        ctimeNsec: mtimeNsec,
        ttlSec: SNAPSHOT_TTL_SEC,
      },
    };
  }

  #listedDataBytes(source: TreeSource, entry: Entry): number {
    return isFile(entry) ? this.#contents.dataBytes(source, entry) : 0;
  }

  #place(nodeId: number): { directory: Directory; position: number } | undefined {
    const key = this.#table.keyOf(Math.floor(nodeId / POSITIONS));
    if (key === undefined || key.kind !== DIRECTORY_NUMBER) return undefined;
    const directory = this.directory(key.a);
    return directory === undefined ? undefined : { directory, position: key.b * POSITIONS + (nodeId % POSITIONS) };
  }
}

function inoOf(parent: Ino, root: Ino, name: Uint8Array, linkId: Uint8Array | undefined): Ino {
  return linkId === undefined ? inoBelow(parent, name) : linkIno(root, linkId);
}
