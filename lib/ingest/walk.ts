/**
 * Walks the sources depth first and turns each directory, once all beneath it is known, into a tree. What the change cache knows is not read again.
 * A directory in which nothing changed costs one scan and one look-up.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EMPTY, utf8 } from '../bytes.js';
import { hmac, sha256 } from '../crypto/kdf.js';
import { InterruptedError } from '../errors.js';
import { CborReader } from '../format/cbor.js';
import type { Problem } from '../format/manifest.js';
import { ChunkType } from '../format/pack.js';
import {
  type DirectoryEntry,
  type Entry,
  type EntryCommon,
  EntryKind,
  isDirectory,
  isFile,
  MAX_INLINE_XATTR_BYTES,
  type Owner,
  readEntry,
  type Totals,
  type Xattr,
} from '../format/tree.js';
import { native } from '../native.js';
import type { CachedEntry, DirectoryHead, PackUses } from './change-cache.js';
import { type Former, type Ingested, ingestFile } from './large-file.js';
import { ownerNames } from './owners.js';
import type { Run } from './run.js';
import { readScan, readStat, type ScanRecord, ScanType, sameIdentity } from './scan-record.js';
import { GROWN, SMALL_FILE_BYTES, SmallFiles } from './small-files.js';
import { encodeEntries, writeDirectory } from './tree-writer.js';

/** Decides what is left out. `path` is absolute. */
export interface Exclusion {
  excludes(path: Uint8Array, record: { readonly isDirectory: boolean; readonly sizeBytes: number }): boolean;
  /** Whether everything in a directory is left out because of what it holds (cache tags and the like); the names that are kept all the same. */
  keepsOnly?(path: Uint8Array, names: readonly Uint8Array[]): readonly Uint8Array[] | undefined;
}

export interface WalkOptions {
  readonly exclusion?: Exclusion;
  readonly oneFileSystem?: boolean;
  /** Read every file again. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: WalkCounts) => void;
  readonly onProblem?: (problem: Problem) => void;
}

export interface WalkCounts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  directoriesNew: number;
  directoriesChanged: number;
  directoriesUnmodified: number;
  /** Bytes of the files passed, read or not. */
  processedBytes: number;
  readBytes: number;
  current: Uint8Array;
}

/** A tree of sources: a directory that is scanned whole, or one of which only some children are wanted. */
export interface SourceNode {
  readonly path: Uint8Array;
  /** Undefined: everything in it. */
  readonly children: Map<string, SourceNode> | undefined;
}

interface Node {
  readonly parent: Node | undefined;
  /** Index of this directory in the parent's records. */
  readonly at: number;
  readonly path: Uint8Array;
  readonly depth: number;
  readonly source: SourceNode | undefined;
  readonly device: string;
  readonly fsRoot: Uint8Array;
  records: ScanRecord[];
  entries: (Entry | undefined)[];
  packs: (PackUses | undefined)[];
  /** The scan as it came, and which of its records have attributes. */
  scan: Uint8Array | undefined;
  haveXattrs: Uint8Array | undefined;
  /** 1 where the entry may not be trusted next time. */
  unsure: Uint8Array;
  subdirectories: number[];
  nextSubdirectory: number;
  pending: number;
  walked: boolean;
  fingerprint: Uint8Array;
  head: DirectoryHead | undefined;
  /** The head's fingerprint fits: no entry of its own has changed. */
  clean: boolean;
  known: boolean;
  /** It could not be scanned. */
  failed: boolean;
  /** Device of the source that it belongs to; undefined above the sources. */
  readonly sourceDevice: string | undefined;
}

/** A file with several names: read once, forgotten when all its names were seen. */
interface LinkedFile {
  outcome: Ingested | undefined;
  namesLeft: number;
  readonly waiting: ((outcome: Ingested | string) => void)[];
}

const ROLLING_SHARE = 512; // a power of two
const NO_XATTRS: readonly Xattr[] = [];
const NO_PACKS: PackUses = [];
const UNSURE = new Uint8Array(32);
const CHANGED: Ingested = { sizeBytes: 0, digest: null, content: { kind: 'empty' }, packs: NO_PACKS, changed: true };
const MAX_LARGE = 4;

export interface WalkResult {
  readonly root: DirectoryEntry;
  readonly counts: WalkCounts;
  readonly problems: readonly Problem[];
}

export class Walk {
  readonly #run: Run;
  readonly #namesKey: Uint8Array;
  readonly #options: WalkOptions;
  readonly #owner = ownerNames();
  readonly #small: SmallFiles;
  readonly #links = new Map<string, LinkedFile>();
  readonly #problems: Problem[] = [];
  readonly #settledBeforeSec = Math.floor(Date.now() / 1000) - 1;
  readonly counts: WalkCounts = {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    directoriesNew: 0,
    directoriesChanged: 0,
    directoriesUnmodified: 0,
    processedBytes: 0,
    readBytes: 0,
    current: new Uint8Array(0),
  };
  #attributePacks: number[] = [];
  #large = 0;
  #largeDone: (() => void)[] = [];
  #failure: unknown;
  #root: { tree: Uint8Array; totals: Totals } | undefined;

  constructor(run: Run, namesKey: Uint8Array, options: WalkOptions) {
    this.#run = run;
    this.#namesKey = namesKey;
    this.#options = options;
    this.#small = new SmallFiles(
      run,
      (bytes) => this.#read(bytes),
      (error) => (this.#failure ??= error),
    );
  }

  #read(bytes: number): void {
    this.counts.readBytes += bytes;
    this.counts.processedBytes += bytes;
    this.#options.onProgress?.(this.counts);
  }

  /** Walks everything below `source` (the root directory). @throws InterruptedError, StoreError, what killed a worker */
  async walk(source: SourceNode): Promise<WalkResult> {
    const record = readStat(native().statPath(utf8('/'), true));
    const rootNode = this.#enter(undefined, -1, source.path, record, source);
    const stack: Node[] = [rootNode];
    for (let steps = 0; stack.length > 0; steps++) {
      if (this.#options.signal?.aborted === true) throw new InterruptedError('backup');
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#small.full) await this.#small.send();
      if (steps % 64 === 0) await nextTurn();
      const node = stack[stack.length - 1]!;
      const at = node.subdirectories[node.nextSubdirectory++];
      if (at === undefined) {
        stack.pop();
        node.walked = true;
        this.#finishIfDone(node);
        while (this.#large >= MAX_LARGE) await new Promise<void>((resolve) => this.#largeDone.push(resolve));
        continue;
      }
      const child = node.records[at]!;
      stack.push(this.#enter(node, at, childPath(node.path, child.name), child, node.source?.children?.get(latin1(child.name))));
    }
    while (this.#root === undefined) {
      if (this.#options.signal?.aborted === true) throw new InterruptedError('backup');
      await this.#small.drained();
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#large > 0) await new Promise<void>((resolve) => this.#largeDone.push(resolve));
      await nextTurn();
    }
    if (this.#failure !== undefined) throw this.#failure;
    const root = this.#directoryEntry(record, source.path, EMPTY, this.#root.tree, this.#root.totals);
    this.#run.use(this.#withAttributes(NO_PACKS));
    return { root, counts: this.counts, problems: this.#problems };
  }

  /** Scans a directory and starts on its entries. */
  #enter(parent: Node | undefined, at: number, path: Uint8Array, record: ScanRecord, source: SourceNode | undefined): Node {
    const device = record.device;
    const fsRoot = parent === undefined || parent.device !== device ? path : parent.fsRoot;
    const node: Node = {
      parent,
      at,
      path,
      depth: (parent?.depth ?? -1) + 1,
      source,
      device,
      fsRoot,
      records: [],
      entries: [],
      packs: [],
      scan: undefined,
      haveXattrs: undefined,
      unsure: new Uint8Array(0),
      subdirectories: [],
      nextSubdirectory: 0,
      pending: 0,
      walked: false,
      fingerprint: new Uint8Array(32),
      head: undefined,
      clean: false,
      known: false,
      failed: false,
      sourceDevice:
        source !== undefined && source.children === undefined ? device : source === undefined ? parent?.sourceDevice : undefined,
    };
    this.counts.current = path;
    node.records = this.#scan(node);
    const count = node.records.length;
    node.entries = new Array(count);
    node.packs = new Array(count);
    node.unsure = new Uint8Array(count);
    node.records.forEach((child, i) => {
      if (child.type === ScanType.directory) node.subdirectories.push(i);
    });
    node.pending = node.subdirectories.length;
    const head = this.#run.cache.head(path);
    node.head = head;
    node.known = head !== undefined;
    node.clean =
      head !== undefined && !node.failed && !this.#mustReread(path) && Buffer.compare(head.fingerprint, node.fingerprint) === 0;
    if (!node.clean) this.#startEntries(node);
    return node;
  }

  #mustReread(path: Uint8Array): boolean {
    if (this.#options.force === true) return true;
    // A few directories are read again in every run whatever their times say, each once in ROLLING_SHARE runs.
    let hash = 0;
    for (const byte of path) hash = (Math.imul(hash, 31) + byte) | 0;
    return (((hash >>> 8) + this.#run.cache.runs) & (ROLLING_SHARE - 1)) === ROLLING_SHARE - 1;
  }

  /** Entries of a directory that are wanted, in order; sets the fingerprint of exactly those. */
  #scan(node: Node): ScanRecord[] {
    if (node.source?.children !== undefined) return this.#scanSources(node, node.source.children);
    const { exclusion, oneFileSystem } = this.#options;
    // A mount point inside a source is kept as an empty directory.
    if (oneFileSystem === true && node.device !== node.sourceDevice) {
      node.failed = true;
      return [];
    }
    let scan: Uint8Array;
    try {
      scan = native().scanDirectory(node.path);
    } catch (error) {
      this.#problem(node.path, (error as NodeJS.ErrnoException).code ?? 'EIO');
      node.failed = true;
      if (node.parent !== undefined) node.parent.unsure[node.at] = 1;
      return [];
    }
    node.scan = scan;
    let records = readScan(scan);
    if (exclusion !== undefined) {
      const only = exclusion
        .keepsOnly?.(
          node.path,
          records.map(({ name }) => name),
        )
        ?.map(latin1);
      records = records.filter((record) => {
        if (only !== undefined && !only.includes(latin1(record.name))) return false;
        if (
          exclusion.excludes(childPath(node.path, record.name), {
            isDirectory: record.type === ScanType.directory,
            sizeBytes: record.sizeBytes,
          })
        )
          return false;
        return true;
      });
      node.fingerprint = sha256(...records.map(({ bytes }) => bytes));
    } else node.fingerprint = sha256(scan);
    return records;
  }

  #scanSources(node: Node, children: Map<string, SourceNode>): ScanRecord[] {
    const records: ScanRecord[] = [];
    for (const name of [...children.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))) {
      const path = children.get(name)!.path;
      try {
        records.push(
          readStat(native().statPath(path, children.get(name)!.children !== undefined)).named(
            new Uint8Array(Buffer.from(name, 'latin1')),
          ),
        );
      } catch (error) {
        this.#problem(path, (error as NodeJS.ErrnoException).code ?? 'EIO');
      }
    }
    node.fingerprint = sha256(...records.flatMap(({ bytes, name }) => [bytes, name]));
    return records;
  }

  /** Starts on every entry that is not a directory, from the cache where it can be trusted. */
  #startEntries(node: Node): void {
    const known = node.known || this.#run.cache.runs > 0 ? this.#run.cache.entries(node.path) : new Map<string, CachedEntry>();
    const reread = this.#mustReread(node.path);
    node.records.forEach((record, i) => {
      const cached = known.get(latin1(record.name));
      const sameState = cached !== undefined && sameIdentity(cached.identity, record.bytes);
      const same = sameState && cached.usable;
      if (record.ctimeSec >= this.#settledBeforeSec) node.unsure[i] = 1;
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
        if (record.type === ScanType.regular) this.counts.filesUnmodified++;
        this.counts.processedBytes += record.type === ScanType.regular ? record.sizeBytes : 0;
        return;
      }
      this.#startEntry(node, i, record, cached?.usable === true, sameState ? this.#former(cached, record) : undefined);
    });
  }

  #fromCache(cached: CachedEntry, record: ScanRecord): Entry {
    return readEntry(new CborReader(cached.tail, 'change cache'), [this.#owner(record.uid, record.gid)]);
  }

  /** What a large file that looks unchanged was when it was last read. */
  #former(cached: CachedEntry, record: ScanRecord): Former | undefined {
    if (record.type !== ScanType.regular || record.sizeBytes <= SMALL_FILE_BYTES) return undefined;
    const entry = this.#fromCache(cached, record);
    return isFile(entry) ? entry : undefined;
  }

  #startEntry(node: Node, i: number, record: ScanRecord, known: boolean, former?: Former): void {
    const path = childPath(node.path, record.name);
    if (record.errno !== 0) {
      this.#fail(node, i, path, record.errno === 2 ? 'ENOENT' : `ERRNO_${record.errno}`);
      return;
    }
    try {
      switch (record.type) {
        case ScanType.regular:
          if (known) this.counts.filesChanged++;
          else this.counts.filesNew++;
          this.#startFile(node, i, record, path, 0, former);
          return;
        case ScanType.symlink:
          node.entries[i] = Object.assign(this.#common(node, record, path), {
            kind: EntryKind.symlink,
            target: native().readLink(path),
          });
          node.packs[i] = this.#withAttributes(NO_PACKS);
          return;
        case ScanType.charDevice:
        case ScanType.blockDevice: {
          const kind = record.type === ScanType.charDevice ? EntryKind.charDevice : EntryKind.blockDevice;
          node.entries[i] = Object.assign(this.#common(node, record, path), {
            kind,
            major: record.rdevMajor,
            minor: record.rdevMinor,
          });
          node.packs[i] = this.#withAttributes(NO_PACKS);
          return;
        }
        case ScanType.fifo:
        case ScanType.socket:
          node.entries[i] = Object.assign(this.#common(node, record, path), {
            kind: record.type === ScanType.fifo ? EntryKind.fifo : EntryKind.socket,
          } as const);
          node.packs[i] = this.#withAttributes(NO_PACKS);
          return;
        default:
          this.#fail(node, i, path, 'UNKNOWN_TYPE');
      }
    } catch (error) {
      this.#fail(node, i, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  #startFile(node: Node, i: number, record: ScanRecord, path: Uint8Array, attempt: number, former?: Former): void {
    const done = (outcome: Ingested | string): void => {
      if (typeof outcome === 'string') this.#fail(node, i, path, outcome);
      else if (outcome.changed && attempt === 0) {
        this.#again(node, i, record, path);
        return;
      } else this.#fileDone(node, i, record, path, outcome);
      node.pending--;
      this.#finishIfDone(node);
    };
    node.pending++;
    if (record.nlink > 1) this.#linked(node, record, path, attempt, former, done);
    else this.#ingest(node, record, path, attempt, former, done);
  }

  /** One of several names of a file: its content is read once. */
  #linked(
    node: Node,
    record: ScanRecord,
    path: Uint8Array,
    attempt: number,
    former: Former | undefined,
    done: (outcome: Ingested | string) => void,
  ): void {
    const key = `${record.device}:${record.ino}`;
    const first = this.#links.get(key);
    if (first !== undefined) {
      if (--first.namesLeft === 0) this.#links.delete(key);
      if (first.outcome !== undefined) done(first.outcome);
      else first.waiting.push(done);
      return;
    }
    const link: LinkedFile = { outcome: undefined, namesLeft: record.nlink - 1, waiting: [done] };
    this.#links.set(key, link);
    this.#ingest(node, record, path, attempt, former, (outcome) => {
      // A change is looked into by whoever meets it; the next name reads again.
      if (typeof outcome === 'string' || outcome.changed) this.#links.delete(key);
      else link.outcome = outcome;
      for (const waiting of link.waiting.splice(0)) waiting(outcome);
    });
  }

  #ingest(
    node: Node,
    record: ScanRecord,
    path: Uint8Array,
    attempt: number,
    former: Former | undefined,
    done: (outcome: Ingested | string) => void,
  ): void {
    // Files that are sources themselves may be reached through a symlink, which the batches do not follow.
    if (record.sizeBytes <= SMALL_FILE_BYTES && node.source?.children === undefined) {
      this.#small.add(node.path, record, (outcome) => {
        if (outcome !== GROWN) done(outcome);
        else if (attempt === 0) done(CHANGED);
        else this.#ingestLarge(path, undefined, (grown) => done(typeof grown === 'string' ? grown : { ...grown, changed: true }));
      });
    } else this.#ingestLarge(path, former, done);
  }

  #ingestLarge(path: Uint8Array, former: Former | undefined, done: (outcome: Ingested | string) => void): void {
    this.#large++;
    ingestFile(this.#run, path, former, this.#options.signal, (bytes) => this.#read(bytes))
      .then(done, (error: NodeJS.ErrnoException) => {
        if (
          error.code === undefined ||
          error.code === 'ABORT_ERR' ||
          typeof error.code !== 'string' ||
          !/^E[A-Z0-9]+$/.test(error.code)
        )
          this.#failure ??= error;
        else done(error.code);
      })
      .catch((error: unknown) => (this.#failure ??= error))
      .finally(() => {
        this.#large--;
        for (const resolve of this.#largeDone.splice(0)) resolve();
      });
  }

  /** The file changed since it was scanned: look at it once more with its new state. */
  #again(node: Node, i: number, record: ScanRecord, path: Uint8Array): void {
    node.pending--;
    try {
      const now = readStat(native().statPath(path, false)).named(record.name);
      node.haveXattrs = undefined;
      node.unsure[i] = 1;
      if (now.type === ScanType.regular) this.#startFile(node, i, now, path, 1);
      else this.#startEntry(node, i, now, true);
    } catch (error) {
      this.#fail(node, i, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
    this.#finishIfDone(node);
  }

  #fileDone(node: Node, i: number, record: ScanRecord, path: Uint8Array, file: Ingested): void {
    if (file.changed) {
      node.unsure[i] = 1;
      this.#problem(path, 'CHANGED');
    }
    try {
      // One literal, so that all regular files share one shape: this is the hottest line of a first backup.
      node.entries[i] = {
        name: record.name,
        mode: record.mode & 0o7777,
        owner: this.#owner(record.uid, record.gid),
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
      node.packs[i] = this.#withAttributes(file.packs);
    } catch (error) {
      this.#fail(node, i, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  #fail(node: Node, i: number, path: Uint8Array, code: string): void {
    node.unsure[i] = 1;
    node.entries[i] = undefined;
    this.#problem(path, code);
  }

  #problem(path: Uint8Array, code: string): void {
    const problem = { path, code };
    this.#problems.push(problem);
    this.#options.onProblem?.(problem);
  }

  #common(node: Node | undefined, record: ScanRecord, path: Uint8Array): EntryCommon {
    const linkId =
      node !== undefined && record.nlink > 1 && record.type !== ScanType.directory ? this.#linkId(node, record) : undefined;
    return {
      name: record.name,
      mode: record.mode & 0o7777,
      owner: this.#owner(record.uid, record.gid),
      mtimeSec: record.mtimeSec,
      mtimeNsec: record.mtimeNsec,
      btimeSec: record.btimeSec,
      btimeNsec: record.btimeNsec,
      xattrs: this.#xattrs(node, record, path),
      link: linkId === undefined ? null : { id: linkId, nlink: record.nlink },
    };
  }

  #linkId(node: Node, record: ScanRecord): Uint8Array {
    const inode = new Uint8Array(8);
    new DataView(inode.buffer).setBigUint64(0, record.ino, true);
    return hmac(this.#namesKey, utf8('link'), node.fsRoot, Uint8Array.of(0), inode).slice(0, 16);
  }

  #xattrs(node: Node | undefined, record: ScanRecord, path: Uint8Array): readonly Xattr[] {
    if (node?.scan !== undefined) {
      node.haveXattrs ??= native().haveXattrs(node.path, node.scan);
      if (node.haveXattrs[record.position] === 0) return NO_XATTRS;
    }
    return native()
      .getXattrs(path)
      .map(([name, value]) => {
        if (value.byteLength <= MAX_INLINE_XATTR_BYTES) return { name, value };
        const stored = this.#run.meta.put(ChunkType.attribute, value);
        this.#attributePacks.push(this.#run.packNumber(stored.pack), value.byteLength);
        return { name, value: { lengthBytes: value.byteLength, id: stored.id } };
      });
  }

  /** `packs` and those of the long attribute values stored since the last call. */
  #withAttributes(packs: PackUses): PackUses {
    return this.#attributePacks.length === 0 ? packs : [...packs, ...this.#attributePacks.splice(0)];
  }

  #directoryEntry(record: ScanRecord, path: Uint8Array, name: Uint8Array, tree: Uint8Array, totals: Totals): DirectoryEntry {
    return { ...this.#common(undefined, record, path), name, kind: EntryKind.directory, tree, totals };
  }

  #finishIfDone(node: Node): void {
    if (!node.walked || node.pending > 0) return;
    if (node.clean) {
      if (this.#sameChildren(node)) {
        this.#reuse(node);
        return;
      }
      node.clean = false;
      const trees = node.entries;
      node.entries = new Array(node.records.length);
      this.#startEntries(node);
      for (const at of node.subdirectories) this.#mergeDirectory(node, at, trees[at]);
      if (node.pending > 0) return;
    }
    this.#write(node);
  }

  /** Puts the tree of a finished subdirectory under the attributes that the cache has, or fresh ones. */
  #mergeDirectory(node: Node, at: number, finished: Entry | undefined): void {
    const cached = node.entries[at];
    if (finished === undefined || !isDirectory(finished)) node.entries[at] = finished;
    else if (cached !== undefined && isDirectory(cached))
      node.entries[at] = { ...cached, tree: finished.tree, totals: finished.totals };
    else this.#setDirectory(node, at, childPath(node.path, node.records[at]!.name), finished.tree, finished.totals);
  }

  #setDirectory(node: Node, at: number, path: Uint8Array, tree: Uint8Array, totals: Totals): void {
    const record = node.records[at]!;
    try {
      node.entries[at] = this.#directoryEntry(record, path, record.name, tree, totals);
      node.packs[at] = this.#withAttributes(NO_PACKS);
    } catch (error) {
      this.#fail(node, at, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  #sameChildren(node: Node): boolean {
    const children = node.head!.children;
    if (children.byteLength !== node.subdirectories.length * 32) return false;
    return node.subdirectories.every((at, i) => {
      const entry = node.entries[at];
      return (
        entry !== undefined && isDirectory(entry) && Buffer.compare(entry.tree, children.subarray(i * 32, i * 32 + 32)) === 0
      );
    });
  }

  #reuse(node: Node): void {
    const head = node.head!;
    this.counts.directoriesUnmodified++;
    for (const { type } of node.records) if (type === ScanType.regular) this.counts.filesUnmodified++;
    this.#run.use(head.packs);
    this.#deliver(node, head.tree, { files: head.files, directories: head.directories, bytes: head.bytes });
  }

  /** Everything in the directory is known: write its tree and remember it. */
  #write(node: Node): void {
    const present: number[] = [];
    for (let i = 0; i < node.entries.length; i++) if (node.entries[i] !== undefined) present.push(i);
    const entries = present.map((i) => node.entries[i]!);
    const encoded = encodeEntries(entries);
    const { tree, pages } = writeDirectory(this.#run.meta, this.#namesKey, encoded);
    const sums = new Map<number, number>();
    const add = (number: number, bytes: number): void => void sums.set(number, (sums.get(number) ?? 0) + bytes);
    for (const i of present)
      for (let at = 0, uses = node.packs[i] ?? NO_PACKS; at < uses.length; at += 2) add(uses[at]!, uses[at + 1]!);
    for (const page of pages) add(this.#run.packNumber(page.pack), page.lengthBytes);
    const packs = [...sums].flat();
    this.#run.use(packs);
    const totals = totalsOf(entries);
    const sure = !node.unsure.includes(1) && present.length === node.records.length;
    const children = new Uint8Array(node.subdirectories.length * 32);
    node.subdirectories.forEach((at, i) => {
      const entry = node.entries[at];
      if (entry !== undefined && isDirectory(entry)) children.set(entry.tree, i * 32);
    });
    const { files, directories, bytes } = totals;
    const head = { fingerprint: sure ? node.fingerprint : UNSURE, tree, files, directories, bytes, children, packs };
    const cached = (at: number): Omit<CachedEntry, 'usable'> => {
      const i = present[at]!;
      const trusted = node.unsure[i] === 0 || isDirectory(node.entries[i]!);
      return { identity: node.records[i]!.bytes, tail: trusted ? encoded.bytes(at) : EMPTY, packs: node.packs[i] ?? NO_PACKS };
    };
    this.#run.cache.put(node.path, head, present.length, (at) => node.records[present[at]!]!.name, cached);
    if (node.known) this.counts.directoriesChanged++;
    else this.counts.directoriesNew++;
    this.#deliver(node, tree, totals);
  }

  /** Gives a finished directory to its parent. */
  #deliver(node: Node, tree: Uint8Array, totals: Totals): void {
    const { parent, at } = node;
    node.records = [];
    node.entries = [];
    if (parent === undefined) {
      this.#root = { tree, totals };
      return;
    }
    const record = parent.records[at]!;
    const kept = parent.entries[at];
    if (kept !== undefined && isDirectory(kept)) parent.entries[at] = { ...kept, tree, totals };
    // The attributes of a clean parent's directories are in the cache and are fetched only if it must be written.
    else if (parent.clean) parent.entries[at] = bareDirectory(record, this.#owner(record.uid, record.gid), tree, totals);
    else this.#setDirectory(parent, at, node.path, tree, totals);
    parent.pending--;
    this.#finishIfDone(parent);
  }
}

function bareDirectory(record: ScanRecord, owner: Owner, tree: Uint8Array, totals: Totals): DirectoryEntry {
  const { name, mtimeSec, mtimeNsec, btimeSec, btimeNsec } = record;
  return {
    name,
    mode: record.mode & 0o7777,
    owner,
    mtimeSec,
    mtimeNsec,
    btimeSec,
    btimeNsec,
    xattrs: [],
    link: null,
    kind: EntryKind.directory,
    tree,
    totals,
  };
}

function totalsOf(entries: readonly Entry[]): Totals {
  let files = 0;
  let directories = 0;
  let bytes = 0;
  for (const entry of entries) {
    if (isDirectory(entry)) {
      directories += 1 + entry.totals.directories;
      files += entry.totals.files;
      bytes += entry.totals.bytes;
    } else {
      files++;
      if (entry.kind === EntryKind.regular || entry.kind === EntryKind.image) bytes += entry.sizeBytes;
    }
  }
  return { files, directories, bytes };
}

export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = directory[directory.byteLength - 1] === 0x2f ? 0 : 1;
  const path = new Uint8Array(directory.byteLength + slash + name.byteLength);
  path.set(directory);
  if (slash === 1) path[directory.byteLength] = 0x2f;
  path.set(name, directory.byteLength + slash);
  return path;
}

function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}
