/**
 * Opening and closing keyrings with a passphrase or a key file (docs/format.md §12): key slots of lib/format, sealed with lib/crypto. No I/O.
 * A wrong passphrase is undefined; a damaged slot throws.
 */
import { randomBytes } from 'node:crypto';
import { concat, constantTimeEqual, utf8 } from '../bytes.js';
import { open, seal } from '../crypto/envelope.js';
import { hkdf, sha256 } from '../crypto/kdf.js';
import { isAffordable, passphraseKey } from '../crypto/passphrase.js';
import { CorruptError } from '../errors.js';
import { decodeKeyring, decodeSlot, encodeKeyring, encodeSlotHeader, type Keyring, type SlotHeader } from '../format/key-slot.js';
import { Kind } from '../format/preamble.js';

const SCRYPT_LOG2_N = 17;
const SCRYPT_R = 8;

/** What a slot's derivation costs, in derivations as this program's own slots ask for. One that will be refused costs nothing. */
export function derivationCost(header: Pick<SlotHeader, 'kdf' | 'log2N' | 'r' | 'p' | 'salt'>): number {
  if (header.kdf === 0 || !isAffordable(header)) return 0;
  return (2 ** header.log2N * header.r * header.p) / (2 ** SCRYPT_LOG2_N * SCRYPT_R);
}

type SlotKind = typeof Kind.keySlot | typeof Kind.keyFile;

async function derive(
  passphrase: string,
  header: Pick<SlotHeader, 'log2N' | 'r' | 'p' | 'salt'>,
  object: string,
): Promise<Uint8Array> {
  const key = await passphraseKey(passphrase, header);
  if (key === undefined)
    throw new CorruptError(object, 'asks for a key derivation that needs more than 2 GiB, or that cannot be');
  return key;
}

const slotAad = (repository: Uint8Array, head: Uint8Array): Uint8Array => concat(utf8('varve v1 slot'), repository, sha256(head));

/** A key slot or a key file's binary content that `passphrase` opens. `log2N` is lowered by tests only. */
export async function sealKeyring(
  keyring: Keyring,
  passphrase: string,
  kind: SlotKind,
  label: string,
  createdSec: number,
  log2N = SCRYPT_LOG2_N,
): Promise<{ id: Uint8Array; bytes: Uint8Array }> {
  const id = new Uint8Array(randomBytes(8));
  const salt = new Uint8Array(randomBytes(32));
  const parameters = { kdf: 1, log2N, r: SCRYPT_R, p: 1, salt };
  const kek = await derive(passphrase, parameters, 'key slot');
  const commitment = hkdf(kek, salt, 'varve v1 slot commitment');
  const head = encodeSlotHeader({ id, ...parameters, commitment, createdSec, label }, kind);
  const key = hkdf(kek, salt, 'varve v1 slot key');
  return { id, bytes: concat(head, seal(key, slotAad(keyring.repository, head), encodeKeyring(keyring))) };
}

/** A key file's binary content that needs no passphrase. */
export function clearKeyring(keyring: Keyring, label: string, createdSec: number): Uint8Array {
  const content = encodeKeyring(keyring);
  const header = {
    id: new Uint8Array(randomBytes(8)),
    kdf: 0,
    log2N: 0,
    r: 0,
    p: 0,
    salt: new Uint8Array(32),
    commitment: sha256(content),
    createdSec,
    label,
  };
  return concat(encodeSlotHeader(header, Kind.keyFile), content);
}

/** Whether a slot or key file needs a passphrase, and what it says of itself. @throws CorruptError, NewerFormatError */
export function describeSlot(bytes: Uint8Array, kind: SlotKind, object: string): SlotHeader {
  return decodeSlot(bytes, kind, object).header;
}

/**
 * Opens a slot or key file. `repository` is the id it must belong to (key files carry their own inside the keyring).
 *
 * @returns undefined if the passphrase is wrong
 * @throws CorruptError if the passphrase is right but the content is damaged, or there is no saying
 */
export async function openKeyring(
  bytes: Uint8Array,
  kind: SlotKind,
  repository: Uint8Array,
  passphrase: string | undefined,
  object: string,
): Promise<Keyring | undefined> {
  const { header, head, content } = decodeSlot(bytes, kind, object);
  if (header.kdf === 0) {
    if (!constantTimeEqual(sha256(content), header.commitment)) throw new CorruptError(object, 'its checksum does not fit');
    return decodeKeyring(content, object);
  }
  if (passphrase === undefined) return undefined;
  const kek = await derive(passphrase, header, object);
  if (!constantTimeEqual(hkdf(kek, header.salt, 'varve v1 slot commitment'), header.commitment)) return undefined;
  const plaintext = open(hkdf(kek, header.salt, 'varve v1 slot key'), slotAad(repository, head), content);
  if (plaintext === undefined)
    throw new CorruptError(object, 'opens with this passphrase but is damaged, or belongs to another repository');
  return decodeKeyring(plaintext, object);
}
