/** Sealing of small objects: nonce ‖ XChaCha20-Poly1305 (docs/format.md §2, Seal). Keys in, bytes out. */
import { randomBytes } from 'node:crypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { concat } from '../bytes.js';

export const SEAL_OVERHEAD_BYTES = 40;

/** Seals `plaintext` under a 32-byte key with a fresh 192-bit nonce. */
export function seal(key: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(randomBytes(24));
  return concat(nonce, xchacha20poly1305(key, nonce, aad).encrypt(plaintext));
}

/** The plaintext, or undefined when it does not verify under this key and associated data. */
export function open(key: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.byteLength < SEAL_OVERHEAD_BYTES) return undefined;
  try {
    return xchacha20poly1305(key, sealed.subarray(0, 24), aad).decrypt(sealed.subarray(24));
  } catch {
    return undefined;
  }
}
