/**
 * Readable twin of the cut kernel (native/cut.cc): content-defined cutting as docs/format.md states it, one byte at a time.
 * Never used outside tests.
 */

export interface CutParams {
  readonly min: number;
  readonly max: number;
  readonly avgBits: number;
}

/** Mask of the `count` highest bits of a 32-bit hash. */
function highBits(count: number): number {
  return (0xffffffff << (32 - count)) >>> 0;
}

/** Lengths of the chunks of `data`. With `last` false, a tail that could still grow is left out. */
export function cutChunks(data: Uint8Array, table: Uint32Array, { min, max, avgBits }: CutParams, last: boolean): number[] {
  const small = highBits(avgBits + 2);
  const large = highBits(avgBits - 2);
  const lengths: number[] = [];
  let hash = 0;
  let length = 0;
  for (const byte of data) {
    hash = ((hash << 1) + table[byte]!) >>> 0;
    length += 1;
    const mask = length < 2 ** avgBits ? small : large;
    if (length === max || (length > min && (hash & mask) === 0)) {
      lengths.push(length);
      hash = 0;
      length = 0;
    }
  }
  if (last && length > 0) lengths.push(length);
  return lengths;
}
