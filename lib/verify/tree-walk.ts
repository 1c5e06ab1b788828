/**
 * Walks the trees of snapshots: every page decodes and adds up, every chunk that is referenced stands in a pack that the snapshot pins. Reads metadata only.
 * A page that several snapshots share is decoded once (see pack-sets.ts). What is damaged is reported with the path it takes away, and the walk goes on.
 */
import { concat, lossyUtf8, toHex, utf8 } from '../bytes.js';
import { ABSENT, type ChunkIndex } from '../chunk-index/chunk-index.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError } from '../errors.js';
import { checkRows, ROW_BYTES, rowLength } from '../format/content.js';
import { linkContent } from '../format/link-key.js';
import { ChunkType } from '../format/pack.js';
import type { InnerPage, Page } from '../format/page.js';
import { type DirectoryEntry, type Entry, isDirectory, isFile, MAX_DEPTH } from '../format/tree.js';
import { native } from '../native.js';
import type { ChunkReader } from '../repository/chunk-reader.js';
import { isLeaf, readChildPage, readPage, type TreeSource } from '../repository/tree-reader.js';
import { Blame } from './blame.js';
import { type Damage, PackNumbers, Pinned } from './damage.js';
import { PackSet, PageMemo, type Sums } from './pack-sets.js';
import { References } from './references.js';
import type { Findings } from './report.js';

/** A snapshot to walk. */
export interface WalkedSnapshot {
  /** Id, hex. */
  readonly hex: string;
  /** Store name of its manifest. */
  readonly object: string;
  readonly root: DirectoryEntry;
  readonly pins: Uint8Array;
  readonly chunkIdKey: Uint8Array;
}

/** A page as something above it refers to it. */
interface Ref {
  readonly id: Uint8Array;
  /** What it is remembered by: everything that the reference claims about it, totals apart. */
  readonly key: Uint8Array;
  /** Name of the directory; undefined for a page within one. */
  readonly directory: DirectoryEntry | undefined;
  readonly parent: InnerPage | undefined;
  readonly row: number;
}

/** A page under way: its children are being walked. */
interface Open {
  readonly ref: Ref;
  readonly children: readonly Ref[];
  next: number;
  readonly sums: Sums;
  readonly packs: PackSet;
  /** Something beneath is damaged or does not add up. */
  tainted: boolean;
}

function opened(ref: Ref): Open {
  return { ref, children: [], next: 0, sums: { files: 0, directories: 0, bytes: 0 }, packs: new PackSet(), tainted: false };
}

const BREATH_STEPS = 128;
/** Files with several names that are compared: 100 MB at most. */
const MAX_LINKS = 500_000;
const LINK = utf8('page');
const LIST = utf8('list');

export class TreeWalk {
  readonly #index: ChunkIndex;
  readonly #reader: ChunkReader;
  readonly #damage: Damage;
  readonly #findings: Findings;
  readonly #numbers: PackNumbers;
  readonly #memo = new PageMemo();
  readonly #breathe: () => Promise<void>;
  /** Of the page being opened. */
  readonly #references = new References();
  /** Distinct pages decoded. */
  pages = 0;
  #steps = 0;

  // The snapshot being walked.
  #snapshot!: WalkedSnapshot;
  #pinned!: Pinned;
  #source!: TreeSource;
  #blame!: Blame;
  #stack: Open[] = [];
  /** What the file of each link id holds. */
  readonly #links = new Map<string, string>();

  /** `breathe` is awaited now and then; it may throw to end the walk. */
  constructor(index: ChunkIndex, reader: ChunkReader, damage: Damage, findings: Findings, breathe: () => Promise<void>) {
    this.#index = index;
    this.#reader = reader;
    this.#damage = damage;
    this.#findings = findings;
    this.#numbers = new PackNumbers(index);
    this.#breathe = breathe;
  }

  close(): void {
    this.#memo.close();
  }

  /** Walks one snapshot, reporting everything that cannot be read. */
  async walk(snapshot: WalkedSnapshot): Promise<void> {
    const pinned = new Pinned(this.#index, this.#numbers, this.#damage, snapshot.pins);
    const chunks = this.#reader.within((packId) => pinned.hexes.has(toHex(packId)));
    this.#snapshot = snapshot;
    this.#pinned = pinned;
    this.#source = { chunks, chunkIdKey: snapshot.chunkIdKey };
    this.#blame = new Blame(this.#index, this.#damage, pinned, snapshot.object);
    this.#stack = [];
    this.#links.clear();
    const { root } = snapshot;
    this.#attributes(root);
    this.#descend({ id: root.tree, key: root.tree, directory: root, parent: undefined, row: 0 });
    for (let open = this.#stack.at(-1); open !== undefined; open = this.#stack.at(-1)) {
      const ref = open.children[open.next++];
      if (ref !== undefined) this.#descend(ref);
      else {
        this.#stack.pop();
        if (!open.tainted) this.#memo.add(open.ref.key, open.sums, open.packs);
        this.#report(open.ref, open.sums, open.packs.numbers, open.tainted);
      }
      if (++this.#steps % BREATH_STEPS === 0) await this.#breathe();
    }
  }

  readonly #isGood = (pack: number): boolean => this.#pinned.good[pack] === 1;

  /** Takes up a page: from memory, or by opening it. */
  #descend(ref: Ref): void {
    const known = this.#memo.find(ref.key, this.#isGood);
    if (known !== undefined) {
      this.#report(ref, known.sums, known.packs, false);
      return;
    }
    try {
      if (this.#stack.length > MAX_DEPTH * 9) throw new CorruptError(this.#snapshot.object, 'directories nest too deep');
      const page = ref.parent === undefined ? readPage(this.#source, ref.id) : readChildPage(this.#source, ref.parent, ref.row);
      this.pages++;
      this.#stack.push(this.#open(ref, page));
    } catch (error) {
      const blamed = this.#blame.of(ref.id);
      const affected = { snapshot: this.#snapshot.hex, path: this.#path(ref.directory) };
      if (blamed !== undefined) this.#findings.error(blamed.object, blamed.code, blamed.message, affected);
      else this.#findings.thrown(error, this.#blame.packOf(ref.id), affected);
      const parent = this.#stack.at(-1);
      if (parent !== undefined) parent.tainted = true;
    }
  }

  /** Adds a finished page to the one above it. */
  #report(ref: Ref, sums: Sums, packs: Iterable<number> | undefined, tainted: boolean): void {
    const above = this.#stack.at(-1);
    const { directory } = ref;
    let bad = tainted;
    if (directory !== undefined && !tainted) {
      const { totals } = directory;
      if (totals.files !== sums.files || totals.directories !== sums.directories || totals.bytes !== sums.bytes) {
        bad = true;
        const affected = { snapshot: this.#snapshot.hex, path: this.#path(directory) };
        this.#findings.error(
          this.#snapshot.object,
          'CORRUPT',
          'the totals of a directory are not those of what it holds',
          affected,
        );
      }
    }
    if (above === undefined) return;
    above.tainted ||= bad;
    above.packs.merge(packs);
    above.sums.files += sums.files;
    above.sums.bytes += sums.bytes;
    above.sums.directories += sums.directories + (directory === undefined ? 0 : 1);
  }

  #open(ref: Ref, page: Page): Open {
    const open = opened(ref);
    const references = this.#references;
    references.clear();
    references.add(ref.id, -1);
    if (!isLeaf(page)) {
      this.#resolve(references, [], open);
      const inner = page as InnerPage;
      return { ...open, children: inner.rows.map((row, at) => this.#childRef(inner, at, row.id)) };
    }
    const children: Ref[] = [];
    const digests: Uint8Array[] = [];
    const digestOwners: number[] = [];
    page.entries.forEach((entry, owner) => {
      for (const { value } of entry.xattrs) if (!(value instanceof Uint8Array)) references.add(value.id, owner);
      if (isDirectory(entry)) {
        children.push({ id: entry.tree, key: entry.tree, directory: entry, parent: undefined, row: 0 });
        return;
      }
      open.sums.files++;
      if (entry.link !== null) this.#link(ref, entry, entry.link.id);
      if (!isFile(entry)) return;
      open.sums.bytes += entry.sizeBytes;
      const { content } = entry;
      if (content.kind === 'whole') {
        digests.push(entry.digest!);
        digestOwners.push(owner);
      } else if (content.kind === 'rows') {
        if (content.depth === 0) references.addRows(content.rows, owner);
        else if (!this.#listPages(content.rows, content.depth, open, ref, entry)) open.tainted = true;
      }
    });
    if (digests.length > 0) {
      const ids = native().chunkIds(this.#snapshot.chunkIdKey, ChunkType.data, concat(...digests));
      for (const [i, owner] of digestOwners.entries()) references.add(ids.subarray(i * 32, i * 32 + 32), owner);
    }
    this.#resolve(references, page.entries, open);
    return { ...open, children };
  }

  /** Compares a name of a file with the others, among the pages that this snapshot is the first to have. */
  #link(ref: Ref, entry: Entry, id: Uint8Array): void {
    const key = toHex(id);
    const content = linkContent(entry);
    const known = this.#links.get(key);
    if (known === undefined) {
      if (this.#links.size < MAX_LINKS) this.#links.set(key, content);
    } else if (known !== content) {
      const affected = { snapshot: this.#snapshot.hex, path: this.#path(ref.directory, entry.name) };
      this.#findings.error(this.#snapshot.object, 'CORRUPT', 'names of one file do not agree in what it holds', affected);
    }
  }

  #childRef(inner: InnerPage, at: number, id: Uint8Array): Ref {
    const row = inner.rows[at]!;
    const next = inner.rows[at + 1]?.firstName ?? new Uint8Array(0);
    const numbers = new Uint8Array(Float64Array.of(inner.level, row.count, row.firstName.byteLength).buffer);
    return { id, key: sha256(LINK, id, numbers, row.firstName, next), directory: undefined, parent: inner, row: at };
  }

  /** Looks all references up at once; reports those that nothing pinned and undamaged holds. */
  #resolve(references: References, entries: readonly Entry[], open: Open): void {
    const { ids, owners } = references;
    const found = this.#index.find(ids, this.#pinned.usable);
    let told = -1;
    for (let i = 0; i < found.length; i++) {
      if (found[i] !== ABSENT) {
        open.packs.add(this.#numbers.ofIndex(found[i]!));
        continue;
      }
      open.packs.merge(undefined);
      const owner = owners[i]!;
      const problem = this.#blame.lost(ids.subarray(i * 32, i * 32 + 32));
      // The page's own chunk has just been read.
      if (problem === undefined || owner < 0) continue;
      open.tainted = true;
      if (owner === told) continue;
      told = owner;
      const path = this.#path(open.ref.directory, entries[owner]!.name);
      this.#findings.error(problem.object, problem.code, problem.message, { snapshot: this.#snapshot.hex, path });
    }
  }

  /** Walks list pages of a large file. @returns whether all of it is there */
  #listPages(rows: Uint8Array, depth: number, open: Open, ref: Ref, entry: Entry): boolean {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    let whole = true;
    for (let at = 0; at < rows.byteLength; at += ROW_BYTES) {
      const id = rows.subarray(at + 8, at + ROW_BYTES);
      const key = sha256(LIST, Uint8Array.of(depth), rows.subarray(at, at + ROW_BYTES));
      const known = this.#memo.find(key, this.#isGood);
      if (known !== undefined) {
        open.packs.merge(known.packs);
        continue;
      }
      const page = opened(ref);
      try {
        const name = `list page ${toHex(id)}`;
        const bytes = this.#source.chunks.read(id, ChunkType.listPage);
        if (checkRows(bytes, depth - 1, name) !== rowLength(view, at))
          throw new CorruptError(name, 'does not add up to the row above it');
        const references = new References();
        references.add(id, -1);
        if (depth === 1) references.addRows(bytes, 0);
        else if (!this.#listPages(bytes, depth - 1, page, ref, entry)) page.tainted = true;
        this.#resolve(references, [entry], page);
      } catch (error) {
        page.tainted = true;
        const blamed = this.#blame.of(id);
        const affected = { snapshot: this.#snapshot.hex, path: this.#path(ref.directory, entry.name) };
        if (blamed !== undefined) this.#findings.error(blamed.object, blamed.code, blamed.message, affected);
        else this.#findings.thrown(error, this.#blame.packOf(id), affected);
      }
      open.packs.merge(page.packs.numbers);
      if (page.tainted) whole = false;
      else this.#memo.add(key, page.sums, page.packs);
    }
    return whole;
  }

  /** Attribute values of the root, which stands in no page. */
  #attributes(root: DirectoryEntry): void {
    for (const { value } of root.xattrs) {
      const problem = value instanceof Uint8Array ? undefined : this.#blame.lost(value.id);
      if (problem !== undefined)
        this.#findings.error(problem.object, problem.code, problem.message, { snapshot: this.#snapshot.hex, path: '/' });
    }
  }

  /** Path of `entry` in `directory`, which is below what is on the stack. */
  #path(directory: DirectoryEntry | undefined, entry?: Uint8Array): string {
    const names = [...this.#stack.map(({ ref }) => ref.directory?.name), directory?.name, entry];
    return `/${names.flatMap((name) => (name === undefined || name.byteLength === 0 ? [] : [lossyUtf8(name)])).join('/')}`;
  }
}
