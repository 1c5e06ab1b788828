/** Keyrings, key slots and key files (docs/format.md §12). Pure: derivation and sealing are in lib/repository/keyring.ts. */
import { asUtf8, concat, utf8 } from '../bytes.js';
import { CorruptError, WrongKeyError } from '../errors.js';
import { CborReader, CborWriter } from './cbor.js';
import { Kind, splitLength, withLength } from './preamble.js';

export const MAX_SLOT_BYTES = 65_536;
export const KEY_FILE_LINE = 'varve key file v1';

export interface WriterKeys {
  /** Ed25519 private key, 32 bytes. */
  readonly seed: Uint8Array;
  readonly domain: Uint8Array;
  readonly domainSecret: Uint8Array;
}

/** What a key opens: any subset of the roles. */
export interface Keyring {
  readonly repository: Uint8Array;
  readonly root: Uint8Array | null;
  readonly adminSeed: Uint8Array | null;
  readonly writer: WriterKeys | null;
  /** X25519 private keys of later readers, oldest first: each rotation of the reader key adds one. Absent when there was none. */
  readonly readers?: readonly Uint8Array[];
  /** Ed25519 private key of an auditor, 32 bytes; stands beside the root secret only. Absent where there is none. */
  readonly auditorSeed?: Uint8Array;
}

export interface SlotHeader {
  readonly id: Uint8Array;
  /** 0 none (key files only), 1 scrypt. */
  readonly kdf: number;
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
  readonly commitment: Uint8Array;
  readonly createdSec: number;
  readonly label: string;
}

export function encodeKeyring(keyring: Keyring): Uint8Array {
  const out = new CborWriter();
  const { readers = [], auditorSeed } = keyring;
  out
    .array(auditorSeed !== undefined ? 6 : readers.length === 0 ? 4 : 5)
    .bytes(keyring.repository)
    .bytesOrNull(keyring.root)
    .bytesOrNull(keyring.adminSeed);
  if (keyring.writer === null) out.null();
  else out.array(3).bytes(keyring.writer.seed).bytes(keyring.writer.domain).bytes(keyring.writer.domainSecret);
  if (readers.length > 0 || auditorSeed !== undefined) out.bytes(concat(...readers));
  if (auditorSeed !== undefined) out.bytes(auditorSeed);
  return out.finish();
}

/** @throws CorruptError */
export function decodeKeyring(bytes: Uint8Array, object: string): Keyring {
  const from: CborReader = new CborReader(bytes.slice(), object);
  const items = from.array();
  if (items < 4 || items > 6) from.fail('a keyring of a wrong length');
  const repository = from.bytes(32);
  const root = from.bytesOrNull(32);
  const adminSeed = from.bytesOrNull(32);
  let writer: WriterKeys | null = null;
  if (!from.null()) {
    from.array(3);
    writer = { seed: from.bytes(32), domain: from.bytes(16), domainSecret: from.bytes(32) };
  }
  let readers: Uint8Array[] | undefined;
  if (items > 4) {
    const joined = from.bytes();
    if ((joined.byteLength === 0 && items === 5) || joined.byteLength % 32 !== 0)
      from.fail('reader keys of an impossible length');
    if (root === null) from.fail('reader keys without a root secret');
    if (joined.byteLength > 0)
      readers = Array.from({ length: joined.byteLength / 32 }, (_, i) => joined.slice(i * 32, i * 32 + 32));
  }
  const auditor = items === 6 ? { auditorSeed: from.bytes(32) } : {};
  from.end();
  return { repository, root, adminSeed, writer, ...(readers === undefined ? {} : { readers }), ...auditor };
}

/** preamble ‖ length ‖ header: what stands before the sealed or clear content. */
export function encodeSlotHeader(header: SlotHeader, kind: typeof Kind.keySlot | typeof Kind.keyFile): Uint8Array {
  const out = new CborWriter();
  out.array(9).bytes(header.id).int(header.kdf).int(header.log2N).int(header.r).int(header.p);
  out.bytes(header.salt).bytes(header.commitment).int(header.createdSec).text(header.label);
  return withLength(kind, out.finish());
}

/** @throws CorruptError, NewerFormatError */
export function decodeSlot(
  bytes: Uint8Array,
  kind: typeof Kind.keySlot | typeof Kind.keyFile,
  object: string,
): { header: SlotHeader; head: Uint8Array; content: Uint8Array } {
  if (bytes.byteLength > MAX_SLOT_BYTES) throw new CorruptError(object, 'longer than a key slot may be');
  const { head, record, rest } = splitLength(bytes, kind, object);
  const from: CborReader = new CborReader(record, object);
  from.array(9);
  const id = from.bytes(8);
  const kdf = from.uint(1);
  const log2N = from.uint(63);
  const r = from.uint(1 << 20);
  const p = from.uint(1 << 20);
  const salt = from.bytes(32);
  const commitment = from.bytes(32);
  const createdSec = from.int();
  const label = from.text();
  from.end();
  if (kdf === 0 && kind === Kind.keySlot) from.fail('a slot without a passphrase');
  if (kdf === 0 && (log2N !== 0 || r !== 0 || p !== 0 || salt.some((byte) => byte !== 0)))
    from.fail('a key derivation without a passphrase');
  return { header: { id, kdf, log2N, r, p, salt, commitment, createdSec, label }, head, content: rest };
}

/** The text of a key file around its binary content. */
export function encodeKeyFileText(binary: Uint8Array): Uint8Array {
  const lines =
    Buffer.from(binary)
      .toString('base64')
      .match(/.{1,76}/g) ?? [];
  return utf8(`${KEY_FILE_LINE}\n${lines.join('\n')}\n`);
}

/** @throws WrongKeyError if `text` is not a key file */
export function decodeKeyFileText(text: Uint8Array, file: string): Uint8Array {
  const lines = text.byteLength > 2 * MAX_SLOT_BYTES ? '' : (asUtf8(text) ?? '');
  const [first, ...rest] = lines.replaceAll('\r\n', '\n').split('\n');
  const base64 = rest.join('').replace(/[ \t]+/g, '');
  const binary = new Uint8Array(Buffer.from(base64, 'base64'));
  // Comparing refuses what Buffer passes over: other characters, wrong padding, bits that are left over.
  if (first !== KEY_FILE_LINE || base64 === '' || Buffer.from(binary).toString('base64') !== base64) {
    throw new WrongKeyError(`${file} is not a varve key file; one is made by: varve key export FILE`);
  }
  return binary;
}
