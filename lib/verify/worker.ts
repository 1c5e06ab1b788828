/**
 * A thread of `check --read-data`: takes packs from a shared counter, reads each once from beginning to end, verifies it, and says how it is. Anything
 * wrong with one pack is an answer; it never ends the thread.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { VarveError } from '../errors.js';
import { packName } from '../format/names.js';
import { MAX_FRAME_BYTES, MAX_PACK_BYTES } from '../format/pack.js';
import { type BlockingPlace, type BlockingReads, openBlocking } from '../store/blocking.js';
import { PackKeys, type PackSecrets, verifyPack } from './pack-check.js';

export interface ScanSetup {
  readonly secrets: PackSecrets;
  /** Joined pack ids. */
  readonly ids: Uint8Array;
  /** How objects are read. */
  readonly place: BlockingPlace;
  /** 0: number of the next pack; 1: not zero to stop. */
  readonly counters: Int32Array;
}

/** How pack number `pack` is: its size read, and either the digest of header ‖ directory, or what is wrong. */
export interface ScannedPack {
  readonly pack: number;
  readonly bytes: number;
  readonly digest: Uint8Array | undefined;
  readonly code: string;
  readonly message: string;
}

/** Reads a whole object of at most MAX_PACK_BYTES into `buffer`, or into a larger one. @throws NotFoundError, StoreError, VarveError */
export function readWhole(reads: BlockingReads, name: string, buffer: Uint8Array): Uint8Array {
  const size = reads.sizeBytes(name);
  if (size > MAX_PACK_BYTES) throw new VarveError('CORRUPT', 'larger than a pack may be');
  const into = (buffer.byteLength >= size ? buffer : new Uint8Array(size)).subarray(0, size);
  reads.readInto(name, 0, into);
  return into;
}

const SLOT_BYTES = 18 << 20;

function scan({ secrets, ids, place, counters }: ScanSetup): void {
  const reads = openBlocking(place);
  const keys = new PackKeys(secrets);
  const scratch = new Uint8Array(MAX_FRAME_BYTES);
  let buffer = new Uint8Array(SLOT_BYTES);
  const count = ids.byteLength / 32;
  for (;;) {
    const pack = Atomics.add(counters, 0, 1);
    if (pack >= count || Atomics.load(counters, 1) !== 0) return;
    const id = ids.subarray(pack * 32, pack * 32 + 32);
    const name = packName(id);
    let bytes = 0;
    try {
      const whole = readWhole(reads, name, buffer);
      bytes = whole.byteLength;
      if (whole.buffer.byteLength > buffer.byteLength) buffer = new Uint8Array(whole.buffer as ArrayBuffer);
      const digest = verifyPack(whole, id, name, keys, scratch);
      parentPort!.postMessage({ pack, bytes, digest, code: '', message: '' } satisfies ScannedPack);
    } catch (error) {
      const { code = 'STORE', message } = error as { code?: string; message: string };
      const known = error instanceof VarveError ? code : code === 'ENOENT' ? 'NOT_FOUND' : 'STORE';
      const text =
        known === 'NOT_FOUND' ? 'is missing' : message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
      parentPort!.postMessage({ pack, bytes, digest: undefined, code: known, message: text } satisfies ScannedPack);
    }
  }
}

if (parentPort !== null && workerData !== null && (workerData as Partial<ScanSetup>).secrets !== undefined)
  scan(workerData as ScanSetup);
