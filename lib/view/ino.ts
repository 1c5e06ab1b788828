/**
 * Inode numbers: HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein's SipHash on 32-bit words), keyed by the number of the directory above, the
 * snapshot's root being keyed by its id. So they are the same at every mount, and nobody who writes files can aim at a collision, because a snapshot's
 * id is not known before its contents. Pure.
 */

/** Low and high 32 bits, unsigned; `hi` has 31. */
export interface Ino {
  readonly lo: number;
  readonly hi: number;
}

const scratch = new Uint32Array(2);
const scratchBig = new BigUint64Array(scratch.buffer);
/** Numbers below are kept for the fixed names at the top of a mount. */
const RESERVED = 65536;

/** Ino of `bytes` below `key`. */
export function inoBelow(key: Ino, bytes: Uint8Array): Ino {
  const length = bytes.byteLength;
  let v0 = key.lo | 0;
  let v1 = (key.hi | 0) ^ 0xee;
  let v2 = key.lo ^ 0x6c796765;
  let v3 = key.hi ^ 0x74656462;
  let at = 0;
  let m = 0;
  let rounds = 0;
  const words = (length >> 2) + 1;
  let lo = 0;
  // words: compress each (2 rounds); then twice finish (4 rounds) for the low and the high half.
  for (let step = 0; step < words + 2; step++) {
    if (step < words) {
      if (step < words - 1) {
        m = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
        at += 4;
      } else {
        m = length << 24;
        for (let i = 0; at + i < length; i++) m |= bytes[at + i]! << (8 * i);
      }
      v3 ^= m;
      rounds = 2;
    } else {
      if (step === words) v2 ^= 0xee;
      else {
        lo = v1 ^ v3;
        v1 ^= 0xdd;
      }
      rounds = 4;
    }
    for (; rounds > 0; rounds--) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    if (step < words) v0 ^= m;
  }
  const hi = (v1 ^ v3) & 0x7fffffff;
  return { lo: hi === 0 && lo >>> 0 < RESERVED ? RESERVED : lo >>> 0, hi };
}

/** Ino of a snapshot's root, from its id. */
export function rootIno(snapshotId: Uint8Array): Ino {
  const view = new DataView(snapshotId.buffer, snapshotId.byteOffset, 8);
  return inoBelow({ lo: view.getUint32(0, true), hi: view.getUint32(4, true) }, snapshotId);
}

/** Ino of a hard-linked file: the same for all its names in a snapshot. No name holds the NUL that stands first here. */
export function linkIno(root: Ino, linkId: Uint8Array): Ino {
  const bytes = new Uint8Array(linkId.byteLength + 1);
  bytes.set(linkId, 1);
  return inoBelow(root, bytes);
}

export function inoNumber(ino: Ino): bigint {
  scratch[0] = ino.lo;
  scratch[1] = ino.hi;
  return scratchBig[0]!;
}
