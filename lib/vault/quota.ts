/** What each writer stored today, by the vault's clock, against what the policy allows. Counts survive a restart; a day begins at midnight UTC. */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { RefusedError } from '../errors.js';
import type { PolicyTerms } from '../format/payload.js';
import { readState, writeState } from './state.js';

interface Count {
  bytes: number;
  snapshots: number;
}

interface Remembered {
  readonly day: number;
  readonly writers: Record<string, Count>;
}

const FILE = 'quota.json';
const DAY_MS = 86_400_000;

export class Quotas {
  readonly #path: string;
  #day: number;
  #writers: Map<string, Count>;
  #changed = false;

  private constructor(path: string, { day, writers }: Remembered) {
    this.#path = path;
    this.#day = day;
    this.#writers = new Map(Object.entries(writers));
  }

  static async open(stateDir: string): Promise<Quotas> {
    const path = join(stateDir, FILE);
    return new Quotas(path, (await readState(path, isRemembered)) ?? { day: 0, writers: {} });
  }

  /** Takes `bytes` of a writer's day before they are stored. @throws RefusedError when that is more than is left */
  takeBytes(writer: Uint8Array, bytes: number, terms: PolicyTerms, nowMs: number): void {
    const count = this.#count(writer, nowMs);
    if (terms.dailyBytes > 0 && count.bytes + bytes > terms.dailyBytes)
      throw new RefusedError(
        `writer ${toHex(writer).slice(0, 8)} has used up the ${terms.dailyBytes} bytes that the policy lets it store in a day; an admin allows more with: varve policy set --daily-bytes SIZE`,
        { quota: 'bytes', writer: toHex(writer) },
      );
    count.bytes += bytes;
    this.#changed = true;
  }

  /** Gives back what was taken for something that was not stored after all. */
  giveBytes(writer: Uint8Array, bytes: number, nowMs: number): void {
    const count = this.#count(writer, nowMs);
    count.bytes = Math.max(0, count.bytes - bytes);
    this.#changed = true;
  }

  /** @throws RefusedError when the writer has its snapshots of the day */
  checkSnapshots(writer: Uint8Array, terms: PolicyTerms, nowMs: number): void {
    if (terms.dailySnapshots > 0 && this.#count(writer, nowMs).snapshots >= terms.dailySnapshots)
      throw new RefusedError(
        `writer ${toHex(writer).slice(0, 8)} has taken the ${terms.dailySnapshots} snapshots that the policy lets it take in a day; an admin allows more with: varve policy set --daily-snapshots N`,
        { quota: 'snapshots', writer: toHex(writer) },
      );
  }

  countSnapshot(writer: Uint8Array, nowMs: number): void {
    this.#count(writer, nowMs).snapshots++;
    this.#changed = true;
  }

  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    await writeState(this.#path, { day: this.#day, writers: Object.fromEntries(this.#writers) } satisfies Remembered);
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
    if (count === undefined) this.#writers.set(hex, (count = { bytes: 0, snapshots: 0 }));
    return count;
  }
}

function isRemembered(value: unknown): value is Remembered {
  const { day, writers } = value as Partial<Remembered>;
  return (
    Number.isSafeInteger(day) &&
    typeof writers === 'object' &&
    writers !== null &&
    Object.values(writers).every(({ bytes, snapshots }) => Number.isSafeInteger(bytes) && Number.isSafeInteger(snapshots))
  );
}
