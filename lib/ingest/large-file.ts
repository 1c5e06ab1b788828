/**
 * Reads a large or sparse file, or a stream, block by block through the worker threads: while one block is compressed the next is already cut. Holes are found, not read.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Content } from '../format/content.js';
import { native } from '../native.js';
import type { PackUses } from './cache-rows.js';
import { ListWriter } from './list-writer.js';
import type { Run } from './run.js';
import { readStat, type ScanRecord, ScanType } from './scan-record.js';
import type { BlockResult } from './tasks.js';

const BLOCK_BYTES = 4 << 20;
const MAX_HASHED_HOLES = 1 << 30;
const ZERO_SLICE_BYTES = 32 << 20;

/** What became of a file's bytes. */
export interface Ingested {
  readonly sizeBytes: number;
  readonly digest: Uint8Array | null;
  readonly content: Content;
  /** By the change cache's pack numbers. */
  readonly packs: PackUses;
  /** It changed between the first byte and the last. */
  readonly changed: boolean;
}

/** Bits of the average chunk for a file of `sizeBytes` (docs/format.md §6, Chunking). Chosen by the bytes that later snapshots add: bench/notes.md. */
export function averageBits(sizeBytes: number): number {
  if (sizeBytes < 1 << 20) return 14;
  if (sizeBytes < 16 << 20) return 13;
  return sizeBytes < 2 ** 32 ? 15 : 18;
}

/** Collects blocks in order and makes the file's content of them. */
class BlockSequence {
  readonly #run: Run;
  readonly list: ListWriter;
  readonly #packs = new Map<number, number>();
  readonly hash: number;
  readonly turn = new Int32Array(new SharedArrayBuffer(4));
  sizeBytes = 0;
  /** A block held less than it was asked for. */
  early = false;
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

  #take(result: BlockResult): void {
    const view = new DataView(result.rows.buffer, result.rows.byteOffset, result.rows.byteLength);
    for (let i = 0; i < result.packs.length; i++) this.#count(result.packs[i]!, view.getUint32(i * 40, true));
    this.list.push(result.rows);
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

  /** Frees the running digest after a failure, when no worker uses it any more. */
  async abandon(): Promise<void> {
    await this.#idle;
    if (this.hash !== 0) native().hashFinal(this.hash);
  }
}

/** Data extents of a file as [start, end). */
function extentsOf(fd: number, record: ScanRecord): [number, number][] {
  if (!record.sparse) return record.sizeBytes === 0 ? [] : [[0, record.sizeBytes]];
  const extents: [number, number][] = [];
  for (let at = 0; at < record.sizeBytes; ) {
    const extent = native().nextData(fd, at, record.sizeBytes);
    if (extent === undefined) break;
    extents.push(extent);
    at = extent[1];
  }
  return extents;
}

/** What a file became when it was last read. */
export interface Former {
  readonly sizeBytes: number;
  readonly digest: Uint8Array | null;
  readonly content: Content;
}

/**
 * Reads the file at `path`. With `former`, its chunks are compared first: when they are the same in the same order, so is the whole, by their keyed digests,
 * and the former digest stands; only otherwise is the file read once more and digested as a whole.
 *
 * @throws the system's error
 */
export async function ingestFile(
  run: Run,
  path: Uint8Array,
  former: Former | undefined,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  if (former?.digest == null || former.content.kind !== 'rows') return readFile(run, path, true, signal, onBytes);
  let readBytes = 0;
  const file = await readFile(run, path, false, signal, (bytes) => {
    readBytes += bytes;
    onBytes(bytes);
  });
  if (file.sizeBytes === former.sizeBytes && sameRows(file.content, former.content)) return { ...file, digest: former.digest };
  onBytes(-readBytes);
  return readFile(run, path, true, signal, onBytes);
}

function sameRows(a: Content, b: Content): boolean {
  return a.kind === 'rows' && b.kind === 'rows' && a.depth === b.depth && Buffer.compare(a.rows, b.rows) === 0;
}

/** Reads the file once, with its digest if that is wanted. */
async function readFile(
  run: Run,
  path: Uint8Array,
  digested: boolean,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  const fd = native().openSource(path);
  let sequence: BlockSequence | undefined;
  try {
    const before = readStat(native().statFd(fd));
    if (before.type !== ScanType.regular) throw Object.assign(new Error('is no longer a regular file'), { code: 'ESTALE' });
    const extents = extentsOf(fd, before);
    const holes = before.sizeBytes - extents.reduce((sum, [start, end]) => sum + end - start, 0);
    sequence = new BlockSequence(run, digested && holes <= MAX_HASHED_HOLES);
    const avgBits = averageBits(before.sizeBytes);
    let at = 0;
    for (const [start, end] of extents) {
      if (start > at) sequence.hole(start - at);
      at = start;
      while (at < end && !sequence.early) {
        signal?.throwIfAborted();
        const length = Math.min(BLOCK_BYTES, end - at);
        const consumed = await sequence.block({ fd, data: undefined }, at, length, at + length >= end, avgBits);
        at += consumed;
        onBytes(consumed);
      }
      if (sequence.early) break;
    }
    if (!sequence.early && at < before.sizeBytes) sequence.hole(before.sizeBytes - at);
    const { content, digest } = await sequence.finish();
    const after = readStat(native().statFd(fd));
    return {
      sizeBytes: sequence.sizeBytes,
      digest,
      content,
      packs: sequence.uses(),
      changed: sequence.early || !after.sameState(before),
    };
  } catch (error) {
    await sequence?.abandon();
    throw error;
  } finally {
    native().closeFd(fd);
  }
}

/** The parts of `stream`; throws the signal's reason as soon as it fires, even when no part comes. */
async function* untilAborted(stream: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const parts = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        const abort = (): void => reject(signal?.reason);
        signal?.addEventListener('abort', abort, { once: true });
        parts
          .next()
          .then(resolve, reject)
          .finally(() => signal?.removeEventListener('abort', abort));
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: it stands behind a next() that may never come.
    Promise.resolve(parts.return?.()).catch(() => undefined);
  }
}

/** Reads a stream to its end. @throws the stream's error */
export async function ingestStream(
  run: Run,
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  const sequence = new BlockSequence(run, true);
  const avgBits = 16;
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  const send = async (last: boolean): Promise<void> => {
    const block = new Uint8Array(waitingBytes);
    let to = 0;
    for (const part of waiting) {
      block.set(part, to);
      to += part.byteLength;
    }
    // The worker gets a copy, because what it does not cut comes back to the front of the next block.
    const consumed = await sequence.block({ fd: -1, data: block.slice() }, 0, block.byteLength, last, avgBits);
    onBytes(consumed);
    waiting = consumed < block.byteLength ? [block.subarray(consumed)] : [];
    waitingBytes = block.byteLength - consumed;
  };
  try {
    for await (const part of untilAborted(stream, signal)) {
      waiting.push(part);
      waitingBytes += part.byteLength;
      while (waitingBytes >= BLOCK_BYTES) await send(false);
    }
    while (waitingBytes > 0) await send(true);
    const { content, digest } = await sequence.finish();
    return { sizeBytes: sequence.sizeBytes, digest, content, packs: sequence.uses(), changed: false };
  } catch (error) {
    await sequence.abandon();
    throw error;
  }
}
