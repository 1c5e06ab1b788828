/** Ed25519 signatures of signed objects (docs/format.md §2) and the author ids of keys. Keys in, bytes out. */
import { sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import { concat, utf8 } from '../bytes.js';
import { type AuthorId, asId } from '../id.js';
import { sha256 } from './kdf.js';
import { Curve, privateKeyObject, publicKeyObject, rawPublicKey } from './raw-keys.js';

/** The public key, 32 bytes, of a 32-byte seed. */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  return rawPublicKey(Curve.ed25519, seed);
}

/** First 16 bytes of SHA-256 of a public key. */
export function authorOf(publicKey: Uint8Array): AuthorId {
  return asId('author', sha256(publicKey).slice(0, 16));
}

const message = (label: string, signed: Uint8Array): Uint8Array => concat(utf8(label), Uint8Array.of(0), signed);

/** Signature, 64 bytes, over label ‖ 00 ‖ signed. */
export function sign(seed: Uint8Array, label: string, signed: Uint8Array): Uint8Array {
  return new Uint8Array(nodeSign(null, message(label, signed), privateKeyObject(Curve.ed25519, seed)));
}

/**
 * Whether `point` is the one encoding of its point (RFC 8032 §5.1.3): its number is below 2²⁵⁵ − 19, and an x of 0 has no sign. OpenSSL takes others too, so that
 * one key could stand for several authors.
 */
function isCanonical(point: Uint8Array): boolean {
  const [first, last] = [point[0]!, point[31]!];
  const full = (last & 0x7f) === 0x7f && point.subarray(1, 31).every((byte) => byte === 0xff);
  if (full && first >= 0xed) return false;
  const one = first === 1 && (last & 0x7f) === 0 && point.subarray(1, 31).every((byte) => byte === 0);
  return (last & 0x80) === 0 || !(one || (full && first === 0xec));
}

/** Whether `signature` is that of `publicKey` over label ‖ 00 ‖ signed. */
export function verifySignature(publicKey: Uint8Array, label: string, signed: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.byteLength !== 32 || signature.byteLength !== 64) return false;
  if (!isCanonical(publicKey) || !isCanonical(signature.subarray(0, 32))) return false;
  try {
    return nodeVerify(null, message(label, signed), publicKeyObject(Curve.ed25519, publicKey), signature);
  } catch {
    return false;
  }
}
