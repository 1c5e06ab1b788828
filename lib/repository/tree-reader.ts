/**
 * Walks directories and files of a snapshot through a ChunkSource: pages of trees, rows of content (docs/format.md §9). Checks what single pages cannot: that
 * levels, counts and first names of inner pages fit their children.
 */
import { compareBytes, equalBytes, toHex } from '../bytes.js';
import { chunkIdOfDigest } from '../crypto/chunk-id.js';
import { CorruptError } from '../errors.js';
import { checkRows, isZeroId, ROW_BYTES, rowLength } from '../format/content.js';
import { ChunkType } from '../format/pack.js';
import { decodePage, type InnerPage, type LeafPage, type Page } from '../format/page.js';
import type { Entry, FileEntry } from '../format/tree.js';
import type { ChunkSource } from './chunk-reader.js';

/** What reading a tree needs: chunks of its snapshot, and the chunk-id key of its domain. */
export interface TreeSource {
  readonly chunks: ChunkSource;
  readonly chunkIdKey: Uint8Array;
}

/** Reads and decodes one page. @throws CorruptError */
export function readPage(source: TreeSource, id: Uint8Array): Page {
  return decodePage(source.chunks.read(id, ChunkType.treePage), `tree page ${toHex(id)}`);
}

export function isLeaf(page: Page): page is LeafPage {
  return page.level === 0;
}

/** What the page above a page says of it, or what it is. */
export interface PageFacts {
  readonly level: number;
  /** Entries in and below it. */
  readonly count: number;
  /** Undefined for an empty leaf. */
  readonly first: Uint8Array | undefined;
  /** Of an inner page, the first name in its last child. */
  readonly last: Uint8Array | undefined;
}

export function factsOf(page: Page): PageFacts {
  const { level } = page;
  if (isLeaf(page)) return { level, count: page.entries.length, first: page.entries[0]?.name, last: page.entries.at(-1)?.name };
  const { rows } = page as InnerPage;
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  return { level, count, first: rows[0]?.firstName, last: rows.at(-1)?.firstName };
}

/** Where the names of child `rowIndex` end: `until` for the last one. Undefined: nowhere. */
export const endOf = (parent: InnerPage, rowIndex: number, until?: Uint8Array): Uint8Array | undefined =>
  parent.rows[rowIndex + 1]?.firstName ?? until;

/** Holds a child page against its row. @throws CorruptError */
export function checkChild(facts: PageFacts, parent: InnerPage, rowIndex: number, until?: Uint8Array): void {
  const { id, count, firstName } = parent.rows[rowIndex]!;
  const { level, first, last } = facts;
  if (level !== parent.level - 1 || count !== facts.count || first === undefined || !equalBytes(first, firstName))
    throw new CorruptError(`tree page ${toHex(id)}`, 'does not fit the page above it');
  const end = endOf(parent, rowIndex, until);
  if (end !== undefined && last !== undefined && compareBytes(last, end) >= 0)
    throw new CorruptError(`tree page ${toHex(id)}`, 'overlaps the page after it');
}

/** A child page of `parent`, checked against its row. `until`: where the names of `parent` end. @throws CorruptError */
export function readChildPage(source: TreeSource, parent: InnerPage, rowIndex: number, until?: Uint8Array): Page {
  const page = readPage(source, parent.rows[rowIndex]!.id);
  checkChild(factsOf(page), parent, rowIndex, until);
  return page;
}

/** Entries of a directory in order, page by page. @throws CorruptError */
export function* readDirectory(source: TreeSource, treeId: Uint8Array): Generator<Entry> {
  for (const { entries } of readLeaves(source, treeId)) yield* entries;
}

/** Leaf pages of a directory in order. @throws CorruptError */
export function* readLeaves(source: TreeSource, treeId: Uint8Array): Generator<LeafPage> {
  yield* leavesOf(source, readPage(source, treeId), undefined);
}

function* leavesOf(source: TreeSource, page: Page, until: Uint8Array | undefined): Generator<LeafPage> {
  if (isLeaf(page)) {
    yield page;
    return;
  }
  const inner = page as InnerPage;
  for (let i = 0; i < inner.rows.length; i++)
    yield* leavesOf(source, readChildPage(source, inner, i, until), endOf(inner, i, until));
}

/** The entry called `name`, or undefined. @throws CorruptError */
export function findEntry(source: TreeSource, treeId: Uint8Array, name: Uint8Array): Entry | undefined {
  let page = readPage(source, treeId);
  let until: Uint8Array | undefined;
  while (!isLeaf(page)) {
    const inner = page as InnerPage;
    const at = lastAtOrBefore(inner.rows, (row) => row.firstName, name);
    if (at < 0) return undefined;
    page = readChildPage(source, inner, at, until);
    until = endOf(inner, at, until);
  }
  const at = lastAtOrBefore(page.entries, (entry) => entry.name, name);
  const entry = page.entries[at];
  return entry !== undefined && equalBytes(entry.name, name) ? entry : undefined;
}

/** Index of the last item whose key is ≤ `name`, or -1. */
export function lastAtOrBefore<T>(items: readonly T[], key: (item: T) => Uint8Array, name: Uint8Array): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareBytes(key(items[middle]!), name) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A piece of a file: a chunk of data, inline bytes, or a hole. */
export interface Piece {
  /** Where it stands in the file. */
  readonly offset: number;
  readonly lengthBytes: number;
  /** Chunk id; undefined for holes and inline bytes. */
  readonly id: Uint8Array | undefined;
  readonly inline: Uint8Array | undefined;
}

/** Pieces of `file` that overlap [from, to), in order; O(log n) list pages are read. @throws CorruptError */
export function* readPieces(source: TreeSource, file: FileEntry, from = 0, to = file.sizeBytes): Generator<Piece> {
  const { content } = file;
  if (from >= to || content.kind === 'empty') return;
  if (content.kind === 'inline') yield { offset: 0, lengthBytes: file.sizeBytes, id: undefined, inline: content.bytes };
  else if (content.kind === 'whole')
    yield {
      offset: 0,
      lengthBytes: file.sizeBytes,
      id: chunkIdOfDigest(source.chunkIdKey, ChunkType.data, file.digest!),
      inline: undefined,
    };
  else yield* piecesOfRows(source, content.rows, content.depth, 0, from, to);
}

function* piecesOfRows(
  source: TreeSource,
  rows: Uint8Array,
  depth: number,
  start: number,
  from: number,
  to: number,
): Generator<Piece> {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
  let offset = start;
  for (let at = 0; at < rows.byteLength && offset < to; at += ROW_BYTES) {
    const lengthBytes = rowLength(view, at);
    const end = offset + lengthBytes;
    if (end > from) {
      const id = isZeroId(rows, at + 8) ? undefined : rows.subarray(at + 8, at + ROW_BYTES);
      if (depth === 0 || id === undefined) yield { offset, lengthBytes, id, inline: undefined };
      else {
        const page = source.chunks.read(id, ChunkType.listPage);
        const name = `list page ${toHex(id)}`;
        if (checkRows(page, depth - 1, name) !== lengthBytes) throw new CorruptError(name, 'does not add up to the row above it');
        yield* piecesOfRows(source, page, depth - 1, offset, from, to);
      }
    }
    offset = end;
  }
}

/** Fills `into` with the file's bytes from `offset`; returns the count, short only at the end. @throws CorruptError */
export function readFileRange(source: TreeSource, file: FileEntry, offset: number, into: Uint8Array): number {
  const end = Math.min(file.sizeBytes, offset + into.byteLength);
  if (end <= offset) return 0;
  for (const piece of readPieces(source, file, offset, end)) {
    const start = Math.max(offset, piece.offset);
    const stop = Math.min(end, piece.offset + piece.lengthBytes);
    if (piece.id === undefined && piece.inline === undefined) {
      into.fill(0, start - offset, stop - offset);
      continue;
    }
    const bytes = piece.inline ?? source.chunks.read(piece.id!, ChunkType.data);
    if (bytes.byteLength !== piece.lengthBytes)
      throw new CorruptError(`chunk of ${piece.lengthBytes} bytes`, `has ${bytes.byteLength}`);
    into.set(bytes.subarray(start - piece.offset, stop - piece.offset), start - offset);
  }
  return end - offset;
}
