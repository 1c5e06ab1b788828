/**
 * What each writer stored today, by the vault's clock, against what the policy allows. A day begins at midnight UTC. What is written down is never less than what was taken:
 * a batch is written down before anything of it is stored, so a crash costs the writer what was left of its batch, and gains it nothing.
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { RefusedError } from '../errors.js';
import type { PolicyTerms } from '../format/payload.js';
import { readState, writeState } from './state.js';

interface Amount {
  readonly bytes: number;
  readonly snapshots: number;
}

interface Count {
  /** Taken. */
  bytes: number;
  snapshots: number;
  /** Written down, or being written: never less than what was taken and is used. */
  writtenBytes: number;
  writtenSnapshots: number;
}

interface Remembered {
  readonly day: number;
  readonly writers: Record<string, Amount>;
}

/** What was taken of a writer's day, to be given back if it was not stored. */
export interface Taken extends Amount {
  readonly writer: string;
  readonly day: number;
}

const FILE = 'quota.json';
const DAY_MS = 86_400_000;
const MAX_BATCH_BYTES = 16 << 20;
const MIN_BATCH_BYTES = 64 << 10;
const MAX_BATCH_SNAPSHOTS = 64;
/** A crash costs a writer at most so much of its day: one part of so many. */
const BATCHES_PER_DAY = 64;

export class Quotas {
  readonly #path: string;
  #day: number;
  readonly #writers: Map<string, Count>;
  /** Writing is under way. */
  #writing: Promise<void> | undefined;

  private constructor(path: string, { day, writers }: Remembered) {
    this.#path = path;
    this.#day = day;
    this.#writers = new Map(
      Object.entries(writers).map(([hex, { bytes, snapshots }]) => [
        hex,
        { bytes, snapshots, writtenBytes: bytes, writtenSnapshots: snapshots },
      ]),
    );
  }

  /** @throws CorruptError, StoreError */
  static async open(stateDir: string): Promise<Quotas> {
    const path = join(stateDir, FILE);
    return new Quotas(path, (await readState(path, isRemembered)) ?? { day: 0, writers: {} });
  }

  /**
   * Takes of a writer's day what is about to be stored; resolves when that cannot be forgotten any more.
   *
   * @returns what to give back if it is not stored after all
   * @throws RefusedError when that is more than is left; StoreError
   */
  async take(writer: Uint8Array, { bytes, snapshots }: Amount, terms: PolicyTerms, nowMs: number): Promise<Taken> {
    const count = this.#count(writer, nowMs);
    const hex = toHex(writer);
    if (terms.dailyBytes > 0 && count.bytes + bytes > terms.dailyBytes)
      throw new RefusedError(
        `writer ${hex.slice(0, 8)} has used up the ${terms.dailyBytes} bytes that the policy lets it store in a day; an admin allows more with: varve policy set --daily-bytes SIZE`,
        { quota: 'bytes', writer: hex },
      );
    if (snapshots > 0) this.checkSnapshots(writer, terms, nowMs);
    count.bytes += bytes;
    count.snapshots += snapshots;
    const taken: Taken = { writer: hex, day: this.#day, bytes, snapshots };
    try {
      await this.#cover(count, taken.day, terms);
    } catch (error) {
      this.give(taken);
      throw error;
    }
    return taken;
  }

  /** Gives back what was taken, to the day that it was taken from. */
  give({ writer, day, bytes, snapshots }: Taken): void {
    const count = this.#writers.get(writer);
    if (day !== this.#day || count === undefined) return;
    count.bytes -= bytes;
    count.snapshots -= snapshots;
  }

  /** @throws RefusedError when the writer has its snapshots of the day */
  checkSnapshots(writer: Uint8Array, terms: PolicyTerms, nowMs: number): void {
    if (terms.dailySnapshots > 0 && this.#count(writer, nowMs).snapshots >= terms.dailySnapshots)
      throw new RefusedError(
        `writer ${toHex(writer).slice(0, 8)} has taken the ${terms.dailySnapshots} snapshots that the policy lets it take in a day; an admin allows more with: varve policy set --daily-snapshots N`,
        { quota: 'snapshots', writer: toHex(writer) },
      );
  }

  /** Writes down exactly what was taken; for the end, when nothing more is. @throws StoreError */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing.catch(() => undefined);
    const exact = [...this.#writers.values()].every(
      (count) => count.bytes === count.writtenBytes && count.snapshots === count.writtenSnapshots,
    );
    if (exact) return;
    for (const count of this.#writers.values()) {
      count.writtenBytes = count.bytes;
      count.writtenSnapshots = count.snapshots;
    }
    await this.#write();
  }

  /** Resolves when what is written down covers what was taken from `count`. */
  async #cover(count: Count, day: number, terms: PolicyTerms): Promise<void> {
    // Whoever comes while a batch is being written may be covered by it, but only once it is on the disk.
    while (this.#writing !== undefined) await this.#writing.catch(() => undefined);
    const covered = count.bytes <= count.writtenBytes && count.snapshots <= count.writtenSnapshots;
    // Of a day that is over nothing is left to be counted.
    if (covered || day !== this.#day) return;
    const { writtenBytes, writtenSnapshots } = count;
    count.writtenBytes = Math.max(writtenBytes, batched(count.bytes, byteBatch(terms.dailyBytes), terms.dailyBytes));
    count.writtenSnapshots = Math.max(
      writtenSnapshots,
      batched(count.snapshots, snapshotBatch(terms.dailySnapshots), terms.dailySnapshots),
    );
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
    try {
      await this.#writing;
    } catch (error) {
      count.writtenBytes = writtenBytes;
      count.writtenSnapshots = writtenSnapshots;
      throw error;
    }
    await this.#cover(count, day, terms);
  }

  async #write(): Promise<void> {
    const writers = [...this.#writers].map(([hex, count]): [string, Amount] => [
      hex,
      { bytes: count.writtenBytes, snapshots: count.writtenSnapshots },
    ]);
    await writeState(this.#path, { day: this.#day, writers: Object.fromEntries(writers) } satisfies Remembered);
  }

  #count(writer: Uint8Array, nowMs: number): Count {
    const day = Math.floor(nowMs / DAY_MS);
    // A clock that was set back gives nobody a fresh day.
    if (day > this.#day) {
      this.#day = day;
      this.#writers.clear();
    }
    const hex = toHex(writer);
    let count = this.#writers.get(hex);
    if (count === undefined) this.#writers.set(hex, (count = { bytes: 0, snapshots: 0, writtenBytes: 0, writtenSnapshots: 0 }));
    return count;
  }
}

/** What to write down for `taken`: a batch more, within the limit (0: none). */
function batched(taken: number, batch: number, limit: number): number {
  const end = taken === 0 ? 0 : taken + batch;
  return limit > 0 ? Math.max(taken, Math.min(end, limit)) : end;
}

const byteBatch = (limit: number): number =>
  limit === 0 ? MAX_BATCH_BYTES : Math.min(MAX_BATCH_BYTES, Math.max(MIN_BATCH_BYTES, Math.floor(limit / BATCHES_PER_DAY)));

const snapshotBatch = (limit: number): number =>
  limit === 0 ? MAX_BATCH_SNAPSHOTS : Math.min(MAX_BATCH_SNAPSHOTS, Math.floor(limit / BATCHES_PER_DAY));

function isRemembered(value: unknown): value is Remembered {
  const { day, writers } = value as Partial<Remembered>;
  return (
    Number.isSafeInteger(day) &&
    typeof writers === 'object' &&
    writers !== null &&
    Object.values(writers).every(({ bytes, snapshots }) => Number.isSafeInteger(bytes) && Number.isSafeInteger(snapshots))
  );
}
