/** Whole objects, read without promises, for threads that block. Verifies nothing; whoever decodes does. */
import { type BlockingPlace, openBlocking } from '../store/blocking.js';

/** Reads an object, or undefined when there is none. @throws StoreError */
export type ObjectReader = (name: string) => Uint8Array | undefined;

export function objectReader(place: BlockingPlace): ObjectReader {
  const reads = openBlocking(place);
  return (name) => reads.whole(name);
}
