/**
 * Reading a store from a thread that waits: by path where objects are files, else through memory shared with a thread that holds the connection. Verifies nothing;
 * whoever decodes does.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { CorruptError, NotFoundError, StoreError } from '../errors.js';
import { callBridge } from './bridge.js';
import { isLocalStore, type Store } from './store.js';

/** Where a thread reads from. Plain data, to be given to threads. */
export type BlockingPlace =
  | { readonly kind: 'files' /** Folder of the objects, with a slash at its end. */; readonly root: string }
  | { readonly kind: 'bridge'; readonly memory: SharedArrayBuffer };

export interface BlockingReads {
  /** Fills `into` from byte `offset` of object `name`. @throws NotFoundError, StoreError, CorruptError if the object is too short */
  readInto(name: string, offset: number, into: Uint8Array): void;
  /** @throws NotFoundError, StoreError */
  sizeBytes(name: string): number;
  /** All of an object, or undefined when there is none. @throws StoreError */
  whole(name: string): Uint8Array | undefined;
  close(): void;
}

/** A store that threads read through shared memory. */
export interface BridgedStore extends Store {
  /** The memory, and with it a thread that answers. */
  bridge(): SharedArrayBuffer;
}

/** How threads read `store`. @throws StoreError for a store that they cannot read */
export function blockingPlace(store: Store): BlockingPlace {
  if (isLocalStore(store)) return { kind: 'files', root: store.pathOf('x').slice(0, -1) };
  if (typeof (store as Partial<BridgedStore>).bridge === 'function')
    return { kind: 'bridge', memory: (store as BridgedStore).bridge() };
  throw new StoreError(store.location, 'read', new Error('this store cannot be read from a blocking thread'));
}

export function openBlocking(place: BlockingPlace): BlockingReads {
  return place.kind === 'files' ? overFiles(place.root) : overBridge(place.memory);
}

const MAX_OPEN = 64;

/** Closes what was only read: a file system that is gone may refuse even that, and nothing is lost. */
function letGo(fd: number): void {
  try {
    closeSync(fd);
  } catch {}
}

/** Keeps the most recent few files open. */
function overFiles(root: string): BlockingReads {
  const open = new Map<string, number>();
  const descriptor = (name: string): number => {
    const known = open.get(name);
    if (known !== undefined) return known;
    let fd: number;
    try {
      fd = openSync(root + name, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new NotFoundError('object', name);
      throw new StoreError(name, 'open', cause);
    }
    if (open.size >= MAX_OPEN) {
      const [oldest, oldFd] = open.entries().next().value as [string, number];
      letGo(oldFd);
      open.delete(oldest);
    }
    open.set(name, fd);
    return fd;
  };
  /** A network file system that came back, or an object that was mended, is another file at the same path: it is opened anew the next time. */
  const fail = (name: string, fd: number, cause: unknown): never => {
    open.delete(name);
    letGo(fd);
    throw cause instanceof CorruptError ? cause : new StoreError(name, 'read', cause);
  };
  return {
    readInto(name, offset, into) {
      const fd = descriptor(name);
      let done = 0;
      try {
        while (done < into.byteLength) {
          const count = readSync(fd, into, done, into.byteLength - done, offset + done);
          if (count === 0) throw tooShort(name, offset + done, offset + into.byteLength);
          done += count;
        }
      } catch (cause) {
        fail(name, fd, cause);
      }
    },
    sizeBytes(name) {
      const fd = descriptor(name);
      try {
        return fstatSync(fd).size;
      } catch (cause) {
        return fail(name, fd, cause);
      }
    },
    whole(name) {
      try {
        const bytes = readFileSync(root + name);
        return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw new StoreError(name, 'read', cause);
      }
    },
    close() {
      for (const fd of open.values()) letGo(fd);
      open.clear();
    },
  };
}

function overBridge(memory: SharedArrayBuffer): BlockingReads {
  const sizes = new Map<string, number>();
  const readInto = (name: string, offset: number, into: Uint8Array): void => {
    for (let done = 0; done < into.byteLength; ) {
      const { bytes } = callBridge(memory, 'read', name, offset + done, into.subarray(done));
      if (bytes === 0) throw tooShort(name, offset + done, offset + into.byteLength);
      done += bytes;
    }
  };
  const sizeBytes = (name: string): number => {
    let size = sizes.get(name);
    if (size === undefined) {
      size = callBridge(memory, 'size', name, 0, undefined).bytes;
      if (sizes.size >= 4096) sizes.clear();
      sizes.set(name, size);
    }
    return size;
  };
  return {
    readInto,
    sizeBytes,
    whole(name) {
      try {
        const { bytes, data } = callBridge(memory, 'whole', name, 0, undefined);
        if (data !== undefined) return data;
        const all = new Uint8Array(bytes);
        readInto(name, 0, all);
        return all;
      } catch (error) {
        if (error instanceof NotFoundError) return undefined;
        throw error;
      }
    },
    close: () => undefined,
  };
}

function tooShort(name: string, at: number, end: number): CorruptError {
  return new CorruptError(name, `ends at ${at} bytes, but is needed to ${end}`);
}
