/**
 * Opens sealed session keys (docs/format.md §5, Session): the receiving half of HPKE (RFC 9180), mode_psk, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
 * ChaCha20Poly1305. Without promises, because threads that block need it, and through OpenSSL: 0.7 ms a key, 7 to 12 with @hpke/core, which seals (session.ts)
 * and is the oracle in tests. Keys in, keys out.
 */
import { createDecipheriv, diffieHellman } from 'node:crypto';
import { concat, constantTimeEqual, EMPTY, utf8 } from '../bytes.js';
import { hkdf, hmac } from './kdf.js';
import { Curve, privateKeyObject, publicKeyObject, rawPublicKey } from './raw-keys.js';
import type { DomainKeys } from './roles.js';
import type { SealedKey, SessionIds } from './session.js';

const VERSION = utf8('HPKE-v1');
/** "KEM" ‖ kem id (RFC 9180 §4.1) and "HPKE" ‖ kem id ‖ kdf id ‖ aead id (§5.1). */
const KEM_SUITE = concat(utf8('KEM'), Uint8Array.of(0x00, 0x20));
const HPKE_SUITE = concat(utf8('HPKE'), Uint8Array.of(0x00, 0x20, 0x00, 0x01, 0x00, 0x03));
const MODE_PSK = Uint8Array.of(1);
const TAG_BYTES = 16;

/** LabeledExtract, RFC 9180 §4. */
function extract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return hmac(salt.byteLength === 0 ? new Uint8Array(32) : salt, VERSION, suite, utf8(label), ikm);
}

/** LabeledExpand, RFC 9180 §4, for at most 32 bytes: one block of HKDF-Expand. */
function expand(suite: Uint8Array, key: Uint8Array, label: string, context: Uint8Array, lengthBytes: number): Uint8Array {
  const info = concat(Uint8Array.of(0, lengthBytes), VERSION, suite, utf8(label), context);
  return hmac(key, info, Uint8Array.of(1)).subarray(0, lengthBytes);
}

/** Opens session keys of one repository; undefined for one that does not open or whose commitment differs. */
export type SessionOpener = (domain: DomainKeys, ids: SessionIds, sealed: SealedKey) => Uint8Array | undefined;

/** An opener with the reader's private keys, 32 bytes each, tried in turn. */
export function sessionOpener(readerPrivate: readonly Uint8Array[]): SessionOpener {
  const openers = readerPrivate.map(openerWith);
  return (domain, ids, sealed) => {
    for (const open of openers) {
      const key = open(domain, ids, sealed);
      if (key !== undefined) return key;
    }
    return undefined;
  };
}

function openerWith(readerPrivate: Uint8Array): SessionOpener {
  const privateKey = privateKeyObject(Curve.x25519, readerPrivate);
  const publicBytes = rawPublicKey(Curve.x25519, readerPrivate);
  return (domain, ids, sealed) => {
    try {
      const sender = publicKeyObject(Curve.x25519, sealed.enc);
      // OpenSSL refuses a shared secret of zeros, as RFC 9180 §7.1.4 asks.
      const dh = new Uint8Array(diffieHellman({ privateKey, publicKey: sender }));
      const prk = extract(KEM_SUITE, EMPTY, 'eae_prk', dh);
      const shared = expand(KEM_SUITE, prk, 'shared_secret', concat(sealed.enc, publicBytes), 32);
      const info = concat(utf8('varve v1 session'), ids.repository, ids.writer, ids.domain, ids.session);
      const pskId = concat(utf8('varve v1 psk'), domain.domain);
      const context = concat(
        MODE_PSK,
        extract(HPKE_SUITE, EMPTY, 'psk_id_hash', pskId),
        extract(HPKE_SUITE, EMPTY, 'info_hash', info),
      );
      const secret = extract(HPKE_SUITE, shared, 'secret', domain.psk);
      const nonce = expand(HPKE_SUITE, secret, 'base_nonce', context, 12);
      const cipher = createDecipheriv('chacha20-poly1305', expand(HPKE_SUITE, secret, 'key', context, 32), nonce, {
        authTagLength: TAG_BYTES,
      });
      const length = sealed.ct.byteLength - TAG_BYTES;
      cipher.setAAD(sealed.commitment, { plaintextLength: length });
      cipher.setAuthTag(sealed.ct.subarray(length));
      const key = new Uint8Array(Buffer.concat([cipher.update(sealed.ct.subarray(0, length)), cipher.final()]));
      const commitment = hkdf(key, ids.session, 'varve v1 commitment');
      return key.byteLength === 32 && constantTimeEqual(commitment, sealed.commitment) ? key : undefined;
    } catch {
      return undefined;
    }
  };
}
