/**
 * Headers of tar archives in the pax interchange format (POSIX.1-2017, pax). What an ustar header cannot hold stands in an extended header before it:
 * long names, large numbers, nanoseconds, attributes. Names are bytes throughout. Pure.
 */
import { concat, utf8 } from '../bytes.js';
import { attributeRecords } from './tar-attributes.js';

export const BLOCK_BYTES = 512;
const MAX_OCTAL_11 = 8 ** 11 - 1;
const MAX_OCTAL_7 = 8 ** 7 - 1;

export interface TarMember {
  /** Relative; directories end in `/`. */
  readonly name: Uint8Array;
  /** ustar type: 0 file, 1 hard link, 2 symlink, 3 and 4 devices, 5 directory, 6 fifo. */
  readonly type: '0' | '1' | '2' | '3' | '4' | '5' | '6';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user: string;
  readonly group: string;
  readonly sizeBytes: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly linkName?: Uint8Array;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: readonly { readonly name: Uint8Array; readonly value: Uint8Array }[];
}

/** `length key=value\n`, where length counts itself. */
function paxRecord(key: Uint8Array, value: Uint8Array): Uint8Array {
  const rest = key.byteLength + value.byteLength + 3;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return concat(utf8(`${length} `), key, utf8('='), value, utf8('\n'));
}

const isAscii = (bytes: Uint8Array): boolean => bytes.every((byte) => byte < 0x80);

/** Zeros up to the next block. */
export function paddingOf(sizeBytes: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Header blocks of one member: an extended header where needed, then the ustar header. */
export function encodeTarHeader(member: TarMember): Uint8Array {
  const records: Uint8Array[] = [];
  const add = (key: string, value: Uint8Array | string): void => {
    records.push(paxRecord(utf8(key), typeof value === 'string' ? utf8(value) : value));
  };
  const link = member.linkName ?? new Uint8Array(0);
  if (member.name.byteLength > 100 || !isAscii(member.name)) add('path', member.name);
  if (link.byteLength > 100 || !isAscii(link)) add('linkpath', link);
  if (member.sizeBytes > MAX_OCTAL_11) add('size', String(member.sizeBytes));
  if (member.uid > MAX_OCTAL_7) add('uid', String(member.uid));
  if (member.gid > MAX_OCTAL_7) add('gid', String(member.gid));
  for (const [key, value] of [
    ['uname', member.user],
    ['gname', member.group],
  ] as const)
    if (utf8(value).byteLength > 31 || !isAscii(utf8(value))) add(key, value);
  if (member.mtimeNsec !== 0 || member.mtimeSec < 0 || member.mtimeSec > MAX_OCTAL_11)
    add('mtime', decimalTime(member.mtimeSec, member.mtimeNsec));
  for (const { name, value } of member.xattrs ?? [])
    for (const record of attributeRecords(name, value)) records.push(paxRecord(record.key, record.value));
  const header = ustarHeader(member, member.type, member.sizeBytes, member.name);
  if (records.length === 0) return header;
  const body = concat(...records);
  const front = { ...member, mode: 0o644, mtimeSec: Math.min(MAX_OCTAL_11, Math.max(0, member.mtimeSec)) };
  return concat(ustarHeader(front, 'x', body.byteLength, utf8('././@PaxHeader')), body, paddingOf(body.byteLength), header);
}

/** A time as a decimal number; before 1970 the fraction counts towards zero. */
function decimalTime(sec: number, nsec: number): string {
  const negative = sec < 0 && nsec > 0;
  const fraction = String(negative ? 1_000_000_000 - nsec : nsec)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const whole = negative ? sec + 1 : sec;
  return `${negative && whole === 0 ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

function ustarHeader(member: TarMember, type: string, sizeBytes: number, name: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const text = (at: number, length: number, bytes: Uint8Array): void => block.set(bytes.subarray(0, length), at);
  // Numbers too large for their field are in the extended header, which goes first.
  const octal = (at: number, digits: number, value: number): void =>
    text(at, digits, utf8((value > 8 ** digits - 1 || value < 0 ? 0 : value).toString(8).padStart(digits, '0')));
  text(0, 100, name);
  octal(100, 7, member.mode);
  octal(108, 7, member.uid);
  octal(116, 7, member.gid);
  octal(124, 11, sizeBytes);
  octal(136, 11, member.mtimeSec);
  text(148, 8, utf8('        '));
  text(156, 1, utf8(type));
  if (type !== 'x' && member.linkName !== undefined) text(157, 100, member.linkName);
  text(257, 8, utf8('ustar\u000000'));
  text(265, 31, utf8(member.user));
  text(297, 31, utf8(member.group));
  octal(329, 7, member.major ?? 0);
  octal(337, 7, member.minor ?? 0);
  let sum = 0;
  for (const byte of block) sum += byte;
  text(148, 8, utf8(`${sum.toString(8).padStart(6, '0')}\u0000 `));
  return block;
}

/** Two blocks of zeros end an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK_BYTES);
