/**
 * Memory through which threads that wait ask a thread that does not: a few slots, each with a request, its answer, and a word to wait on. Any thread that has the
 * memory may ask; one answers (bridge-worker.ts).
 */
import { Buffer } from 'node:buffer';
import { NotFoundError, StoreError } from '../errors.js';

const SLOTS = 8;
const NAME_BYTES = 256;
/** One frame at its largest fits. */
export const DATA_BYTES = (4 << 20) + 4096;
/** Int32 words: 0 is rung for each request, 1 says that nobody answers any more; then those of each slot. */
const HEAD_WORDS = 16;
const WORD = { state: 0, operation: 1, nameBytes: 2, status: 3 } as const;
const SLOT_WORDS = 8;
const FLOATS = 4;
const FLOATS_AT = (HEAD_WORDS + SLOTS * SLOT_WORDS) * 4;
const NAMES_AT = FLOATS_AT + SLOTS * FLOATS * 8;
const DATA_AT = NAMES_AT + SLOTS * NAME_BYTES;

const State = { free: 0, taken: 1, asked: 2, working: 3, answered: 4 } as const;
export const Status = { ok: 0, tooBig: 1, missing: 2, failed: 3 } as const;
const OPERATIONS = ['read', 'size', 'whole'] as const;
export type Operation = (typeof OPERATIONS)[number];

// Node has it since 16; the types of ES2022 do not know it.
const { waitAsync } = Atomics as unknown as {
  waitAsync(words: Int32Array, at: number, value: number): { readonly value: unknown };
};

const ANSWER_MS = 300_000;

export function createBridge(): SharedArrayBuffer {
  return new SharedArrayBuffer(DATA_AT + SLOTS * DATA_BYTES);
}

const words = (memory: SharedArrayBuffer): Int32Array => new Int32Array(memory, 0, FLOATS_AT / 4);
const floatsOf = (memory: SharedArrayBuffer, slot: number): Float64Array =>
  new Float64Array(memory, FLOATS_AT + slot * FLOATS * 8, FLOATS);
const nameOf = (memory: SharedArrayBuffer, slot: number): Uint8Array =>
  new Uint8Array(memory, NAMES_AT + slot * NAME_BYTES, NAME_BYTES);
const dataOf = (memory: SharedArrayBuffer, slot: number): Uint8Array =>
  new Uint8Array(memory, DATA_AT + slot * DATA_BYTES, DATA_BYTES);
const wordOf = (slot: number, word: number): number => HEAD_WORDS + slot * SLOT_WORDS + word;

/**
 * Asks, and waits for the answer. `read` fills `into` as far as one answer goes and returns the count; `size` returns the size; `whole` returns all bytes, or the size
 * alone when they do not fit.
 *
 * @throws NotFoundError, StoreError
 */
export function callBridge(
  memory: SharedArrayBuffer,
  operation: Operation,
  name: string,
  offset: number,
  into: Uint8Array | undefined,
): { bytes: number; data?: Uint8Array } {
  const shared = words(memory);
  const slot = takeSlot(shared);
  const state = wordOf(slot, WORD.state);
  const floats = floatsOf(memory, slot);
  shared[wordOf(slot, WORD.operation)] = OPERATIONS.indexOf(operation);
  shared[wordOf(slot, WORD.nameBytes)] = Buffer.from(nameOf(memory, slot).buffer, NAMES_AT + slot * NAME_BYTES, NAME_BYTES).write(
    name,
    'latin1',
  );
  floats[0] = offset;
  floats[1] = Math.min(into?.byteLength ?? 0, DATA_BYTES);
  Atomics.store(shared, state, State.asked);
  Atomics.add(shared, 0, 1);
  Atomics.notify(shared, 0);
  const deadline = performance.now() + ANSWER_MS;
  for (let now = Atomics.load(shared, state); now !== State.answered; now = Atomics.load(shared, state)) {
    if (Atomics.load(shared, 1) !== 0) throw new StoreError(name, 'read', new Error('the store is closed'));
    // The slot stays taken: a late answer must not meet another request.
    if (performance.now() > deadline) throw new StoreError(name, 'read', new Error('the vault does not answer'));
    Atomics.wait(shared, state, now, 1000);
  }
  try {
    const bytes = floats[2]!;
    const data = dataOf(memory, slot);
    switch (shared[wordOf(slot, WORD.status)]) {
      case Status.ok:
        if (operation === 'whole') return { bytes, data: data.slice(0, bytes) as Uint8Array };
        into?.set(data.subarray(0, bytes));
        return { bytes };
      case Status.tooBig:
        return { bytes };
      case Status.missing:
        throw new NotFoundError('object', name);
      default:
        throw new StoreError(name, 'read', new Error(Buffer.from(data.slice(0, bytes)).toString('utf8')));
    }
  } finally {
    Atomics.store(shared, state, State.free);
    Atomics.notify(shared, state);
  }
}

function takeSlot(shared: Int32Array): number {
  for (;;) {
    for (let slot = 0; slot < SLOTS; slot++)
      if (Atomics.compareExchange(shared, wordOf(slot, WORD.state), State.free, State.taken) === State.free) return slot;
    if (Atomics.load(shared, 1) !== 0) throw new StoreError('store', 'read', new Error('the store is closed'));
    Atomics.wait(shared, wordOf(0, WORD.state), Atomics.load(shared, wordOf(0, WORD.state)), 10);
  }
}

/** A request as the answering thread sees it. */
export interface Asked {
  readonly operation: Operation;
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  answer(status: (typeof Status)[keyof typeof Status], bytes: number, data?: Uint8Array): void;
}

/** Hands every request to `serve`, for ever. */
export async function answerBridge(memory: SharedArrayBuffer, serve: (asked: Asked) => void): Promise<never> {
  const shared = words(memory);
  for (;;) {
    const rung = Atomics.load(shared, 0);
    for (let slot = 0; slot < SLOTS; slot++) {
      const state = wordOf(slot, WORD.state);
      if (Atomics.compareExchange(shared, state, State.asked, State.working) !== State.asked) continue;
      const [offset, length] = floatsOf(memory, slot) as unknown as [number, number];
      const name = Buffer.from(nameOf(memory, slot).slice(0, shared[wordOf(slot, WORD.nameBytes)])).toString('latin1');
      const operation = OPERATIONS[shared[wordOf(slot, WORD.operation)]!]!;
      serve({
        operation,
        name,
        offset,
        length,
        answer(status, bytes, data) {
          if (data !== undefined) dataOf(memory, slot).set(data);
          floatsOf(memory, slot)[2] = bytes;
          shared[wordOf(slot, WORD.status)] = status;
          Atomics.store(shared, state, State.answered);
          Atomics.notify(shared, state);
        },
      });
    }
    await waitAsync(shared, 0, rung).value;
  }
}

/** Tells all who wait that nobody answers any more. */
export function closeBridge(memory: SharedArrayBuffer): void {
  const shared = words(memory);
  Atomics.store(shared, 1, 1);
  for (let slot = 0; slot < SLOTS; slot++) Atomics.notify(shared, wordOf(slot, WORD.state));
}
