/**
 * A file's content as a tree entry holds it (docs/format.md §9, Content): nothing, inline bytes, one whole chunk, or rows of chunks and holes. Pure.
 */
import { viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import type { CborReader, CborWriter } from './cbor.js';
import { MAX_CHUNK_BYTES } from './pack.js';

export const ROW_BYTES = 40;
export const INLINE_MAX_BYTES = 256;
export const INLINE_ROWS = 16;
export const MAX_LIST_DEPTH = 4;
const MIN_PAGE_ROWS = 64;
const MAX_PAGE_ROWS = 2048;

export type Content =
  | { readonly kind: 'empty' }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | { readonly kind: 'whole' }
  | { readonly kind: 'rows'; readonly depth: number; readonly rows: Uint8Array };

export function writeContent(out: CborWriter, content: Content): void {
  if (content.kind === 'empty') out.null();
  else if (content.kind === 'inline') out.bytes(content.bytes);
  else if (content.kind === 'whole') out.int(1);
  else out.array(2).int(content.depth).bytes(content.rows);
}

/** Reads content and checks it against the file's size and digest. */
export function readContent(from: CborReader, sizeBytes: number, hasDigest: boolean): Content {
  switch (from.peek()) {
    case 'null':
      from.null();
      if (!hasDigest) from.fail('no content and no digest');
      if (sizeBytes !== 0) from.fail('no content, but a size');
      return { kind: 'empty' };
    case 'bytes': {
      const bytes = from.bytes();
      if (bytes.byteLength !== sizeBytes || sizeBytes === 0 || !hasDigest) from.fail('impossible inline content');
      return { kind: 'inline', bytes };
    }
    case 'int':
      if (from.uint() !== 1 || sizeBytes === 0 || sizeBytes > MAX_CHUNK_BYTES || !hasDigest)
        from.fail('impossible whole-chunk content');
      return { kind: 'whole' };
    default: {
      from.array(2);
      const depth = from.uint(MAX_LIST_DEPTH);
      const rows = from.bytes();
      let sum = -1;
      try {
        sum = checkRows(rows, depth, 'content');
      } catch (error) {
        from.fail((error as Error).message);
      }
      if (sum !== sizeBytes) from.fail('rows do not add up to the size');
      return { kind: 'rows', depth, rows };
    }
  }
}

/** Length that rows of `depth` cover. @throws CorruptError on a row that cannot be */
export function checkRows(rows: Uint8Array, depth: number, object: string): number {
  if (rows.byteLength === 0 || rows.byteLength % ROW_BYTES !== 0) throw new CorruptError(object, 'rows of an impossible length');
  const view = viewOf(rows);
  let sum = 0;
  for (let at = 0; at < rows.byteLength; at += ROW_BYTES) {
    const length = rowLength(view, at);
    if (length === 0 || length > Number.MAX_SAFE_INTEGER) throw new CorruptError(object, 'a row of an impossible length');
    const hole = isZeroId(rows, at + 8);
    if (hole ? depth > 0 : depth === 0 && length > MAX_CHUNK_BYTES) throw new CorruptError(object, 'a row that cannot be');
    sum += length;
  }
  if (sum > Number.MAX_SAFE_INTEGER) throw new CorruptError(object, 'rows longer than any file');
  return sum;
}

/** u64 at `at` as a number. */
export function rowLength(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

export function isZeroId(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 32; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Joins rows; an undefined id is a hole. */
export function encodeRows(rows: readonly { readonly length: number; readonly id: Uint8Array | undefined }[]): Uint8Array {
  const out = new Uint8Array(rows.length * ROW_BYTES);
  const view = viewOf(out);
  let at = 0;
  for (const row of rows) {
    view.setUint32(at, row.length % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor(row.length / 0x1_0000_0000), true);
    if (row.id !== undefined) out.set(row.id, at + 8);
    at += ROW_BYTES;
  }
  return out;
}

/**
 * Splits rows into list pages where docs/format.md says they should end, so that an edit in the middle of a large file rewrites few pages.
 * Returns one subarray per page.
 */
export function splitRows(rows: Uint8Array): Uint8Array[] {
  const pages: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < rows.byteLength; at += ROW_BYTES) {
    const count = (at - start) / ROW_BYTES + 1;
    const boundary = rows[at + 8] === 0 && (rows[at + 9]! & 1) === 0 && !isZeroId(rows, at + 8);
    if ((boundary && count >= MIN_PAGE_ROWS) || count >= MAX_PAGE_ROWS || at + ROW_BYTES === rows.byteLength) {
      pages.push(rows.subarray(start, at + ROW_BYTES));
      start = at + ROW_BYTES;
    }
  }
  return pages;
}
