/** Ed25519 signatures of signed objects (docs/format.md §2) and the author ids of keys. Keys in, bytes out. */
import { createPrivateKey, createPublicKey, type KeyObject, sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import { concat, utf8 } from '../bytes.js';
import { type AuthorId, asId } from '../id.js';
import { sha256 } from './kdf.js';

// The fixed DER of RFC 8410 around raw 32-byte keys.
const PRIVATE_PREFIX = Uint8Array.of(
  0x30,
  0x2e,
  0x02,
  0x01,
  0x00,
  0x30,
  0x05,
  0x06,
  0x03,
  0x2b,
  0x65,
  0x70,
  0x04,
  0x22,
  0x04,
  0x20,
);
const PUBLIC_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

function privateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(concat(PRIVATE_PREFIX, seed)), format: 'der', type: 'pkcs8' });
}

/** The public key, 32 bytes, of a 32-byte seed. */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' });
  return new Uint8Array(der.subarray(der.byteLength - 32));
}

/** First 16 bytes of SHA-256 of a public key. */
export function authorOf(publicKey: Uint8Array): AuthorId {
  return asId('author', sha256(publicKey).slice(0, 16));
}

const message = (label: string, signed: Uint8Array): Uint8Array => concat(utf8(label), Uint8Array.of(0), signed);

/** Signature, 64 bytes, over label ‖ 00 ‖ signed. */
export function sign(seed: Uint8Array, label: string, signed: Uint8Array): Uint8Array {
  return new Uint8Array(nodeSign(null, message(label, signed), privateKey(seed)));
}

/** Whether `signature` is that of `publicKey` over label ‖ 00 ‖ signed. */
export function verifySignature(publicKey: Uint8Array, label: string, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(concat(PUBLIC_PREFIX, publicKey)), format: 'der', type: 'spki' });
    return nodeVerify(null, message(label, signed), key, signature);
  } catch {
    return false;
  }
}
