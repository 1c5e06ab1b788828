/**
 * Whether chunks are already stored: first what this run claimed, then the chunk index; what neither has is claimed for the asker, who must then
 * store it. Works in every thread on the same tables.
 */
import { native } from '../native.js';

/** Marks a pack reference as the ordinal of a pack of this run rather than a pack index of the chunk index. */
export const IN_RUN = 0x8000_0000;
const ABSENT = 0xffff_ffff;

/** Where to look; plain data, replaced as a whole when the run's tables change. */
export interface LookupTables {
  /** Claims of this run, the one that takes new claims first. */
  readonly claims: readonly number[];
  readonly handles: Uint32Array;
  readonly bases: Uint32Array;
  /** Bit per pack index: the pack is in the store. */
  readonly usable: Uint8Array;
}

/**
 * For n ids of 32 bytes: the pack each one stands in (pack index, or IN_RUN + ordinal), and in `isNew` 1 for those now claimed with `ordinal`.
 * Of an id that stands twice in `ids`, the first is new.
 */
export function lookUp(tables: LookupTables, ids: Uint8Array, ordinal: number): { packs: Uint32Array; isNew: Uint8Array } {
  const count = ids.byteLength / 32;
  const packs = new Uint32Array(count).fill(ABSENT);
  const isNew = new Uint8Array(count);
  const addon = native();
  let left = count;
  for (const handle of tables.claims) {
    if (left === 0) break;
    const found = addon.claimed(handle, ids);
    for (let i = 0; i < count; i++) {
      if (packs[i] !== ABSENT || found[i] === ABSENT) continue;
      packs[i] = (found[i]! | IN_RUN) >>> 0;
      left--;
    }
  }
  if (left > 0 && tables.handles.length > 0) {
    const found = addon.segmentFind(tables.handles, tables.bases, ids, tables.usable);
    for (let i = 0; i < count; i++) {
      if (packs[i] !== ABSENT || found[i] === ABSENT) continue;
      packs[i] = found[i]!;
      left--;
    }
  }
  for (let i = 0; left > 0 && i < count; i++) {
    if (packs[i] !== ABSENT) continue;
    const before = addon.claim(tables.claims[0]!, ids.subarray(i * 32, i * 32 + 32), ordinal)[0]!;
    isNew[i] = before === ABSENT ? 1 : 0;
    packs[i] = ((before === ABSENT ? ordinal : before) | IN_RUN) >>> 0;
    left--;
  }
  return { packs, isNew };
}
