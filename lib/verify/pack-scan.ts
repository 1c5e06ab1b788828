/** Reads packs in full on worker threads while the main thread walks trees. Which packs, and what their answers mean, the caller says. */
import { Worker } from 'node:worker_threads';
import { InterruptedError, VarveError } from '../errors.js';
import { workerFile } from '../native.js';
import { blockingPlace } from '../store/blocking.js';
import type { Store } from '../store/store.js';
import type { PackSecrets } from './pack-check.js';
import type { ScannedPack, ScanSetup } from './worker.js';

/** How a check may read only some packs. */
export type Subset =
  /** The n-th of `of` parts (from 1), the same packs each time. */
  | { readonly kind: 'nth'; readonly n: number; readonly of: number }
  /** A random part. */
  | { readonly kind: 'percent'; readonly percent: number }
  /** Random packs of about so many bytes together. */
  | { readonly kind: 'bytes'; readonly bytes: number };

/** @throws RangeError for numbers that name no subset */
export function checkSubset(subset: Subset): void {
  const { kind } = subset;
  if (kind === 'nth' && !(Number.isInteger(subset.n) && Number.isInteger(subset.of) && subset.n >= 1 && subset.n <= subset.of)) {
    throw new RangeError(`no part ${subset.n} of ${subset.of}`);
  }
  if (kind === 'percent' && !(subset.percent > 0 && subset.percent <= 100))
    throw new RangeError(`${subset.percent} % is not between 0 and 100`);
  if (kind === 'bytes' && !(subset.bytes > 0)) throw new RangeError('a subset needs at least one byte');
}

/** The packs, hex, to read of all `packs` (hex → size). */
export function choosePacks(
  packs: ReadonlyMap<string, number>,
  subset: Subset | undefined,
  random: () => number = Math.random,
): string[] {
  const all = [...packs.keys()].sort();
  if (subset === undefined) return all;
  if (subset.kind === 'nth') return all.filter((hex) => Number.parseInt(hex.slice(0, 8), 16) % subset.of === subset.n - 1);
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  if (subset.kind === 'percent') return all.slice(0, Math.ceil((all.length * subset.percent) / 100)).sort();
  let left = subset.bytes;
  const chosen: string[] = [];
  for (const hex of all) {
    if (left <= 0) break;
    chosen.push(hex);
    left -= packs.get(hex)!;
  }
  return chosen.sort();
}

const THREADS = 2;

/** A scan under way. */
export interface Scan {
  /** Resolves when every pack was read. @throws InterruptedError, VarveError when a thread died */
  readonly finished: Promise<void>;
  /** Ends all threads at once. */
  stop(): Promise<void>;
}

/** Starts reading `packs` (hex); `onPack` is called for each. @throws StoreError for a store that cannot be read from a blocking thread */
export function scanPacks(
  store: Store,
  secrets: PackSecrets,
  packs: readonly string[],
  onPack: (hex: string, scanned: ScannedPack) => void,
): Scan {
  const ids = new Uint8Array(Buffer.from(packs.join(''), 'hex'));
  const counters = new Int32Array(new SharedArrayBuffer(8));
  const setup: ScanSetup = { secrets, ids, place: blockingPlace(store), counters };
  const workers = Array.from(
    { length: Math.min(THREADS, packs.length) },
    () => new Worker(workerFile('lib/verify/worker'), { workerData: setup, execArgv: [] }),
  );
  let stopped = false;
  const ended = workers.map(
    (worker) =>
      new Promise<void>((resolve, reject) => {
        worker.on('message', (scanned: ScannedPack) => onPack(packs[scanned.pack]!, scanned));
        worker.on('error', (error) => reject(new VarveError('FAILED', `a checking thread failed: ${error.message}`, {}, error)));
        worker.on('exit', (code) => {
          if (stopped) reject(new InterruptedError('check'));
          else if (code !== 0) reject(new VarveError('FAILED', `a checking thread ended with code ${code}`));
          else resolve();
        });
      }),
  );
  const finished = Promise.all(ended).then(() => undefined);
  finished.catch(() => undefined);
  return {
    finished,
    async stop() {
      stopped = true;
      Atomics.store(counters, 1, 1);
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
