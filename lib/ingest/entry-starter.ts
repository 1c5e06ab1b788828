/**
 * Starts on the entries of a directory that are not directories: takes them from the change cache where it can be trusted, has files read, and looks once more
 * at files that changed meanwhile.
 */
import { equalBytes } from '../bytes.js';
import { CborReader } from '../format/cbor.js';
import { Oddity } from '../format/storable.js';
import { type Entry, EntryKind, type FileEntry, isFile, readEntry, type Xattr } from '../format/tree.js';
import { native } from '../native.js';
import type { CachedEntry } from './cache-rows.js';
import { type EntryMaker, NO_PACKS } from './entry-maker.js';
import { codeOf, errnoName } from './errno.js';
import type { FileReader } from './file-reader.js';
import type { Former, Ingested } from './large-file.js';
import { mustReread } from './scan-directory.js';
import { readStat, type ScanRecord, ScanType, sameIdentity } from './scan-record.js';
import { SMALL_FILE_BYTES } from './small-files.js';
import type { FileState, WalkContext } from './walk-context.js';
import { childPath, latin1, type WalkNode } from './walk-node.js';

/** A file that is being read. */
interface Started {
  readonly path: Uint8Array;
  /** 1 when it changed while it was read the first time. */
  readonly attempt: 0 | 1;
}

export class EntryStarter {
  readonly #context: WalkContext;
  readonly #maker: EntryMaker;
  readonly #files: FileReader;
  readonly #onDone: (node: WalkNode) => void;

  /** `onDone` is called whenever an entry that a directory waited for is done. */
  constructor(context: WalkContext, maker: EntryMaker, files: FileReader, onDone: (node: WalkNode) => void) {
    this.#context = context;
    this.#maker = maker;
    this.#files = files;
    this.#onDone = onDone;
  }

  /** Starts on every entry that is not a directory, from the cache where it can be trusted. */
  startEntries(node: WalkNode): void {
    const known =
      node.known || this.#context.run.cache.runs > 0
        ? this.#context.run.cache.entries(node.path)
        : new Map<string, CachedEntry>();
    const reread = mustReread(this.#context, node.path);
    node.records.forEach((record, i) => {
      const cached = known.get(latin1(record.name));
      const sameState = cached !== undefined && sameIdentity(cached.identity, record.bytes, this.#context.mask);
      if (record.ctimeSec >= this.#context.settledBeforeSec) node.unsure[i] = 1;
      // The attributes of a directory are taken over if it is unchanged itself; its tree comes when it is finished.
      const taken = sameState && cached.usable && !reread ? this.#fromCache(cached, record) : undefined;
      if (taken !== undefined) {
        node.entries[i] = taken;
        node.packs[i] = cached!.packs;
        if (record.type !== ScanType.regular) return;
        this.#context.counts.filesUnmodified++;
        this.#context.counts.processedBytes += record.sizeBytes;
        return;
      }
      if (record.type === ScanType.directory) return;
      if (cached !== undefined) (node.former ??= new Map()).set(i, cached);
      this.#startEntry(node, i, record, sameState ? this.#former(cached, record) : undefined);
    });
  }

  /** What the cache has of an entry; undefined when it cannot be read. */
  #fromCache(cached: CachedEntry, record: ScanRecord): Entry | undefined {
    try {
      const entry = readEntry(new CborReader(cached.tail, 'change cache'), [this.#maker.owner(record.uid, record.gid)]);
      // The device may have another number by now, under which other names of the file are found.
      return entry.link === null ? entry : this.#maker.linked(entry, record);
    } catch {
      return undefined;
    }
  }

  /** What a large file that looks unchanged was when it was last read. */
  #former(cached: CachedEntry, record: ScanRecord): Former | undefined {
    if (record.type !== ScanType.regular || record.sizeBytes <= SMALL_FILE_BYTES) return undefined;
    const entry = this.#fromCache(cached, record);
    return entry !== undefined && isFile(entry) ? entry : undefined;
  }

  #startEntry(node: WalkNode, i: number, record: ScanRecord, former?: Former): void {
    const path = childPath(node.path, record.name);
    if (record.errno !== 0) {
      this.#context.fail(node, i, path, errnoName(record.errno));
      return;
    }
    if (record.isTooLarge) {
      this.#context.fail(node, i, path, Oddity.size);
      return;
    }
    try {
      switch (record.type) {
        case ScanType.regular:
          this.#startFile(node, i, record, { path, attempt: 0 }, former);
          return;
        case ScanType.symlink:
          this.#set(node, i, record, {
            ...this.#maker.common(node, record, path),
            kind: EntryKind.symlink,
            target: native().readLink(path),
          });
          return;
        case ScanType.charDevice:
        case ScanType.blockDevice: {
          const kind = record.type === ScanType.charDevice ? EntryKind.charDevice : EntryKind.blockDevice;
          const { rdevMajor: major, rdevMinor: minor } = record;
          this.#set(node, i, record, { ...this.#maker.common(node, record, path), kind, major, minor });
          return;
        }
        case ScanType.fifo:
        case ScanType.socket: {
          const kind = record.type === ScanType.fifo ? EntryKind.fifo : EntryKind.socket;
          this.#set(node, i, record, { ...this.#maker.common(node, record, path), kind });
          return;
        }
        default:
          this.#context.fail(node, i, path, 'UNKNOWN_TYPE');
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      this.#context.fail(node, i, path, codeOf(error));
    }
  }

  /** Takes the finished entry of something that is not a regular file. */
  #set(node: WalkNode, i: number, record: ScanRecord, entry: Entry): void {
    if (this.#maker.tookMissing()) node.unsure[i] = 2;
    node.entries[i] = record.nlink > 1 ? this.#maker.linked(entry, record) : entry;
    node.packs[i] = this.#maker.withAttributes(NO_PACKS);
  }

  #startFile(node: WalkNode, i: number, record: ScanRecord, file: Started, former?: Former): void {
    const { path, attempt } = file;
    const done = (outcome: Ingested | string): void => {
      if (typeof outcome === 'string') this.#context.fail(node, i, path, outcome);
      else if (outcome.changed && attempt === 0) {
        this.#again(node, i, record, file);
        return;
      } else this.#fileDone(node, i, record, file, outcome);
      node.pending--;
      this.#onDone(node);
    };
    node.pending++;
    this.#files.read(node, record, path, attempt, former, done);
  }

  /** The file changed since it was scanned: look at it once more with its new state. */
  #again(node: WalkNode, i: number, record: ScanRecord, file: Started): void {
    const { path } = file;
    node.pending--;
    try {
      const now = readStat(native().statPath(path, false)).named(record.name, -1);
      node.haveXattrs = undefined;
      node.unsure[i] = 1;
      if (now.type === ScanType.regular && !now.isTooLarge) this.#startFile(node, i, now, { path, attempt: 1 });
      else this.#startEntry(node, i, now);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      this.#context.fail(node, i, path, codeOf(error));
    }
    this.#onDone(node);
  }

  #fileDone(node: WalkNode, i: number, record: ScanRecord, file: Started, read: Ingested): void {
    const { path } = file;
    if (read.changed) {
      node.unsure[i] = 1;
      this.#context.problem(path, 'CHANGED');
    }
    // Its size is not what it holds (files of /proc): then its times say nothing either.
    if (read.sizeBytes !== record.sizeBytes) node.unsure[i] = 1;
    const entry = this.#maker.regular(node, record, path, read);
    if (this.#maker.tookMissing()) node.unsure[i] = 2;
    node.entries[i] = entry;
    node.packs[i] = this.#maker.withAttributes(read.packs);
    this.#count(node, i, record, path, entry);
  }

  #count(node: WalkNode, i: number, record: ScanRecord, path: Uint8Array, entry: FileEntry): void {
    const { counts, options } = this.#context;
    const cached = node.former?.get(i);
    node.former?.delete(i);
    let state: FileState = 'new';
    if (cached === undefined) counts.filesNew++;
    else {
      const former = this.#fromCache(cached, record);
      state = former !== undefined && isFile(former) && sameFile(former, entry) ? 'read again' : 'changed';
      if (state === 'changed') counts.filesChanged++;
      else {
        counts.filesUnmodified++;
        counts.filesReadAgain++;
      }
    }
    options.onFile?.(path, state);
  }
}

/** Whether a file is stored as it was, by all that a snapshot keeps of it. */
function sameFile(a: FileEntry, b: FileEntry): boolean {
  const sameContent =
    a.digest !== null && b.digest !== null
      ? equalBytes(a.digest, b.digest)
      : a.content.kind === 'rows' && b.content.kind === 'rows' && equalBytes(a.content.rows, b.content.rows);
  return (
    a.sizeBytes === b.sizeBytes &&
    sameContent &&
    a.mode === b.mode &&
    a.owner.uid === b.owner.uid &&
    a.owner.gid === b.owner.gid &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.xattrs.length === b.xattrs.length &&
    a.xattrs.every((xattr, i) => sameXattr(xattr, b.xattrs[i]!))
  );
}

function sameXattr(a: Xattr, b: Xattr): boolean {
  if (!equalBytes(a.name, b.name)) return false;
  if (a.value instanceof Uint8Array) return b.value instanceof Uint8Array && equalBytes(a.value, b.value);
  return !(b.value instanceof Uint8Array) && equalBytes(a.value.id, b.value.id);
}
