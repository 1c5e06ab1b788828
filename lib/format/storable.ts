/**
 * What a writer looks at before it encodes an entry: everything that `readEntry` would refuse (docs/format.md §9). A file system may say anything; what it says
 * wrongly is mended where the entry keeps its meaning, and told; an entry that cannot be stored is told and left out, alone. Pure.
 */
import { compareBytes } from '../bytes.js';
import {
  type Entry,
  type EntryCommon,
  EntryKind,
  isFile,
  isValidName,
  MAX_INLINE_XATTR_BYTES,
  MAX_NAME_BYTES,
  MAX_TARGET_BYTES,
  type Xattr,
} from './tree.js';

const MAX_NSEC = 999_999_999;
const MAX_U32 = 0xffff_ffff;

/** Why an entry, or a part of it, cannot be stored: codes of problems. */
export const Oddity = {
  name: 'ODD_NAME',
  time: 'ODD_TIME',
  attribute: 'ODD_ATTRIBUTE',
  size: 'TOO_LARGE',
  /** Of all files together, more bytes than totals hold. */
  total: 'TOO_MUCH',
  depth: 'TOO_DEEP',
  target: 'ODD_TARGET',
  numbers: 'ODD_NUMBERS',
} as const;

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
const isU32 = (value: number): boolean => isCount(value) && value <= MAX_U32;
const isTime = (sec: number, nsec: number): boolean => Number.isSafeInteger(sec) && isCount(nsec) && nsec <= MAX_NSEC;

/** Whether a page may hold an attribute behind one named `before`. */
function isAttribute({ name, value }: Xattr, before: Uint8Array | undefined): boolean {
  if (name.byteLength === 0 || name.byteLength > MAX_NAME_BYTES || name.includes(0)) return false;
  if (before !== undefined && compareBytes(before, name) >= 0) return false;
  return value instanceof Uint8Array ? value.byteLength <= MAX_INLINE_XATTR_BYTES : value.lengthBytes > MAX_INLINE_XATTR_BYTES;
}

/**
 * Returns `entry` as it can be stored: the same object when there is nothing odd about it, undefined when it cannot be stored at all. Calls `tell` with an
 * Oddity for each thing that is odd, and the name of the attribute where it is one.
 */
export function storable(entry: Entry, tell: (code: string, attribute?: Uint8Array) => void): Entry | undefined {
  const refused = refusal(entry);
  if (refused !== undefined) {
    tell(refused);
    return undefined;
  }
  let mended: Entry = entry;
  const mend = (change: Partial<EntryCommon>): void => void (mended = { ...mended, ...change });
  if (!isTime(entry.mtimeSec, entry.mtimeNsec)) {
    tell(Oddity.time);
    mend({ mtimeSec: nearest(entry.mtimeSec), mtimeNsec: 0 });
  }
  if (entry.btimeSec === null ? entry.btimeNsec !== 0 : !isTime(entry.btimeSec, entry.btimeNsec)) {
    tell(Oddity.time);
    mend({ btimeSec: null, btimeNsec: 0 });
  }
  const { link } = entry;
  if (
    link !== null &&
    !(link.id.byteLength === 16 && isCount(link.nlink) && link.nlink > 1 && entry.kind !== EntryKind.directory)
  )
    mend({ link: null });
  if (entry.xattrs.length > 0) {
    const kept: Xattr[] = [];
    for (const xattr of entry.xattrs) {
      if (isAttribute(xattr, kept.at(-1)?.name)) kept.push(xattr);
      else tell(Oddity.attribute, xattr.name);
    }
    if (kept.length < entry.xattrs.length) mend({ xattrs: kept });
  }
  return mended;
}

/** The second that can be stored and is nearest to `sec`. */
function nearest(sec: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(sec) || 0));
}

/** Why an entry cannot be stored whatever is changed about it. */
function refusal(entry: Entry): string | undefined {
  if (!isValidName(entry.name)) return Oddity.name;
  const { mode, owner } = entry;
  if (!isCount(mode) || mode > 0o7777 || !isU32(owner.uid) || !isU32(owner.gid)) return Oddity.numbers;
  if (isFile(entry)) return isCount(entry.sizeBytes) ? undefined : Oddity.size;
  switch (entry.kind) {
    case EntryKind.directory: {
      const { files, directories, bytes } = entry.totals;
      return isCount(files) && isCount(directories) && isCount(bytes) ? undefined : Oddity.size;
    }
    case EntryKind.symlink: {
      const { target } = entry;
      return target.byteLength === 0 || target.byteLength > MAX_TARGET_BYTES || target.includes(0) ? Oddity.target : undefined;
    }
    case EntryKind.charDevice:
    case EntryKind.blockDevice:
      return isU32(entry.major) && isU32(entry.minor) ? undefined : Oddity.numbers;
    default:
      return undefined;
  }
}
