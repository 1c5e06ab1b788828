/**
 * Branded ids. Every id is raw bytes of a fixed length; the brand keeps one kind from passing for another.
 * Hex forms are for names and people.
 */
import { fromHex, toHex } from './bytes.js';

declare const brand: unique symbol;
type Id<Name extends string> = Uint8Array & { readonly [brand]: Name };

/** Keyed hash of a chunk's plaintext and type, 32 bytes. */
export type ChunkId = Id<'chunk'>;
/** SHA-256 of a pack's bytes, 32 bytes. */
export type PackId = Id<'pack'>;
/** SHA-256 of a manifest's bytes, 32 bytes; people type a hex prefix of it. */
export type SnapshotId = Id<'snapshot'>;
/** SHA-256 of the genesis object's bytes, 32 bytes. */
export type RepositoryId = Id<'repository'>;
/** First 16 bytes of SHA-256 of an Ed25519 public key. */
export type AuthorId = Id<'author'>;
/** A deduplication domain, 16 random bytes. */
export type DomainId = Id<'domain'>;
/** One backup run, 16 random bytes. */
export type SessionId = Id<'session'>;
/** Pseudonym of host and label, 16 bytes; the store cannot read either from it. */
export type StreamId = Id<'stream'>;

const LENGTHS = { chunk: 32, pack: 32, snapshot: 32, repository: 32, author: 16, domain: 16, session: 16, stream: 16 } as const;
type Kinds = {
  chunk: ChunkId;
  pack: PackId;
  snapshot: SnapshotId;
  repository: RepositoryId;
  author: AuthorId;
  domain: DomainId;
  session: SessionId;
  stream: StreamId;
};

/** Brands `bytes` as an id of `kind`. @throws RangeError on a wrong length */
export function asId<K extends keyof Kinds>(kind: K, bytes: Uint8Array): Kinds[K] {
  if (bytes.byteLength !== LENGTHS[kind])
    throw new RangeError(`a ${kind} id has ${LENGTHS[kind]} bytes, not ${bytes.byteLength}`);
  return bytes as Kinds[K];
}

/** The id of `kind` written as `hex`. @throws RangeError if it is not hex of the right length */
export function idFromHex<K extends keyof Kinds>(kind: K, hex: string): Kinds[K] {
  return asId(kind, fromHex(hex));
}

/** Full hex of an id. */
export function idHex(id: Uint8Array): string {
  return toHex(id);
}

/** The eight hex digits that people are shown. */
export function shortHex(id: Uint8Array): string {
  return toHex(id.subarray(0, 4));
}

/** The ids, in hex, that stand one behind the other in `joined`, 32 bytes each. */
export function* hexesOf(joined: Uint8Array): Iterable<string> {
  for (let at = 0; at < joined.byteLength; at += 32) yield toHex(joined.subarray(at, at + 32));
}
