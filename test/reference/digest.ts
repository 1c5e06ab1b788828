/** Readable twins of the digest kernels (native/digest.cc), with node:crypto. Never used outside tests. */
import { createHash, createHmac } from 'node:crypto';
import { concat } from '../../lib/bytes.js';

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** `[offset,length]` pairs of `data`, each digested to 32 bytes. */
export function sha256Pieces(data: Uint8Array, pieces: Uint32Array): Uint8Array {
  const digests: Uint8Array[] = [];
  for (let at = 0; at < pieces.length; at += 2) digests.push(sha256(data.subarray(pieces[at]!, pieces[at]! + pieces[at + 1]!)));
  return concat(...digests);
}

/** HMAC-SHA-256(key, type ‖ digest). */
export function chunkId(key: Uint8Array, type: number, digest: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac('sha256', key).update(Uint8Array.of(type)).update(digest).digest());
}
