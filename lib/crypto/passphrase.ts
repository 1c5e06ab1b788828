/** Keys from passphrases: scrypt (RFC 7914), with a limit on what it may cost (docs/format.md §12). Passphrase in, key out. */
import { scrypt } from 'node:crypto';

/** Most memory that a derivation may take. */
const MAX_SCRYPT_BYTES = 2 ** 31;
const MAX_SCRYPT_P = 64;

export interface ScryptParameters {
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
}

/** Whether `parameters` are possible and cost at most 2 GiB: 128·r·(N + p) bytes. */
export function isAffordable({ log2N, r, p }: ScryptParameters): boolean {
  // RFC 7914 §2: N < 2^(128·r/8).
  return log2N >= 1 && r >= 1 && p >= 1 && p <= MAX_SCRYPT_P && log2N < 16 * r && 128 * r * (2 ** log2N + p) <= MAX_SCRYPT_BYTES;
}

/** The 32-byte key of a passphrase, or undefined when the parameters are refused; nothing is then allocated. */
export function passphraseKey(passphrase: string, parameters: ScryptParameters): Promise<Uint8Array | undefined> {
  // A lone surrogate would become U+FFFD, and several passphrases one.
  if (/\p{Surrogate}/u.test(passphrase)) throw new RangeError('the passphrase is not well-formed Unicode');
  if (!isAffordable(parameters)) return Promise.resolve(undefined);
  const { log2N, r, p, salt } = parameters;
  const options = { N: 2 ** log2N, r, p, maxmem: 128 * r * (2 ** log2N + p) + (1 << 20) };
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, options, (error, key) => (error ? reject(error) : resolve(new Uint8Array(key))));
  });
}
