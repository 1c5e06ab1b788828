/**
 * Finishes directories beneath which everything is known: keeps the tree of one that has not changed, writes that of any other, and gives it to the parent,
 * which may be finished by it.
 */
import { EMPTY } from '../bytes.js';
import { type DirectoryEntry, type Entry, EntryKind, isDirectory, type Owner, type Totals } from '../format/tree.js';
import type { CachedEntry } from './cache-rows.js';
import { type EntryMaker, NO_PACKS } from './entry-maker.js';
import type { EntryStarter } from './entry-starter.js';
import { type ScanRecord, ScanType } from './scan-record.js';
import { encodeEntries, writeDirectory } from './tree-writer.js';
import type { WalkContext } from './walk-context.js';
import { childPath, type WalkNode } from './walk-node.js';

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

  /** Finishes a directory unless it still waits for something; called again whenever it waits for less. */
  finishIfDone(node: WalkNode): void {
    if (!node.walked || node.pending > 0) return;
    if (node.clean) {
      if (this.#sameChildren(node)) {
        this.#reuse(node);
        return;
      }
      node.clean = false;
      const trees = node.entries;
      node.entries = new Array(node.records.length);
      this.#starter.startEntries(node);
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
    else this.#setDirectory(node, at, childPath(node.path, node.records[at]!.name), finished.tree, finished.totals);
  }

  #setDirectory(node: WalkNode, at: number, path: Uint8Array, tree: Uint8Array, totals: Totals): void {
    const record = node.records[at]!;
    try {
      node.entries[at] = this.#maker.directory(record, path, record.name, tree, totals);
      node.packs[at] = this.#maker.withAttributes(NO_PACKS);
    } catch (error) {
      this.#context.fail(node, at, path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
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

  #reuse(node: WalkNode): void {
    const head = node.head!;
    this.#context.counts.directoriesUnmodified++;
    for (const { type } of node.records) if (type === ScanType.regular) this.#context.counts.filesUnmodified++;
    this.#context.run.use(head.packs);
    this.#deliver(node, head.tree, { files: head.files, directories: head.directories, bytes: head.bytes });
  }

  /** Everything in the directory is known: write its tree and remember it. */
  #write(node: WalkNode): void {
    const present: number[] = [];
    for (let i = 0; i < node.entries.length; i++) if (node.entries[i] !== undefined) present.push(i);
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
    this.#context.run.cache.put(node.path, head, present.length, (at) => node.records[present[at]!]!.name, cached);
    if (node.known) this.#context.counts.directoriesChanged++;
    else this.#context.counts.directoriesNew++;
    this.#deliver(node, tree, totals);
  }

  /** Gives a finished directory to its parent. */
  #deliver(node: WalkNode, tree: Uint8Array, totals: Totals): void {
    const { parent, at } = node;
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
    else this.#setDirectory(parent, at, node.path, tree, totals);
    parent.pending--;
    this.finishIfDone(parent);
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
