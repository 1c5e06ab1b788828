/**
 * Turns a file's rows of chunks and holes, as they come, into its content: rows in the entry when they are few, else list pages (docs/format.md §9).
 * Holds a few pages of rows per level, however long the file is.
 */
import { type Content, checkRows, encodeRows, INLINE_ROWS, ROW_BYTES, splitRows } from '../format/content.js';
import { ChunkType } from '../format/pack.js';
import type { MetaWriter, Stored } from './meta-writer.js';

const FLUSH_ROWS = 4096;

export class ListWriter {
  readonly #meta: MetaWriter;
  readonly #onPage: (page: Stored) => void;
  #levels: Uint8Array[] = [new Uint8Array(0)];
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
    const before = this.#levels[level] ?? new Uint8Array(0);
    const all = new Uint8Array(before.byteLength + rows.byteLength);
    all.set(before);
    all.set(rows, before.byteLength);
    this.#levels[level] = all;
    if (all.byteLength < FLUSH_ROWS * ROW_BYTES) return;
    const pages = splitRows(all);
    const last = pages.pop()!;
    for (const page of pages) this.#emit(level, page);
    this.#levels[level] = last.slice();
  }

  #emit(level: number, page: Uint8Array): void {
    const stored = this.#meta.put(ChunkType.listPage, page);
    this.#onPage(stored);
    this.#append(level + 1, encodeRows([{ length: checkRows(page, level, 'list page'), id: stored.id }]));
  }

  /** The content of the file whose rows were pushed. */
  finish(): Content {
    for (let level = 0; ; level++) {
      const rows = this.#levels[level]!;
      if (level === this.#levels.length - 1 && rows.byteLength <= INLINE_ROWS * ROW_BYTES)
        return { kind: 'rows', depth: level, rows };
      if (rows.byteLength > 0) for (const page of splitRows(rows)) this.#emit(level, page);
    }
  }
}
