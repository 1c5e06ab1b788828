/**
 * Turns what fuse-native asks (paths as text, 32-bit inode numbers, times in milliseconds) into what a FileSystem answers. Pure but for
 * the FileSystem; what cannot be shown exactly is shown in the nearest way that lets data be read, and listed in FUSE_NATIVE_LIMITS.
 */
import { asUtf8, lossyUtf8, utf8 } from '../bytes.js';
import type { Attributes, DirectoryEntry, FileSystem, StatFs } from './driver.js';
import { encodeDevice, ROOT_NODE } from './fuse-protocol.js';

/** fuse-native's stat object. Times are milliseconds since 1970. */
export interface NativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

const MAX_CACHED_PATHS = 50_000;
const REPLACEMENT = '\ufffd';
const BATCH = 1024;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const MAX_U32 = 0xffffffff;
/** Inode numbers from here on are given out one by one; below, they are folded from the true ones. */
const FIRST_GIVEN_INO = 0x8000_0000;

/** Paths of one FileSystem, remembered for as long as their entries may be. */
export class PathView {
  readonly #fs: FileSystem;
  readonly #nowMs: () => number;
  readonly #cache = new Map<string, { readonly attributes: Attributes; readonly untilMs: number }>();
  readonly #given = new Map<bigint, number>();

  constructor(fs: FileSystem, nowMs: () => number = () => performance.now()) {
    this.#fs = fs;
    this.#nowMs = nowMs;
  }

  /** What `path` ('/', '/a/b') names, or undefined. */
  find(path: string): Attributes | undefined {
    const known = this.#cache.get(path);
    if (known !== undefined && known.untilMs > this.#nowMs()) return known.attributes;
    this.#cache.delete(path);
    const cut = path.lastIndexOf('/');
    const name = path.slice(cut + 1);
    let found: Attributes | undefined;
    if (name === '') {
      found = this.#fs.getattr(ROOT_NODE);
    } else {
      const parent = this.find(cut <= 0 ? '/' : path.slice(0, cut));
      if (parent === undefined || (parent.mode & S_IFMT) !== S_IFDIR) return undefined;
      found = this.#fs.lookup(parent.nodeId, utf8(name));
      if (found === undefined && name.includes(REPLACEMENT)) found = this.#findLossy(parent.nodeId, name);
    }
    if (found !== undefined && found.ttlSec > 0) this.#remember(path, found);
    return found;
  }

  /** Every entry of a directory. */
  list(nodeId: number): DirectoryEntry[] {
    const all: DirectoryEntry[] = [];
    for (let position = 0; ; ) {
      const batch = this.#fs.readdir(nodeId, position, BATCH);
      all.push(...batch.entries);
      if (batch.end || batch.next === position) return all;
      position = batch.next;
    }
  }

  /** Attributes the way fuse-native takes them. */
  stat(a: Attributes): NativeStat {
    return {
      mode: a.mode,
      uid: a.uid,
      gid: a.gid,
      size: a.sizeBytes,
      nlink: a.nlink,
      ino: this.#ino(a),
      rdev: encodeDevice(a.rdevMajor, a.rdevMinor),
      blksize: 4096,
      blocks: a.blocks,
      atime: milliseconds(a.mtimeSec, a.mtimeNsec),
      mtime: milliseconds(a.mtimeSec, a.mtimeNsec),
      ctime: milliseconds(a.ctimeSec, a.ctimeNsec),
    };
  }

  /** A name that is not UTF-8 is listed with U+FFFD in it; the first entry that looks so is meant. */
  #findLossy(parent: number, name: string): Attributes | undefined {
    return this.list(parent).find((entry) => asUtf8(entry.name) === undefined && lossyUtf8(entry.name) === name)?.attributes;
  }

  #remember(path: string, attributes: Attributes): void {
    if (this.#cache.size >= MAX_CACHED_PATHS) {
      const oldest = this.#cache.keys().next().value;
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    this.#cache.set(path, { attributes, untilMs: this.#nowMs() + attributes.ttlSec * 1000 });
  }

  /** 32 bits: unique for directories and for files with several names, where programs compare them; folded for all others. */
  #ino(a: Attributes): number {
    if (a.nlink <= 1 && (a.mode & S_IFMT) !== S_IFDIR)
      return Number((a.ino ^ (a.ino >> 31n) ^ (a.ino >> 62n)) & 0x7fffffffn) || 1;
    let given = this.#given.get(a.ino);
    if (given === undefined) {
      given = FIRST_GIVEN_INO + (this.#given.size % FIRST_GIVEN_INO);
      this.#given.set(a.ino, given);
    }
    return given;
  }
}

/** The addon reads milliseconds as unsigned: a time before 1970 would come out in the far future, so it is shown as 1970. */
function milliseconds(sec: number, nsec: number): number {
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1e6));
}

/** statvfs with counters that fit 32 bits: blocks grow until their count does. */
export function nativeStatFs(s: StatFs): Record<'bsize' | 'frsize' | 'blocks' | 'files' | 'namemax', number> {
  let bsize = s.blockSizeBytes;
  let blocks = s.blocks;
  while (blocks > MAX_U32) {
    bsize *= 2;
    blocks = Math.floor(blocks / 2);
  }
  return { bsize, frsize: bsize, blocks, files: Math.min(s.files, MAX_U32), namemax: s.nameMaxBytes };
}
