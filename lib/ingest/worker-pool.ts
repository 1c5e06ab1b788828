/**
 * The ingest's worker threads: hands tasks to whichever is least busy, and resolves when they are done. Threads start with the first task.
 * A task that fails as a whole fails the run; an unreadable file is not a failure but part of a result.
 */
import { Worker } from 'node:worker_threads';
import { VarveError } from '../errors.js';
import { workerFile } from '../native.js';
import type { FinishedPack } from '../repository/pack-writer.js';
import type {
  BlockResult,
  BlockTask,
  FilesResult,
  FilesTask,
  KnownTask,
  Task,
  TaskResult,
  WorkerMessage,
  WorkerRequest,
  WorkerSetup,
} from './tasks.js';

/** A task that could not be done, with the system's code if it had one. */
class TaskError extends Error {
  readonly code: string | undefined;
  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

interface Pending {
  readonly resolve: (result: TaskResult) => void;
  readonly reject: (error: Error) => void;
  readonly onCut: ((consumed: number, read: number) => void) | undefined;
  readonly bytes: number;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
  /** What it has still to read, in all its tasks. */
  pendingBytes: number;
}

const MAX_QUEUED = 3;
/** A thread with less than this ahead of it takes another block. Blocks differ too much in size to be handed out earlier. */
const NEARLY_IDLE_BYTES = 1 << 20;

type Unnumbered<T> = T extends unknown ? Omit<T, 'task'> : never;

export class WorkerPool {
  readonly #setup: WorkerSetup;
  readonly #size: number;
  readonly #onPack: (pack: FinishedPack, spent: () => void) => void;
  #members: Member[] = [];
  #waiting: (() => void)[] = [];
  #nextTask = 1;
  #failure: Error | undefined;
  #latestTables: WorkerSetup['tables'];

  constructor(setup: WorkerSetup, size: number, onPack: (pack: FinishedPack, spent: () => void) => void) {
    this.#setup = setup;
    this.#latestTables = setup.tables;
    this.#size = size;
    this.#onPack = onPack;
  }

  get started(): boolean {
    return this.#members.length > 0;
  }

  /** Resolves when a worker has room for another batch of files. @throws what killed a worker */
  room(): Promise<void> {
    return this.#until(({ pending }) => pending.size < MAX_QUEUED);
  }

  /** Resolves when a worker has room for another block. @throws what killed a worker */
  roomForBlock(): Promise<void> {
    return this.#until(({ pendingBytes }) => pendingBytes < NEARLY_IDLE_BYTES);
  }

  /** Resolves when `fits` holds for a worker, or another one may be started. */
  async #until(fits: (member: Member) => boolean): Promise<void> {
    while (this.#failure === undefined && this.#members.length === this.#size && !this.#members.some(fits))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#failure !== undefined) throw this.#failure;
  }

  async files(task: Unnumbered<FilesTask>): Promise<FilesResult> {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#send(this.#leastBusy(), task) as Promise<FilesResult>;
  }

  /** `onCut` is called as soon as the next block's start is known. */
  async block(task: Unnumbered<BlockTask>, onCut: (consumed: number, read: number) => void): Promise<BlockResult> {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#send(
      this.#leastBusy(),
      task,
      onCut,
      task.data === undefined ? [] : [task.data.buffer as ArrayBuffer],
    ) as Promise<BlockResult>;
  }

  /** Undefined when something in the block is not stored. */
  async known(task: Unnumbered<KnownTask>): Promise<BlockResult | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#send(this.#leastBusy(), task) as Promise<BlockResult | undefined>;
  }

  /** Gives every worker new tables; resolves when all use them. */
  async setTables(tables: WorkerSetup['tables']): Promise<void> {
    this.#latestTables = tables;
    await Promise.all(this.#members.map((member) => this.#send(member, { kind: 'tables', tables })));
  }

  /** Makes every worker finish its open pack; resolves when those packs were handed over. */
  async flush(padded: boolean): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#send(member, { kind: 'flush', padded })));
  }

  async close(): Promise<void> {
    const members = this.#members;
    this.#members = [];
    // Whatever is still under way must not start a thread that nobody would end.
    this.#failure ??= new VarveError('FAILED', 'the run has ended');
    await Promise.all(members.map(({ worker }) => worker.terminate()));
    for (const { pending } of members) this.#fail(pending, this.#failure);
  }

  #leastBusy(): Member {
    if (this.#members.length < this.#size && this.#members.every(({ pending }) => pending.size > 0))
      this.#members.push(this.#start());
    return this.#members.reduce((best, member) => (member.pendingBytes < best.pendingBytes ? member : best));
  }

  #start(): Member {
    const worker = new Worker(workerFile('lib/ingest/worker'), {
      workerData: { ...this.#setup, tables: this.#latestTables },
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 6, maxOldGenerationSizeMb: 256 },
    });
    const pending = new Map<number, Pending>();
    const member: Member = { worker, pending, pendingBytes: 0 };
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'pack') this.#onPack(message.pack, () => this.#giveBack(worker, message.pack));
      else if (message.kind === 'cut') pending.get(message.task)?.onCut?.(message.consumed, message.read);
      else if (message.kind === 'done' || message.kind === 'failed') {
        const waiter = pending.get(message.task);
        pending.delete(message.task);
        member.pendingBytes -= waiter?.bytes ?? 0;
        if (message.kind === 'done') waiter?.resolve(message.result);
        else waiter?.reject(new TaskError(message.message, message.code));
        for (const resolve of this.#waiting.splice(0)) resolve();
      }
    });
    worker.on('error', (error) =>
      this.#fail(pending, new VarveError('FAILED', `an ingest thread failed: ${error.message}`, {}, error)),
    );
    worker.on('exit', (code) => {
      if (pending.size > 0) this.#fail(pending, new VarveError('FAILED', `an ingest thread ended with code ${code}`));
    });
    return member;
  }

  #giveBack(worker: Worker, { bytes }: FinishedPack): void {
    const buffer = bytes.buffer as ArrayBuffer;
    worker.postMessage({ kind: 'spent', buffer } satisfies WorkerRequest, [buffer]);
  }

  #fail(pending: Map<number, Pending>, error: Error): void {
    this.#failure ??= error;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #send(
    member: Member,
    task: Unnumbered<Task>,
    onCut?: (consumed: number, read: number) => void,
    transfer: ArrayBuffer[] = [],
  ): Promise<TaskResult> {
    const number = this.#nextTask++;
    const bytes = task.kind === 'files' ? task.arenaBytes : task.kind === 'block' || task.kind === 'known' ? task.length : 0;
    member.pendingBytes += bytes;
    return new Promise((resolve, reject) => {
      member.pending.set(number, { resolve, reject, onCut, bytes });
      member.worker.postMessage({ ...task, task: number }, transfer);
    });
  }
}
