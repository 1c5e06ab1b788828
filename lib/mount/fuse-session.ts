/**
 * Answers one FUSE request from a FileSystem: decodes it, asks, and encodes the reply into a buffer. It does no I/O of its own, keeps no
 * state between requests and never throws: whatever the FileSystem throws becomes EIO and a line for the log.
 */
import type { FileSystem } from './driver.js';
import { fillDirectory } from './fuse-directory.js';
import {
  ATTR_OUT_BYTES,
  ENTRY_OUT_BYTES,
  Errno,
  encodeAttrOut,
  encodeEntry,
  encodeInit,
  encodeNegativeEntry,
  encodeReplyHeader,
  encodeStatFs,
  type Frame,
  IN_HEADER_BYTES,
  INIT_OUT_BYTES,
  InitFlag,
  nameAt,
  OLDEST_MINOR,
  Op,
  OUT_HEADER_BYTES,
  PROTOCOL_MAJOR,
  readU64,
  SEEK_DATA,
  SEEK_HOLE,
  STATFS_OUT_BYTES,
  writeU64,
} from './fuse-protocol.js';

/** Largest READ and READDIR: 256 pages, the kernel's default limit for max_pages. */
export const MAX_REPLY_DATA_BYTES = 1 << 20;
export const MAX_PAGES = 256;
const MAX_BACKGROUND = 64;
/** From here on a read is worth waking another thread for. */
const SLOW_READ_BYTES = 64 << 10;

// CACHE_SYMLINKS is left out on purpose: the kernel never drops a cached target of a living inode, so `latest` would stand still.
const WANTED =
  InitFlag.ASYNC_READ |
  InitFlag.AUTO_INVAL_DATA |
  InitFlag.DO_READDIRPLUS |
  InitFlag.ASYNC_DIO |
  InitFlag.NO_OPEN_SUPPORT |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.ABORT_ERROR |
  InitFlag.MAX_PAGES |
  InitFlag.NO_OPENDIR_SUPPORT;

const WRITING = new Set<number>([
  Op.SETATTR,
  Op.SYMLINK,
  Op.MKNOD,
  Op.MKDIR,
  Op.UNLINK,
  Op.RMDIR,
  Op.RENAME,
  Op.RENAME2,
  Op.LINK,
  Op.WRITE,
  Op.SETXATTR,
  Op.REMOVEXATTR,
  Op.CREATE,
  Op.FALLOCATE,
  Op.COPY_FILE_RANGE,
  Op.TMPFILE,
]);

const OPERATION_NAMES = new Map<number, string>(Object.entries(Op).map(([name, code]) => [code, name.toLowerCase()]));

/** What a session needs to know besides the FileSystem. */
export interface SessionOptions {
  /** The kernel checks permissions, so it must know ACLs too: mode bits alone would grant what an ACL's mask hides. */
  readonly defaultPermissions: boolean;
  readonly onLog: (message: string) => void;
  /** INIT was answered. */
  readonly onInit: () => void;
}

/**
 * Answers the request in `request.bytes[0, length)` into `out`, which must hold OUT_HEADER_BYTES + MAX_REPLY_DATA_BYTES.
 *
 * @returns bytes of `out` to send, or 0 when the request has no reply
 */
export function serveRequest(fs: FileSystem, options: SessionOptions, request: Frame, length: number, out: Frame): number {
  const opcode = request.view.getUint32(4, true);
  let result: number;
  try {
    result = answer(fs, options, opcode, request, length, out);
    if (fs.notices !== undefined) for (const line of fs.notices()) options.onLog(line);
  } catch (error) {
    const nodeId = readU64(request.view, 16);
    const reason = error instanceof Error ? error.message : String(error);
    options.onLog(`${OPERATION_NAMES.get(opcode) ?? `operation ${opcode}`} of ${nameOf(fs, nodeId)} failed: ${reason}`);
    result = opcode === Op.FORGET || opcode === Op.BATCH_FORGET ? NO_REPLY : -Errno.EIO;
  }
  if (result === NO_REPLY) return 0;
  const total = result < 0 ? OUT_HEADER_BYTES : OUT_HEADER_BYTES + result;
  encodeReplyHeader(out, total, result < 0 ? -result : 0, request);
  return total;
}

function nameOf(fs: FileSystem, nodeId: number): string {
  try {
    return fs.pathOf?.(nodeId) ?? `node ${nodeId}`;
  } catch {
    return `node ${nodeId}`;
  }
}

/** Whether the answer may take long: a large read. */
export function isSlow(request: Frame): boolean {
  return request.view.getUint32(4, true) === Op.READ && request.view.getUint32(BODY + 16, true) >= SLOW_READ_BYTES;
}

/** Answers whatever was asked with ENOTCONN: the last words of a thread told to stop, so that nobody waits for it. */
export function refuseRequest(request: Frame, out: Frame): number {
  const opcode = request.view.getUint32(4, true);
  if (opcode === Op.FORGET || opcode === Op.BATCH_FORGET || opcode === Op.INTERRUPT) return 0;
  encodeReplyHeader(out, OUT_HEADER_BYTES, Errno.ENOTCONN, request);
  return OUT_HEADER_BYTES;
}

const NO_REPLY = Number.MIN_SAFE_INTEGER;
const BODY = IN_HEADER_BYTES;
const DATA = OUT_HEADER_BYTES;

/** Bytes of data put at out[DATA…], or a negative errno, or NO_REPLY. */
function answer(fs: FileSystem, options: SessionOptions, opcode: number, request: Frame, length: number, out: Frame): number {
  const { view, bytes } = request;
  const nodeId = readU64(view, 16);
  switch (opcode) {
    case Op.READ: {
      const size = Math.min(view.getUint32(BODY + 16, true), MAX_REPLY_DATA_BYTES);
      return fs.read(nodeId, readU64(view, BODY + 8), out.bytes.subarray(DATA, DATA + size));
    }
    case Op.LOOKUP: {
      const found = fs.lookup(nodeId, nameAt(bytes, BODY, length).slice());
      if (found !== undefined) {
        encodeEntry(out.view, DATA, found);
      } else {
        const ttlSec = fs.getattr(nodeId)?.ttlSec ?? 0;
        if (ttlSec <= 0) return -Errno.ENOENT;
        encodeNegativeEntry(out, DATA, ttlSec);
      }
      return ENTRY_OUT_BYTES;
    }
    case Op.GETATTR: {
      const attributes = fs.getattr(nodeId);
      if (attributes === undefined) return -Errno.ESTALE;
      encodeAttrOut(out.view, DATA, attributes);
      return ATTR_OUT_BYTES;
    }
    case Op.READDIR:
    case Op.READDIRPLUS: {
      const sizeBytes = Math.min(view.getUint32(BODY + 16, true), MAX_REPLY_DATA_BYTES);
      const plus = opcode === Op.READDIRPLUS;
      return fillDirectory(fs, { nodeId, offset: readU64(view, BODY + 8), sizeBytes, plus }, out, DATA) - DATA;
    }
    case Op.FORGET:
      fs.forget(nodeId, readU64(view, BODY));
      return NO_REPLY;
    case Op.BATCH_FORGET: {
      const count = view.getUint32(BODY, true);
      for (let i = 0, at = BODY + 8; i < count; i++, at += 16) fs.forget(readU64(view, at), readU64(view, at + 8));
      return NO_REPLY;
    }
    case Op.READLINK: {
      const target = fs.readlink(nodeId);
      return target === undefined ? -Errno.EINVAL : put(out, target);
    }
    case Op.GETXATTR: {
      const value = fs.getxattr(nodeId, nameAt(bytes, BODY + 8, length).slice());
      return value === undefined ? -Errno.ENODATA : sized(out, value, view.getUint32(BODY, true));
    }
    case Op.LISTXATTR:
      return sized(out, joinNames(fs.listxattr(nodeId)), view.getUint32(BODY, true));
    case Op.LSEEK: {
      const whence = view.getUint32(BODY + 16, true);
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -Errno.EINVAL;
      const found = fs.seek(nodeId, readU64(view, BODY + 8), whence === SEEK_DATA ? 'data' : 'hole');
      if (found === undefined) return -Errno.ENXIO;
      writeU64(out.view, DATA, found);
      return 8;
    }
    case Op.STATFS:
      encodeStatFs(out, DATA, fs.statfs());
      return STATFS_OUT_BYTES;
    case Op.INIT:
      return answerInit(options, request, out);
    case Op.DESTROY:
      return 0;
    case Op.INTERRUPT:
      // Requests are answered one after another and quickly; the one to interrupt is answered in its turn.
      return NO_REPLY;
    case Op.IOCTL:
      return -Errno.ENOTTY;
    default:
      // ENOSYS to OPEN, OPENDIR, FLUSH, FSYNC and ACCESS tells the kernel never to ask again. It then keeps listings, until the directory's modification time changes.
      return WRITING.has(opcode) ? -Errno.EROFS : -Errno.ENOSYS;
  }
}

function answerInit(options: SessionOptions, request: Frame, out: Frame): number {
  const { view } = request;
  const major = view.getUint32(BODY, true);
  const minor = view.getUint32(BODY + 4, true);
  if (major < PROTOCOL_MAJOR || (major === PROTOCOL_MAJOR && minor < OLDEST_MINOR)) {
    options.onLog(
      `this kernel speaks FUSE ${major}.${minor}; ${PROTOCOL_MAJOR}.${OLDEST_MINOR} (Linux 5.1) is the oldest that will do`,
    );
    return -Errno.EPROTO;
  }
  const offered = view.getUint32(BODY + 12, true);
  const wanted = options.defaultPermissions ? WANTED | InitFlag.POSIX_ACL : WANTED;
  // max_readahead can only be lowered here; raising it is done on the backing device after mounting.
  const maxReadahead = view.getUint32(BODY + 8, true);
  encodeInit(out, DATA, { maxReadahead, flags: offered & wanted, maxBackground: MAX_BACKGROUND, maxPages: MAX_PAGES });
  // A newer major sends INIT again after this reply.
  if (major === PROTOCOL_MAJOR) options.onInit();
  return INIT_OUT_BYTES;
}

function put(out: Frame, data: Uint8Array): number {
  out.bytes.set(data, DATA);
  return data.length;
}

/** The way of xattr calls: asked with size 0, tell the length; with too little room, ERANGE. */
function sized(out: Frame, data: Uint8Array, size: number): number {
  if (size === 0) {
    out.view.setUint32(DATA, data.length, true);
    out.view.setUint32(DATA + 4, 0, true);
    return 8;
  }
  return data.length > size ? -Errno.ERANGE : put(out, data);
}

/** Names, each ended by NUL. */
function joinNames(names: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const name of names) length += name.length + 1;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const name of names) {
    joined.set(name, at);
    at += name.length + 1;
  }
  return joined;
}
