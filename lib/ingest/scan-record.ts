/** Reads the records that the native scan returns (layout in lib/native.ts). Pure. */

export const RECORD_NAME_AT = 96;

export const ScanType = { unknown: 0, regular: 1, directory: 2, symlink: 3, fifo: 4, socket: 5, charDevice: 6, blockDevice: 7 } as const;

/** One entry of a scanned directory; `record` is a view of the scan's bytes. */
export interface ScanRecord {
  readonly record: Uint8Array;
  readonly name: Uint8Array;
  readonly type: number;
  /** 0, or why the entry could not be examined. */
  readonly errno: number;
  readonly sparse: boolean;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly sizeBytes: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  readonly btimeSec: number | null;
  readonly btimeNsec: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Major and minor number of the file system's device. */
  readonly device: string;
}

const i64 = (view: DataView, at: number): number => view.getUint32(at, true) + view.getInt32(at + 4, true) * 0x1_0000_0000;

/** Every record of a scan, in order of names. */
export function readScan(scan: Uint8Array): ScanRecord[] {
  const view = new DataView(scan.buffer, scan.byteOffset, scan.byteLength);
  const count = view.getUint32(0, true);
  const records: ScanRecord[] = new Array(count);
  let at = 4;
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(at, true);
    const nameLength = view.getUint16(at + 4, true);
    const flags = scan[at + 7]!;
    records[i] = {
      record: scan.subarray(at, at + length),
      name: scan.subarray(at + RECORD_NAME_AT, at + RECORD_NAME_AT + nameLength),
      type: scan[at + 6]!,
      errno: (flags & 1) !== 0 ? view.getUint32(at + 92, true) : 0,
      sparse: (flags & 2) !== 0,
      mode: view.getUint32(at + 8, true),
      nlink: view.getUint32(at + 12, true),
      uid: view.getUint32(at + 16, true),
      gid: view.getUint32(at + 20, true),
      ino: view.getBigUint64(at + 24, true),
      sizeBytes: i64(view, at + 32),
      mtimeSec: i64(view, at + 40),
      ctimeSec: i64(view, at + 48),
      mtimeNsec: view.getUint32(at + 56, true),
      ctimeNsec: view.getUint32(at + 60, true),
      btimeSec: (flags & 4) !== 0 ? i64(view, at + 64) : null,
      btimeNsec: (flags & 4) !== 0 ? view.getUint32(at + 72, true) : 0,
      rdevMajor: view.getUint32(at + 76, true),
      rdevMinor: view.getUint32(at + 80, true),
      device: `${view.getUint32(at + 84, true)}:${view.getUint32(at + 88, true)}`,
    };
    at += length;
  }
  return records;
}

/** What of a record says that a file is the one seen before: everything but the sparse hint, which follows from blocks that settle late. */
export function identityOf(record: ScanRecord): Uint8Array {
  const copy = record.record.slice();
  copy[7] = copy[7]! & ~2;
  return copy;
}

/** Whether two identities are of the same, unchanged entry. Device numbers are left out: they change when a disk is mounted anew. */
export function sameIdentity(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i] && (i < 84 || i >= 92)) return false;
  return true;
}
