/**
 * Blocking reads of parts of objects, for the threads that serve a mount, restore or check: they work through frames one after another and gain
 * nothing from promises (2–5 × slower on Node).
 */
import { type BlockingPlace, openBlocking } from '../store/blocking.js';

export interface Ranges {
  /** Exactly `length` bytes at `offset` of object `name`. @throws NotFoundError, StoreError, CorruptError if it is too short */
  read(name: string, offset: number, length: number): Uint8Array;
  /** As `read`, into `into`. */
  readInto(name: string, offset: number, into: Uint8Array): void;
  sizeBytes(name: string): number;
  close(): void;
}

/** Ranges over the place that `placeOf` gives, which is not asked before the first read. */
export function openRanges(placeOf: () => BlockingPlace): Ranges {
  let opened: ReturnType<typeof openBlocking> | undefined;
  const reads = () => (opened ??= openBlocking(placeOf()));
  return {
    readInto: (name, offset, into) => reads().readInto(name, offset, into),
    read(name, offset, length) {
      const bytes = new Uint8Array(length);
      reads().readInto(name, offset, bytes);
      return bytes;
    },
    sizeBytes: (name) => reads().sizeBytes(name),
    close: () => opened?.close(),
  };
}
