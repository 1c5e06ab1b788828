/**
 * The rows of the change cache: what they say, as bytes and back. Pure. A row's checksum tells damage; a reader still throws on what is not a row.
 */
import { CborReader, CborWriter } from '../format/cbor.js';
import { native } from '../native.js';

/** Packs that something needs, with the bytes it needs of each: number, bytes, number, bytes… */
export type PackUses = readonly number[];

export interface DirectoryHead {
  /** Hash of the entries scanned; all zeros when something in the directory must be looked at again. */
  readonly fingerprint: Uint8Array;
  readonly tree: Uint8Array;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  /** Tree ids of the subdirectories, in order, joined. */
  readonly children: Uint8Array;
  readonly packs: PackUses;
}

/** What one entry became: its identity, and what it was encoded as, with the packs that it needs. */
export interface CachedEntry {
  /** The scan record's bytes. */
  readonly identity: Uint8Array;
  /** The encoded entry with owner 0; empty: not to be trusted, look again. */
  readonly tail: Uint8Array;
  readonly packs: PackUses;
  /** All its packs are stored and may be referred to. Otherwise it only tells what the entry once was. */
  readonly usable: boolean;
}

const scratch = new CborWriter(1 << 16);
const pairs = new Uint8Array(8 * 64);
const pairsView = new DataView(pairs.buffer);

/** A directory's head as a row. */
export function encodeHead(head: DirectoryHead): Uint8Array {
  scratch.reset();
  scratch.array(7).bytes(head.fingerprint).bytes(head.tree).int(head.files).int(head.directories).int(head.bytes);
  writePacks(scratch.bytes(head.children), head.packs);
  return scratch.finish();
}

/** @throws CorruptError if `row` is no head */
export function decodeHead(row: Uint8Array): DirectoryHead {
  const from = new CborReader(row, 'change cache');
  from.array(7);
  return {
    fingerprint: from.bytes(32),
    tree: from.bytes(32),
    files: from.uint(),
    directories: from.uint(),
    bytes: from.uint(),
    children: from.bytes(),
    packs: readPacks(from.bytes()),
  };
}

/** A directory's entries as a row. `entry` gives the i-th of `count` entries. */
export function encodeCachedEntries(
  count: number,
  name: (i: number) => Uint8Array,
  entry: (i: number) => Omit<CachedEntry, 'usable'>,
): Uint8Array {
  scratch.reset();
  scratch.array(count);
  for (let i = 0; i < count; i++) {
    const { identity, tail, packs } = entry(i);
    writePacks(scratch.array(4).bytes(name(i)).bytes(identity).bytes(tail), packs);
  }
  return scratch.finish();
}

/** Entries by name (latin1), without those that may not be trusted; `stored` has the packs that may be referred to. @throws CorruptError if `row` is no such row */
export function decodeCachedEntries(row: Uint8Array, stored: ReadonlyMap<number, string>): Map<string, CachedEntry> {
  const entries = new Map<string, CachedEntry>();
  const from = new CborReader(row, 'change cache');
  for (let left = from.array(); left > 0; left--) {
    from.array(4);
    const name = Buffer.from(from.bytes()).toString('latin1');
    const identity = from.bytes();
    const tail = from.bytes();
    const packs = readPacks(from.bytes());
    if (tail.byteLength > 0) entries.set(name, { identity, tail, packs, usable: allStored(packs, stored) });
  }
  return entries;
}

/** Whether `stored` has every pack that `packs` names. */
export function allStored(packs: PackUses, stored: ReadonlyMap<number, string>): boolean {
  for (let i = 0; i < packs.length; i += 2) if (!stored.has(packs[i]!)) return false;
  return true;
}

/** LevelDB does not check what it reads unless told to, and then only whole tables: every row carries its own checksum. */
export function sealed(value: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + value.byteLength);
  new DataView(out.buffer).setUint32(0, native().crc32c(value));
  out.set(value, 4);
  return out;
}

/** The value in a row, or undefined if there is none or it is damaged. */
export function unsealed(row: Uint8Array | undefined): Uint8Array | undefined {
  if (row === undefined || row.byteLength < 4) return undefined;
  const value = row.subarray(4);
  return new DataView(row.buffer, row.byteOffset, 4).getUint32(0) === native().crc32c(value) ? value : undefined;
}

/** Uses as a byte string of (u32 pack number, u32 bytes in units of 16, rounded up). */
function writePacks(out: CborWriter, packs: PackUses): void {
  const bytes = packs.length * 4 <= pairs.byteLength ? pairs : new Uint8Array(packs.length * 4);
  const view = bytes === pairs ? pairsView : new DataView(bytes.buffer);
  for (let i = 0; i < packs.length; i += 2) {
    view.setUint32(i * 4, packs[i]!, true);
    view.setUint32(i * 4 + 4, Math.min(0xffffffff, Math.ceil(packs[i + 1]! / 16)), true);
  }
  out.bytes(bytes.subarray(0, packs.length * 4));
}

/** What writePacks wrote. */
export function readPacks(bytes: Uint8Array): PackUses {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packs: number[] = [];
  for (let at = 0; at + 8 <= bytes.byteLength; at += 8) packs.push(view.getUint32(at, true), view.getUint32(at + 4, true) * 16);
  return packs;
}
