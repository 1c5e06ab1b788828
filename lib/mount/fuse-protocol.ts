/**
 * Layouts and numbers of the FUSE kernel protocol 7.31 (include/uapi/linux/fuse.h), as far as a read-only server needs them.
 * Pure: it decodes requests from a buffer and encodes replies into one, and never reads or writes a descriptor. Little-endian only.
 */
import { viewOf } from '../bytes.js';
import type { Attributes, StatFs } from './driver.js';

/** Opcodes of requests. */
export const Op = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  TMPFILE: 51,
} as const;

/** Linux errno values a reply may carry. */
export const Errno = {
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EINVAL: 22,
  ENOTTY: 25,
  EROFS: 30,
  ERANGE: 34,
  ENOSYS: 38,
  ENODATA: 61,
  EPROTO: 71,
  ENOTCONN: 107,
  ESTALE: 116,
} as const;

/** Bits of the INIT request and reply. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  ASYNC_DIO: 1 << 15,
  NO_OPEN_SUPPORT: 1 << 17,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  NO_OPENDIR_SUPPORT: 1 << 24,
} as const;

export const PROTOCOL_MAJOR = 7;
export const PROTOCOL_MINOR = 31;
/** NO_OPEN, READDIRPLUS, LSEEK, MAX_PAGES and NO_OPENDIR all exist from here on (Linux 5.1). */
export const OLDEST_MINOR = 29;

export const ROOT_NODE = 1;
/** What d_ino says when the number is not known. Zero would make readdir(3) skip the entry. */
export const UNKNOWN_INO = 0xffffffffn;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
export const ATTR_BYTES = 88;
export const ENTRY_OUT_BYTES = 40 + ATTR_BYTES;
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES;
export const STATFS_OUT_BYTES = 80;
export const INIT_OUT_BYTES = 64;
export const DIRENT_BYTES = 24;

const TWO_32 = 0x1_0000_0000;

/** A buffer with its DataView, so that both are made once. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function frame(bytes: Uint8Array): Frame {
  return { bytes, view: viewOf(bytes) };
}

/** u64 at `at` as a number; exact up to 2^53, which covers every nodeId and offset this server hands out. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}

/** Writes a safe integer as u64; a negative one as two's complement. */
export function writeU64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  view.setUint32(at, value - high * TWO_32, true);
  view.setUint32(at + 4, high, true);
}

/** A NUL-terminated name inside a request: the bytes from `at` up to the first NUL, not copied. */
export function nameAt(bytes: Uint8Array, at: number, end: number): Uint8Array {
  const nul = bytes.indexOf(0, at);
  return bytes.subarray(at, nul < 0 || nul > end ? end : nul);
}

/** The kernel's 32-bit device number (new_encode_dev): 12 bits of major, 20 of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** Header of every reply: `length` counts the header itself; `errno` is positive, 0 for success. The request's unique is copied whole. */
export function encodeReplyHeader(out: Frame, length: number, errno: number, request: Frame): void {
  out.view.setUint32(0, length, true);
  out.view.setInt32(4, -errno, true);
  out.view.setUint32(8, request.view.getUint32(8, true), true);
  out.view.setUint32(12, request.view.getUint32(12, true), true);
}

/** struct fuse_attr, ATTR_BYTES. The access time is the modification time: a snapshot is not read into. */
export function encodeAttr(view: DataView, at: number, a: Attributes): void {
  view.setBigUint64(at, a.ino, true);
  writeU64(view, at + 8, a.sizeBytes);
  writeU64(view, at + 16, a.blocks);
  writeU64(view, at + 24, a.mtimeSec);
  writeU64(view, at + 32, a.mtimeSec);
  writeU64(view, at + 40, a.ctimeSec);
  view.setUint32(at + 48, a.mtimeNsec, true);
  view.setUint32(at + 52, a.mtimeNsec, true);
  view.setUint32(at + 56, a.ctimeNsec, true);
  view.setUint32(at + 60, a.mode, true);
  view.setUint32(at + 64, a.nlink, true);
  view.setUint32(at + 68, a.uid, true);
  view.setUint32(at + 72, a.gid, true);
  view.setUint32(at + 76, encodeDevice(a.rdevMajor, a.rdevMinor), true);
  view.setUint32(at + 80, 0, true);
  view.setUint32(at + 84, 0, true);
}

const wholeSeconds = (ttlSec: number): number => Math.max(0, Math.floor(Math.min(ttlSec, 0x7fffffff)));
const restNanoseconds = (ttlSec: number): number =>
  ttlSec > 0 && ttlSec < 0x7fffffff ? Math.floor((ttlSec - Math.floor(ttlSec)) * 1e9) : 0;

/** struct fuse_entry_out, ENTRY_OUT_BYTES. */
export function encodeEntry(view: DataView, at: number, a: Attributes): void {
  const sec = wholeSeconds(a.ttlSec);
  const nsec = restNanoseconds(a.ttlSec);
  writeU64(view, at, a.nodeId);
  writeU64(view, at + 8, 0);
  writeU64(view, at + 16, sec);
  writeU64(view, at + 24, sec);
  view.setUint32(at + 32, nsec, true);
  view.setUint32(at + 36, nsec, true);
  encodeAttr(view, at + 40, a);
}

/** A fuse_entry_out with nodeId 0: "there is no such name", believed for `ttlSec`. */
export function encodeNegativeEntry(out: Frame, at: number, ttlSec: number): void {
  out.bytes.fill(0, at, at + ENTRY_OUT_BYTES);
  writeU64(out.view, at + 16, wholeSeconds(ttlSec));
  out.view.setUint32(at + 32, restNanoseconds(ttlSec), true);
}

/** struct fuse_attr_out, ATTR_OUT_BYTES. */
export function encodeAttrOut(view: DataView, at: number, a: Attributes): void {
  writeU64(view, at, wholeSeconds(a.ttlSec));
  view.setUint32(at + 8, restNanoseconds(a.ttlSec), true);
  view.setUint32(at + 12, 0, true);
  encodeAttr(view, at + 16, a);
}

/** Bytes of a directory record: (fuse_entry_out, if plus) + fuse_dirent + name, padded to 8. */
export function direntBytes(nameBytes: number, plus: boolean): number {
  return (plus ? ENTRY_OUT_BYTES : 0) + ((DIRENT_BYTES + nameBytes + 7) & ~7);
}

/** struct fuse_dirent with its name and padding. `off` is what the kernel hands back to continue after this entry. */
export function encodeDirent(out: Frame, at: number, ino: bigint, off: number, mode: number, name: Uint8Array): void {
  out.view.setBigUint64(at, ino, true);
  writeU64(out.view, at + 8, off);
  out.view.setUint32(at + 16, name.length, true);
  out.view.setUint32(at + 20, (mode & 0o170000) >>> 12, true);
  out.bytes.set(name, at + DIRENT_BYTES);
  const end = at + DIRENT_BYTES + name.length;
  out.bytes.fill(0, end, (end + 7) & ~7);
}

/** struct fuse_statfs_out, STATFS_OUT_BYTES: nothing free, because nothing can be written. */
export function encodeStatFs(out: Frame, at: number, s: StatFs): void {
  out.bytes.fill(0, at, at + STATFS_OUT_BYTES);
  writeU64(out.view, at, s.blocks);
  writeU64(out.view, at + 24, s.files);
  out.view.setUint32(at + 40, s.blockSizeBytes, true);
  out.view.setUint32(at + 44, s.nameMaxBytes, true);
  out.view.setUint32(at + 48, s.blockSizeBytes, true);
}

/** What this server answers to INIT. */
export interface InitReply {
  readonly maxReadahead: number;
  readonly flags: number;
  readonly maxBackground: number;
  readonly maxPages: number;
}

/** struct fuse_init_out, INIT_OUT_BYTES. max_write is the least the kernel takes: nobody writes. */
export function encodeInit(out: Frame, at: number, reply: InitReply): void {
  out.bytes.fill(0, at, at + INIT_OUT_BYTES);
  const { view } = out;
  view.setUint32(at, PROTOCOL_MAJOR, true);
  view.setUint32(at + 4, PROTOCOL_MINOR, true);
  view.setUint32(at + 8, reply.maxReadahead, true);
  view.setUint32(at + 12, reply.flags, true);
  view.setUint16(at + 16, reply.maxBackground, true);
  view.setUint16(at + 18, Math.floor((reply.maxBackground * 3) / 4), true);
  view.setUint32(at + 20, 4096, true);
  view.setUint32(at + 24, 1, true);
  view.setUint16(at + 28, reply.maxPages, true);
}
