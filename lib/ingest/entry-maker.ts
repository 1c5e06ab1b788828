/**
 * Makes tree entries of scan records: owners, times, hard link ids and extended attributes. Stores attribute values that are too long for an entry; reads no
 * content.
 */
import { utf8 } from '../bytes.js';
import { hmac } from '../crypto/kdf.js';
import { ChunkType } from '../format/pack.js';
import {
  type DirectoryEntry,
  type EntryCommon,
  EntryKind,
  type FileEntry,
  MAX_INLINE_XATTR_BYTES,
  type Totals,
  type Xattr,
} from '../format/tree.js';
import { native } from '../native.js';
import type { PackUses } from './cache-rows.js';
import type { Ingested } from './large-file.js';
import { ownerNames } from './owners.js';
import { type ScanRecord, ScanType } from './scan-record.js';
import type { WalkContext } from './walk-context.js';
import type { WalkNode } from './walk-node.js';

const NO_XATTRS: readonly Xattr[] = [];
export const NO_PACKS: PackUses = [];

export class EntryMaker {
  readonly #context: WalkContext;
  /** The owner record of a user and group id; equal ids give the same object. */
  readonly owner = ownerNames();
  #attributePacks: number[] = [];

  constructor(context: WalkContext) {
    this.#context = context;
  }

  /** The entry of a regular file that was read. @throws the system's error when its attributes cannot be had */
  regular(node: WalkNode, record: ScanRecord, path: Uint8Array, file: Ingested): FileEntry {
    // One literal, so that all regular files share one shape: this is the hottest line of a first backup.
    return {
      name: record.name,
      mode: record.mode & 0o7777,
      owner: this.owner(record.uid, record.gid),
      mtimeSec: record.mtimeSec,
      mtimeNsec: record.mtimeNsec,
      btimeSec: record.btimeSec,
      btimeNsec: record.btimeNsec,
      xattrs: this.#xattrs(node, record, path),
      link: record.nlink > 1 ? { id: this.#linkId(node, record), nlink: record.nlink } : null,
      kind: EntryKind.regular,
      sizeBytes: file.sizeBytes,
      digest: file.digest,
      content: file.content,
    };
  }

  /** What entries of every kind have; `node` is the directory that was scanned, undefined for one that is examined by itself. */
  common(node: WalkNode | undefined, record: ScanRecord, path: Uint8Array): EntryCommon {
    const linkId =
      node !== undefined && record.nlink > 1 && record.type !== ScanType.directory ? this.#linkId(node, record) : undefined;
    return {
      name: record.name,
      mode: record.mode & 0o7777,
      owner: this.owner(record.uid, record.gid),
      mtimeSec: record.mtimeSec,
      mtimeNsec: record.mtimeNsec,
      btimeSec: record.btimeSec,
      btimeNsec: record.btimeNsec,
      xattrs: this.#xattrs(node, record, path),
      link: linkId === undefined ? null : { id: linkId, nlink: record.nlink },
    };
  }

  #linkId(node: WalkNode, record: ScanRecord): Uint8Array {
    const inode = new Uint8Array(8);
    new DataView(inode.buffer).setBigUint64(0, record.ino, true);
    return hmac(this.#context.namesKey, utf8('link'), node.fsRoot, Uint8Array.of(0), inode).slice(0, 16);
  }

  #xattrs(node: WalkNode | undefined, record: ScanRecord, path: Uint8Array): readonly Xattr[] {
    if (node?.scan !== undefined) {
      node.haveXattrs ??= native().haveXattrs(node.path, node.scan);
      if (node.haveXattrs[record.position] === 0) return NO_XATTRS;
    }
    return native()
      .getXattrs(path)
      .map(([name, value]) => {
        if (value.byteLength <= MAX_INLINE_XATTR_BYTES) return { name, value };
        const stored = this.#context.run.meta.put(ChunkType.attribute, value);
        this.#attributePacks.push(this.#context.run.packNumber(stored.pack), value.byteLength);
        return { name, value: { lengthBytes: value.byteLength, id: stored.id } };
      });
  }

  /** `packs` and those of the long attribute values stored since the last call. */
  withAttributes(packs: PackUses): PackUses {
    return this.#attributePacks.length === 0 ? packs : [...packs, ...this.#attributePacks.splice(0)];
  }

  /** The entry of a directory whose tree is written. @throws the system's error when its attributes cannot be had */
  directory(record: ScanRecord, path: Uint8Array, name: Uint8Array, tree: Uint8Array, totals: Totals): DirectoryEntry {
    return { ...this.common(undefined, record, path), name, kind: EntryKind.directory, tree, totals };
  }
}
