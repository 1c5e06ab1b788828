/** Runs the alert command, one process an event, a few at a time: a burst of events waits here. Decides nothing about which events there are. */
import { spawn } from 'node:child_process';
import { printableJson } from '../printable.js';

const TIMEOUT_MS = 60_000;
const AT_ONCE = 4;
/** Events that wait, some ten megabytes at most. */
const MAX_WAITING = 4096;

export class AlertCommands {
  readonly #command: string;
  readonly #onLog: (line: string) => void;
  readonly #waiting: object[] = [];
  readonly #running = new Set<Promise<void>>();
  #leftOut = 0;

  constructor(command: string, onLog: (line: string) => void) {
    this.#command = command;
    this.#onLog = onLog;
  }

  /** Hands an event to the command, when it is its turn. */
  run(event: object): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(event);
    else if (this.#leftOut++ === 0)
      this.#onLog(`the alert command is too slow: ${MAX_WAITING} alerts wait for it, and more are left to this log`);
    this.#next();
  }

  /** Waits until every event was handed on. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Hands nothing on any more; commands that run go on by themselves. */
  close(): void {
    const left = this.#waiting.splice(0).length + this.#leftOut;
    if (left > 0) this.#onLog(`${left} alerts were not handed to the alert command, which is too slow; they stand in this log`);
  }

  #next(): void {
    while (this.#running.size < AT_ONCE && this.#waiting.length > 0) {
      const event = this.#waiting.shift()!;
      const work = this.#run(this.#leftOut === 0 ? event : { ...event, left_to_log: this.#leftOut });
      this.#leftOut = 0;
      this.#running.add(work);
      void work.then(() => {
        this.#running.delete(work);
        this.#next();
      });
    }
  }

  #run(event: object): Promise<void> {
    return new Promise((resolve) => {
      const child = spawn('/bin/sh', ['-c', this.#command], { stdio: ['pipe', 'ignore', 'ignore'], timeout: TIMEOUT_MS });
      child.unref();
      child.on('error', (error) => {
        this.#onLog(`the alert command does not run: ${error.message}`);
        resolve();
      });
      child.on('exit', (status, signal) => {
        if (status !== 0) this.#onLog(`the alert command ended with ${signal ?? `status ${status}`}`);
        resolve();
      });
      child.stdin.on('error', () => undefined);
      // It is often a mail or a message on a terminal that comes of it.
      child.stdin.end(`${printableJson(event)}\n`);
    });
  }
}
