/** Key derivation (docs/format.md §5). Keys in, keys out; no I/O. */
import { createHash, createHmac, hkdfSync, hash as oneShot } from 'node:crypto';
import { concat, utf8 } from '../bytes.js';

/** HKDF-SHA-256 (RFC 5869) with `info` = label ‖ context. */
export function hkdf(
  key: Uint8Array,
  salt: Uint8Array,
  label: string,
  context: Uint8Array = new Uint8Array(0),
  lengthBytes = 32,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, concat(utf8(label), context), lengthBytes));
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return new Uint8Array(oneShot('sha256', parts[0]!, 'buffer'));
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

export function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
}
