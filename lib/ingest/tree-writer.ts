/**
 * Writes a directory as one page or a tree of pages (docs/format.md §9, Page splits), so that a change in a directory of a million entries rewrites one page.
 */
import { utf8 } from '../bytes.js';
import { hmac } from '../crypto/kdf.js';
import { CborWriter } from '../format/cbor.js';
import { ChunkType } from '../format/pack.js';
import { encodeInner, encodeLeaf, type InnerRow } from '../format/page.js';
import { type Entry, type Owner, writeEntry } from '../format/tree.js';
import type { MetaWriter, Stored } from './meta-writer.js';

const WHOLE_ENTRIES = 2048;
const MIN_PAGE_ENTRIES = 64;
const MAX_PAGE_ENTRIES = 4096;
const MAX_PAGE_BYTES = 512 << 10;
const SPLIT_MASK = 0x3ff;

/** Entries of a directory in order, each also as the CBOR that it has with owner 0; what most need for their page, and the change cache for all. */
export interface EncodedEntries {
  readonly entries: readonly Entry[];
  /** Of entry i. Valid until the next encodeEntries. */
  bytes(i: number): Uint8Array;
}

const encoder = new CborWriter(1 << 16);
const page = new CborWriter(1 << 16);

/** Encodes the entries of one directory. The result is valid until the next call. */
export function encodeEntries(entries: readonly Entry[]): EncodedEntries {
  encoder.reset();
  const ends: number[] = [];
  for (const entry of entries) {
    writeEntry(encoder, entry, 0);
    ends.push(encoder.length);
  }
  const all = encoder.peek();
  return { entries, bytes: (i) => all.subarray(i === 0 ? 0 : ends[i - 1]!, ends[i]!) };
}

/** Stores a directory. @returns its page's id, and every page that stands for it */
export function writeDirectory(
  meta: MetaWriter,
  namesKey: Uint8Array,
  encoded: EncodedEntries,
): { tree: Uint8Array; pages: Stored[] } {
  const pages: Stored[] = [];
  const put = (plaintext: Uint8Array): Stored => {
    const stored = meta.put(ChunkType.treePage, plaintext);
    pages.push(stored);
    return stored;
  };
  const { entries } = encoded;
  const whole = entries.length <= WHOLE_ENTRIES ? encodePage(encoded, 0, entries.length) : undefined;
  if (whole !== undefined && whole.byteLength <= MAX_PAGE_BYTES) return { tree: put(whole).id, pages };
  let rows: InnerRow[] = [];
  for (const [from, to] of splitEntries(namesKey, encoded)) {
    rows.push({ firstName: entries[from]!.name, id: put(encodePage(encoded, from, to)).id, count: to - from });
  }
  for (let level = 1; ; level++) {
    const groups = level === 1 && rows.length <= MAX_PAGE_ENTRIES ? [rows] : splitRowsByName(namesKey, rows);
    rows = groups.map((group) => ({
      firstName: group[0]!.firstName,
      id: put(encodeInner(level, group)).id,
      count: group.reduce((sum, row) => sum + row.count, 0),
    }));
    if (rows.length === 1) return { tree: rows[0]!.id, pages };
  }
}

function sameOwner(a: Owner, b: Owner): boolean {
  return a === b || (a.uid === b.uid && a.gid === b.gid && a.user === b.user && a.group === b.group);
}

/** The leaf page of entries [from, to). */
function encodePage(encoded: EncodedEntries, from: number, to: number): Uint8Array {
  const owners: Owner[] = [];
  page.reset();
  for (let i = from; i < to; i++) {
    const { owner } = encoded.entries[i]!;
    let at = owners.findIndex((known) => sameOwner(known, owner));
    if (at < 0) at = owners.push(owner) - 1;
    if (at === 0) page.raw(encoded.bytes(i));
    else writeEntry(page, encoded.entries[i]!, at);
  }
  return encodeLeaf(owners, to - from, page.peek());
}

const boundary = (namesKey: Uint8Array, name: Uint8Array, at: number): boolean => {
  const mac = hmac(namesKey, utf8('page'), name);
  return ((mac[at]! | (mac[at + 1]! << 8)) & SPLIT_MASK) === 0;
};

/** Ranges of entries, one per leaf. */
function splitEntries(namesKey: Uint8Array, encoded: EncodedEntries): [number, number][] {
  const ranges: [number, number][] = [];
  const count = encoded.entries.length;
  let from = 0;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const size = encoded.bytes(i).byteLength;
    if (i > from && bytes + size > MAX_PAGE_BYTES) {
      ranges.push([from, i]);
      from = i;
      bytes = 0;
    }
    bytes += size;
    const held = i + 1 - from;
    if ((held >= MIN_PAGE_ENTRIES && boundary(namesKey, encoded.entries[i]!.name, 0)) || held >= MAX_PAGE_ENTRIES) {
      ranges.push([from, i + 1]);
      from = i + 1;
      bytes = 0;
    }
  }
  if (from < count) ranges.push([from, count]);
  return ranges;
}

function splitRowsByName(namesKey: Uint8Array, rows: readonly InnerRow[]): InnerRow[][] {
  const groups: InnerRow[][] = [];
  let group: InnerRow[] = [];
  for (const row of rows) {
    group.push(row);
    if ((group.length >= MIN_PAGE_ENTRIES && boundary(namesKey, row.firstName, 4)) || group.length >= MAX_PAGE_ENTRIES) {
      groups.push(group);
      group = [];
    }
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
