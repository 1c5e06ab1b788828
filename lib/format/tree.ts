/** Entries of trees and their encoding (docs/format.md §9); page.ts has the pages they stand in. Pure; refuses what the specification does not allow. */
import { compareBytes } from '../bytes.js';
import type { CborReader, CborWriter } from './cbor.js';
import { type Content, readContent, writeContent } from './content.js';
import { MAX_CHUNK_BYTES } from './pack.js';

export const MAX_NAME_BYTES = 255;
export const MAX_DEPTH = 2048;
export const MAX_INLINE_XATTR_BYTES = 4096;
export const MAX_TARGET_BYTES = 4096;

export const EntryKind = {
  regular: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  charDevice: 6,
  blockDevice: 7,
  image: 8,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly user: string | null;
  readonly group: string | null;
}

export interface Xattr {
  readonly name: Uint8Array;
  /** The value, or where it is when it is long. */
  readonly value: Uint8Array | { readonly lengthBytes: number; readonly id: Uint8Array };
}

/** What a directory holds beneath it; hard links are counted each. */
export interface Totals {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

export interface EntryCommon {
  readonly name: Uint8Array;
  /** 0 … 07777. */
  readonly mode: number;
  readonly owner: Owner;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly btimeSec: number | null;
  readonly btimeNsec: number;
  readonly xattrs: readonly Xattr[];
  readonly link: { readonly id: Uint8Array; readonly nlink: number } | null;
}

export interface FileEntry extends EntryCommon {
  readonly kind: typeof EntryKind.regular | typeof EntryKind.image;
  readonly sizeBytes: number;
  readonly digest: Uint8Array | null;
  readonly content: Content;
}
export interface DirectoryEntry extends EntryCommon {
  readonly kind: typeof EntryKind.directory;
  readonly tree: Uint8Array;
  readonly totals: Totals;
}
export interface SymlinkEntry extends EntryCommon {
  readonly kind: typeof EntryKind.symlink;
  readonly target: Uint8Array;
}
export interface DeviceEntry extends EntryCommon {
  readonly kind: typeof EntryKind.charDevice | typeof EntryKind.blockDevice;
  readonly major: number;
  readonly minor: number;
}
export interface PipeEntry extends EntryCommon {
  readonly kind: typeof EntryKind.fifo | typeof EntryKind.socket;
}
export type Entry = FileEntry | DirectoryEntry | SymlinkEntry | DeviceEntry | PipeEntry;

export function isFile(entry: Entry): entry is FileEntry {
  return entry.kind === EntryKind.regular || entry.kind === EntryKind.image;
}

export function isDirectory(entry: Entry): entry is DirectoryEntry {
  return entry.kind === EntryKind.directory;
}

export function writeOwner(out: CborWriter, owner: Owner): void {
  out.array(4).int(owner.uid).int(owner.gid).textOrNull(owner.user).textOrNull(owner.group);
}

export function readOwner(from: CborReader): Owner {
  from.array(4);
  return { uid: from.uint(0xffffffff), gid: from.uint(0xffffffff), user: from.textOrNull(), group: from.textOrNull() };
}

const TAIL_ITEMS: Readonly<Record<EntryKind, number>> = { 1: 3, 2: 2, 3: 1, 4: 0, 5: 0, 6: 2, 7: 2, 8: 3 };

/** Writes one entry whose owner has index `owner` in its page's table. */
export function writeEntry(out: CborWriter, entry: Entry, owner: number): void {
  out
    .array(10 + TAIL_ITEMS[entry.kind])
    .bytes(entry.name)
    .int(entry.kind)
    .int(entry.mode)
    .int(owner);
  out.int(entry.mtimeSec).int(entry.mtimeNsec);
  if (entry.btimeSec === null) out.null().int(0);
  else out.int(entry.btimeSec).int(entry.btimeNsec);
  out.array(entry.xattrs.length);
  for (const xattr of entry.xattrs) {
    out.array(2).bytes(xattr.name);
    if (xattr.value instanceof Uint8Array) out.bytes(xattr.value);
    else out.array(2).int(xattr.value.lengthBytes).bytes(xattr.value.id);
  }
  if (entry.link === null) out.null();
  else out.array(2).bytes(entry.link.id).int(entry.link.nlink);
  switch (entry.kind) {
    case EntryKind.regular:
    case EntryKind.image:
      out.int(entry.sizeBytes).bytesOrNull(entry.digest);
      writeContent(out, entry.content);
      return;
    case EntryKind.directory:
      out.bytes(entry.tree).array(3).int(entry.totals.files).int(entry.totals.directories).int(entry.totals.bytes);
      return;
    case EntryKind.symlink:
      out.bytes(entry.target);
      return;
    case EntryKind.charDevice:
    case EntryKind.blockDevice:
      out.int(entry.major).int(entry.minor);
      return;
    default:
  }
}

function readXattrs(from: CborReader): Xattr[] {
  const count = from.array();
  const xattrs: Xattr[] = [];
  for (let i = 0; i < count; i++) {
    from.array(2);
    const name = from.bytes();
    if (name.byteLength === 0 || name.byteLength > MAX_NAME_BYTES || name.includes(0)) from.fail('an impossible attribute name');
    if (i > 0 && compareBytes(xattrs[i - 1]!.name, name) >= 0) from.fail('attributes out of order');
    if (from.peek() === 'bytes') {
      const value = from.bytes();
      if (value.byteLength > MAX_INLINE_XATTR_BYTES) from.fail('a long attribute value that is not a chunk');
      xattrs.push({ name, value });
    } else {
      from.array(2);
      const lengthBytes = from.uint(MAX_CHUNK_BYTES);
      if (lengthBytes <= MAX_INLINE_XATTR_BYTES) from.fail('a short attribute value that is a chunk');
      xattrs.push({ name, value: { lengthBytes, id: from.bytes(32) } });
    }
  }
  return xattrs;
}

/** Reads one entry. `rootName`: the name may be empty (the root in a manifest). */
export function readEntry(from: CborReader, owners: readonly Owner[], rootName = false): Entry {
  const items = from.array();
  const name = from.bytes();
  if (rootName ? name.byteLength !== 0 : !isValidName(name)) from.fail('a name that no directory may hold');
  const kind = from.uint(8) as EntryKind;
  if (kind < 1 || items !== 10 + TAIL_ITEMS[kind]) from.fail('an entry of an unknown kind or length');
  const mode = from.uint(0o7777);
  const owner = owners[from.uint()];
  if (owner === undefined) from.fail('an owner that is not in the table');
  const mtimeSec = from.int();
  const mtimeNsec = from.uint(999_999_999);
  const btimeSec = from.null() ? null : from.int();
  const btimeNsec = from.uint(btimeSec === null ? 0 : 999_999_999);
  const xattrs = readXattrs(from);
  let link: EntryCommon['link'] = null;
  if (!from.null()) {
    from.array(2);
    link = { id: from.bytes(16), nlink: from.uint() };
    if (link.nlink < 2 || kind === EntryKind.directory) from.fail('an impossible hard link');
  }
  // Written out for each kind: spreading a common part costs 12 µs an entry instead of 1.
  switch (kind) {
    case EntryKind.regular:
    case EntryKind.image: {
      const sizeBytes = from.uint();
      const digest = from.bytesOrNull(32);
      return {
        name,
        mode,
        owner,
        mtimeSec,
        mtimeNsec,
        btimeSec,
        btimeNsec,
        xattrs,
        link,
        kind,
        sizeBytes,
        digest,
        content: readContent(from, sizeBytes, digest !== null),
      };
    }
    case EntryKind.directory: {
      const tree = from.bytes(32);
      from.array(3);
      return {
        name,
        mode,
        owner,
        mtimeSec,
        mtimeNsec,
        btimeSec,
        btimeNsec,
        xattrs,
        link,
        kind,
        tree,
        totals: { files: from.uint(), directories: from.uint(), bytes: from.uint() },
      };
    }
    case EntryKind.symlink: {
      const target = from.bytes();
      if (target.byteLength === 0 || target.byteLength > MAX_TARGET_BYTES || target.includes(0))
        from.fail('an impossible symlink target');
      return { name, mode, owner, mtimeSec, mtimeNsec, btimeSec, btimeNsec, xattrs, link, kind, target };
    }
    case EntryKind.charDevice:
    case EntryKind.blockDevice:
      return {
        name,
        mode,
        owner,
        mtimeSec,
        mtimeNsec,
        btimeSec,
        btimeNsec,
        xattrs,
        link,
        kind,
        major: from.uint(0xffffffff),
        minor: from.uint(0xffffffff),
      };
    default:
      return { name, mode, owner, mtimeSec, mtimeNsec, btimeSec, btimeNsec, xattrs, link, kind };
  }
}

/** Whether a directory may hold `name`. */
export function isValidName(name: Uint8Array): boolean {
  const length = name.byteLength;
  if (length === 0 || length > MAX_NAME_BYTES) return false;
  if (name[0] === 0x2e && (length === 1 || (length === 2 && name[1] === 0x2e))) return false;
  for (let i = 0; i < length; i++) if (name[i] === 0x2f || name[i] === 0) return false;
  return true;
}
