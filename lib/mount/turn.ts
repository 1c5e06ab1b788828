/**
 * Whose turn it is to read the next request of a mount: one Int32 in memory that its threads share, 1 while a thread has the turn. Kept in thread-local
 * knowledge, so that giving it twice does nothing.
 */
export const TURN_BYTES = 4;

export class Turn {
  readonly #word: Int32Array;
  #mine = false;

  constructor(shared: SharedArrayBuffer) {
    this.#word = new Int32Array(shared);
  }

  /** Waits until no other thread has the turn. */
  take(): void {
    if (this.#mine) return;
    while (Atomics.compareExchange(this.#word, 0, 0, 1) !== 0) Atomics.wait(this.#word, 0, 1);
    this.#mine = true;
  }

  give(): void {
    if (!this.#mine) return;
    this.#mine = false;
    Atomics.store(this.#word, 0, 0);
    Atomics.notify(this.#word, 0, 1);
  }
}

/** Takes the turn from a thread that died with it, so that those who wait find out what became of the mount. */
export function freeTurn(shared: SharedArrayBuffer): void {
  const word = new Int32Array(shared);
  Atomics.store(word, 0, 0);
  Atomics.notify(word, 0);
}
