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

/** Whether `signature` is that of `publicKey` over label ‖ 00 ‖ signed. */
export function verifySignature(publicKey: Uint8Array, label: string, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    return nodeVerify(null, message(label, signed), publicKeyObject(Curve.ed25519, publicKey), signature);
  } catch {
    return false;
  }
}
