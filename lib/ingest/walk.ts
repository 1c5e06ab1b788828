/**
 * Walks the sources depth first and turns each directory, once all beneath it is known, into a tree. What the change cache knows is not read again.
 * A directory in which nothing changed costs one scan and one look-up.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EMPTY, utf8 } from '../bytes.js';
import { InterruptedError } from '../errors.js';
import type { Problem } from '../format/manifest.js';
import type { DirectoryEntry } from '../format/tree.js';
import { native } from '../native.js';
import { DirectoryFinisher } from './directory-finisher.js';
import { EntryMaker, NO_PACKS } from './entry-maker.js';
import { EntryStarter } from './entry-starter.js';
import { FileReader } from './file-reader.js';
import type { Run } from './run.js';
import { scanDirectory } from './scan-directory.js';
import { readStat, type ScanRecord } from './scan-record.js';
import { WalkContext, type WalkCounts, type WalkOptions } from './walk-context.js';
import { childPath, latin1, newNode, type SourceNode, type WalkNode } from './walk-node.js';

export interface WalkResult {
  readonly root: DirectoryEntry;
  readonly counts: WalkCounts;
  readonly problems: readonly Problem[];
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
    const record = readStat(native().statPath(utf8('/'), true));
    const rootNode = this.#enter(undefined, -1, source.path, record, source);
    const stack: WalkNode[] = [rootNode];
    for (let steps = 0; stack.length > 0; steps++) {
      if (this.#context.options.signal?.aborted === true) throw new InterruptedError('backup');
      if (this.#context.failure !== undefined) throw this.#context.failure;
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
      stack.push(this.#enter(node, at, childPath(node.path, child.name), child, node.source?.children?.get(latin1(child.name))));
    }
    while (this.#finisher.root === undefined) {
      if (this.#context.options.signal?.aborted === true) throw new InterruptedError('backup');
      await this.#files.small.drained();
      if (this.#context.failure !== undefined) throw this.#context.failure;
      if (this.#files.busy) await this.#files.largeDone();
      await nextTurn();
    }
    if (this.#context.failure !== undefined) throw this.#context.failure;
    const root = this.#maker.directory(record, source.path, EMPTY, this.#finisher.root.tree, this.#finisher.root.totals);
    this.#context.run.use(this.#maker.withAttributes(NO_PACKS));
    return { root, counts: this.#context.counts, problems: this.#context.problems };
  }

  /** Scans a directory and starts on its entries. */
  #enter(
    parent: WalkNode | undefined,
    at: number,
    path: Uint8Array,
    record: ScanRecord,
    source: SourceNode | undefined,
  ): WalkNode {
    const node = newNode(parent, at, path, record.device, source);
    scanDirectory(this.#context, node);
    if (!node.clean) this.#starter.startEntries(node);
    return node;
  }
}
