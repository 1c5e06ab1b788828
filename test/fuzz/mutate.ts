/** Mutants of valid inputs, the same ones for the same seed. No decoder is known here. */

/** A small generator with a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return limit <= 0 ? 0 : this.u32() % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Numbers at which a decoder may change its mind. */
export const TELLING = [
  0, 1, 2, 4, 5, 16, 17, 23, 24, 127, 128, 255, 256, 4096, 4097, 65_535, 65_536, 65_537, 2_097_152, 2_097_153, 4_194_304,
  4_194_305, 67_108_864, 67_108_865, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
] as const;

/** A changed copy of one of `seeds`. */
export function mutant(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes = Uint8Array.from(random.pick(seeds));
  for (let steps = 1 + random.below(3); steps > 0; steps--) bytes = step(bytes, seeds, random);
  return bytes;
}

function step(bytes: Uint8Array<ArrayBuffer>, seeds: readonly Uint8Array[], random: Random): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.byteLength + 1);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const room = bytes.byteLength - at;
  switch (random.below(9)) {
    case 0:
      if (room > 0) bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      if (room > 0) bytes[at] = random.u32();
      return bytes;
    case 2:
      if (room >= 4) view.setUint32(at, random.pick(TELLING), random.below(4) !== 0);
      return bytes;
    case 3:
      if (room >= 4) view.setUint32(at, view.getUint32(at, true) + random.below(5) - 2, true);
      return bytes;
    case 4:
      return bytes.slice(0, at);
    case 5:
      return splice(bytes, at, random.below(Math.min(room, 48) + 1), new Uint8Array(0));
    case 6:
      return splice(bytes, at, 0, new Uint8Array(random.below(48)).fill(random.below(3) === 0 ? 0 : random.u32()));
    case 7:
      return splice(bytes, at, 0, part(random.pick(seeds), random));
    default: {
      const other = part(random.pick(seeds), random);
      return splice(bytes, at, Math.min(room, other.byteLength), other);
    }
  }
}

function part(bytes: Uint8Array, random: Random): Uint8Array {
  const from = random.below(bytes.byteLength + 1);
  return bytes.subarray(from, from + random.below(Math.min(96, bytes.byteLength - from) + 1));
}

function splice(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.byteLength - removed + added.byteLength);
  out.set(bytes.subarray(0, at));
  out.set(added, at);
  out.set(bytes.subarray(at + removed), at + added.byteLength);
  return out;
}

/** How many mutants each decoder gets, and from which seed: VARVE_FUZZ and VARVE_SEED, or few and another seed each time. */
export function fuzzing(few: number): { readonly count: number; readonly seed: number } {
  const seed = process.env.VARVE_SEED === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(process.env.VARVE_SEED);
  return { count: process.env.VARVE_FUZZ === undefined ? few : Number(process.env.VARVE_FUZZ), seed };
}
