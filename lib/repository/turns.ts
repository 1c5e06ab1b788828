/**
 * Turns of a long loop: one that only computes would keep signals, timers and other work waiting until it ends, and hostile trees can make that take for ever. A loop
 * asks `isDue` at each step and awaits `take` when it is.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { InterruptedError } from '../errors.js';

const SLICE_MS = 20;

export class Turns {
  readonly #what: string;
  readonly #signal: AbortSignal | undefined;
  #end = performance.now() + SLICE_MS;
  #asked = 0;

  /** @param what - the verb that an InterruptedError names */
  constructor(what: string, signal: AbortSignal | undefined) {
    this.#what = what;
    this.#signal = signal;
  }

  /** Whether others have waited long. */
  get isDue(): boolean {
    return (++this.#asked & 3) === 0 && performance.now() >= this.#end;
  }

  /** Lets others have their turn. @throws InterruptedError if the signal fired */
  async take(): Promise<void> {
    await nextTurn();
    this.#end = performance.now() + SLICE_MS;
    this.check();
  }

  /** @throws InterruptedError if the signal fired */
  check(): void {
    if (this.#signal?.aborted === true) throw new InterruptedError(this.#what);
  }
}
