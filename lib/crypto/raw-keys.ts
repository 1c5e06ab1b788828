/** Raw 32-byte Ed25519 and X25519 keys as Node's key objects and back: the fixed DER of RFC 8410 around them. Pure. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { concat, fromHex } from '../bytes.js';

/** Last byte of the algorithm's object identifier, 1.3.101.x. */
export const Curve = { x25519: 0x6e, ed25519: 0x70 } as const;
export type Curve = (typeof Curve)[keyof typeof Curve];

const algorithm = (curve: Curve): Uint8Array => concat(fromHex('300506032b65'), Uint8Array.of(curve));

/** A private key of 32 raw bytes. */
export function privateKeyObject(curve: Curve, raw: Uint8Array): KeyObject {
  const der = concat(fromHex('302e020100'), algorithm(curve), fromHex('04220420'), raw);
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
}

/** A public key of 32 raw bytes. @throws Error for bytes that OpenSSL takes for no key */
export function publicKeyObject(curve: Curve, raw: Uint8Array): KeyObject {
  const der = concat(fromHex('302a'), algorithm(curve), fromHex('032100'), raw);
  return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
}

/** The public key, 32 raw bytes, of a private one. */
export function rawPublicKey(curve: Curve, raw: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKeyObject(curve, raw)).export({ format: 'der', type: 'spki' });
  return new Uint8Array(der.subarray(der.byteLength - 32));
}
