/**
 * What a node looks like to stat(2), alone or as a record of a listing, and how an entry of a snapshot becomes one. Mount drivers take these types as they are.
 * Pure.
 */
import { type Entry, EntryKind } from '../format/tree.js';

/** What stat(2) reports. Times are seconds + nanoseconds, seconds may be negative. */
export interface Attributes {
  readonly nodeId: number;
  /** st_ino: 64-bit, stable across remounts. */
  readonly ino: bigint;
  /** Full st_mode with the type bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly sizeBytes: number;
  /** 512-byte units actually stored (holes excluded). */
  readonly blocks: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  /** How long the kernel may cache this entry and its attributes. */
  readonly ttlSec: number;
}

export interface NamedNode {
  readonly name: Uint8Array;
  readonly attributes: Attributes;
}

/** Entries of a directory as records (ListingKernels in lib/native.ts), joined; good until the view is asked again. */
export interface Listing {
  readonly records: Uint8Array;
  /** How many there are: positions from the one asked for on. */
  readonly count: number;
  readonly end: boolean;
}

/** Contents of snapshots never change; what stands above them does. */
export const SNAPSHOT_TTL_SEC = 4 * 3600;
export const NAMES_TTL_SEC = 1;

export const FileType = {
  directory: 0o040000,
  regular: 0o100000,
  symlink: 0o120000,
  fifo: 0o010000,
  socket: 0o140000,
  char: 0o020000,
  block: 0o060000,
} as const;

const BLOCK_BYTES = 512;
/** S_IF… bits of each kind of entry. */
export const FILE_TYPE: Readonly<Record<EntryKind, number>> = {
  [EntryKind.regular]: FileType.regular,
  [EntryKind.directory]: FileType.directory,
  [EntryKind.symlink]: FileType.symlink,
  [EntryKind.fifo]: FileType.fifo,
  [EntryKind.socket]: FileType.socket,
  [EntryKind.charDevice]: FileType.char,
  [EntryKind.blockDevice]: FileType.block,
  [EntryKind.image]: FileType.regular,
};

/** 512-byte units that `dataBytes` take. */
export function blocksOf(dataBytes: number): number {
  return Math.ceil(dataBytes / BLOCK_BYTES);
}

/** Attributes of `entry`; `dataBytes` is its size without holes. */
export function entryAttributes(entry: Entry, nodeId: number, ino: bigint, dataBytes: number, ownerRoot: boolean): Attributes {
  const { kind, owner, mtimeSec, mtimeNsec } = entry;
  const isDevice = kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
  let sizeBytes = 0;
  if (kind === EntryKind.regular || kind === EntryKind.image) sizeBytes = entry.sizeBytes;
  else if (kind === EntryKind.symlink) sizeBytes = entry.target.byteLength;
  else if (kind === EntryKind.directory) sizeBytes = 4096;
  return {
    nodeId,
    ino,
    mode: FILE_TYPE[kind] | entry.mode,
    // As on btrfs: 1 says that the number of subdirectories cannot be told from it.
    nlink: entry.link?.nlink ?? 1,
    uid: ownerRoot ? 0 : owner.uid,
    gid: ownerRoot ? 0 : owner.gid,
    rdevMajor: isDevice ? entry.major : 0,
    rdevMinor: isDevice ? entry.minor : 0,
    sizeBytes,
    blocks: blocksOf(dataBytes),
    mtimeSec,
    mtimeNsec,
    ctimeSec: mtimeSec,
    ctimeNsec: mtimeNsec,
    ttlSec: SNAPSHOT_TTL_SEC,
  };
}

/** Room that any record of a listing takes at most: 88 bytes and a name of 255, padded. */
export const MAX_LISTING_BYTES = 344;
const NAME_AT = 88;
const BLOCKS_UNKNOWN = 1;

/** Each record of `records[0, end)` as an object; names are copied. */
export function* readListing(records: Uint8Array, end: number): Generator<NamedNode> {
  const view = new DataView(records.buffer, records.byteOffset, end);
  for (let at = 0; at < end; at += view.getUint32(at, true)) {
    const mtimeSec = Number(view.getBigInt64(at + 40, true));
    const mtimeNsec = view.getUint32(at + 48, true);
    yield {
      name: records.slice(at + NAME_AT, at + NAME_AT + view.getUint16(at + 4, true)),
      attributes: {
        nodeId: Number(view.getBigUint64(at + 8, true)),
        ino: view.getBigUint64(at + 16, true),
        mode: view.getUint32(at + 52, true),
        nlink: view.getUint32(at + 56, true),
        uid: view.getUint32(at + 60, true),
        gid: view.getUint32(at + 64, true),
        rdevMajor: view.getUint32(at + 68, true),
        rdevMinor: view.getUint32(at + 72, true),
        sizeBytes: Number(view.getBigUint64(at + 24, true)),
        blocks: Number(view.getBigUint64(at + 32, true)),
        mtimeSec,
        mtimeNsec,
        ctimeSec: mtimeSec,
        ctimeNsec: mtimeNsec,
        ttlSec: view.getUint32(at + 76, true),
      },
    };
  }
}

/** Fills in the blocks that a page alone could not tell, in records of `records[from, end)`: `dataBytesOf(i)` for the i-th of them. */
export function fillBlocks(records: Uint8Array, from: number, end: number, dataBytesOf: (i: number) => number): void {
  const view = new DataView(records.buffer, records.byteOffset, end);
  for (let at = from, i = 0; at < end; at += view.getUint32(at, true), i++) {
    if ((view.getUint16(at + 6, true) & BLOCKS_UNKNOWN) === 0) continue;
    view.setBigUint64(at + 32, BigInt(blocksOf(dataBytesOf(i))), true);
    view.setUint16(at + 6, 0, true);
  }
}
