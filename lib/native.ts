/**
 * The only door to the addon (native/), and its types. Every function is synchronous and runs on the calling thread unless it says
 * otherwise; errors from the system are thrown as Error with `code` ('ENOENT'…), `errno` (positive) and `syscall`.
 * Handles are integers, valid in every worker thread of the process, because the addon's state belongs to the process.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Scan records (see native/README.md): `u32 count`, then per entry a record of 96 bytes + name, padded to 8. Little-endian.
 * 0 u32 record length · 4 u16 name length · 6 u8 type · 7 u8 flags · 8 u32 st_mode · 12 u32 nlink · 16 u32 uid · 20 u32 gid · 24 u64 ino ·
 * 32 i64 size · 40 i64 mtime s · 48 i64 ctime s · 56 u32 mtime ns · 60 u32 ctime ns · 64 i64 btime s · 72 u32 btime ns ·
 * 76/80 u32 rdev major/minor · 84/88 u32 dev major/minor · 92 u32 errno · 96 name.
 * type: 1 regular 2 directory 3 symlink 4 fifo 5 socket 6 char 7 block 0 unknown. flags: 1 stat failed (errno set, the rest zero),
 * 2 sparse hint (blocks × 512 < size), 4 has btime. Entries are in memcmp order of their names.
 */
export const STAT_NAME_AT = 96;

/** Types in scan records. */
export const StatType = {
  unknown: 0,
  regular: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  charDevice: 6,
  blockDevice: 7,
} as const;

export interface ScanKernels {
  scanDirectory(path: Uint8Array): Uint8Array;
  /** One record (count 1, empty name) for `path` itself; symlinks are not followed unless `follow`. */
  statPath(path: Uint8Array, follow: boolean): Uint8Array;
  /** Begins to scan on a thread of its own what scanAhead names. Returns a handle, to be freed with scanAheadFree, which waits for nothing. */
  scanAheadCreate(): number;
  /** Asks for directories that are wanted next, each path ended by a NUL byte, the first wanted first and all before what was asked for earlier. */
  scanAhead(handle: number, paths: Uint8Array): void;
  /** What scanDirectory returns for `path`, once; undefined when it was not asked for, not begun or not possible: the caller scans it then. Waits for a scan that has begun. */
  scanAheadTake(handle: number, path: Uint8Array): Uint8Array | undefined;
  scanAheadFree(handle: number): void;
}

export interface ReadKernels {
  /**
   * Reads small files, each to its end, one after another into `arena`, and digests them.
   * `request`: repeated groups of `u32 dir path length, dir path, u32 file count, count × (u32 limit, u16 name length, name)`.
   * A file that holds more than its `limit` bytes is reported with flag 1 and not read further.
   * Returns 96 bytes per file: 0 u32 errno (0 = read) · 4 u32 flags (1 larger than limit) · 8 u32 arena offset · 12 u32 length ·
   * 16 SHA-256 32 · 48 i64 size · 56 i64 mtime s · 64 i64 ctime s · 72 u32 mtime ns · 76 u32 ctime ns · 80 u64 ino · 88 u32 type · 92 u32 0;
   * the stat is fstat *after* the read. Opens with O_NOFOLLOW|O_NONBLOCK|O_NOATIME (without O_NOATIME where refused); a file that is not
   * regular when opened gets errno ESTALE. @throws RangeError if arena is too small for the limits asked for.
   */
  readFiles(request: Uint8Array, arena: Uint8Array): Uint8Array;

  /** Opens one file as above. Returns the descriptor. */
  openSource(path: Uint8Array): number;
  closeFd(fd: number): void;
  /** fstat as a scan record without name. */
  statFd(fd: number): Uint8Array;
  /** pread until `length` bytes or the end; returns the count. */
  readAt(fd: number, arena: Uint8Array, arenaOffset: number, length: number, fileOffset: number): number;
  /** Next data extent at or after `offset` as [start, end], or undefined when only a hole is left. Without SEEK_DATA support: the rest of the file. */
  nextData(fd: number, offset: number, size: number): [number, number] | undefined;
}

export interface DigestKernels {
  /** SHA-256 of each `[offset,length]` pair of `pieces` (u32 pairs) in `data`, 32 bytes each. */
  sha256Pieces(data: Uint8Array, pieces: Uint32Array): Uint8Array;
  /** HMAC-SHA-256(key, type ‖ digest) for n digests of 32 bytes: n chunk ids. */
  chunkIds(key: Uint8Array, type: number, digests: Uint8Array): Uint8Array;
  /** Running SHA-256 usable from any thread (one at a time). */
  hashCreate(): number;
  hashUpdate(handle: number, data: Uint8Array, offset: number, length: number): void;
  /** As hashUpdate with `length` zero bytes. */
  hashZeros(handle: number, length: number): void;
  /** Digest; frees the handle. */
  hashFinal(handle: number): Uint8Array;
}

export interface CutKernels {
  /**
   * Content-defined cuts (docs/format.md, Chunking) of data[offset, offset+length), which begins at a chunk start.
   * `table`: 256 u32 gear values. Returns chunk lengths. With `last` false, the tail that could still grow is not cut: the sum of the
   * lengths is then less than `length`, and the caller calls again with the tail at the front.
   */
  cut(
    data: Uint8Array,
    offset: number,
    length: number,
    table: Uint32Array,
    params: { min: number; max: number; avgBits: number },
    last: boolean,
  ): Uint32Array;
  /** For each `[offset,length]` pair: 1 when a sample of it looks incompressible (docs/format.md names no rule; this is only a hint). */
  looksIncompressible(data: Uint8Array, pieces: Uint32Array): Uint8Array;
}

export interface FrameKernels {
  /**
   * Compresses raw[0, rawLength) with zstd at `level` (content size recorded, no checksum, no dictionary; stored raw when that is not smaller) and
   * seals it with ChaCha20-Poly1305 (RFC 8439), nonce = frame number as 96-bit little-endian, into `out` at `outOffset`.
   * Returns [sealed length including the 16-byte tag, codec (0 raw, 1 zstd)]. `aad` is a template: its last 5 bytes before the layout are not
   * touched; the kernel gets the finished AAD through `aadFor(codec)` semantics: pass aad with the codec byte at index `codecAt`, which the kernel
   * overwrites with the codec it chose before sealing. @throws RangeError if `out` is too small (needs ZSTD_compressBound(rawLength) + 16).
   */
  sealFrame(
    raw: Uint8Array,
    rawLength: number,
    key: Uint8Array,
    frameNumber: number,
    aad: Uint8Array,
    codecAt: number,
    level: number,
    out: Uint8Array,
    outOffset: number,
  ): [number, number];
  /**
   * Authenticates and decompresses one frame into `out` (at least rawLength bytes). `aad` is complete.
   * Refuses: tag mismatch, a zstd frame whose content size is not rawLength, window > 8 MiB, trailing bytes. @throws Error code 'EBADMSG' with a reason
   */
  openFrame(
    sealed: Uint8Array,
    key: Uint8Array,
    frameNumber: number,
    aad: Uint8Array,
    codec: number,
    out: Uint8Array,
    rawLength: number,
  ): void;
  /** Recomputes chunk ids of consecutive chunks of `raw` against directory rows (37 bytes: id 32, type u8, length u32). Returns the first row that differs, or -1. */
  verifyRows(kId: Uint8Array, raw: Uint8Array, rows: Uint8Array): number;
}

export interface ClaimKernels {
  /** A set of chunk ids claimed in this run → u32, shared by all threads. */
  claimsCreate(): number;
  /** For each 32-byte id: 0xffffffff if it was absent and is now claimed with `value`, else the value it already had. */
  claim(handle: number, ids: Uint8Array, value: number): Uint32Array;
  /** As claim, without inserting: 0xffffffff when absent. */
  claimed(handle: number, ids: Uint8Array): Uint32Array;
  claimsCount(handle: number): number;
  claimsFree(handle: number): void;
}

/** Local index segments; lib/chunk-index/segment.ts says what a segment file holds. Handles are never used twice: a closed one finds nothing. */
export interface SegmentKernels {
  /** Opens the segment that `fd` reads (the descriptor is duplicated). Code 'EBADMSG' when header, page keys or filter do not verify. */
  segmentOpen(fd: number, withFilter: boolean): number;
  segmentClose(handle: number): void;
  /** Whether a page of it failed to verify; it answers nothing since. */
  segmentDamaged(handle: number): boolean;
  /**
   * For each 32-byte id: `bases[i]` + the number of a pack that holds it in segment `handles[i]`, first segment first, or 0xffffffff.
   * Only packs whose bit (byte n >> 3, bit n & 7) is set in `usable` count, when it is given. For any thread.
   */
  segmentFind(handles: Uint32Array, bases: Uint32Array, ids: Uint8Array, usable: Uint8Array | undefined): Uint32Array;
  /** All rows of one id in one segment: triples of pack, frame, chunk in frame. */
  segmentRows(handle: number, id: Uint8Array): Uint32Array;
  /**
   * Checks a pack's directory as decodeDirectory does (docs/format.md §7) and returns its length without padding. Code 'EBADMSG' and the rule that is broken.
   * `endBytes`: where frames must have ended.
   */
  checkDirectory(directory: Uint8Array, endBytes: number, packClass: number): number;
  /** Begins a segment in the empty file `fd`, which stays the caller's, for about `rows` chunks. One thread at a time may use a builder. */
  segmentBuilderCreate(fd: number, rows: number): number;
  /** Adds a pack (id 32 bytes, header 256, directory). Code 'EBADMSG' and a reason when the directory breaks a rule; it is left out then. */
  segmentBuilderAdd(builder: number, packId: Uint8Array, header: Uint8Array, directory: Uint8Array): void;
  /** Sorts and writes, on the thread pool; frees the builder. `covered`: names, each ended by LF. All is written but the header's SHA-256. */
  segmentBuilderFinish(builder: number, salt: number, covered: Uint8Array): Promise<void>;
  segmentBuilderFree(builder: number): void;
  /** Merges open segments into the empty file `fd`, on the thread pool, in bounded memory. Code 'EBADMSG' when an input is damaged. */
  segmentMerge(handles: Uint32Array, fd: number, salt: number, covered: Uint8Array): Promise<void>;
  /** CRC-32C (Castagnoli). */
  crc32c(bytes: Uint8Array): number;
}

export interface TargetKernels {
  /**
   * openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS) of a directory below `rootFd`; `path` relative, '' is the root itself. Returns an O_PATH-free
   * directory fd. With `sameMount`, code 'EXDEV' where the path leads into another mount.
   */
  openDirBeneath(rootFd: number, path: Uint8Array, sameMount?: boolean): number;
  mkdirAt(dirFd: number, name: Uint8Array, mode: number): void;
  /** openat(O_CREAT|O_EXCL|O_RDWR|O_NOFOLLOW|O_CLOEXEC) */
  createAt(dirFd: number, name: Uint8Array, mode: number): number;
  /**
   * openat(O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC) of an existing regular file; code 'ESTALE' for anything else. `openUp` first makes it readable and
   * writable for its owner where that is what it lacks.
   */
  openAt(dirFd: number, name: Uint8Array, openUp?: boolean): number;
  /** Opens the very file that `fd` is, for writing. Code 'ESTALE' when it has a second name. */
  openWritable(fd: number): number;
  /** openat(O_PATH|O_NOFOLLOW|O_CLOEXEC) of an entry of any kind. */
  openPathAt(dirFd: number, name: Uint8Array): number;
  statAt(dirFd: number, name: Uint8Array): Uint8Array | undefined;
  unlinkAt(dirFd: number, name: Uint8Array, directory: boolean): void;
  symlinkAt(target: Uint8Array, dirFd: number, name: Uint8Array): void;
  /** Gives the very entry that `fd` is another name. */
  linkFd(fd: number, toDirFd: number, toName: Uint8Array): void;
  mknodAt(dirFd: number, name: Uint8Array, mode: number, major: number, minor: number): void;
  writeAt(fd: number, data: Uint8Array, dataOffset: number, length: number, fileOffset: number): void;
  truncateFd(fd: number, size: number): void;
  punchHole(fd: number, offset: number, length: number): void;
  /**
   * Sets metadata of the entry that `fd` is, of any kind and also one opened with O_PATH, in the order owner, xattrs, times, mode. `what` bits: 1 owner 2 mode 4 times
   * 8 (in answers only) xattrs 16 removes an ACL that is not among `xattrs` 32 removes all attributes that are not.
   * xattrs: list of [name, value]. Returns the errno of each step that failed, as [step bit, errno] pairs; an empty list means all done.
   * For xattrs the step is 8 + 256 × its number in the list. Where the owner failed, set-id bits are left out of the mode; where an ACL failed, its mask.
   */
  setMetadataFd(
    fd: number,
    what: number,
    uid: number,
    gid: number,
    mode: number,
    mtimeSec: number,
    mtimeNsec: number,
    xattrs: readonly (readonly [Uint8Array, Uint8Array])[],
  ): number[];
  /** Value of an attribute, undefined where there is none. */
  attributeOfFd(fd: number, name: Uint8Array): Uint8Array | undefined;
  /**
   * Small whole files in one call: creates (mode 01600), writes, gives each its metadata as setMetadataFd does, closes. `request` per file: u16 name length, u32 attribute
   * bytes, name, attributes (u16 name length, u32 value length, name, value each), u32 data offset, u32 data length, u32 uid, u32 gid, u32 mode, i64 mtime s, u32 mtime ns,
   * u8 what. Returns what failed: [number of the file, step, errno] each; step 0 is the file itself, which is not there then.
   */
  writeFilesAt(dirFd: number, request: Uint8Array, data: Uint8Array): Uint32Array;
}

export interface XattrKernels {
  /**
   * All xattrs of `path` (not followed): [name, value], sorted by name bytes, each once; [] where the file system has none. Of one that cannot be read, the
   * second is the error number.
   */
  getXattrs(path: Uint8Array): [Uint8Array, Uint8Array | number][];
  /** For each record of a scan of directory `path`: 1 when getXattrs may find something. */
  haveXattrs(path: Uint8Array, scan: Uint8Array): Uint8Array;
  readLink(path: Uint8Array): Uint8Array;
}

export interface CopyKernels {
  /** memcpy; for shared memory, which Uint8Array.set copies byte by byte. @throws RangeError beyond the end of either */
  copyBytes(from: Uint8Array, fromOffset: number, into: Uint8Array, intoOffset: number, length: number): void;
}

/**
 * Leaf pages of directories (docs/format.md §9), and listings of them. A record of a listing, padded to 8, little-endian:
 * 0 u32 record length · 4 u16 name length · 6 u16 flags (1: blocks are not known) · 8 u64 nodeId · 16 u64 ino · 24 u64 size · 32 u64 blocks of 512 ·
 * 40 i64 mtime s · 48 u32 mtime ns · 52 u32 mode with the type · 56 u32 nlink · 60 u32 uid · 64 u32 gid · 68/72 u32 rdev major/minor · 76 u32 time to
 * live, s · 80 u64 0 · 88 name.
 */
export interface ListingKernels {
  /**
   * Checks a leaf as decodePage does and returns its index: u32 entries · owners · entries whose blocks only list pages tell · where each entry begins, and
   * the end · uid, gid of each owner. Code 'EBADMSG' and a reason when a rule is broken.
   */
  checkLeaf(page: Uint8Array): Uint32Array;
  /** Position of the entry called `name`, or -1. `index` is that of `page`. */
  findInLeaf(page: Uint8Array, index: Uint32Array, name: Uint8Array): number;
  /**
   * Writes records of the entries [first, first + count) into `out` from `outOffset`; returns where they end. `keys`: low and high half of the inode number of
   * the directory, then of the snapshot's root; `nodeId` is that of the first entry. @throws RangeError when `out` is too small
   */
  listLeaf(
    page: Uint8Array,
    index: Uint32Array,
    first: number,
    count: number,
    keys: Uint32Array,
    nodeId: number,
    ownerRoot: boolean,
    ttlSec: number,
    out: Uint8Array,
    outOffset: number,
  ): number;
  /**
   * Writes joined `records` as fuse_direntplus (`plus`) or fuse_dirent into `out` up to `end`; the first gets the offset after `offset`. `progress`: where to
   * write in `out`, where to begin in `records`; both are moved past what fitted.
   */
  writeDirents(records: Uint8Array, offset: number, plus: boolean, out: Uint8Array, end: number, progress: Uint32Array): void;
}

export interface MountKernels {
  /** Runs fusermount3 with `options` on `mountpoint` and receives the /dev/fuse descriptor over SCM_RIGHTS. */
  fusermountOpen(fusermountPath: string, mountpoint: string, options: string): number;
  /** mount(2) with the already-open /dev/fuse descriptor; umount2(2). */
  mountFuse(fd: number, mountpoint: string, fsname: string, subtype: string, flags: number, options: string): void;
  umount(mountpoint: string, flags: number): void;
  /** Whether read(2) of `fd` would return at once: a request waits, or the connection ended. */
  hasInput(fd: number): boolean;
}

export interface Native
  extends ScanKernels,
    ReadKernels,
    DigestKernels,
    CutKernels,
    FrameKernels,
    ClaimKernels,
    SegmentKernels,
    TargetKernels,
    XattrKernels,
    MountKernels,
    CopyKernels,
    ListingKernels {}

let loaded: Native | undefined;

/** Folder that holds package.json, whether this file runs from lib/ or from dist/lib/. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('package.json not found above the program');
    folder = parent;
  }
  return folder;
}

/** Compiled file of a worker thread's entry, given its path below the package, e.g. `lib/ingest/worker`. What runs from the bundle has its threads start from it too. */
export function workerFile(path: string): string {
  const isBundled = basename(dirname(fileURLToPath(import.meta.url))) === 'bundle';
  return join(packageRoot(), 'dist', isBundled ? `bundle/${path}.cjs` : `${path}.js`);
}

/** The addon. @throws Error that says how to build it, when it is not there */
export function native(): Native {
  if (loaded === undefined) {
    const file = join(packageRoot(), 'build', 'Release', 'varve.node');
    try {
      loaded = createRequire(import.meta.url)(file) as Native;
    } catch (cause) {
      throw new Error('the native addon is not built or does not load; run: npm run build', { cause });
    }
  }
  return loaded;
}
