/**
 * Session keys: made per backup run, sealed to the reader's public key with HPKE (docs/format.md §5, Session). Keys in, bytes out; session-open.ts opens them.
 * HPKE is @hpke/core; it is loaded when first needed, so that commands without it start faster.
 */
import { randomBytes } from 'node:crypto';
import { concat, utf8 } from '../bytes.js';
import { hkdf } from './kdf.js';
import type { DomainKeys } from './roles.js';

/** Whose session it is; bound into the seal. */
export interface SessionIds {
  readonly repository: Uint8Array;
  readonly writer: Uint8Array;
  readonly domain: Uint8Array;
  readonly session: Uint8Array;
}

export interface SealedKey {
  readonly enc: Uint8Array;
  readonly ct: Uint8Array;
  readonly commitment: Uint8Array;
}

async function suite() {
  const [{ CipherSuite, HkdfSha256 }, { Chacha20Poly1305 }, { DhkemX25519HkdfSha256 }] = await Promise.all([
    import('@hpke/core'),
    import('@hpke/chacha20poly1305'),
    import('@hpke/dhkem-x25519'),
  ]);
  return new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() });
}

/** Loads what making and opening session keys needs, for whoever has time for it now. */
export async function prepareSealing(): Promise<void> {
  await suite();
}

const arrayBuffer = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;

const info = (ids: SessionIds): Uint8Array =>
  concat(utf8('varve v1 session'), ids.repository, ids.writer, ids.domain, ids.session);

const pskOf = (domain: DomainKeys) => ({
  id: arrayBuffer(concat(utf8('varve v1 psk'), domain.domain)),
  key: arrayBuffer(domain.psk),
});

function commitmentOf(key: Uint8Array, session: Uint8Array): Uint8Array {
  return hkdf(key, session, 'varve v1 commitment');
}

/** A new session key and its sealed form. */
export async function createSessionKey(
  readerKey: Uint8Array,
  domain: DomainKeys,
  ids: SessionIds,
): Promise<{ key: Uint8Array; sealed: SealedKey }> {
  const key = new Uint8Array(randomBytes(32));
  const commitment = commitmentOf(key, ids.session);
  const hpke = await suite();
  const recipientPublicKey = await hpke.kem.importKey('raw', arrayBuffer(readerKey), true);
  const sender = await hpke.createSenderContext({ recipientPublicKey, info: arrayBuffer(info(ids)), psk: pskOf(domain) });
  const ct = new Uint8Array(await sender.seal(arrayBuffer(key), arrayBuffer(commitment)));
  return { key, sealed: { enc: new Uint8Array(sender.enc), ct, commitment } };
}

export function packKey(sessionKey: Uint8Array, packSalt: Uint8Array): Uint8Array {
  return hkdf(sessionKey, packSalt, 'varve v1 pack');
}

export function manifestKey(sessionKey: Uint8Array, session: Uint8Array): Uint8Array {
  return hkdf(sessionKey, session, 'varve v1 manifest');
}
