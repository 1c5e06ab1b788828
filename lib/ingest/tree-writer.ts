/**
 * Writes a directory as one page or a tree of pages (docs/format.md §9, Page splits), so that a change in a directory of a million entries rewrites one page.
 */
import { hmac } from '../crypto/kdf.js';
import { utf8 } from '../bytes.js';
import { CborWriter } from '../format/cbor.js';
import { encodeInner, encodeLeaf, type InnerRow, type Owner, writeEntry, type Entry } from '../format/tree.js';
import { ChunkType } from '../format/pack.js';
import type { MetaWriter, Stored } from './meta-writer.js';

const WHOLE_ENTRIES = 2048;
const MIN_PAGE_ENTRIES = 64;
const MAX_PAGE_ENTRIES = 4096;
const MAX_PAGE_BYTES = 512 << 10;
const SPLIT_MASK = 0x3ff;

/** Stores the directory whose `entries` are in order. @returns its page's id, and every page that stands for it */
export function writeDirectory(meta: MetaWriter, namesKey: Uint8Array, entries: readonly Entry[]): { tree: Uint8Array; pages: Stored[] } {
  const pages: Stored[] = [];
  const put = (plaintext: Uint8Array): Stored => {
    const stored = meta.put(ChunkType.treePage, plaintext);
    pages.push(stored);
    return stored;
  };
  const whole = entries.length <= WHOLE_ENTRIES ? encodePage(entries) : undefined;
  if (whole !== undefined && whole.byteLength <= MAX_PAGE_BYTES) return { tree: put(whole).id, pages };
  let rows: InnerRow[] = splitEntries(namesKey, entries).map((group) => ({ firstName: group[0]!.name, id: put(encodePage(group)).id, count: group.length }));
  for (let level = 1; ; level++) {
    const groups = level === 1 && rows.length <= MAX_PAGE_ENTRIES ? [rows] : splitRowsByName(namesKey, rows);
    rows = groups.map((group) => ({ firstName: group[0]!.firstName, id: put(encodeInner(level, group)).id, count: group.reduce((sum, row) => sum + row.count, 0) }));
    if (rows.length === 1) return { tree: rows[0]!.id, pages };
  }
}

const scratch = new CborWriter(1 << 16);

function ownerKey(owner: Owner): string {
  return `${owner.uid}:${owner.gid}:${owner.user ?? ''}:${owner.group ?? ''}`;
}

function encodePage(entries: readonly Entry[]): Uint8Array {
  const owners: Owner[] = [];
  const index = new Map<Owner | string, number>();
  scratch.reset();
  for (const entry of entries) {
    let at = index.get(entry.owner);
    if (at === undefined) {
      const key = ownerKey(entry.owner);
      at = index.get(key);
      if (at === undefined) {
        at = owners.length;
        owners.push(entry.owner);
        index.set(key, at);
      }
      index.set(entry.owner, at);
    }
    writeEntry(scratch, entry, at);
  }
  return encodeLeaf(owners, entries.length, scratch.peek());
}

const boundary = (namesKey: Uint8Array, name: Uint8Array, at: number): boolean => {
  const mac = hmac(namesKey, utf8('page'), name);
  return ((mac[at]! | (mac[at + 1]! << 8)) & SPLIT_MASK) === 0;
};

function splitEntries(namesKey: Uint8Array, entries: readonly Entry[]): Entry[][] {
  const groups: Entry[][] = [];
  let group: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    scratch.reset();
    writeEntry(scratch, entry, 0);
    if (group.length > 0 && bytes + scratch.length > MAX_PAGE_BYTES) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.push(entry);
    bytes += scratch.length;
    if ((group.length >= MIN_PAGE_ENTRIES && boundary(namesKey, entry.name, 0)) || group.length >= MAX_PAGE_ENTRIES) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
  }
  if (group.length > 0) groups.push(group);
  return groups;
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
