/** Bodies of puts on their way in: counted against what was announced, digested, their beginning and end kept. Knows no formats. */
import { createHash } from 'node:crypto';
import { RefusedError } from '../errors.js';

/** A stream of exactly the announced size that remembers its first and last bytes. */
export class Incoming {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #sizeBytes: number;
  readonly #hash = createHash('sha256');
  readonly #onHead: (head: Uint8Array) => Promise<void>;
  readonly #head: Uint8Array;
  readonly #tail: Uint8Array;
  #length = 0;

  /** @param onHead - called with the first `headBytes` as soon as they are there; what it throws ends the stream */
  constructor(
    source: AsyncIterable<Uint8Array>,
    sizeBytes: number,
    headBytes: number,
    tailBytes: number,
    onHead: (head: Uint8Array) => Promise<void>,
  ) {
    this.#source = source;
    this.#sizeBytes = sizeBytes;
    this.#head = new Uint8Array(headBytes);
    this.#tail = new Uint8Array(tailBytes);
    this.#onHead = onHead;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      const before = this.#length;
      this.#length += chunk.byteLength;
      if (this.#length > this.#sizeBytes) throw new RefusedError('more bytes came than were announced; nothing is kept');
      this.#hash.update(chunk);
      if (before < this.#head.byteLength) {
        this.#head.set(chunk.subarray(0, this.#head.byteLength - before), before);
        if (this.#length >= this.#head.byteLength) await this.#onHead(this.#head);
      }
      this.#keepTail(chunk);
      yield chunk;
    }
    if (this.#length !== this.#sizeBytes) throw new RefusedError('fewer bytes came than were announced; nothing is kept');
    if (this.#length < this.#head.byteLength) throw new RefusedError('the object is too short to be one; nothing is kept');
  }

  #keepTail(chunk: Uint8Array): void {
    const tail = this.#tail;
    if (chunk.byteLength >= tail.byteLength) tail.set(chunk.subarray(chunk.byteLength - tail.byteLength));
    else {
      tail.copyWithin(0, chunk.byteLength);
      tail.set(chunk, tail.byteLength - chunk.byteLength);
    }
  }

  /** SHA-256, hex, once all of it has been read. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  get tail(): Uint8Array {
    return this.#tail;
  }
}

/** All of a body in memory. @throws RefusedError unless it has the announced size */
export async function gather(source: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let length = 0;
  for await (const chunk of source) {
    if (length + chunk.byteLength > sizeBytes) throw new RefusedError('more bytes came than were announced; nothing is kept');
    bytes.set(chunk, length);
    length += chunk.byteLength;
  }
  if (length !== sizeBytes) throw new RefusedError('fewer bytes came than were announced; nothing is kept');
  return bytes;
}

/** So many bytes at once and no more; who asks for more waits. */
export class Budget {
  readonly #limit: number;
  #used = 0;
  readonly #waiting: { bytes: number; go: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `work` with `bytes` of the budget; something larger than all of it runs alone. */
  async within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) await new Promise<void>((go) => this.#waiting.push({ bytes, go }));
    else this.#used += bytes;
    try {
      return await work();
    } finally {
      this.#used -= bytes;
      for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
        this.#waiting.shift();
        this.#used += next.bytes;
        next.go();
      }
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit;
  }
}
