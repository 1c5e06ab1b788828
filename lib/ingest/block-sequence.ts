/** Blocks of one large file or stream: sent to the worker threads as they come, put together in their order. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { viewOf } from '../bytes.js';
import { type Content, isZeroId, ROW_BYTES, rowLength } from '../format/content.js';
import { native } from '../native.js';
import type { PackUses } from './cache-rows.js';
import { ListWriter } from './list-writer.js';
import type { Run } from './run.js';
import type { BlockResult } from './tasks.js';

export const BLOCK_BYTES = 4 << 20;
const ZERO_SLICE_BYTES = 32 << 20;

/** Of a file of at least 512 GiB nothing is remembered. */
const MAX_CUTS = 1 << 21;

/** Lengths of the chunks in `rows`, without holes. */
export function* dataLengths(rows: Uint8Array): Generator<number> {
  const view = viewOf(rows);
  for (let at = 0; at < rows.byteLength; at += ROW_BYTES) if (!isZeroId(rows, at + 8)) yield rowLength(view, at);
}

/** Collects blocks in order and makes the file's content of them. */
export class BlockSequence {
  readonly #run: Run;
  readonly list: ListWriter;
  readonly #packs = new Map<number, number>();
  readonly hash: number;
  readonly turn = new Int32Array(new SharedArrayBuffer(4));
  sizeBytes = 0;
  /** A block held less than it was asked for. */
  early = false;
  /** A block with known cuts was not what is stored. */
  differs = false;
  /** Lengths of the chunks so far, for the change cache; undefined when they are too many. */
  #cuts: number[] | undefined = [];
  #turns = 0;
  #zeros = 0;
  #order: Promise<void> = Promise.resolve();
  /** Resolves when no worker has a block of this file any more. */
  #idle: Promise<unknown> = Promise.resolve();

  constructor(run: Run, hashed: boolean) {
    this.#run = run;
    this.hash = hashed ? native().hashCreate() : 0;
    this.list = new ListWriter(run.meta, (page) => this.#count(page.pack, page.lengthBytes));
  }

  #count(ref: number, bytes: number): void {
    const number = this.#run.packNumber(ref);
    this.#packs.set(number, (this.#packs.get(number) ?? 0) + bytes);
  }

  get cuts(): Uint32Array | undefined {
    return this.#cuts === undefined ? undefined : Uint32Array.from(this.#cuts);
  }

  uses(): PackUses {
    return [...this.#packs].flat();
  }

  /** What is done once all before it is done; a failure is thrown by `finish`. */
  #next(order: Promise<void>): void {
    order.catch(() => undefined);
    this.#order = order;
  }

  /** A hole comes next. */
  hole(lengthBytes: number): void {
    this.#next(this.#order.then(() => this.list.hole(lengthBytes)));
    this.#zeros += lengthBytes;
    this.sizeBytes += lengthBytes;
  }

  /**
   * Sends a block to a worker. Resolves with how much of it becomes chunks: for the last block of an extent that is all of it, and is known when it is sent;
   * for any other when it is cut.
   */
  async block(
    source: { fd: number; data: Uint8Array | undefined },
    offset: number,
    length: number,
    last: boolean,
    avgBits: number,
  ): Promise<number> {
    await this.#run.breathe();
    await this.#run.pool.roomForBlock();
    const turnNumber = this.#turns++;
    const zerosBefore = this.#zeros;
    this.#zeros = 0;
    return new Promise((resolve, reject) => {
      const task = {
        kind: 'block',
        ...source,
        offset,
        length,
        last,
        avgBits,
        hash: this.hash,
        zerosBefore,
        turn: this.turn,
        turnNumber,
      } as const;
      const result = this.#run.pool.block(task, (consumed, read) => {
        this.sizeBytes += consumed;
        this.early ||= read < length;
        resolve(consumed);
      });
      if (last) resolve(length);
      result.catch(reject);
      this.#idle = Promise.allSettled([this.#idle, result]);
      this.#next(Promise.all([this.#order, result]).then(([, done]) => this.#take(done)));
    });
  }

  /** Sends a block whose chunks are expected to be stored, cut at `cuts`. Resolves when it is sent. */
  async known(fd: number, offset: number, length: number, cuts: Uint32Array): Promise<void> {
    await this.#run.breathe();
    await this.#run.pool.roomForBlock();
    const result = this.#run.pool.known({ kind: 'known', fd, offset, length, cuts });
    result.catch(() => undefined);
    this.sizeBytes += length;
    this.#idle = Promise.allSettled([this.#idle, result]);
    this.#next(
      Promise.all([this.#order, result]).then(([, done]) => {
        if (done === undefined) this.differs = true;
        if (!this.differs) this.#take(done!);
      }),
    );
  }

  #take(result: BlockResult): void {
    const view = new DataView(result.rows.buffer, result.rows.byteOffset, result.rows.byteLength);
    for (let i = 0; i < result.packs.length; i++) this.#count(result.packs[i]!, view.getUint32(i * 40, true));
    this.list.push(result.rows);
    if (this.#cuts === undefined) return;
    if (this.#cuts.length > MAX_CUTS) this.#cuts = undefined;
    else for (const length of dataLengths(result.rows)) this.#cuts.push(length);
  }

  /** Digests a hole at the end, after all blocks before it. */
  async #hashZeros(): Promise<void> {
    let zeros = this.#zeros;
    this.#zeros = 0;
    if (this.hash === 0) return;
    await this.#order;
    for (; zeros > 0; zeros -= ZERO_SLICE_BYTES) {
      native().hashZeros(this.hash, Math.min(zeros, ZERO_SLICE_BYTES));
      if (zeros > ZERO_SLICE_BYTES) await nextTurn();
    }
  }

  async finish(): Promise<{ content: Content; digest: Uint8Array | null }> {
    await this.#hashZeros();
    await this.#order;
    const digest = this.hash === 0 ? null : native().hashFinal(this.hash);
    const content = this.sizeBytes === 0 ? ({ kind: 'empty' } as const) : this.list.finish();
    // One chunk that is the whole file needs no row: its id follows from the digest.
    const single =
      this.list.leafRows === 1 &&
      content.kind === 'rows' &&
      digest !== null &&
      content.rows.subarray(8).some((byte) => byte !== 0);
    return { content: single ? { kind: 'whole' } : content, digest };
  }

  /** Waits until no worker uses the source any more, and frees the running digest. For a sequence that is not finished. */
  async abandon(): Promise<void> {
    await this.#idle;
    if (this.hash !== 0) native().hashFinal(this.hash);
  }
}
