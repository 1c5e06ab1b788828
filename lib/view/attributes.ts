/**
 * What a node looks like to stat(2): the same shape as the mount driver's Attributes (lib/mount/driver.ts), which this layer does not import; and how
 * an entry of a snapshot becomes one. Pure.
 */
import { type Entry, EntryKind } from '../format/tree.js';

/** See Attributes in lib/mount/driver.ts. */
export interface NodeAttributes {
  readonly nodeId: number;
  readonly ino: bigint;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly sizeBytes: number;
  readonly blocks: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  readonly ttlSec: number;
}

export interface NamedNode {
  readonly name: Uint8Array;
  readonly attributes: NodeAttributes;
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
export function entryAttributes(
  entry: Entry,
  nodeId: number,
  ino: bigint,
  dataBytes: number,
  ownerRoot: boolean,
): NodeAttributes {
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
