/** The genesis object (docs/format.md §4): what a repository is, fixed for ever. Pure; signatures are made and checked by lib/crypto/sign.ts. */
import { equalBytes } from '../bytes.js';
import { CborReader, CborWriter } from './cbor.js';
import { Kind, splitSigned, withLength } from './preamble.js';
import { readTime, type Timestamp, writeTime } from './time.js';

export const GENESIS_LABEL = 'varve v1 genesis';
export const MAX_GENESIS_BYTES = 65_536;

export interface Genesis {
  readonly salt: Uint8Array;
  readonly created: Timestamp;
  readonly admins: readonly Uint8Array[];
  readonly threshold: number;
  readonly readerKey: Uint8Array;
  readonly vault: Uint8Array | null;
  /** Ed25519 public key of whoever holds the root secret: a rotation of the reader key carries its signature. */
  readonly readerSigner?: Uint8Array;
}

/** Everything but the signature: what the first admin signs. */
export function encodeGenesis(genesis: Genesis): Uint8Array {
  const out = new CborWriter();
  out.array(genesis.readerSigner === undefined ? 6 : 7).bytes(genesis.salt);
  writeTime(out, genesis.created);
  out.array(genesis.admins.length);
  for (const admin of genesis.admins) out.bytes(admin);
  out.int(genesis.threshold).bytes(genesis.readerKey).bytesOrNull(genesis.vault);
  if (genesis.readerSigner !== undefined) out.bytes(genesis.readerSigner);
  return withLength(Kind.genesis, out.finish());
}

/** Decodes a genesis object; the caller checks the signature. @throws CorruptError, NewerFormatError */
export function decodeGenesis(
  bytes: Uint8Array,
  object = 'genesis',
): { genesis: Genesis; signed: Uint8Array; signature: Uint8Array } {
  const { signed, body, signature } = splitSigned(bytes, Kind.genesis, object, MAX_GENESIS_BYTES);
  const from: CborReader = new CborReader(body, object);
  const items = from.array();
  if (items !== 6 && items !== 7) from.fail('a genesis of a wrong length');
  const salt = from.bytes(32);
  const created = readTime(from);
  const count = from.array();
  if (count === 0) from.fail('no admin key');
  const admins: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const admin = from.bytes(32);
    if (admins.some((other) => equalBytes(other, admin))) from.fail('an admin key twice');
    admins.push(admin);
  }
  const threshold = from.uint(255);
  const readerKey = from.bytes(32);
  const vault = from.bytesOrNull(32);
  const readerSigner = items === 7 ? from.bytes(32) : undefined;
  from.end();
  if (threshold !== 1) from.fail(`a threshold of ${threshold} is not of this version`);
  const genesis = { salt, created, admins, threshold, readerKey, vault };
  return { genesis: readerSigner === undefined ? genesis : { ...genesis, readerSigner }, signed, signature };
}
