/** Gathers small files of many directories into batches for the worker threads, and gives each file its result. */
import { constants } from 'node:os';
import { concat } from '../bytes.js';
import { type Content, INLINE_MAX_BYTES } from '../format/content.js';
import type { Ingested } from './large-file.js';
import type { Run } from './run.js';
import type { ScanRecord } from './scan-record.js';
import type { FilesResult } from './tasks.js';

export const SMALL_FILE_BYTES = 65_536;
const BATCH_BYTES = 2 << 20;
const BATCH_FILES = 512;
const ROW = 96;

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** Name of a system error number. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `ERRNO_${errno}`;
}

/** A file's result: what it became, `LARGER` when it has outgrown a batch, or the system's error name. */
export type SmallOutcome = { readonly kind: 'read'; readonly file: Ingested } | { readonly kind: 'grown' } | { readonly kind: 'failed'; readonly code: string };

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
      while (count < this.#waiting.length && count < BATCH_FILES && (count === 0 || bytes < BATCH_BYTES)) bytes += this.#waiting[count++]!.record.sizeBytes;
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
        done({ kind: 'failed', code: errnoName(errno) });
        continue;
      }
      if ((view.getUint32(at + 4, true) & 1) !== 0) {
        done({ kind: 'grown' });
        continue;
      }
      const sizeBytes = view.getUint32(at + 12, true);
      const packs = new Map<number, number>();
      let content: Content = { kind: 'empty' };
      if (sizeBytes > INLINE_MAX_BYTES) {
        content = { kind: 'whole' };
        packs.set(this.#run.packNumber(result.packs[i]!), sizeBytes);
      } else if (sizeBytes > 0) {
        content = { kind: 'inline', bytes: result.inline.slice(inlineAt, inlineAt + sizeBytes) };
        inlineAt += sizeBytes;
      }
      const changed =
        sizeBytes !== record.sizeBytes ||
        view.getUint32(at + 72, true) !== record.mtimeNsec ||
        view.getUint32(at + 76, true) !== record.ctimeNsec ||
        view.getUint32(at + 56, true) !== (record.mtimeSec >>> 0) ||
        view.getUint32(at + 64, true) !== (record.ctimeSec >>> 0) ||
        view.getBigUint64(at + 80, true) !== record.ino;
      this.#onBytes(sizeBytes);
      done({ kind: 'read', file: { sizeBytes, digest: result.rows.slice(at + 16, at + 48), content, packs, newBytes: 0, after: undefined, changed } });
    }
  }
}

/** The request of native readFiles: files grouped by directory. */
function encodeRequest(batch: readonly Waiting[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < batch.length; ) {
    const { directory } = batch[i]!;
    let end = i;
    while (end < batch.length && batch[end]!.directory === directory) end++;
    const head = new Uint8Array(8 + directory.byteLength);
    const headView = new DataView(head.buffer);
    headView.setUint32(0, directory.byteLength, true);
    head.set(directory, 4);
    headView.setUint32(4 + directory.byteLength, end - i, true);
    parts.push(head);
    for (; i < end; i++) {
      const { record } = batch[i]!;
      const item = new Uint8Array(6 + record.name.byteLength);
      const view = new DataView(item.buffer);
      view.setUint32(0, record.sizeBytes, true);
      view.setUint16(4, record.name.byteLength, true);
      item.set(record.name, 6);
      parts.push(item);
    }
  }
  return concat(...parts);
}
