/**
 * Finishes directories beneath which everything is known: keeps the tree of one that has not changed, writes that of any other, and gives it to the parent,
 * which may be finished by it. Nothing is written that a reader would refuse: what is odd about one entry is that entry's problem.
 */
import { compareBytes, EMPTY, equalBytes, lossyUtf8 } from '../bytes.js';
import { Oddity, storable } from '../format/storable.js';
import { type DirectoryEntry, type Entry, EntryKind, isDirectory, isFile, type Owner, type Totals } from '../format/tree.js';
import type { CachedEntry } from './cache-rows.js';
import { type EntryMaker, NO_PACKS } from './entry-maker.js';
import type { EntryStarter } from './entry-starter.js';
import { type ScanRecord, ScanType } from './scan-record.js';
import { encodeEntries, writeDirectory } from './tree-writer.js';
import type { WalkContext } from './walk-context.js';
import { childPath, DOT, type WalkNode } from './walk-node.js';

const UNSURE = new Uint8Array(32);

export class DirectoryFinisher {
  readonly #context: WalkContext;
  readonly #maker: EntryMaker;
  readonly #starter: EntryStarter;
  /** The root directory, once it is finished. */
  root: { tree: Uint8Array; totals: Totals } | undefined;

  constructor(context: WalkContext, maker: EntryMaker, starter: EntryStarter) {
    this.#context = context;
    this.#maker = maker;
    this.#starter = starter;
  }

  /** Finishes a directory unless it still waits for something, and those above that waited for it alone; called again whenever it waits for less. */
  finishIfDone(node: WalkNode): void {
    // Not by recursion: directories nest deeper than the stack.
    for (let at: WalkNode | undefined = node; at?.walked && at.pending === 0; ) {
      this.#finish(at);
      at = at.pending === 0 ? at.parent : undefined;
    }
  }

  /** Finishes a directory that waits for nothing. It may wait again after. */
  #finish(node: WalkNode): void {
    if (node.clean) {
      if (this.#sameChildren(node) && this.#addTotals(node)) {
        this.#reuse(node);
        return;
      }
      node.clean = false;
      const trees = node.entries;
      node.entries = new Array(node.records.length);
      // Some entries may be done at once; the directory is not before all are begun.
      node.pending++;
      this.#starter.startEntries(node);
      node.pending--;
      for (const at of node.subdirectories) this.#mergeDirectory(node, at, trees[at]);
      if (node.pending > 0) return;
    }
    this.#write(node);
  }

  /** Puts the tree of a finished subdirectory under the attributes that the cache has, or fresh ones. */
  #mergeDirectory(node: WalkNode, at: number, finished: Entry | undefined): void {
    const cached = node.entries[at];
    if (finished === undefined || !isDirectory(finished)) node.entries[at] = finished;
    else if (cached !== undefined && isDirectory(cached))
      node.entries[at] = { ...cached, tree: finished.tree, totals: finished.totals };
    else {
      const path = childPath(node.path, node.records[at]!.name);
      // A way through a symlink is one of the few that a clean directory may hold; the dot follows it, and changes nothing for a directory.
      this.#setDirectory(node, at, path, node.source === undefined ? path : childPath(path, DOT), finished.tree, finished.totals);
    }
  }

  /** `location` opens the directory. */
  #setDirectory(node: WalkNode, at: number, path: Uint8Array, location: Uint8Array, tree: Uint8Array, totals: Totals): void {
    const record = node.records[at]!;
    node.entries[at] = this.#maker.directory(record, path, location, record.name, tree, totals);
    node.packs[at] = this.#maker.withAttributes(NO_PACKS);
    if (this.#maker.tookMissing()) node.unsure[at] = 2;
  }

  #sameChildren(node: WalkNode): boolean {
    const children = node.head!.children;
    if (children.byteLength !== node.subdirectories.length * 32) return false;
    return node.subdirectories.every((at, i) => {
      const entry = node.entries[at];
      return (
        entry !== undefined && isDirectory(entry) && Buffer.compare(entry.tree, children.subarray(i * 32, i * 32 + 32)) === 0
      );
    });
  }

  /** Counts the files of an unchanged directory. @returns false, and counts nothing, when totals cannot hold them */
  #addTotals(node: WalkNode): boolean {
    let bytes = 0;
    for (const record of node.records) if (record.type === ScanType.regular) bytes += record.sizeBytes;
    return this.#context.addTotal(bytes);
  }

  #reuse(node: WalkNode): void {
    const head = node.head!;
    this.#context.counts.directoriesUnmodified++;
    for (const { type } of node.records) if (type === ScanType.regular) this.#context.counts.filesUnmodified++;
    this.#context.run.use(head.packs);
    this.#deliver(node, head.tree, { files: head.files, directories: head.directories, bytes: head.bytes });
  }

  /** Leaves out, or mends, what no page may hold. @returns indices of the entries that are left */
  #storable(node: WalkNode): number[] {
    const present: number[] = [];
    let before: Uint8Array | undefined;
    for (let i = 0; i < node.entries.length; i++) {
      const entry = node.entries[i];
      if (entry === undefined) continue;
      const tell = (code: string, attribute?: Uint8Array): void => {
        node.unsure[i] = 2;
        const about = attribute === undefined ? '' : ` attribute ${lossyUtf8(attribute)}`;
        this.#context.problem(childPath(node.path, entry.name), `${code}${about}`);
      };
      const stored = storable(entry, tell);
      node.entries[i] = undefined;
      if (stored === undefined) continue;
      if (before !== undefined && compareBytes(before, entry.name) >= 0) tell(Oddity.name);
      else if (isFile(stored) && !this.#context.addTotal(stored.sizeBytes)) tell(Oddity.total);
      else {
        node.entries[i] = stored;
        before = stored.name;
        present.push(i);
      }
    }
    return present;
  }

  /** Everything in the directory is known: write its tree and remember it. */
  #write(node: WalkNode): void {
    const present = this.#storable(node);
    const entries = present.map((i) => node.entries[i]!);
    const encoded = encodeEntries(entries);
    const { tree, pages } = writeDirectory(this.#context.run.meta, this.#context.namesKey, encoded);
    const sums = new Map<number, number>();
    const add = (number: number, bytes: number): void => void sums.set(number, (sums.get(number) ?? 0) + bytes);
    for (const i of present)
      for (let at = 0, uses = node.packs[i] ?? NO_PACKS; at < uses.length; at += 2) add(uses[at]!, uses[at + 1]!);
    for (const page of pages) add(this.#context.run.packNumber(page.pack), page.lengthBytes);
    const packs = [...sums].flat();
    this.#context.run.use(packs);
    const totals = totalsOf(entries);
    const sure = !node.failed && node.unsure.every((unsure) => unsure === 0) && present.length === node.records.length;
    const children = new Uint8Array(node.subdirectories.length * 32);
    node.subdirectories.forEach((at, i) => {
      const entry = node.entries[at];
      if (entry !== undefined && isDirectory(entry)) children.set(entry.tree, i * 32);
    });
    const { files, directories, bytes } = totals;
    const head = { fingerprint: sure ? node.fingerprint : UNSURE, tree, files, directories, bytes, children, packs };
    const cached = (at: number): Omit<CachedEntry, 'usable'> => {
      const i = present[at]!;
      const trusted = node.unsure[i] === 0 || (node.unsure[i] === 1 && isDirectory(node.entries[i]!));
      // Without an identity it only tells what the entry was.
      return { identity: trusted ? node.records[i]!.bytes : EMPTY, tail: encoded.bytes(at), packs: node.packs[i] ?? NO_PACKS };
    };
    this.#context.run.cache.put(node.path, head, present.length, (at) => node.records[present[at]!]!.name, cached);
    if (!node.known) this.#context.counts.directoriesNew++;
    else if (equalBytes(node.head!.tree, tree)) this.#context.counts.directoriesUnmodified++;
    else this.#context.counts.directoriesChanged++;
    this.#deliver(node, tree, totals);
  }

  /** Gives a finished directory to its parent. */
  #deliver(node: WalkNode, tree: Uint8Array, totals: Totals): void {
    const { parent, at } = node;
    if (node.source?.named === true && node.records.length === 0 && !node.failed) this.#tellEmpty(node);
    node.records = [];
    node.entries = [];
    if (parent === undefined) {
      this.root = { tree, totals };
      return;
    }
    const record = parent.records[at]!;
    const kept = parent.entries[at];
    if (kept !== undefined && isDirectory(kept)) parent.entries[at] = { ...kept, tree, totals };
    // The attributes of a clean parent's directories are in the cache and are fetched only if it must be written.
    else if (parent.clean) parent.entries[at] = bareDirectory(record, this.#maker.owner(record.uid, record.gid), tree, totals);
    else this.#setDirectory(parent, at, node.path, node.location, tree, totals);
    parent.pending--;
  }

  #tellEmpty(node: WalkNode): void {
    const { byteLength } = node.scan ?? EMPTY;
    // A count and nothing else: it holds no entry; otherwise the scan has said why none is left.
    if (byteLength <= 4) this.#context.warn('it was named as a source, and there is nothing in it', node.path);
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
