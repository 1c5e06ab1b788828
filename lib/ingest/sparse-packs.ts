/** Which packs a stream shall write anew because little of them is still needed (docs/architecture.md, The way of a backup). Pure. */
import { type PackUses, readPacks } from './cache-rows.js';

/** Live bytes of sparse packs that one run writes again at most. */
const REWRITE_LIMIT_BYTES = 128 << 20;
/** Sparse packs are written anew when what is dead in them is at least this part of all that is in use: it may cost reading a large file again. */
const DEAD_PART = 1 / 20;

/**
 * The packs of which less than half is needed, as a row of the change cache; empty when writing them anew is not worth it.
 *
 * @param used - live bytes by pack number
 * @param rawBytes - how much a pack holds
 */
export function encodeSparsePacks(used: ReadonlyMap<number, number>, rawBytes: ReadonlyMap<number, number>): Uint8Array {
  const sparse: number[] = [];
  let allBytes = 0;
  let deadBytes = 0;
  for (const [number, live] of used) {
    const raw = rawBytes.get(number) ?? 0;
    allBytes += raw;
    if (live * 2 >= raw) continue;
    sparse.push(number, live);
    deadBytes += raw - live;
  }
  if (deadBytes < allBytes * DEAD_PART) sparse.length = 0;
  const out = new Uint8Array(sparse.length * 4);
  const view = new DataView(out.buffer);
  for (let i = 0; i < sparse.length; i++) view.setUint32(i * 4, i % 2 === 0 ? sparse[i]! : Math.ceil(sparse[i]! / 16), true);
  return out;
}

/** Numbers of the emptiest packs of such a row, as far as writing their live chunks again stays within bounds. */
export function chooseSparsePacks(row: Uint8Array): number[] {
  const sparse: PackUses = readPacks(row);
  const order = Array.from({ length: sparse.length / 2 }, (_, i) => [sparse[i * 2]!, sparse[i * 2 + 1]!] as const).sort(
    (a, b) => a[1] - b[1],
  );
  let bytes = 0;
  const chosen: number[] = [];
  for (const [number, live] of order) {
    bytes += live;
    if (bytes > REWRITE_LIMIT_BYTES) break;
    chosen.push(number);
  }
  return chosen;
}
