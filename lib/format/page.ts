/** Pages of trees: a directory is one leaf, or inner pages above leaves (docs/format.md §9). Pure; refuses every page that is not exactly what is allowed. */
import { compareBytes } from '../bytes.js';
import { CborReader, CborWriter } from './cbor.js';
import { type Entry, isValidName, type Owner, readEntry, readOwner, writeOwner } from './tree.js';

export const MAX_PAGE_LEVEL = 8;

export interface LeafPage {
  readonly level: 0;
  readonly entries: readonly Entry[];
}
export interface InnerRow {
  readonly firstName: Uint8Array;
  readonly id: Uint8Array;
  readonly count: number;
}
export interface InnerPage {
  readonly level: number;
  readonly rows: readonly InnerRow[];
}
export type Page = LeafPage | InnerPage;

/** A leaf page of `count` entries in order, given as the CBOR that `writeEntry` made of them, joined. */
export function encodeLeaf(owners: readonly Owner[], count: number, encodedEntries: Uint8Array): Uint8Array {
  const out = new CborWriter(encodedEntries.byteLength + owners.length * 32 + 64);
  out.array(3).int(0).array(owners.length);
  for (const owner of owners) writeOwner(out, owner);
  return out.array(count).raw(encodedEntries).finish();
}

export function encodeInner(level: number, rows: readonly InnerRow[]): Uint8Array {
  const out = new CborWriter(rows.length * 80 + 16);
  out.array(2).int(level).array(rows.length);
  for (const row of rows) out.array(3).bytes(row.firstName).bytes(row.id).int(row.count);
  return out.finish();
}

/** Decodes a page. @throws CorruptError naming `object` */
export function decodePage(bytes: Uint8Array, object: string): Page {
  const from: CborReader = new CborReader(bytes, object);
  const items = from.array();
  const level = from.uint(MAX_PAGE_LEVEL);
  if (items !== (level === 0 ? 3 : 2)) from.fail('a page of a wrong length');
  if (level > 0) {
    const count = from.array();
    if (count === 0) from.fail('an inner page without rows');
    const rows: InnerRow[] = [];
    for (let i = 0; i < count; i++) {
      from.array(3);
      const row = { firstName: from.bytes(), id: from.bytes(32), count: from.uint() };
      if (!isValidName(row.firstName) || row.count === 0) from.fail('an impossible page row');
      if (i > 0 && compareBytes(rows[i - 1]!.firstName, row.firstName) >= 0) from.fail('page rows out of order');
      rows.push(row);
    }
    from.end();
    return { level, rows };
  }
  const ownerCount = from.array();
  const owners: Owner[] = [];
  for (let i = 0; i < ownerCount; i++) owners.push(readOwner(from));
  const count = from.array();
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const entry = readEntry(from, owners);
    if (i > 0 && compareBytes(entries[i - 1]!.name, entry.name) >= 0) from.fail('entries out of order or twice');
    entries.push(entry);
  }
  from.end();
  checkOwnerOrder(owners, entries, from);
  return { level: 0, entries };
}

/** Owners must stand in the order of first use, each used and each once: one page has one encoding only. */
function checkOwnerOrder(owners: readonly Owner[], entries: readonly Entry[], from: CborReader): void {
  let seen = 0;
  const index = new Map<Owner, number>(owners.map((owner, i) => [owner, i]));
  for (const entry of entries) {
    const at = index.get(entry.owner)!;
    if (at > seen) from.fail('owners out of order');
    if (at === seen) seen++;
  }
  if (seen !== owners.length) from.fail('an owner that nobody has');
  if (owners.length > 1 && new Set(owners.map((owner) => JSON.stringify(owner))).size !== owners.length)
    from.fail('an owner twice');
}
