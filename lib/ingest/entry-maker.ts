/**
 * Makes tree entries of scan records: owners, times, hard link ids and extended attributes. Stores attribute values that are too long for an entry; reads no
 * content.
 */
import { lossyUtf8, utf8, viewOf } from '../bytes.js';
import { hmac } from '../crypto/kdf.js';
import { ChunkType } from '../format/pack.js';
import {
  type DirectoryEntry,
  type Entry,
  type EntryCommon,
  EntryKind,
  type FileEntry,
  isFile,
  MAX_INLINE_XATTR_BYTES,
  type Owner,
  type Totals,
  type Xattr,
} from '../format/tree.js';
import { native } from '../native.js';
import type { PackUses } from './cache-rows.js';
import { codeOf, errnoName } from './errno.js';
import type { Ingested } from './large-file.js';
import type { ScanRecord } from './scan-record.js';
import type { WalkContext } from './walk-context.js';
import type { WalkNode } from './walk-node.js';

const NO_XATTRS: readonly Xattr[] = [];
export const NO_PACKS: PackUses = [];
const LINK = utf8('link');

export class EntryMaker {
  readonly #context: WalkContext;
  #attributePacks: number[] = [];
  #attributesMissing = false;

  constructor(context: WalkContext) {
    this.#context = context;
  }

  owner(uid: number, gid: number): Owner {
    return this.#context.owners.owner(uid, gid);
  }

  /** The entry of a regular file that was read. */
  regular(node: WalkNode, record: ScanRecord, path: Uint8Array, file: Ingested): FileEntry {
    // One literal, so that all regular files share one shape: this is the hottest line of a first backup.
    const entry: FileEntry = {
      name: record.name,
      mode: record.mode & 0o7777,
      owner: this.owner(record.uid, record.gid),
      mtimeSec: record.mtimeSec,
      mtimeNsec: record.mtimeNsec,
      btimeSec: record.btimeSec,
      btimeNsec: record.btimeNsec,
      xattrs: this.#xattrs(node, record, path),
      link: null,
      kind: EntryKind.regular,
      sizeBytes: file.sizeBytes,
      digest: file.digest,
      content: file.content,
    };
    // What changed while it was read may be something else under its other names.
    return record.nlink > 1 && !file.changed ? this.linked(entry, record) : entry;
  }

  /** What entries of every kind have but for a link; `node` is the directory that was scanned, undefined for one that is examined by itself. */
  common(node: WalkNode | undefined, record: ScanRecord, path: Uint8Array, location = path): EntryCommon {
    return {
      name: record.name,
      mode: record.mode & 0o7777,
      owner: this.owner(record.uid, record.gid),
      mtimeSec: record.mtimeSec,
      mtimeNsec: record.mtimeNsec,
      btimeSec: record.btimeSec,
      btimeNsec: record.btimeNsec,
      xattrs: this.#xattrs(node, record, path, location),
      link: null,
    };
  }

  /**
   * `entry` as one of several names of a file. The link id says which file on which device, at which of its changes, and with what content: entries with one id
   * are the same file whatever happens to it, and to its number, between the looks at its names.
   */
  linked<T extends Entry>(entry: T, record: ScanRecord): T {
    const id = hmac(this.#context.namesKey, LINK, Uint8Array.of(0), record.fileIdentity, ...contentIdentity(entry)).slice(0, 16);
    return { ...entry, link: { id, nlink: record.nlink } };
  }

  #xattrs(node: WalkNode | undefined, record: ScanRecord, path: Uint8Array, location = path): readonly Xattr[] {
    try {
      if (node?.scan !== undefined) {
        node.haveXattrs ??= native().haveXattrs(node.location, node.scan);
        if (node.haveXattrs[record.position] === 0) return NO_XATTRS;
      }
      const xattrs: Xattr[] = [];
      for (const [name, value] of native().getXattrs(location)) {
        if (typeof value === 'number') this.#missing(path, `${errnoName(value)} attribute ${lossyUtf8(name)}`);
        else if (value.byteLength <= MAX_INLINE_XATTR_BYTES) xattrs.push({ name, value });
        else {
          const stored = this.#context.run.meta.put(ChunkType.attribute, value);
          this.#attributePacks.push(this.#context.run.packNumber(stored.pack), value.byteLength);
          xattrs.push({ name, value: { lengthBytes: value.byteLength, id: stored.id } });
        }
      }
      return xattrs;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      const code = codeOf(error);
      // What is gone is told as that.
      this.#missing(path, code === 'ENOENT' ? code : `${code} attributes`);
      return NO_XATTRS;
    }
  }

  #missing(path: Uint8Array, code: string): void {
    this.#attributesMissing = true;
    this.#context.problem(path, code);
  }

  /** Whether attributes were missing of what was made since the last call. */
  tookMissing(): boolean {
    const missing = this.#attributesMissing;
    this.#attributesMissing = false;
    return missing;
  }

  /** `packs` and those of the long attribute values stored since the last call. */
  withAttributes(packs: PackUses): PackUses {
    return this.#attributePacks.length === 0 ? packs : [...packs, ...this.#attributePacks.splice(0)];
  }

  /** The entry of a directory whose tree is written. `location` opens it. */
  directory(
    record: ScanRecord,
    path: Uint8Array,
    location: Uint8Array,
    name: Uint8Array,
    tree: Uint8Array,
    totals: Totals,
  ): DirectoryEntry {
    return { ...this.common(undefined, record, path, location), name, kind: EntryKind.directory, tree, totals };
  }
}

/** What entries of one link id must agree in (docs/format.md §9). */
function contentIdentity(entry: Entry): Uint8Array[] {
  const numbers = new Uint8Array(9);
  numbers[0] = entry.kind;
  const view = viewOf(numbers);
  if (isFile(entry)) {
    view.setBigUint64(1, BigInt(entry.sizeBytes), true);
    const { digest, content } = entry;
    return [numbers, digest ?? (content.kind === 'rows' ? content.rows : Uint8Array.of())];
  }
  if (entry.kind === EntryKind.symlink) return [numbers, entry.target];
  if ('major' in entry) {
    view.setUint32(1, entry.major, true);
    view.setUint32(5, entry.minor, true);
  }
  return [numbers];
}
