/**
 * Turns a file's rows of chunks and holes, as they come, into its content: rows in the entry when they are few, else list pages (docs/format.md §9).
 * Holds a few pages of rows per level, however long the file is.
 */
import { type Content, checkRows, encodeRows, INLINE_ROWS, ROW_BYTES, splitRows } from '../format/content.js';
import { ChunkType } from '../format/pack.js';
import type { MetaWriter, Stored } from './meta-writer.js';

const FLUSH_ROWS = 4096;

/** Rows in a buffer that doubles: thousands of joined copies would keep the collector busy. */
class GrowingRows {
  #buffer = new Uint8Array(16 * ROW_BYTES);
  byteLength = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.byteLength);
  }

  push(rows: Uint8Array): void {
    const length = this.byteLength + rows.byteLength;
    if (length > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#buffer.byteLength));
      grown.set(this.bytes);
      this.#buffer = grown;
    }
    this.#buffer.set(rows, this.byteLength);
    this.byteLength = length;
  }

  keepLast(length: number): void {
    this.#buffer.copyWithin(0, this.byteLength - length, this.byteLength);
    this.byteLength = length;
  }
}

export class ListWriter {
  readonly #meta: MetaWriter;
  readonly #onPage: (page: Stored) => void;
  readonly #levels: GrowingRows[] = [new GrowingRows()];
  #leafRows = 0;

  constructor(meta: MetaWriter, onPage: (page: Stored) => void) {
    this.#meta = meta;
    this.#onPage = onPage;
  }

  get leafRows(): number {
    return this.#leafRows;
  }

  /** Appends 40-byte rows. */
  push(rows: Uint8Array): void {
    this.#leafRows += rows.byteLength / ROW_BYTES;
    this.#append(0, rows);
  }

  hole(lengthBytes: number): void {
    this.push(encodeRows([{ length: lengthBytes, id: undefined }]));
  }

  #append(level: number, rows: Uint8Array): void {
    const waiting = (this.#levels[level] ??= new GrowingRows());
    waiting.push(rows);
    if (waiting.byteLength < FLUSH_ROWS * ROW_BYTES) return;
    const pages = splitRows(waiting.bytes);
    const last = pages.pop()!;
    for (const page of pages) this.#emit(level, page);
    waiting.keepLast(last.byteLength);
  }

  #emit(level: number, page: Uint8Array): void {
    const stored = this.#meta.put(ChunkType.listPage, page);
    this.#onPage(stored);
    this.#append(level + 1, encodeRows([{ length: checkRows(page, level, 'list page'), id: stored.id }]));
  }

  /** The content of the file whose rows were pushed. */
  finish(): Content {
    for (let level = 0; ; level++) {
      const rows = this.#levels[level]!.bytes;
      if (level === this.#levels.length - 1 && rows.byteLength <= INLINE_ROWS * ROW_BYTES)
        return { kind: 'rows', depth: level, rows: rows.slice() };
      if (rows.byteLength > 0) for (const page of splitRows(rows)) this.#emit(level, page);
    }
  }
}
