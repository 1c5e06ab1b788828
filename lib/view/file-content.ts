/**
 * Bytes, holes and real size of a file of a snapshot, for random access: rows are searched, not walked, and list pages are kept in a form that can be
 * (docs/format.md §9, Content). Blocking.
 */
import { toHex } from '../bytes.js';
import { chunkIdOfDigest } from '../crypto/chunk-id.js';
import { CorruptError } from '../errors.js';
import { checkRows, isZeroId, ROW_BYTES, rowLength } from '../format/content.js';
import { ChunkType } from '../format/pack.js';
import type { FileEntry } from '../format/tree.js';
import { native } from '../native.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { ByteLru } from './byte-lru.js';

/** Rows of content with the offset of each, relative to the first. */
interface Rows {
  readonly bytes: Uint8Array;
  readonly depth: number;
  /** count + 1 items; the last is the length of all. */
  readonly starts: Float64Array;
}

/** How many list pages one call may read. */
const LIST_PAGES_FOR_SIZE = 128;
const LIST_PAGES_FOR_SEEK = 4096;

/** List pages of one thread, kept up to a limit in bytes. */
export class FileContents {
  readonly #pages: ByteLru<string, Rows>;
  readonly #tops = new WeakMap<FileEntry, Rows>();
  readonly #dataBytes = new WeakMap<FileEntry, number>();
  readonly #wholeIds = new WeakMap<FileEntry, Uint8Array>();

  constructor(cacheBytes: number) {
    this.#pages = new ByteLru(cacheBytes);
  }

  /** Fills `into` from `offset`; the count is short only at the end of the file. @throws CorruptError */
  read(source: TreeSource, file: FileEntry, offset: number, into: Uint8Array): number {
    const end = Math.min(file.sizeBytes, offset + into.byteLength);
    if (end <= offset) return 0;
    const { content } = file;
    if (content.kind === 'inline') into.set(content.bytes.subarray(offset, end));
    else if (content.kind === 'whole') {
      native().copyBytes(this.#chunk(source, this.#wholeId(source, file), file.sizeBytes), offset, into, 0, end - offset);
      if (end === file.sizeBytes) source.chunks.spent?.();
    } else if (content.kind === 'rows') this.#readRows(source, this.#top(file), 0, offset, end, into, offset);
    return end - offset;
  }

  /** The next offset at or after `offset` of that kind; undefined past the end. The end of the file counts as a hole. */
  seek(source: TreeSource, file: FileEntry, offset: number, what: 'data' | 'hole'): number | undefined {
    if (offset >= file.sizeBytes) return undefined;
    if (file.content.kind !== 'rows') return what === 'data' ? offset : file.sizeBytes;
    const found = this.#seekRows(source, this.#top(file), 0, offset, what === 'hole', { pages: LIST_PAGES_FOR_SEEK });
    if (found !== undefined) return Math.max(found, offset);
    return what === 'hole' ? file.sizeBytes : undefined;
  }

  /**
   * Bytes of `file` that are not holes. Exact for files of up to some 100 list pages; beyond, reckoned from as many evenly spread ones.
   * A list page that cannot be read counts as data.
   */
  dataBytes(source: TreeSource, file: FileEntry): number {
    if (file.content.kind !== 'rows') return file.sizeBytes;
    let bytes = this.#dataBytes.get(file);
    if (bytes === undefined) {
      bytes = this.#dataOf(source, this.#top(file), LIST_PAGES_FOR_SIZE);
      this.#dataBytes.set(file, bytes);
    }
    return bytes;
  }

  #readRows(source: TreeSource, rows: Rows, start: number, from: number, to: number, into: Uint8Array, base: number): void {
    for (let i = rowAt(rows, from - start); i < rows.starts.length - 1; i++) {
      const rowStart = start + rows.starts[i]!;
      if (rowStart >= to) return;
      const rowEnd = start + rows.starts[i + 1]!;
      const first = Math.max(from, rowStart);
      const last = Math.min(to, rowEnd);
      const id = idOf(rows, i);
      if (id === undefined) into.fill(0, first - base, last - base);
      else if (rows.depth === 0) {
        native().copyBytes(this.#chunk(source, id, rowEnd - rowStart), first - rowStart, into, first - base, last - first);
        if (last === rowEnd) source.chunks.spent?.();
      } else this.#readRows(source, this.#page(source, rows, i), rowStart, first, last, into, base);
    }
  }

  /** Undefined: none until the end of these rows, or the budget is used up (then whatever follows counts as data). */
  #seekRows(
    source: TreeSource,
    rows: Rows,
    start: number,
    offset: number,
    hole: boolean,
    budget: { pages: number },
  ): number | undefined {
    for (let i = rowAt(rows, offset - start); i < rows.starts.length - 1; i++) {
      const rowStart = start + rows.starts[i]!;
      const id = idOf(rows, i);
      if (rows.depth === 0) {
        if ((id === undefined) === hole) return Math.max(rowStart, offset);
        continue;
      }
      if (budget.pages-- <= 0) return hole ? undefined : Math.max(rowStart, offset);
      const found = this.#seekRows(source, this.#page(source, rows, i), rowStart, Math.max(rowStart, offset), hole, budget);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #dataOf(source: TreeSource, rows: Rows, pages: number): number {
    const count = rows.starts.length - 1;
    let sum = 0;
    if (rows.depth === 0) {
      for (let i = 0; i < count; i++) if (idOf(rows, i) !== undefined) sum += rows.starts[i + 1]! - rows.starts[i]!;
      return sum;
    }
    const step = Math.max(1, Math.ceil(count / pages));
    let looked = 0;
    for (let i = 0; i < count; i += step) {
      const length = rows.starts[i + 1]! - rows.starts[i]!;
      looked += length;
      try {
        sum += this.#dataOf(source, this.#page(source, rows, i), Math.max(1, Math.floor(pages / Math.ceil(count / step))));
      } catch (error) {
        if (!(error instanceof CorruptError)) throw error;
        sum += length;
      }
    }
    const total = rows.starts[count]!;
    return looked === total ? sum : Math.floor((sum / looked) * total);
  }

  #top(file: FileEntry): Rows {
    let rows = this.#tops.get(file);
    if (rows === undefined) {
      if (file.content.kind !== 'rows') throw new TypeError('a file without rows');
      rows = rowsOf(file.content.rows, file.content.depth);
      this.#tops.set(file, rows);
    }
    return rows;
  }

  /** The list page behind row `i`, checked against it. */
  #page(source: TreeSource, rows: Rows, i: number): Rows {
    const id = idOf(rows, i)!;
    const key = `${rows.depth} ${toHex(id)}`;
    let page = this.#pages.get(key);
    if (page === undefined) {
      const bytes = source.chunks.read(id, ChunkType.listPage).slice();
      checkRows(bytes, rows.depth - 1, `list page ${toHex(id)}`);
      page = rowsOf(bytes, rows.depth - 1);
      this.#pages.set(key, page, bytes.byteLength + page.starts.byteLength + 256);
    }
    if (page.starts.at(-1) !== rows.starts[i + 1]! - rows.starts[i]!) {
      throw new CorruptError(`list page ${toHex(id)}`, 'does not add up to the row above it');
    }
    return page;
  }

  #wholeId(source: TreeSource, file: FileEntry): Uint8Array {
    let id = this.#wholeIds.get(file);
    if (id === undefined) {
      id = chunkIdOfDigest(source.chunkIdKey, ChunkType.data, file.digest!);
      this.#wholeIds.set(file, id);
    }
    return id;
  }

  #chunk(source: TreeSource, id: Uint8Array, lengthBytes: number): Uint8Array {
    const bytes = source.chunks.read(id, ChunkType.data);
    if (bytes.byteLength !== lengthBytes)
      throw new CorruptError(`chunk ${toHex(id)}`, `has ${bytes.byteLength} bytes where its row says ${lengthBytes}`);
    return bytes;
  }
}

function rowsOf(bytes: Uint8Array, depth: number): Rows {
  const count = bytes.byteLength / ROW_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = new Float64Array(count + 1);
  for (let i = 0; i < count; i++) starts[i + 1] = starts[i]! + rowLength(view, i * ROW_BYTES);
  return { bytes, depth, starts };
}

/** The row that holds `offset`; 0 for one before all. */
function rowAt(rows: Rows, offset: number): number {
  let low = 0;
  let high = rows.starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (rows.starts[middle]! <= offset) low = middle;
    else high = middle;
  }
  return low;
}

/** Id of row `i`, or undefined for a hole. */
function idOf(rows: Rows, i: number): Uint8Array | undefined {
  const at = i * ROW_BYTES + 8;
  return isZeroId(rows.bytes, at) ? undefined : rows.bytes.subarray(at, at + 32);
}
