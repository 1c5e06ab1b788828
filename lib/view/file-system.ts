/**
 * A repository as a file system: joins what stands above the snapshots with the trees inside them. Blocking, for one serving thread; several of them share
 * nothing but the table of numbers. Throws whatever does not verify and leaves it to the mount driver to say EIO.
 */
import { asUtf8, lossyUtf8, utf8 } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { rfc3339 } from '../format/time.js';
import { isFile } from '../format/tree.js';
import type { SnapshotFilter } from '../ledger/snapshots.js';
import type { TreeSource } from '../repository/tree-reader.js';
import {
  type Attributes,
  entryAttributes,
  FileType,
  type Listing,
  NAMES_TTL_SEC,
  type NamedNode,
  SNAPSHOT_TTL_SEC,
} from './attributes.js';
import type { DirectoryPages } from './directory-pages.js';
import { entryXattr, FIRST_SEEN, listEntryXattrs } from './entry-xattrs.js';
import type { FileContents } from './file-content.js';
import { firstSeen } from './first-seen.js';
import { inoNumber, rootIno } from './ino.js';
import type { NodeTable } from './node-table.js';
import { OneSnapshot, snapshotDirectory } from './one-snapshot.js';
import { Fixed, listPage, RootNames, type RootNode, type Texts } from './root-names.js';
import type { ShownSnapshot, SnapshotTable } from './snapshot-table.js';
import { type Directory, type Located, SnapshotTree } from './snapshot-tree.js';

/** How a repository is shown. Plain data. */
export interface ViewOptions {
  /** Show everything as root's. */
  readonly ownerRoot: boolean;
  /** List `user.varve.…` among the extended attributes. */
  readonly listVirtualXattrs: boolean;
  readonly filter?: SnapshotFilter;
  /** Show only this snapshot, by its 64 hex digits, from `path` (slash-separated, '' for all) down. */
  readonly only?: { readonly hex: string; readonly path: Uint8Array };
}

/** What a view is made of. */
export interface ViewParts {
  readonly table: SnapshotTable;
  readonly numbers: NodeTable;
  readonly contents: FileContents;
  readonly pages: DirectoryPages;
  readonly texts: Texts;
  /** Chunks and pages of a snapshot. @throws CorruptError, NotFoundError when its manifest does not open */
  readonly sourceOf: (snapshot: ShownSnapshot) => TreeSource;
  readonly nowMs: () => number;
  readonly close: () => void;
}

export class RepositoryFileSystem {
  readonly #parts: ViewParts;
  readonly #options: ViewOptions;
  readonly #names: RootNames;
  readonly #tree: SnapshotTree;
  readonly #only: OneSnapshot | undefined;
  #polledMs = Number.NEGATIVE_INFINITY;
  /** Of NodeTable.news, when it was polled last. */
  #heardNews = 0;

  constructor(parts: ViewParts, options: ViewOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#names = new RootNames(parts.table, parts.numbers, parts.texts, parts.nowMs);
    this.#tree = new SnapshotTree(parts, (nodeId) => this.#rootDirectory(nodeId), options.ownerRoot);
    this.#only = options.only && new OneSnapshot(parts, this.#tree, options.only);
  }

  lookup(parent: number, name: Uint8Array): Attributes | undefined {
    const above = this.#above(parent);
    if (above === undefined || above.kind === 'snapshot') return this.#tree.lookup(this.#directory(parent), name);
    const text = asUtf8(name);
    const found = above.kind === 'directory' && text !== undefined ? above.find(text) : undefined;
    return found === undefined ? undefined : this.#attributesAbove(found, NAMES_TTL_SEC);
  }

  getattr(nodeId: number): Attributes | undefined {
    if (this.#above(nodeId) !== undefined) return this.#attributesAbove(nodeId, SNAPSHOT_TTL_SEC);
    if (nodeId === Fixed.root) return this.#onlyAttributes();
    const located = this.#tree.locate(nodeId);
    return located === undefined ? undefined : this.#tree.attributesOf(nodeId, located);
  }

  readdir(nodeId: number, offset: number, limit: number): { entries: NamedNode[]; next: number; end: boolean } {
    const above = this.#above(nodeId);
    if (above?.kind === 'directory')
      return listPage(above.list(), offset, limit, (child) => this.#attributesAbove(child, NAMES_TTL_SEC));
    return this.#tree.list(this.#directory(nodeId), offset, limit);
  }

  /** Entries of a directory inside a snapshot as records; undefined for one above. */
  readdirRecords(nodeId: number, offset: number, limit: number): Listing | undefined {
    if (this.#above(nodeId)?.kind === 'directory') return undefined;
    return this.#tree.listing(this.#directory(nodeId), offset, limit);
  }

  /** Where `nodeId` stands, for people: `1234abcd:/path`. @throws CorruptError */
  pathOf(nodeId: number): string | undefined {
    const found = this.#above(nodeId) === undefined ? this.#tree.pathOf(nodeId) : undefined;
    // JSON spells out what could break a line of the log.
    const names = found?.names.map((name) => JSON.stringify(lossyUtf8(name)).slice(1, -1));
    return found && `${found.snapshot.hex.slice(0, 8)}:/${names!.join('/')}`;
  }

  readlink(nodeId: number): Uint8Array | undefined {
    const above = this.#above(nodeId);
    if (above !== undefined) return above.kind === 'symlink' ? utf8(above.target) : undefined;
    const { entry } = this.#inside(nodeId);
    return 'target' in entry ? entry.target : undefined;
  }

  /** @throws CorruptError, StoreError when the bytes cannot be verified; NotFoundError for what is no file: nothing read would mean that it ends there */
  read(nodeId: number, offset: number, into: Uint8Array): number {
    const above = this.#above(nodeId);
    if (above?.kind === 'file') {
      const bytes = utf8(above.text()).subarray(offset, offset + into.byteLength);
      into.set(bytes);
      return bytes.byteLength;
    }
    const located = above === undefined ? this.#inside(nodeId) : undefined;
    if (located === undefined || !isFile(located.entry)) throw new NotFoundError('file', `with number ${nodeId}`);
    return this.#parts.contents.read(located.source, located.entry, offset, into);
  }

  seek(nodeId: number, offset: number, what: 'data' | 'hole'): number | undefined {
    const above = this.#above(nodeId);
    const located = above === undefined ? this.#inside(nodeId) : undefined;
    if (located !== undefined && isFile(located.entry))
      return this.#parts.contents.seek(located.source, located.entry, offset, what);
    const size = this.getattr(nodeId)?.sizeBytes ?? 0;
    if (offset >= size) return undefined;
    return what === 'data' ? offset : size;
  }

  listxattr(nodeId: number): readonly Uint8Array[] {
    const located = this.#located(nodeId);
    return located === undefined ? [] : listEntryXattrs(located, this.#options.listVirtualXattrs);
  }

  getxattr(nodeId: number, name: Uint8Array): Uint8Array | undefined {
    const located = this.#located(nodeId);
    if (located === undefined || asUtf8(name) !== FIRST_SEEN) return located && entryXattr(located, name);
    const path = [...(this.#only?.path ?? []), ...(this.#tree.pathOf(nodeId)?.names ?? [])];
    return utf8(rfc3339(firstSeen(this.#parts, this.#tree, located, path).time));
  }

  statfs(): { blockSizeBytes: number; blocks: number; files: number; nameMaxBytes: number } {
    let blocks = 0;
    let files = 0;
    try {
      const latest = this.#only === undefined ? this.#parts.table.latest() : this.#only.snapshot;
      if (latest !== undefined) {
        const { totals } = this.#parts.table.summary(latest).root;
        blocks = Math.ceil(totals.bytes / 4096);
        files = totals.files + totals.directories;
      }
    } catch {
      // df must work beside a damaged snapshot; whoever looks into it is told.
    }
    return { blockSizeBytes: 4096, blocks, files, nameMaxBytes: 255 };
  }

  /** What was left out of directories because it does not open, a line each, told once. */
  notices(): readonly string[] {
    return this.#parts.table.takeNotices();
  }

  /** nodeIds are places, not references: nothing is counted. */
  forget(): void {}

  close(): void {
    this.#parts.close();
  }

  /** The node above the snapshots that `nodeId` is. Looks for new snapshots once a second, and when another thread found some. */
  #above(nodeId: number): RootNode | undefined {
    if (this.#only !== undefined) return undefined;
    const node = this.#names.resolve(nodeId);
    if (node !== undefined && node.kind !== 'snapshot' && this.#poll()) return this.#names.resolve(nodeId);
    // A number that another thread gave to a snapshot this one has not heard of.
    if (node === undefined && this.#tree.isAbove(nodeId) && this.#poll(true)) return this.#names.resolve(nodeId);
    return node;
  }

  #poll(now = false): boolean {
    const { table, numbers } = this.#parts;
    const ms = performance.now();
    const { news } = numbers;
    if (!now && news === this.#heardNews && ms - this.#polledMs < NAMES_TTL_SEC * 1000) return false;
    this.#polledMs = ms;
    this.#heardNews = news;
    const before = table.entryCount;
    try {
      table.refresh();
    } catch {
      // The main thread follows the same ledger and says what is wrong with it; what was known stays mounted.
    }
    // Where a link of this thread's leads to, another may be asked: no such name, it would say, and the kernel would remember it.
    if (table.entryCount !== before) numbers.tellNews();
    return true;
  }

  #attributesAbove(nodeId: number, snapshotTtlSec: number): Attributes | undefined {
    const node = this.#names.resolve(nodeId);
    if (node === undefined) return undefined;
    if (node.kind === 'snapshot') return { ...this.#snapshotAttributes(node.snapshot, nodeId), ttlSec: snapshotTtlSec };
    return this.#names.attributesOf(nodeId, node);
  }

  /** Those of the root directory that was backed up; of a damaged manifest, a directory that nobody can look into. */
  #snapshotAttributes(snapshot: ShownSnapshot, nodeId: number): Attributes {
    const ino = inoNumber(rootIno(snapshot.record.id));
    try {
      return entryAttributes(this.#parts.table.summary(snapshot).root, nodeId, ino, 0, this.#options.ownerRoot);
    } catch {
      const sec = snapshot.time.sec;
      const times = { mtimeSec: sec, mtimeNsec: 0, ctimeSec: sec, ctimeNsec: 0 };
      return {
        nodeId,
        ino,
        mode: FileType.directory | 0o555,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdevMajor: 0,
        rdevMinor: 0,
        sizeBytes: 4096,
        blocks: 0,
        ...times,
        ttlSec: NAMES_TTL_SEC,
      };
    }
  }

  #located(nodeId: number): Located | undefined {
    const above = this.#above(nodeId);
    if (above === undefined) return this.#inside(nodeId);
    if (above.kind !== 'snapshot') return undefined;
    const { snapshot } = above;
    return {
      snapshot,
      source: this.#parts.sourceOf(snapshot),
      entry: this.#parts.table.summary(snapshot).root,
      ino: rootIno(snapshot.record.id),
    };
  }

  #rootDirectory(nodeId: number): Directory | undefined {
    if (this.#only !== undefined) return nodeId === Fixed.root ? this.#only?.directory() : undefined;
    // Asked of a file too, by its place: this thread may not have heard of the snapshot that another gave it a number in.
    const node = this.#above(nodeId);
    return node?.kind === 'snapshot' ? snapshotDirectory(this.#parts, node.snapshot, nodeId) : undefined;
  }

  /** What `nodeId` is inside a snapshot. @throws NotFoundError: nothing said of what is not known would be true */
  #inside(nodeId: number): Located {
    const located = nodeId === Fixed.root ? this.#only?.located() : this.#tree.locate(nodeId);
    if (located === undefined) throw new NotFoundError('entry', `with number ${nodeId}`);
    return located;
  }

  /** @throws NotFoundError: an empty listing would say that nothing is there */
  #directory(nodeId: number): Directory {
    const directory = this.#tree.directory(nodeId);
    if (directory === undefined) throw new NotFoundError('directory', `with number ${nodeId}`);
    return directory;
  }

  #onlyAttributes(): Attributes | undefined {
    const located = this.#only?.located();
    return located === undefined ? undefined : this.#tree.attributesOf(Fixed.root, located);
  }
}
