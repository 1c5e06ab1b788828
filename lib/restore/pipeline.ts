/**
 * Windows on their way: planned here, written by the writers, finished here in the order of the walk. At most two are under way, so that
 * one is being planned while another is being written, and memory stays bounded.
 */
import { InterruptedError } from '../errors.js';
import { finishWindow } from './finish.js';
import { heldLimit } from './held.js';
import type { Planner } from './plan.js';
import type { Run } from './run.js';
import type { TaskResult } from './task.js';
import { Window } from './window.js';
import type { Writers } from './writers.js';

const FIRST_SIZE = 4096;
const LAST_SIZE = 16_384;
const WINDOW_BYTES = 1 << 30;
/** Below this, threads take longer to start than to help. Only a last window is so small. */
const LITTLE_SIZE = 512;
const LITTLE_BYTES = 16 << 20;
const MAX_UNDER_WAY = 2;
const SLICE_MS = 50;

export class Pipeline {
  readonly #run: Run;
  readonly #planner: Planner;
  readonly #writers: Writers;
  #window: Window;
  #limit = FIRST_SIZE;
  readonly #heldLimit = heldLimit();
  #last: Promise<void> = Promise.resolve();
  #underWay: Promise<void>[] = [];
  #sliceEnd = Date.now() + SLICE_MS;
  #asked = 0;

  constructor(run: Run, planner: Planner, writers: Writers) {
    this.#run = run;
    this.#planner = planner;
    this.#writers = writers;
    this.#window = new Window(run);
  }

  /** Where the walk puts what it finds. Another one after every `pause`. */
  get window(): Window {
    return this.#window;
  }

  /** Whether `pause` is due: the window is full, or the event loop has waited long. */
  get isDue(): boolean {
    if (this.#isFull()) return true;
    // Asking for the time costs as much as a small file.
    return (++this.#asked & 31) === 0 && Date.now() >= this.#sliceEnd;
  }

  #isFull(): boolean {
    const { size, bytes, held } = this.#window;
    return size >= this.#limit || bytes >= WINDOW_BYTES || held >= this.#heldLimit;
  }

  /** Lets others run, and sends off a full window. @throws what failed meanwhile; InterruptedError */
  async pause(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    await this.#run.options.onTurn?.();
    this.#sliceEnd = Date.now() + SLICE_MS;
    throwIfAborted(this.#run);
    if (!this.#isFull()) return;
    this.#send();
    while (this.#underWay.length >= MAX_UNDER_WAY) await this.#underWay.shift();
    throwIfAborted(this.#run);
  }

  /** Sends off what is left and waits for everything. */
  async finish(): Promise<void> {
    this.#send();
    await this.#last;
    throwIfAborted(this.#run);
  }

  /** Waits for the writers, whatever has failed. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#last, ...this.#underWay]);
  }

  #send(): void {
    const window = this.#window;
    this.#window = new Window(this.#run);
    this.#limit = Math.min(LAST_SIZE, this.#limit * 2);
    if (window.size === 0) return;
    const previous = this.#last;
    this.#last = this.#process(window, previous);
    // Whoever waits next hears of a failure; until then it must not count as unhandled.
    this.#last.catch(() => undefined);
    this.#underWay.push(this.#last);
  }

  async #process(window: Window, previous: Promise<void>): Promise<void> {
    const isLittle = window.size < LITTLE_SIZE && window.bytes < LITTLE_BYTES;
    const plan = this.#planner.plan(window, this.#writers.ready(isLittle));
    const results: Promise<TaskResult>[] = plan.tasks.map(({ task }, n) => this.#writers.run(n, task));
    const all = Promise.all(results);
    all.catch(() => undefined);
    await previous;
    await finishWindow(this.#run, window, plan, await all, this.#writers);
  }
}

/** @throws InterruptedError */
export function throwIfAborted(run: Run): void {
  if (run.options.signal?.aborted === true) throw new InterruptedError('restore');
}
