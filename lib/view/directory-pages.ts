/**
 * The pages of a directory for random access, by name and by position (docs/format.md §9): the page tree is gone down, leaves are checked but not decoded, and
 * pages are kept up to a limit in bytes. Checks what single pages cannot: that levels, counts and first names fit the page above. Blocking.
 */
import { compareBytes, equalBytes, toHex } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { ChunkType } from '../format/pack.js';
import { decodePage, type InnerPage } from '../format/page.js';
import type { Entry } from '../format/tree.js';
import { native } from '../native.js';
import { endOf, lastAtOrBefore, type TreeSource } from '../repository/tree-reader.js';
import { ByteLru } from './byte-lru.js';
import { LeafPage } from './leaf-page.js';

/** A leaf, the position of its first entry in the directory, and whether it is the last one. */
export interface LeafPlace {
  readonly leaf: LeafPage;
  readonly start: number;
  readonly last: boolean;
}

type PageNode = LeafPage | InnerPage;

/** Beyond its bytes, what a leaf weighs for each entry, and an inner page for each row. */
const ENTRY_WEIGHT = 4;
const ROW_WEIGHT = 250;
const PAGE_WEIGHT = 400;

/** Pages of one thread. Keyed by chunk id, whose content never changes. */
export class DirectoryPages {
  readonly #pages: ByteLru<string, PageNode>;

  constructor(cacheBytes: number) {
    this.#pages = new ByteLru(cacheBytes);
  }

  /** The leaf that holds `position` of directory `tree`, or undefined past the end. @throws CorruptError */
  at(source: TreeSource, tree: Uint8Array, position: number): LeafPlace | undefined {
    let page = this.#page(source, tree);
    let start = 0;
    let last = true;
    let until: Uint8Array | undefined;
    while (!(page instanceof LeafPage)) {
      const { rows } = page;
      let row = 0;
      while (row < rows.length && start + rows[row]!.count <= position) start += rows[row++]!.count;
      if (row === rows.length) return undefined;
      last &&= row === rows.length - 1;
      const end = endOf(page, row, until);
      page = this.#child(source, page, row, end);
      until = end;
    }
    return position < start + page.count ? { leaf: page, start, last } : undefined;
  }

  /** Leaf and position of `name`, or undefined. @throws CorruptError */
  find(source: TreeSource, tree: Uint8Array, name: Uint8Array): { leaf: LeafPage; index: number; position: number } | undefined {
    let page = this.#page(source, tree);
    let position = 0;
    let until: Uint8Array | undefined;
    while (!(page instanceof LeafPage)) {
      const row = lastAtOrBefore(page.rows, ({ firstName }) => firstName, name);
      if (row < 0) return undefined;
      for (let i = 0; i < row; i++) position += page.rows[i]!.count;
      const end = endOf(page, row, until);
      page = this.#child(source, page, row, end);
      until = end;
    }
    const index = page.find(name);
    return index < 0 ? undefined : { leaf: page, index, position: position + index };
  }

  /** The entry at `position`, decoded. @throws CorruptError */
  entryAt(source: TreeSource, tree: Uint8Array, position: number): Entry | undefined {
    const found = this.at(source, tree, position);
    return found?.leaf.entry(position - found.start);
  }

  #page(source: TreeSource, id: Uint8Array): PageNode {
    const key = toHex(id);
    let page = this.#pages.get(key);
    if (page === undefined) {
      // A copy, because what `read` gives is a view of its whole frame, and gone at the next read.
      const shared = source.chunks.read(id, ChunkType.treePage);
      const bytes = new Uint8Array(shared.byteLength);
      native().copyBytes(shared, 0, bytes, 0, bytes.byteLength);
      const object = `tree page ${key}`;
      // The second byte of a page is its level, 0 for a leaf.
      if (bytes[1] === 0) page = new LeafPage(bytes, object);
      else page = decodePage(bytes, object) as InnerPage;
      const weight = page instanceof LeafPage ? page.count * ENTRY_WEIGHT : page.rows.length * ROW_WEIGHT;
      this.#pages.set(key, page, bytes.byteLength + weight + PAGE_WEIGHT);
    }
    return page;
  }

  /** A child page, checked against its row; its names end before `end`. */
  #child(source: TreeSource, parent: InnerPage, index: number, end: Uint8Array | undefined): PageNode {
    const row = parent.rows[index]!;
    const page = this.#page(source, row.id);
    const isLeaf = page instanceof LeafPage;
    const count = isLeaf ? page.count : page.rows.reduce((sum, { count: n }) => sum + n, 0);
    const level = isLeaf ? 0 : page.level;
    if (level !== parent.level - 1 || count !== row.count || count === 0) throw misfit(row.id, 'does not fit the page above it');
    const first = isLeaf ? page.name(0) : page.rows[0]!.firstName;
    const last = isLeaf ? page.name(page.count - 1) : page.rows.at(-1)!.firstName;
    if (!equalBytes(first, row.firstName)) throw misfit(row.id, 'does not fit the page above it');
    if (end !== undefined && compareBytes(last, end) >= 0) throw misfit(row.id, 'overlaps the page after it');
    return page;
  }
}

function misfit(id: Uint8Array, message: string): CorruptError {
  return new CorruptError(`tree page ${toHex(id)}`, message);
}
