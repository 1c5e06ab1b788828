/**
 * Readable twin of the scan kernel (native/scan.cc), with readdirSync and bigint lstatSync. It produces the same bytes.
 * Never used outside tests.
 */
import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';
import { compareBytes, concat } from '../../lib/bytes.js';

const TYPES = new Map([
  [0o100000, 1],
  [0o040000, 2],
  [0o120000, 3],
  [0o010000, 4],
  [0o140000, 5],
  [0o020000, 6],
  [0o060000, 7],
]);
const SECOND = 1_000_000_000n;

/** Whole seconds, rounded down, and the rest: times before 1970 have a positive nanosecond part too. */
function splitNs(ns: bigint): [bigint, number] {
  const rest = ((ns % SECOND) + SECOND) % SECOND;
  return [(ns - rest) / SECOND, Number(rest)];
}

/** Major and minor of a glibc dev_t. */
function splitDevice(device: bigint): [number, number] {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return [Number(major), Number(minor)];
}

/** One record of `stat` under `name`. */
export function scanRecord(name: Uint8Array, stat: BigIntStats): Uint8Array {
  const record = new Uint8Array(Math.ceil((96 + name.length) / 8) * 8);
  const view = new DataView(record.buffer);
  const mode = Number(stat.mode);
  const type = TYPES.get(mode & 0o170000) ?? 0;
  const born = stat.birthtimeNs !== 0n;
  const [mtime, mtimeNs] = splitNs(stat.mtimeNs);
  const [ctime, ctimeNs] = splitNs(stat.ctimeNs);
  const [btime, btimeNs] = splitNs(stat.birthtimeNs);
  const sparse = type === 1 && stat.blocks * 512n < stat.size;
  view.setUint32(0, record.length, true);
  view.setUint16(4, name.length, true);
  view.setUint8(6, type);
  view.setUint8(7, (sparse ? 2 : 0) | (born ? 4 : 0));
  view.setUint32(8, mode, true);
  view.setUint32(12, Number(stat.nlink), true);
  view.setUint32(16, Number(stat.uid), true);
  view.setUint32(20, Number(stat.gid), true);
  view.setBigUint64(24, stat.ino, true);
  view.setBigInt64(32, stat.size, true);
  view.setBigInt64(40, mtime, true);
  view.setBigInt64(48, ctime, true);
  view.setUint32(56, mtimeNs, true);
  view.setUint32(60, ctimeNs, true);
  view.setBigInt64(64, btime, true);
  view.setUint32(72, btimeNs, true);
  const [rmajor, rminor] = splitDevice(stat.rdev);
  const [major, minor] = splitDevice(stat.dev);
  view.setUint32(76, rmajor, true);
  view.setUint32(80, rminor, true);
  view.setUint32(84, major, true);
  view.setUint32(88, minor, true);
  record.set(name, 96);
  return record;
}

/** The whole answer of scanDirectory. */
export function scanDirectory(path: Uint8Array): Uint8Array {
  const names = readdirSync(Buffer.from(path), { encoding: 'buffer' }).sort(compareBytes);
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, names.length, true);
  const records = names.map((name) =>
    scanRecord(name, lstatSync(Buffer.concat([path, Buffer.from('/'), name]), { bigint: true })),
  );
  return concat(count, ...records);
}
