/**
 * What is verified before an object is kept, each refusal a sentence. A vault holds no content key, so it checks all that stands in clear: names, headers, writers,
 * domains, pins, signatures, chains. Pure; what it must know is handed in.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { RefusedError, VarveError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry, misplaced } from '../format/entry.js';
import { decodeIndexHeader, type IndexHeader } from '../format/index-object.js';
import type { Envelope } from '../format/manifest.js';
import { decodeEnvelope } from '../format/manifest.js';
import { decodePackFooter, decodePackHeader, MIN_PACK_BYTES, type PackHeader } from '../format/pack.js';
import { payloadOf } from '../format/payload.js';
import type { Authority } from '../ledger/authority.js';
import type { VaultRole } from '../store/vault-protocol.js';
import { mayEnter } from './roles.js';

/** Who asks, as the socket or the forced command says. */
export interface Caller {
  readonly role: VaultRole;
  /** Hex; the only author whose objects this connection may bring. */
  readonly writer?: string | undefined;
}

/** What is known of writers. */
export interface Known {
  readonly repository: Uint8Array;
  authority(author: string): Authority | undefined;
  hasEnded(author: string): boolean;
  domains(author: string): ReadonlySet<string>;
}

export function refuse(object: string, why: string): never {
  throw new RefusedError(`${object} ${why}; the vault does not keep it`, { object });
}

/** Runs a decoder; what it finds wrong is a refusal. */
function decoded<T>(object: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    const text = error.message.startsWith(`${object}: `) ? error.message.slice(object.length + 2) : error.message;
    return refuse(object, `does not decode (${text})`);
  }
}

/** Checks that writer and domain in a clear header may be used by `caller`. */
function checkWriter(
  object: string,
  { repository, writer, domain }: { repository: Uint8Array; writer: Uint8Array; domain: Uint8Array },
  caller: Caller,
  known: Known,
): void {
  const hex = toHex(writer);
  if (!equalBytes(repository, known.repository)) refuse(object, 'belongs to another repository');
  if (caller.writer !== undefined && caller.writer !== hex) refuse(object, 'is of another writer than this connection’s');
  const authority = known.authority(hex);
  if (authority === undefined || !authority.roles.has('writer')) refuse(object, 'is of a writer that no admin certified');
  if (known.hasEnded(hex)) refuse(object, 'is of a writer that was retired');
  if (!known.domains(hex).has(toHex(domain))) refuse(object, 'is of a domain that its writer is not certified for');
}

/** Checks a pack by its first 256 bytes. */
export function acceptPackHeader(object: string, header: Uint8Array, caller: Caller, known: Known): PackHeader {
  const fields = decoded(object, () => decodePackHeader(header, object));
  checkWriter(object, fields, caller, known);
  return fields;
}

/** Checks a pack by its last 128 bytes, against its header. */
export function acceptPackFooter(object: string, fields: PackHeader, footer: Uint8Array, sizeBytes: number): void {
  if (sizeBytes < MIN_PACK_BYTES) refuse(object, 'is shorter than a pack can be');
  const { enc, ct } = decoded(object, () => decodePackFooter(footer, sizeBytes, object));
  if (!equalBytes(enc, fields.enc) || !equalBytes(ct, fields.ct)) refuse(object, 'has a footer that is not that of its header');
}

/** Checks an index object by its first 88 bytes. */
export function acceptIndex(object: string, header: Uint8Array, caller: Caller, known: Known): IndexHeader {
  const fields = decoded(object, () => decodeIndexHeader(header, object));
  checkWriter(object, fields, caller, known);
  return fields;
}

/** Checks a manifest by its envelope; pins are for checkPins. */
export function acceptManifest(object: string, bytes: Uint8Array, caller: Caller, known: Known): Envelope {
  const { envelope } = decoded(object, () => decodeEnvelope(bytes, object));
  checkWriter(object, envelope, caller, known);
  return envelope;
}

/** Sizes and domains of stored packs. */
export interface StoredPacks {
  /** Undefined: it is not there. */
  find(pack: Uint8Array): Promise<{ sizeBytes: number; domain: string } | undefined>;
  isIntended(pack: string): boolean;
}

/** Checks that everything a manifest pins is there, of its domain, and not about to be pruned. */
export async function checkPins(object: string, envelope: Envelope, pins: Uint8Array, packs: StoredPacks): Promise<void> {
  const domain = toHex(envelope.domain);
  let bytes = 0;
  for (let at = 0; at < pins.byteLength; at += 32) {
    const id = pins.subarray(at, at + 32);
    const hex = toHex(id);
    const pack = await packs.find(id);
    if (pack === undefined) refuse(object, `pins pack ${hex.slice(0, 16)}, which is not there`);
    if (pack.domain !== domain) refuse(object, `pins pack ${hex.slice(0, 16)}, which is of another domain`);
    if (packs.isIntended(hex)) refuse(object, `pins pack ${hex.slice(0, 16)}, which is to be pruned`);
    bytes += pack.sizeBytes;
  }
  if (bytes !== envelope.pinBytes)
    refuse(object, `says that its packs have ${envelope.pinBytes} bytes together, and they have ${bytes}`);
}

/** A decoded entry that may follow its chain. */
export interface Acceptable {
  readonly entry: LedgerEntry;
  readonly hash: Uint8Array;
}

/** Checks an entry as far as it can be without its manifest. `count` and `head` are those of its author's chain. */
export function acceptEntry(
  object: string,
  bytes: Uint8Array,
  place: { readonly author: string; readonly sequence: number },
  chain: { readonly count: number; readonly head: Uint8Array },
  caller: Caller,
  known: Known,
): Acceptable {
  const { entry, signed, signature } = decoded(object, () => decodeEntry(bytes, object));
  if (!equalBytes(entry.repository, known.repository)) refuse(object, 'belongs to another repository');
  if (toHex(entry.author) !== place.author || entry.sequence !== place.sequence)
    refuse(object, 'is not the entry that its name says');
  const authority = known.authority(place.author);
  if (authority === undefined) return refuse(object, 'is by an author that no admin certified');
  if (caller.writer !== undefined && caller.writer !== place.author)
    refuse(object, 'is by another author than this connection’s writer');
  if (!verifySignature(authority.publicKey, ENTRY_LABEL, signed, signature)) refuse(object, 'is not signed by its author');
  if (known.hasEnded(place.author)) refuse(object, 'is by an author that was retired');
  if (!mayEnter(caller.role, authority.roles, entry.payload.type))
    refuse(object, `is an entry that a connection with the ${caller.role} role may not bring`);
  const why = misplaced(entry, authority.roles);
  if (why !== undefined) refuse(object, `may not stand there: ${why}`);
  const tags = payloadOf(entry.payload, 'tags');
  if (tags !== undefined && authority.role !== 'admin' && !known.domains(place.author).has(toHex(tags.domain)))
    refuse(object, 'changes tags in a domain that its writer is not certified for');
  if (entry.sequence !== chain.count || !equalBytes(entry.previous, chain.head))
    refuse(object, `does not continue its author's chain, which has ${chain.count} entries`);
  return { entry, hash: sha256(bytes) };
}

/** Checks a snapshot entry against its manifest and its writer's certs. */
export function checkSnapshot(object: string, entry: LedgerEntry, envelope: Envelope, known: Known): void {
  const payload = payloadOf(entry.payload, 'snapshot')!;
  if (!equalBytes(envelope.writer, entry.author)) refuse(object, 'names a manifest of another writer');
  if (!equalBytes(envelope.stream, payload.stream)) refuse(object, 'names a manifest of another stream');
  if (envelope.state !== payload.state) refuse(object, 'says another state than its manifest');
  if (!known.domains(toHex(entry.author)).has(toHex(envelope.domain)))
    refuse(object, 'names a manifest of a domain that its writer is not certified for');
}
