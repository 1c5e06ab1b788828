/**
 * Reads the records that the native scan returns (layout in lib/native.ts). Pure. Fields are decoded when asked for: most directories are unchanged, and then
 * only types and names are looked at.
 */
import { STAT_NAME_AT } from '../native.js';

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

  /** The same entry under another name. */
  named(name: Uint8Array): ScanRecord {
    return new ScanRecord(this.#view, this.#at, this.position, name);
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

/**
 * Whether two records are of the same, unchanged entry. Device numbers are left out, because they change when a disk is mounted anew; so is the sparse hint,
 * because blocks settle late.
 */
export function sameIdentity(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) {
    if (a[i] === b[i] || (i >= 84 && i < 92)) continue;
    if (i !== 7 || ((a[i]! ^ b[i]!) & ~2) !== 0) return false;
  }
  return true;
}
