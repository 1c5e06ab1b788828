/** Opens session keys with @hpke/core: the oracle for lib/crypto/session-open.ts. */
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305';
import { CipherSuite, HkdfSha256 } from '@hpke/core';
import { DhkemX25519HkdfSha256 } from '@hpke/dhkem-x25519';
import { concat, equalBytes, utf8 } from '../../lib/bytes.js';
import { hkdf } from '../../lib/crypto/kdf.js';
import type { DomainKeys } from '../../lib/crypto/roles.js';
import type { SealedKey, SessionIds } from '../../lib/crypto/session.js';

const buffer = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;

export const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() });

export async function openSessionKey(
  readerPrivate: Uint8Array,
  domain: DomainKeys,
  ids: SessionIds,
  sealed: SealedKey,
): Promise<Uint8Array | undefined> {
  try {
    const recipient = await suite.createRecipientContext({
      recipientKey: await suite.kem.importKey('raw', buffer(readerPrivate), false),
      enc: buffer(sealed.enc),
      info: buffer(concat(utf8('varve v1 session'), ids.repository, ids.writer, ids.domain, ids.session)),
      psk: { id: buffer(concat(utf8('varve v1 psk'), domain.domain)), key: buffer(domain.psk) },
    });
    const key = new Uint8Array(await recipient.open(buffer(sealed.ct), buffer(sealed.commitment)));
    return key.byteLength === 32 && equalBytes(hkdf(key, ids.session, 'varve v1 commitment'), sealed.commitment)
      ? key
      : undefined;
  } catch {
    return undefined;
  }
}
