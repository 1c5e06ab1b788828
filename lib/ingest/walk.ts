/**
 * Walks the sources depth first and turns each directory, once all beneath it is known, into a tree. What the change cache knows is not read again.
 * A directory in which nothing changed costs one scan and one look-up.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EMPTY, utf8 } from '../bytes.js';
import { InterruptedError } from '../errors.js';
import type { Problem } from '../format/manifest.js';
import { Oddity, storable } from '../format/storable.js';
import { type DirectoryEntry, isDirectory, MAX_DEPTH } from '../format/tree.js';
import { native } from '../native.js';
import { DirectoryFinisher } from './directory-finisher.js';
import { EntryMaker, NO_PACKS } from './entry-maker.js';
import { EntryStarter } from './entry-starter.js';
import { FileReader } from './file-reader.js';
import type { Run } from './run.js';
import { scanDirectory } from './scan-directory.js';
import { readStat, type ScanRecord } from './scan-record.js';
import { type Omission, WalkContext, type WalkCounts, type WalkOptions } from './walk-context.js';
import { childPath, latin1, newNode, type SourceNode, type SourceRules, type WalkNode } from './walk-node.js';

export interface WalkResult {
  readonly root: DirectoryEntry;
  readonly counts: WalkCounts;
  readonly problems: readonly Problem[];
  /** What is left out because it is the run's own. */
  readonly omissions: readonly Omission[];
  /** Mount points that -x kept out. */
  readonly mountsNotEntered: readonly Uint8Array[];
}

export class Walk {
  readonly #context: WalkContext;
  readonly #maker: EntryMaker;
  readonly #files: FileReader;
  readonly #starter: EntryStarter;
  readonly #finisher: DirectoryFinisher;

  constructor(run: Run, namesKey: Uint8Array, options: WalkOptions) {
    this.#context = new WalkContext(run, namesKey, options);
    this.#maker = new EntryMaker(this.#context);
    this.#files = new FileReader(this.#context);
    this.#starter = new EntryStarter(this.#context, this.#maker, this.#files, (node) => this.#finisher.finishIfDone(node));
    this.#finisher = new DirectoryFinisher(this.#context, this.#maker, this.#starter);
  }

  /** Walks everything below `source` (the root directory), once. @throws InterruptedError, StoreError, what killed a worker */
  async walk(source: SourceNode): Promise<WalkResult> {
    try {
      return await this.#walk(source);
    } finally {
      this.#context.ahead.close();
    }
  }

  async #walk(source: SourceNode): Promise<WalkResult> {
    const { owners, options, run } = this.#context;
    const { signal } = options;
    await owners.recall(run.cache.nameless(), signal);
    const record = readStat(native().statPath(utf8('/'), true));
    const rootNode = this.#enter(undefined, -1, source.path, record, source);
    const stack: WalkNode[] = [rootNode];
    for (let steps = 0; stack.length > 0; steps++) {
      if (signal?.aborted === true) throw new InterruptedError('backup');
      if (this.#context.failure !== undefined) throw this.#context.failure;
      // Names come before anything that holds them is written.
      if (owners.waiting) await owners.settle(signal);
      if (this.#files.small.full) await this.#files.small.send();
      if (steps % 64 === 0) await nextTurn();
      const node = stack[stack.length - 1]!;
      const at = node.subdirectories[node.nextSubdirectory++];
      if (at === undefined) {
        stack.pop();
        node.walked = true;
        this.#finisher.finishIfDone(node);
        while (this.#files.full) await this.#files.largeDone();
        continue;
      }
      const child = node.records[at]!;
      const path = childPath(node.path, child.name);
      if (node.depth >= MAX_DEPTH) {
        this.#context.fail(node, at, path, Oddity.depth);
        node.pending--;
      } else stack.push(this.#enter(node, at, path, child, node.source?.children.get(latin1(child.name))));
    }
    while (this.#finisher.root === undefined) {
      if (signal?.aborted === true) throw new InterruptedError('backup');
      await this.#files.small.drained();
      if (this.#context.failure !== undefined) throw this.#context.failure;
      if (this.#files.busy) await this.#files.largeDone();
      await nextTurn();
    }
    if (this.#context.failure !== undefined) throw this.#context.failure;
    const root = this.#root(record, source, this.#finisher.root);
    if (owners.waiting) await owners.settle(signal);
    run.use(this.#maker.withAttributes(NO_PACKS));
    run.cache.rememberNameless(owners.nameless());
    const { counts, problems, omissions, mountsNotEntered } = this.#context;
    return { root, counts, problems, omissions, mountsNotEntered };
  }

  /** The entry of the root, which has no name in a manifest. */
  #root(record: ScanRecord, source: SourceNode, { tree, totals }: Pick<DirectoryEntry, 'tree' | 'totals'>): DirectoryEntry {
    const made = this.#maker.directory(record, source.path, source.path, utf8('root'), tree, totals);
    const stored = storable(made, (code) => this.#context.problem(source.path, code));
    if (stored === undefined || !isDirectory(stored)) throw new RangeError('the root directory cannot be stored');
    return { ...stored, name: EMPTY };
  }

  /** Scans a directory and starts on its entries. */
  #enter(
    parent: WalkNode | undefined,
    at: number,
    path: Uint8Array,
    record: ScanRecord,
    source: SourceNode | undefined,
  ): WalkNode {
    const node = newNode(parent, at, path, record, source, this.#rules(parent, at, path, record, source), isLinked(source));
    scanDirectory(this.#context, node);
    if (!node.clean) this.#starter.startEntries(node);
    return node;
  }

  #rules(
    parent: WalkNode | undefined,
    at: number,
    path: Uint8Array,
    record: ScanRecord,
    source: SourceNode | undefined,
  ): SourceRules | undefined {
    if (source?.named === true) {
      const exempt = this.#context.options.exclusion?.excludes(path, { isDirectory: true, sizeBytes: 0 }) ?? false;
      return { device: record.device, exempt };
    }
    return parent?.ways?.has(at) === true ? undefined : parent?.rules;
  }
}

/** Whether the last name of its path may be a symlink that is followed. */
function isLinked(source: SourceNode | undefined): boolean {
  return source !== undefined && (source.follow || !source.named);
}
