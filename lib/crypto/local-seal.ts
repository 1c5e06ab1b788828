/**
 * Sealing of what this machine keeps for itself and may lose, with a key that is in hand whenever it is of use: AES-256-GCM of Node, because rows are small and many. Not part of the
 * format; nothing that is stored in a repository is sealed with it.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { concat, toHex } from '../bytes.js';
import { hkdf } from './kdf.js';

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LABEL = 'varve local row';
/** Keys of other runs that are remembered while rows are opened. */
const MAX_KEYS = 1024;

/** salt ‖ nonce ‖ ciphertext ‖ tag. Every sealer has a salt, and so a key, of its own: random nonces then never run short. */
export class LocalSealer {
  readonly #secret: Uint8Array;
  readonly #salt = new Uint8Array(randomBytes(SALT_BYTES));
  readonly #keys = new Map<string, Uint8Array>();

  /** @param secret - 32 bytes, never used for anything else */
  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  #key(salt: Uint8Array): Uint8Array {
    const hex = toHex(salt);
    let key = this.#keys.get(hex);
    if (key === undefined) {
      if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
      key = hkdf(this.#secret, salt, LABEL);
      this.#keys.set(hex, key);
    }
    return key;
  }

  /** Seals `plaintext`; it opens under the same `name` only. */
  seal(name: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key(this.#salt), nonce);
    cipher.setAAD(name);
    return concat(this.#salt, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
  }

  /** The plaintext; undefined when the key or the name is another, or a bit has changed. */
  open(name: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.byteLength < SALT_BYTES + NONCE_BYTES + TAG_BYTES) return undefined;
    const end = sealed.byteLength - TAG_BYTES;
    const nonce = sealed.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
    const cipher = createDecipheriv('aes-256-gcm', this.#key(sealed.subarray(0, SALT_BYTES)), nonce);
    cipher.setAAD(name);
    cipher.setAuthTag(sealed.subarray(end));
    try {
      const plaintext = cipher.update(sealed.subarray(SALT_BYTES + NONCE_BYTES, end));
      cipher.final();
      return plaintext;
    } catch {
      return undefined;
    }
  }
}
