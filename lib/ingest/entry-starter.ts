/**
 * Starts on the entries of a directory that are not directories: takes them from the change cache where it can be trusted, has files read, and looks once more
 * at files that changed meanwhile.
 */
import { CborReader } from '../format/cbor.js';
import { type Entry, EntryKind, isFile, readEntry } from '../format/tree.js';
import { native } from '../native.js';
import type { CachedEntry } from './cache-rows.js';
import { type EntryMaker, NO_PACKS } from './entry-maker.js';
import type { FileReader } from './file-reader.js';
import type { Former, Ingested } from './large-file.js';
import { mustReread } from './scan-directory.js';
import { readStat, type ScanRecord, ScanType, sameIdentity } from './scan-record.js';
import { SMALL_FILE_BYTES } from './small-files.js';
import type { WalkContext } from './walk-context.js';
import { childPath, latin1, type WalkNode } from './walk-node.js';

/** A file that is being read. */
interface Started {
  readonly path: Uint8Array;
  /** The change cache has it. */
  readonly known: boolean;
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
      const sameState = cached !== undefined && sameIdentity(cached.identity, record.bytes);
      const same = sameState && cached.usable;
      if (record.ctimeSec >= this.#context.settledBeforeSec) node.unsure[i] = 1;
      if (record.type === ScanType.directory) {
        // Its attributes are taken over if it is unchanged itself; its tree comes when it is finished.
        if (same && !reread) {
          node.entries[i] = this.#fromCache(cached, record);
          node.packs[i] = cached.packs;
        }
        return;
      }
      if (same && !reread) {
        node.entries[i] = this.#fromCache(cached, record);
        node.packs[i] = cached.packs;
        if (record.type === ScanType.regular) this.#context.counts.filesUnmodified++;
        this.#context.counts.processedBytes += record.type === ScanType.regular ? record.sizeBytes : 0;
        return;
      }
      this.#startEntry(node, i, record, cached?.usable === true, sameState ? this.#former(cached, record) : undefined);
    });
  }

  #fromCache(cached: CachedEntry, record: ScanRecord): Entry {
    return readEntry(new CborReader(cached.tail, 'change cache'), [this.#maker.owner(record.uid, record.gid)]);
  }

  /** What a large file that looks unchanged was when it was last read. */
  #former(cached: CachedEntry, record: ScanRecord): Former | undefined {
    if (record.type !== ScanType.regular || record.sizeBytes <= SMALL_FILE_BYTES) return undefined;
    const entry = this.#fromCache(cached, record);
    return isFile(entry) ? entry : undefined;
  }

  #startEntry(node: WalkNode, i: number, record: ScanRecord, known: boolean, former?: Former): void {
    const path = childPath(node.path, record.name);
    if (record.errno !== 0) {
      this.#context.fail(node, i, path, record.errno === 2 ? 'ENOENT' : `ERRNO_${record.errno}`);
      return;
    }
    try {
      switch (record.type) {
        case ScanType.regular:
          this.#context.counts[known ? 'filesChanged' : 'filesNew']++;
          this.#context.options.onFile?.(path, known ? 'changed' : 'new');
          this.#startFile(node, i, record, { path, known, attempt: 0 }, former);
          return;
        case ScanType.symlink:
          node.entries[i] = Object.assign(this.#maker.common(node, record, path), {
            kind: EntryKind.symlink,
            target: native().readLink(path),
          });
          node.packs[i] = this.#maker.withAttributes(NO_PACKS);
          return;
        case ScanType.charDevice:
        case ScanType.blockDevice: {
          const kind = record.type === ScanType.charDevice ? EntryKind.charDevice : EntryKind.blockDevice;
          node.entries[i] = Object.assign(this.#maker.common(node, record, path), {
            kind,
            major: record.rdevMajor,
            minor: record.rdevMinor,
          });
          node.packs[i] = this.#maker.withAttributes(NO_PACKS);
          return;
        }
        case ScanType.fifo:
        case ScanType.socket:
          node.entries[i] = Object.assign(this.#maker.common(node, record, path), {
            kind: record.type === ScanType.fifo ? EntryKind.fifo : EntryKind.socket,
          } as const);
          node.packs[i] = this.#maker.withAttributes(NO_PACKS);
          return;
        default:
          this.#context.fail(node, i, path, 'UNKNOWN_TYPE');
      }
    } catch (error) {
      this.#context.fail(node, i, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  #startFile(node: WalkNode, i: number, record: ScanRecord, file: Started, former?: Former): void {
    const { path, attempt } = file;
    const done = (outcome: Ingested | string): void => {
      if (typeof outcome === 'string') this.#fileFailed(node, i, file, outcome);
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
    const { path, known } = file;
    node.pending--;
    try {
      const now = readStat(native().statPath(path, false)).named(record.name);
      node.haveXattrs = undefined;
      node.unsure[i] = 1;
      if (now.type === ScanType.regular) this.#startFile(node, i, now, { path, known, attempt: 1 });
      else {
        this.#uncount(file);
        this.#startEntry(node, i, now, true);
      }
    } catch (error) {
      this.#fileFailed(node, i, file, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
    this.#onDone(node);
  }

  #fileDone(node: WalkNode, i: number, record: ScanRecord, file: Started, read: Ingested): void {
    const { path } = file;
    if (read.changed) {
      node.unsure[i] = 1;
      this.#context.problem(path, 'CHANGED');
    }
    try {
      node.entries[i] = this.#maker.regular(node, record, path, read);
      node.packs[i] = this.#maker.withAttributes(read.packs);
    } catch (error) {
      this.#fileFailed(node, i, file, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  #fileFailed(node: WalkNode, i: number, file: Started, code: string): void {
    this.#uncount(file);
    this.#context.fail(node, i, file.path, code);
  }

  /** Takes back that a file was counted when its reading began. */
  #uncount({ known }: Started): void {
    this.#context.counts[known ? 'filesChanged' : 'filesNew']--;
  }
}
