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
  readonly #threads: { readonly worker: Worker; readonly waiting: Waiting[]; readonly ended: Promise<void> }[] = [];
  readonly #own: Writer | undefined;

  constructor(start: WriterStart, threads: number) {
    if (threads === 0) this.#own = new Writer(start);
    for (let i = 0; i < threads; i++) {
      const worker = new Worker(workerFile('lib/restore/worker'), { workerData: start });
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
