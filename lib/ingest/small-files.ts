/** Gathers small files of many directories into batches for the worker threads, and gives each file its result. */
import { type Content, INLINE_MAX_BYTES } from '../format/content.js';
import type { PackUses } from './cache-rows.js';
import { errnoName } from './errno.js';
import type { Ingested } from './large-file.js';
import type { Run } from './run.js';
import type { ScanRecord } from './scan-record.js';
import type { FilesResult } from './tasks.js';

export const SMALL_FILE_BYTES = 65_536;
const BATCH_BYTES = 2 << 20;
const BATCH_FILES = 512;
const ROW = 96;

/** A file's result: what it became, GROWN when it has outgrown a batch, or the system's error name. */
export type SmallOutcome = Ingested | string;
export const GROWN = 'GROWN';

const NO_PACKS: PackUses = [];
const EMPTY: Content = { kind: 'empty' };
const WHOLE: Content = { kind: 'whole' };

interface Waiting {
  readonly directory: Uint8Array;
  readonly record: ScanRecord;
  readonly done: (outcome: SmallOutcome) => void;
}

export class SmallFiles {
  readonly #run: Run;
  readonly #onBytes: (bytes: number) => void;
  readonly #onFailure: (error: unknown) => void;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(run: Run, onBytes: (bytes: number) => void, onFailure: (error: unknown) => void) {
    this.#run = run;
    this.#onBytes = onBytes;
    this.#onFailure = onFailure;
  }

  get full(): boolean {
    return this.#waitingBytes >= BATCH_BYTES || this.#waiting.length >= BATCH_FILES;
  }

  /** Queues a file of at most SMALL_FILE_BYTES. `directory` must be the same object for files of one directory. */
  add(directory: Uint8Array, record: ScanRecord, done: (outcome: SmallOutcome) => void): void {
    this.#waiting.push({ directory, record, done });
    this.#waitingBytes += record.sizeBytes;
  }

  /** Sends what is queued; resolves when it is sent. */
  async send(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#run.breathe();
      await this.#run.pool.room();
      let bytes = 0;
      let count = 0;
      while (count < this.#waiting.length && count < BATCH_FILES && (count === 0 || bytes < BATCH_BYTES))
        bytes += this.#waiting[count++]!.record.sizeBytes;
      const batch = this.#waiting.splice(0, count);
      this.#waitingBytes -= bytes;
      this.#inFlight++;
      this.#run.pool
        .files({ kind: 'files', request: encodeRequest(batch), arenaBytes: bytes })
        .then((result) => this.#deliver(batch, result))
        .catch(this.#onFailure)
        .finally(() => {
          this.#inFlight--;
          for (const resolve of this.#idle.splice(0)) resolve();
        });
    }
  }

  /** Resolves when nothing is queued or under way. */
  async drained(): Promise<void> {
    await this.send();
    while (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #deliver(batch: readonly Waiting[], result: FilesResult): void {
    const view = new DataView(result.rows.buffer, result.rows.byteOffset, result.rows.byteLength);
    let inlineAt = 0;
    for (let i = 0; i < batch.length; i++) {
      const at = i * ROW;
      const { record, done } = batch[i]!;
      const errno = view.getUint32(at, true);
      if (errno !== 0) {
        done(errnoName(errno));
        continue;
      }
      if ((view.getUint32(at + 4, true) & 1) !== 0) {
        done(GROWN);
        continue;
      }
      const sizeBytes = view.getUint32(at + 12, true);
      let packs: PackUses = NO_PACKS;
      let content: Content = EMPTY;
      if (sizeBytes > INLINE_MAX_BYTES) {
        content = WHOLE;
        packs = [this.#run.packNumber(result.packs[i]!), sizeBytes];
      } else if (sizeBytes > 0) {
        content = { kind: 'inline', bytes: result.inline.subarray(inlineAt, inlineAt + sizeBytes) };
        inlineAt += sizeBytes;
      }
      // Not by what was read: some files hold less than they say, unchanged.
      const changed = !record.sameAsRead(view, at);
      this.#onBytes(sizeBytes);
      done({ sizeBytes, digest: result.rows.subarray(at + 16, at + 48), content, packs, changed });
    }
  }
}

/** The request of native readFiles: files grouped by directory. */
function encodeRequest(batch: readonly Waiting[]): Uint8Array {
  let length = 0;
  for (let i = 0; i < batch.length; i++) {
    if (i === 0 || batch[i]!.directory !== batch[i - 1]!.directory) length += 8 + batch[i]!.directory.byteLength;
    length += 6 + batch[i]!.record.name.byteLength;
  }
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  let at = 0;
  for (let i = 0; i < batch.length; ) {
    const { directory } = batch[i]!;
    view.setUint32(at, directory.byteLength, true);
    out.set(directory, at + 4);
    const countAt = at + 4 + directory.byteLength;
    at = countAt + 4;
    const first = i;
    for (; i < batch.length && batch[i]!.directory === directory; i++) {
      const { name, sizeBytes } = batch[i]!.record;
      view.setUint32(at, sizeBytes, true);
      view.setUint16(at + 4, name.byteLength, true);
      out.set(name, at + 6);
      at += 6 + name.byteLength;
    }
    view.setUint32(countAt, i - first, true);
  }
  return out;
}
