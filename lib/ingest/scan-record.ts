/**
 * Reads the records that the native scan returns (layout in lib/native.ts). Pure. Fields are decoded when asked for: most directories are unchanged, and then
 * only types and names are looked at.
 */
import { STAT_NAME_AT, StatType } from '../native.js';

export { StatType as ScanType } from '../native.js';

/** One entry of a scanned directory, or one path that was examined by itself. */
export class ScanRecord {
  readonly #view: DataView;
  readonly #at: number;
  /** Its number among the records of its scan. */
  readonly position: number;
  #name: Uint8Array | undefined;
  /** 0 unknown, else one of ScanType. */
  readonly type: number;

  constructor(view: DataView, at: number, position: number, name?: Uint8Array) {
    this.#view = view;
    this.#at = at;
    this.position = position;
    this.type = view.getUint8(at + 6);
    this.#name = name;
  }

  get name(): Uint8Array {
    this.#name ??= new Uint8Array(
      this.#view.buffer,
      this.#view.byteOffset + this.#at + STAT_NAME_AT,
      this.#view.getUint16(this.#at + 4, true),
    );
    return this.#name;
  }

  /** Whether its name is `name`, in ASCII. Decodes nothing. */
  hasName(name: string): boolean {
    if (this.#view.getUint16(this.#at + 4, true) !== name.length) return false;
    for (let i = 0; i < name.length; i++)
      if (this.#view.getUint8(this.#at + STAT_NAME_AT + i) !== name.charCodeAt(i)) return false;
    return true;
  }

  /** The same entry under another name, and as the one with `position` in a scan. */
  named(name: Uint8Array, position = this.position): ScanRecord {
    return new ScanRecord(this.#view, this.#at, position, name);
  }

  /** The record's own bytes: what says that a file is the one seen before. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at, this.#view.getUint32(this.#at, true));
  }

  get #flags(): number {
    return this.#view.getUint8(this.#at + 7);
  }
  #i64(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true) + this.#view.getInt32(this.#at + offset + 4, true) * 0x1_0000_0000;
  }
  #u32(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true);
  }

  /** 0, or why the entry could not be examined. */
  get errno(): number {
    return (this.#flags & 1) !== 0 ? this.#u32(92) : 0;
  }
  /** Fewer blocks than its size would take. */
  get sparse(): boolean {
    return (this.#flags & 2) !== 0;
  }
  get mode(): number {
    return this.#u32(8);
  }
  get nlink(): number {
    return this.#u32(12);
  }
  get uid(): number {
    return this.#u32(16);
  }
  get gid(): number {
    return this.#u32(20);
  }
  get ino(): bigint {
    return this.#view.getBigUint64(this.#at + 24, true);
  }
  get sizeBytes(): number {
    return this.#i64(32);
  }
  get mtimeSec(): number {
    return this.#i64(40);
  }
  get mtimeNsec(): number {
    return this.#u32(56);
  }
  get ctimeSec(): number {
    return this.#i64(48);
  }
  get ctimeNsec(): number {
    return this.#u32(60);
  }
  get btimeSec(): number | null {
    return (this.#flags & 4) !== 0 ? this.#i64(64) : null;
  }
  get btimeNsec(): number {
    return (this.#flags & 4) !== 0 ? this.#u32(72) : 0;
  }
  get rdevMajor(): number {
    return this.#u32(76);
  }
  get rdevMinor(): number {
    return this.#u32(80);
  }
  /** Whether the size is more than numbers of this program, or a repository, hold. */
  get isTooLarge(): boolean {
    return this.type === StatType.regular && !(this.sizeBytes >= 0 && Number.isSafeInteger(this.sizeBytes));
  }
  /** Bytes that no other file has at any time: device and inode, and when that was last changed. */
  get fileIdentity(): Uint8Array {
    const out = new Uint8Array(28);
    const { bytes } = this;
    out.set(bytes.subarray(84, 92));
    out.set(bytes.subarray(24, 32), 8);
    out.set(bytes.subarray(48, 56), 16);
    out.set(bytes.subarray(60, 64), 24);
    return out;
  }
  /** Major and minor number of the file system's device. */
  get device(): string {
    return `${this.#u32(84)}:${this.#u32(88)}`;
  }

  /** Whether size, times and inode are those of a read that ended with them (`rows`: what native readFiles returned, `at`: the file's row). */
  sameAsRead(rows: DataView, at: number): boolean {
    const view = this.#view;
    const mine = this.#at;
    for (let i = 0; i < 6; i++)
      if (rows.getUint32(at + 48 + i * 4, true) !== view.getUint32(mine + 32 + i * 4, true)) return false;
    for (let i = 0; i < 2; i++)
      if (rows.getUint32(at + 80 + i * 4, true) !== view.getUint32(mine + 24 + i * 4, true)) return false;
    return (
      rows.getUint32(at + 72, true) === view.getUint32(mine + 56, true) &&
      rows.getUint32(at + 76, true) === view.getUint32(mine + 60, true)
    );
  }

  /** Whether size and times are those of `other`. */
  sameState(other: ScanRecord): boolean {
    return (
      this.sizeBytes === other.sizeBytes &&
      this.mtimeSec === other.mtimeSec &&
      this.mtimeNsec === other.mtimeNsec &&
      this.ctimeSec === other.ctimeSec &&
      this.ctimeNsec === other.ctimeNsec
    );
  }
}

/** Every record of a scan, in order of names. */
export function readScan(scan: Uint8Array): ScanRecord[] {
  const view = new DataView(scan.buffer, scan.byteOffset, scan.byteLength);
  const count = view.getUint32(0, true);
  const records: ScanRecord[] = new Array(count);
  let at = 4;
  for (let i = 0; i < count; i++) {
    records[i] = new ScanRecord(view, at, i);
    at += view.getUint32(at, true);
  }
  return records;
}

/** The single record of native statPath or statFd. */
export function readStat(stat: Uint8Array): ScanRecord {
  return readScan(stat)[0]!;
}

/** Bytes that may differ between two records of the same, unchanged entry: device numbers change when a disk is mounted anew, and the sparse hint settles late. */
const ALWAYS = new Uint8Array(STAT_NAME_AT);
ALWAYS[7] = 2;
ALWAYS.fill(0xff, 84, 92);

/** Bits of a record that are not to be compared, beside those that never are; undefined for none. */
export function identityMask(ignoreInode: boolean, ignoreCtime: boolean): Uint8Array | undefined {
  if (!ignoreInode && !ignoreCtime) return undefined;
  const mask = ALWAYS.slice();
  if (ignoreInode) mask.fill(0xff, 24, 32);
  if (ignoreCtime) mask.fill(0xff, 48, 56).fill(0xff, 60, 64);
  return mask;
}

/** Whether two records are of the same, unchanged entry, as far as `mask` (of identityMask) lets them be compared. */
export function sameIdentity(a: Uint8Array, b: Uint8Array, mask: Uint8Array = ALWAYS): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) {
    if (a[i] !== b[i] && (i >= STAT_NAME_AT || ((a[i]! ^ b[i]!) & ~mask[i]!) !== 0)) return false;
  }
  return true;
}

/** A copy of a record's bytes in which everything in `mask` is 0. */
export function masked(record: Uint8Array, mask: Uint8Array): Uint8Array {
  const copy = record.slice();
  for (let i = 0; i < STAT_NAME_AT; i++) copy[i]! &= ~mask[i]!;
  return copy;
}
