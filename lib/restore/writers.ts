/** The writing threads of a restore: tasks in, results out, in order for each thread. With none, tasks run in the caller's thread. */
import { Worker } from 'node:worker_threads';
import { workerFile } from '../native.js';
import type { Task, TaskResult } from './task.js';
import { Writer, type WriterStart } from './writer.js';

interface Waiting {
  resolve(result: TaskResult): void;
  reject(error: unknown): void;
}

export class Writers {
  readonly #start: WriterStart;
  readonly #wanted: number;
  readonly #threads: { readonly worker: Worker; readonly waiting: Waiting[]; readonly ended: Promise<void> }[] = [];
  #own: Writer | undefined;

  /** `threads`: how many, once there is work for them. */
  constructor(start: WriterStart, threads: number) {
    this.#start = start;
    this.#wanted = threads;
  }

  /** Starts what will do the work, unless it runs already: this thread alone when it `isLittle`. Returns how many tasks run at once. */
  ready(isLittle: boolean): number {
    if (this.#own === undefined && this.#threads.length === 0) {
      if (isLittle || this.#wanted === 0) this.#own = new Writer(this.#start);
      else for (let i = 0; i < this.#wanted; i++) this.#startThread();
    }
    return this.count;
  }

  #startThread(): void {
    // No flags of the main thread: loaders there would only slow down what is compiled already.
    const worker = new Worker(workerFile('lib/restore/worker'), {
      workerData: this.#start,
      execArgv: [],
      // Little of what these threads allocate lives long; by default their young generations would grow to 48 MiB each.
      resourceLimits: { maxYoungGenerationSizeMb: 6 },
    });
    const waiting: Waiting[] = [];
    worker.on('message', (answer: { result?: TaskResult; error?: unknown }) => {
      const { resolve, reject } = waiting.shift()!;
      if (answer.result !== undefined) resolve(answer.result);
      else reject(answer.error);
    });
    const failAll = (error: unknown): void => {
      for (const { reject } of waiting.splice(0)) reject(error);
    };
    worker.on('error', failAll);
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    void ended.then(() => failAll(new Error('a writing thread ended')));
    this.#threads.push({ worker, waiting, ended });
  }

  /** How many tasks run at once. */
  get count(): number {
    return Math.max(1, this.#threads.length);
  }

  /** Runs `task` in thread `n`, after what it was given before. */
  run(n: number, task: Task): Promise<TaskResult> {
    const own = this.#own;
    if (own !== undefined) return new Promise((resolve) => resolve(own.run(task)));
    const thread = this.#threads[n]!;
    return new Promise((resolve, reject) => {
      thread.waiting.push({ resolve, reject });
      thread.worker.postMessage(task);
    });
  }

  /** Ends the threads after what they were given. */
  async close(): Promise<void> {
    this.#own?.close();
    for (const { worker } of this.#threads) worker.postMessage(undefined);
    await Promise.all(this.#threads.map(({ ended }) => ended));
  }
}
