/**
 * Walks the trees of snapshots: every page decodes and adds up, every chunk that is referenced stands in a pack that the snapshot pins. Reads metadata only.
 * A page is walked once, however many paths of how many snapshots lead to it (see pack-sets.ts), so that no tree costs more than its pages. What is damaged is reported
 * with the path it takes away, and the walk goes on.
 */
import { compareBytes, concat, equalBytes, lossyUtf8, toHex, utf8 } from '../bytes.js';
import { ABSENT, type ChunkIndex } from '../chunk-index/chunk-index.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError } from '../errors.js';
import { checkRows, ROW_BYTES, rowLength } from '../format/content.js';
import { linkContent } from '../format/link-key.js';
import { ChunkType } from '../format/pack.js';
import type { InnerPage, Page } from '../format/page.js';
import { type DirectoryEntry, type Entry, type FileEntry, isDirectory, isFile, MAX_DEPTH } from '../format/tree.js';
import { native } from '../native.js';
import type { ChunkReader } from '../repository/chunk-reader.js';
import { checkChild, factsOf, isLeaf, type PageFacts, readPage, type TreeSource } from '../repository/tree-reader.js';
import { Blame, type Culprit } from './blame.js';
import { type Damage, PackNumbers, Pinned } from './damage.js';
import { PackSet, PageMemo, SnapshotMemo, type Sums } from './pack-sets.js';
import { References } from './references.js';
import { described, type Findings } from './report.js';

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
  /** Name of the directory; undefined for a page within one. */
  readonly directory: DirectoryEntry | undefined;
  readonly parent: InnerPage | undefined;
  readonly row: number;
}

/** A page under way: its children are being walked. */
interface Open {
  readonly ref: Ref;
  /** Undefined when there was no room for them: the page is read again when they are needed. */
  children: readonly Ref[] | undefined;
  next: number;
  readonly sums: Sums;
  readonly packs: PackSet;
  height: number;
  /** Of a page within a directory: the last name in it. */
  last: Uint8Array | undefined;
  /** What is to blame for what is not there. */
  lost: Culprit | undefined;
  /** Something beneath is not what is said of it; all of it is there. */
  wrong: boolean;
}

function opened(ref: Ref): Open {
  const sums = { files: 0, directories: 0, bytes: 0 };
  return { ref, children: [], next: 0, sums, packs: new PackSet(), height: 0, last: undefined, lost: undefined, wrong: false };
}

/** Adds what is below; beyond counting stays beyond counting, so that no page can claim it. */
function addSums(to: Sums, { files, directories, bytes }: Sums, more: number): void {
  to.files = Math.min(to.files + files, UNCOUNTABLE);
  to.directories = Math.min(to.directories + directories + more, UNCOUNTABLE);
  to.bytes = Math.min(to.bytes + bytes, UNCOUNTABLE);
}

const UNCOUNTABLE = Number.MAX_SAFE_INTEGER + 1;
const SLICE_MS = 20;
/** Files with several names that are compared: 100 MB at most. */
const MAX_LINKS = 500_000;
const LIST = utf8('list');
/** Children kept of all pages under way. Of those above, more are read again. */
const MAX_CHILDREN = 250_000;
/** Pages within directories of which first and last name are kept; others are read again to be held against the pages above them. */
const MAX_FACTS = 500_000;
const MAX_CULPRITS = 10_000;
const NOTHING: readonly Ref[] = [];
const TOTALS = 'the totals of a directory are not those of what it holds';

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
  readonly #facts = new Map<string, PageFacts>();
  readonly #culprits = new Map<string, Culprit>();
  /** Distinct pages decoded, and those that were decoded once more. */
  pages = 0;
  #sliceEnd = 0;

  // The snapshot being walked.
  #snapshot!: WalkedSnapshot;
  #pinned!: Pinned;
  #source!: TreeSource;
  #blame!: Blame;
  #stack: Open[] = [];
  #children = 0;
  /** Directories under way. */
  #depth = 0;
  #own: SnapshotMemo<Culprit> | undefined;
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
    this.#children = this.#depth = 0;
    this.#links.clear();
    const { root } = snapshot;
    try {
      this.#attributes(root);
      await this.#descend({ id: root.tree, directory: root, parent: undefined, row: 0 });
      for (let open = this.#stack.at(-1); open !== undefined; open = this.#stack.at(-1)) {
        const ref = this.#childrenOf(open)[open.next];
        if (ref === undefined) this.#finish(open);
        else {
          open.next++;
          await this.#descend(ref);
        }
        await this.#rest();
      }
    } finally {
      this.#own?.close();
      this.#own = undefined;
    }
  }

  /** Lets others have their turn when they have waited long. */
  async #rest(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await this.#breathe();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  readonly #isGood = (pack: number): boolean => this.#pinned.good[pack] === 1;

  /** Takes up a page: from memory, or by opening it. */
  async #descend(ref: Ref): Promise<void> {
    const above = this.#stack.at(-1);
    try {
      const depth = this.#depth - (ref.directory === undefined ? 1 : 0);
      let page: Page | undefined;
      let facts: PageFacts | undefined;
      if (ref.parent !== undefined) {
        facts = this.#facts.get(keyText(ref.id));
        if (facts === undefined) {
          page = this.#read(ref.id);
          facts = factsOf(page);
        }
        checkChild(facts, ref.parent, ref.row);
      }
      const known = this.#memo.find(ref.id, this.#isGood);
      const own = known === undefined ? this.#own?.find(ref.id) : undefined;
      if (depth + (known ?? own ?? { height: 0 }).height > MAX_DEPTH)
        throw new CorruptError(this.#snapshot.object, 'directories nest too deep');
      if (known !== undefined) {
        if (known.isWrong) this.#tell(this.#culprit(this.#snapshot.object, 'CORRUPT', TOTALS), ref.directory);
        this.#report(ref, { ...known, lost: undefined, wrong: known.isWrong, last: facts?.last });
      } else if (own !== undefined) {
        if (own.culprit !== undefined) this.#tell(own.culprit, ref.directory);
        this.#report(ref, { ...own, packs: undefined, lost: own.culprit, wrong: false, last: facts?.last });
      } else {
        page ??= this.#read(ref.id);
        const open = await this.#open(ref, page);
        this.#stack.push(open);
        if (ref.directory !== undefined) this.#depth++;
        this.#makeRoom(open);
      }
    } catch (error) {
      const culprit = this.#culpritOf(error, ref.id);
      this.#tell(culprit, ref.directory);
      if (above !== undefined) above.lost ??= culprit;
    }
  }

  #read(id: Uint8Array): Page {
    this.pages++;
    return readPage(this.#source, id);
  }

  /** Forgets the children of pages far up when those of all pages under way are too many. */
  #makeRoom(open: Open): void {
    this.#children += open.children!.length;
    for (let i = 0; this.#children > MAX_CHILDREN && i < this.#stack.length - 1; i++) this.#forget(this.#stack[i]!);
  }

  #forget(open: Open): void {
    this.#children -= open.children?.length ?? 0;
    open.children = undefined;
  }

  #childrenOf(open: Open): readonly Ref[] {
    if (open.children === undefined) {
      try {
        open.children = refsOf(this.#read(open.ref.id));
      } catch (error) {
        // It was read before: the store does not give it any more.
        const culprit = this.#culpritOf(error, open.ref.id);
        this.#tell(culprit, undefined);
        open.lost ??= culprit;
        open.children = NOTHING;
      }
      this.#children += open.children.length;
    }
    return open.children;
  }

  /** A page whose children were all walked. */
  #finish(open: Open): void {
    const { ref, sums, packs, lost, wrong } = open;
    this.#forget(open);
    this.#stack.pop();
    if (ref.directory !== undefined) this.#depth--;
    if (lost !== undefined || !this.#memo.add(ref.id, open, packs, wrong)) {
      this.#own ??= new SnapshotMemo();
      const untrue = wrong ? this.#culprit(this.#snapshot.object, 'CORRUPT', TOTALS) : undefined;
      this.#own.add(ref.id, open, lost ?? untrue);
    }
    this.#report(ref, { sums, height: open.height, packs: packs.numbers, lost, wrong, last: open.last });
  }

  /** Adds a finished page to the one above it. */
  #report(
    ref: Ref,
    page: Pick<Open, 'sums' | 'height' | 'lost' | 'wrong' | 'last'> & { readonly packs: Iterable<number> | undefined },
  ): void {
    const above = this.#stack.at(-1);
    const { directory, parent } = ref;
    const { sums, lost } = page;
    let wrong = page.wrong;
    if (directory !== undefined && lost === undefined) {
      const { totals } = directory;
      if (totals.files !== sums.files || totals.directories !== sums.directories || totals.bytes !== sums.bytes) {
        wrong = true;
        this.#tell(this.#culprit(this.#snapshot.object, 'CORRUPT', TOTALS), directory);
      }
    }
    if (above === undefined) return;
    if (parent !== undefined) {
      const known = this.#facts.get(keyText(ref.id));
      if (known === undefined && this.#facts.size < MAX_FACTS) {
        const { level, rows } = parent;
        const { count, firstName } = rows[ref.row]!;
        this.#facts.set(keyText(ref.id), { level: level - 1, count, first: firstName.slice(), last: page.last?.slice() });
      }
      // What an inner page says of its end is where its last child begins.
      above.last = page.last;
      const end = parent.rows[ref.row + 1]?.firstName;
      if (lost === undefined && end !== undefined && page.last !== undefined && compareBytes(page.last, end) >= 0) {
        const culprit = this.#culprit(this.#blame.packOf(ref.id), 'CORRUPT', 'a tree page overlaps the page after it');
        this.#tell(culprit, undefined);
        above.lost ??= culprit;
      }
    }
    above.lost ??= lost;
    above.wrong ||= wrong;
    above.packs.merge(page.packs);
    above.height = Math.max(above.height, page.height + (directory === undefined ? 0 : 1));
    addSums(above.sums, sums, directory === undefined ? 0 : 1);
  }

  async #open(ref: Ref, page: Page): Promise<Open> {
    const open = opened(ref);
    const references = this.#references;
    references.clear();
    references.add(ref.id, -1);
    open.children = refsOf(page);
    if (!isLeaf(page)) {
      this.#resolve(references, [], open);
      return open;
    }
    open.last = page.entries.at(-1)?.name;
    const digests: Uint8Array[] = [];
    const digestOwners: number[] = [];
    const listed: Entry[] = [];
    page.entries.forEach((entry, owner) => {
      for (const { value } of entry.xattrs) if (!(value instanceof Uint8Array)) references.add(value.id, owner);
      if (isDirectory(entry)) return;
      addSums(open.sums, { files: 1, directories: 0, bytes: isFile(entry) ? entry.sizeBytes : 0 }, 0);
      if (entry.link !== null) this.#link(ref, entry, entry.link.id);
      if (!isFile(entry)) return;
      const { content } = entry;
      if (content.kind === 'whole') {
        digests.push(entry.digest!);
        digestOwners.push(owner);
      } else if (content.kind === 'rows') {
        if (content.depth === 0) references.addRows(content.rows, owner);
        else listed.push(entry);
      }
    });
    if (digests.length > 0) {
      const ids = native().chunkIds(this.#snapshot.chunkIdKey, ChunkType.data, concat(...digests));
      for (const [i, owner] of digestOwners.entries()) references.add(ids.subarray(i * 32, i * 32 + 32), owner);
    }
    this.#resolve(references, page.entries, open);
    for (const entry of listed) {
      const { content } = entry as FileEntry;
      if (content.kind === 'rows') await this.#listPages(content.rows, content.depth, open, entry);
    }
    return open;
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
      const culprit = this.#culprit(problem.object, problem.code, problem.message);
      open.lost ??= culprit;
      if (owner === told) continue;
      told = owner;
      this.#tell(culprit, open.ref.directory, entries[owner]!.name);
    }
  }

  /** Walks list pages of a large file; `open` gets the packs of what is there, and what to blame for what is not. */
  async #listPages(rows: Uint8Array, depth: number, open: Open, entry: Entry): Promise<void> {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    for (let at = 0; at < rows.byteLength; at += ROW_BYTES) {
      // The same row as the one before it says nothing new.
      if (at > 0 && equalBytes(rows.subarray(at, at + ROW_BYTES), rows.subarray(at - ROW_BYTES, at))) continue;
      await this.#rest();
      const id = rows.subarray(at + 8, at + ROW_BYTES);
      try {
        const { lengthBytes, packs, lost } = await this.#listPage(id, depth, open.ref, entry);
        open.packs.merge(packs);
        open.lost ??= lost;
        if (lost === undefined && lengthBytes !== rowLength(view, at))
          throw new CorruptError(`list page ${toHex(id)}`, 'does not add up to the row above it');
      } catch (error) {
        const culprit = this.#culpritOf(error, id);
        this.#tell(culprit, open.ref.directory, entry.name);
        open.lost ??= culprit;
      }
    }
  }

  /** One list page, from memory or read. `lengthBytes` is what its rows add up to. @throws CorruptError */
  async #listPage(
    id: Uint8Array,
    depth: number,
    ref: Ref,
    entry: Entry,
  ): Promise<{ lengthBytes: number; packs: Iterable<number> | undefined; lost: Culprit | undefined }> {
    const key = sha256(LIST, Uint8Array.of(depth), id);
    const known = this.#memo.find(key, this.#isGood);
    if (known !== undefined) return { lengthBytes: known.sums.bytes, packs: known.packs, lost: undefined };
    const own = this.#own?.find(key);
    if (own !== undefined) {
      if (own.culprit !== undefined) this.#tell(own.culprit, ref.directory, entry.name);
      return { lengthBytes: own.sums.bytes, packs: undefined, lost: own.culprit };
    }
    const page = opened(ref);
    try {
      // A copy: what is read while its own list pages are walked may take the place of it.
      const bytes = this.#source.chunks.read(id, ChunkType.listPage).slice();
      page.sums.bytes = checkRows(bytes, depth - 1, `list page ${toHex(id)}`);
      const references = new References();
      references.add(id, -1);
      if (depth === 1) references.addRows(bytes, 0);
      else await this.#listPages(bytes, depth - 1, page, entry);
      this.#resolve(references, [entry], page);
    } catch (error) {
      page.lost = this.#culpritOf(error, id);
      this.#tell(page.lost, ref.directory, entry.name);
    }
    const { sums, packs, lost } = page;
    if (lost !== undefined || !this.#memo.add(key, page, packs, false)) {
      this.#own ??= new SnapshotMemo();
      this.#own.add(key, page, lost);
    }
    return { lengthBytes: sums.bytes, packs: packs.numbers, lost };
  }

  /** Attribute values of the root, which stands in no page. */
  #attributes(root: DirectoryEntry): void {
    for (const { value } of root.xattrs) {
      const problem = value instanceof Uint8Array ? undefined : this.#blame.lost(value.id);
      if (problem !== undefined) this.#tell(problem, undefined);
    }
  }

  /** One object for all that is equal, so that memory of it stays small. */
  #culprit(object: string, code: string, message: string): Culprit {
    const key = `${object} ${message}`;
    let culprit = this.#culprits.get(key);
    if (culprit === undefined) {
      if (this.#culprits.size >= MAX_CULPRITS) this.#culprits.clear();
      this.#culprits.set(key, (culprit = { object, code, message }));
    }
    return culprit;
  }

  /** What to name for an error about the chunk `id`. @throws what ends the check */
  #culpritOf(error: unknown, id: Uint8Array): Culprit {
    const found = described(error, this.#blame.packOf(id));
    const { object, code, message } = this.#blame.of(id) ?? found;
    return this.#culprit(object, code, message);
  }

  #tell({ object, code, message }: Culprit, directory: DirectoryEntry | undefined, entry?: Uint8Array): void {
    this.#findings.error(object, code, message, { snapshot: this.#snapshot.hex, path: this.#path(directory, entry) });
  }

  /** Path of `entry` in `directory`, which is below what is on the stack. */
  #path(directory: DirectoryEntry | undefined, entry?: Uint8Array): string {
    const names = [...this.#stack.map(({ ref }) => ref.directory?.name), directory?.name, entry];
    return `/${names.flatMap((name) => (name === undefined || name.byteLength === 0 ? [] : [lossyUtf8(name)])).join('/')}`;
  }
}

const keyText = (id: Uint8Array): string => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');

/** The pages that `page` names: directories of a leaf, children of an inner page. */
function refsOf(page: Page): readonly Ref[] {
  if (isLeaf(page))
    return page.entries.flatMap((entry) =>
      isDirectory(entry) ? [{ id: entry.tree, directory: entry, parent: undefined, row: 0 }] : [],
    );
  const inner = page as InnerPage;
  return inner.rows.map((row, at) => ({ id: row.id, directory: undefined, parent: inner, row: at }));
}
