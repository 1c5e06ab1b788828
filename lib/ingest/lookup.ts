/**
 * Whether chunks are already stored: first what this run claimed earlier, then the chunk index; what neither has is claimed for the asker, who must then
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
  const isNew = new Uint8Array(count);
  const packs = find(tables, tables.claims.slice(1), ids);
  const absent: number[] = [];
  for (let i = 0; i < count; i++) if (packs[i] === ABSENT) absent.push(i);
  if (absent.length === 0) return { packs, isNew };
  let wanted = ids;
  if (absent.length < count) {
    wanted = new Uint8Array(absent.length * 32);
    for (let i = 0; i < absent.length; i++) wanted.set(ids.subarray(absent[i]! * 32, absent[i]! * 32 + 32), i * 32);
  }
  const before = native().claim(tables.claims[0]!, wanted, ordinal);
  for (let i = 0; i < absent.length; i++) {
    const fresh = before[i] === ABSENT;
    isNew[absent[i]!] = fresh ? 1 : 0;
    packs[absent[i]!] = ((fresh ? ordinal : before[i]!) | IN_RUN) >>> 0;
  }
  return { packs, isNew };
}

/** The pack of each of n ids; undefined when one of them is not stored. Claims nothing. */
export function lookUpKnown(tables: LookupTables, ids: Uint8Array): Uint32Array | undefined {
  const packs = find(tables, tables.claims, ids);
  return packs.includes(ABSENT) ? undefined : packs;
}

/** What these claims of the run and the chunk index have. */
function find(tables: LookupTables, claims: readonly number[], ids: Uint8Array): Uint32Array {
  const packs = new Uint32Array(ids.byteLength / 32).fill(ABSENT);
  for (const table of claims) fill(packs, native().claimed(table, ids), IN_RUN);
  if (tables.handles.length > 0) fill(packs, native().segmentFind(tables.handles, tables.bases, ids, tables.usable), 0);
  return packs;
}

/** Takes over what `found` has where `packs` has nothing. */
function fill(packs: Uint32Array, found: Uint32Array, mark: number): void {
  for (let i = 0; i < packs.length; i++) if (packs[i] === ABSENT && found[i] !== ABSENT) packs[i] = (found[i]! | mark) >>> 0;
}
