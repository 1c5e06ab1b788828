/** Whole objects of a local store, read without promises, for threads that block. Verifies nothing; whoever decodes does. */
import { readFileSync } from 'node:fs';
import { StoreError } from '../errors.js';
import type { LocalStore } from '../store/store.js';

/** Reads an object, or undefined when there is none. @throws StoreError */
export type ObjectReader = (name: string) => Uint8Array | undefined;

export function objectReader(store: LocalStore): ObjectReader {
  return (name) => {
    try {
      const bytes = readFileSync(store.pathOf(name));
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new StoreError(name, 'read', cause);
    }
  };
}
