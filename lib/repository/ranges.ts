/**
 * Blocking reads of parts of objects, for the threads that serve a mount, restore or check: they work through frames one after another and gain
 * nothing from promises (2–5 × slower on Node). Only stores whose objects are files have it.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { CorruptError, NotFoundError, StoreError } from '../errors.js';

export interface Ranges {
  /** Exactly `length` bytes at `offset` of object `name`. @throws NotFoundError, StoreError, CorruptError if it is too short */
  read(name: string, offset: number, length: number): Uint8Array;
  /** As `read`, into `into`. */
  readInto(name: string, offset: number, into: Uint8Array): void;
  sizeBytes(name: string): number;
  close(): void;
}

const MAX_OPEN = 64;

/** Ranges over files; keeps the most recent few open. `pathOf` maps a name to an absolute path. */
export function openRanges(pathOf: (name: string) => string): Ranges {
  const open = new Map<string, number>();
  const descriptor = (name: string): number => {
    const known = open.get(name);
    if (known !== undefined) return known;
    let fd: number;
    try {
      fd = openSync(pathOf(name), constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new NotFoundError('object', name);
      throw new StoreError(name, 'open', cause);
    }
    if (open.size >= MAX_OPEN) {
      const [oldest, oldFd] = open.entries().next().value as [string, number];
      closeSync(oldFd);
      open.delete(oldest);
    }
    open.set(name, fd);
    return fd;
  };
  const readInto = (name: string, offset: number, into: Uint8Array): void => {
    const fd = descriptor(name);
    let done = 0;
    try {
      while (done < into.byteLength) {
        const count = readSync(fd, into, done, into.byteLength - done, offset + done);
        if (count === 0)
          throw new CorruptError(name, `ends at ${offset + done} bytes, but is needed to ${offset + into.byteLength}`);
        done += count;
      }
    } catch (cause) {
      if (cause instanceof CorruptError) throw cause;
      throw new StoreError(name, 'read', cause);
    }
  };
  return {
    readInto,
    read(name, offset, length) {
      const bytes = new Uint8Array(length);
      readInto(name, offset, bytes);
      return bytes;
    },
    sizeBytes: (name) => fstatSync(descriptor(name)).size,
    close() {
      for (const fd of open.values()) closeSync(fd);
      open.clear();
    },
  };
}
