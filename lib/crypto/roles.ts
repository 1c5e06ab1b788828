/** What each role's secret derives to (docs/format.md §5). Keys in, keys out. */
import { hkdf } from './kdf.js';
import { Curve, rawPublicKey } from './raw-keys.js';

/** Everything the writers of one domain share. */
export interface DomainKeys {
  readonly domain: Uint8Array;
  readonly chunkId: Uint8Array;
  readonly chunking: Uint8Array;
  readonly index: Uint8Array;
  readonly psk: Uint8Array;
  readonly names: Uint8Array;
  readonly tags: Uint8Array;
  /** Seals the hosts and labels of writers' certificates. */
  readonly scope: Uint8Array;
  /** 256 u32 of the rolling hash. */
  readonly gear: Uint32Array;
}

/** X25519 private key of the reader, from the root secret. */
export function readerPrivateKey(root: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(root, salt, 'varve v1 reader');
}

/** Ed25519 private key with which whoever holds the root secret signs rotations of the reader key. */
export function readerSignSeed(root: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(root, salt, 'varve v1 reader sign');
}

/** Every X25519 private key of the reader, newest first: those of later rotations, and the root secret's. */
export function readerPrivateKeys(root: Uint8Array, salt: Uint8Array, later: readonly Uint8Array[] = []): Uint8Array[] {
  return [...later].reverse().concat([readerPrivateKey(root, salt)]);
}

/** X25519 public key of a private one. */
export function x25519Public(privateKey: Uint8Array): Uint8Array {
  return rawPublicKey(Curve.x25519, privateKey);
}

/** The domain secret that `varve init` gives to a writer; whoever holds the root secret can derive it. */
export function domainSecret(root: Uint8Array, salt: Uint8Array, domain: Uint8Array): Uint8Array {
  return hkdf(root, salt, 'varve v1 domain', domain);
}

export function domainKeys(secret: Uint8Array, salt: Uint8Array, domain: Uint8Array): DomainKeys {
  const chunking = hkdf(secret, salt, 'varve v1 chunking');
  const gearBytes = hkdf(chunking, salt, 'varve v1 gear', undefined, 1024);
  const view = new DataView(gearBytes.buffer, gearBytes.byteOffset, 1024);
  return {
    domain,
    chunkId: hkdf(secret, salt, 'varve v1 chunk id'),
    chunking,
    index: hkdf(secret, salt, 'varve v1 index'),
    psk: hkdf(secret, salt, 'varve v1 psk'),
    names: hkdf(secret, salt, 'varve v1 names'),
    tags: hkdf(secret, salt, 'varve v1 tags'),
    scope: hkdf(secret, salt, 'varve v1 scope'),
    gear: Uint32Array.from({ length: 256 }, (_, i) => view.getUint32(i * 4, true)),
  };
}
