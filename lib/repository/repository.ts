/**
 * An open repository: a store, its genesis, and the keys in hand. The one place where store, crypto, format and index meet.
 * Opening checks the genesis and its signature, so a swapped or damaged repository is refused at once. Never writes.
 */
import { randomBytes } from 'node:crypto';
import { concat, equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import {
  type DomainKeys,
  domainKeys,
  domainSecret,
  readerPrivateKey,
  readerPrivateKeys,
  readerSignSeed,
  x25519Public,
} from '../crypto/roles.js';
import { type SessionOpener, sessionOpener } from '../crypto/session-open.js';
import { authorOf, publicKeyOf, sign, verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, NoRepositoryError, NotFoundError, RoleError, WrongKeyError } from '../errors.js';
import type { LedgerEntry } from '../format/entry.js';
import { decodeGenesis, encodeGenesis, GENESIS_LABEL, type Genesis } from '../format/genesis.js';
import type { Keyring } from '../format/key-slot.js';
import { GENESIS_NAME } from '../format/names.js';
import type { SealedSessionKey } from '../format/pack.js';
import type { ChainHead } from '../format/payload.js';
import { type Timestamp, timeOfMs } from '../format/time.js';
import { type AuthorId, asId, type RepositoryId } from '../id.js';
import { isGuardedStore, type Store } from '../store/store.js';

export interface RepositoryPlace {
  readonly store: Store;
  readonly id: RepositoryId;
  readonly genesis: Genesis;
}

/** What was seen of one chain. */
export interface RememberedHead {
  /** How many entries. */
  readonly count: number;
  /** SHA-256 of the last one's object, hex. */
  readonly head: string;
  /** Its time, seconds since 1970. */
  readonly sec: number;
}

/** What was seen of a ledger. */
export interface RememberedHeads {
  /** By author, hex. */
  readonly chains: Readonly<Record<string, RememberedHead>>;
  /** Hashes, hex, of the accept-fork entries that were seen. */
  readonly accepted: readonly string[];
}

/** A chain after an entry of our own; `time` is that of the entry. */
export interface GrownChain extends ChainHead {
  readonly time: Timestamp;
}

/** What is known of the ledger's chains from earlier, kept outside the repository. */
export interface HeadMemory {
  /**
   * What is remembered now. Ask before chains are listed: then all of it must be in them, whatever other processes do meanwhile. `toWrite` before an entry
   * is signed, which must not happen when it could not be remembered.
   *
   * @throws StoreError, CorruptError
   */
  recall(toWrite?: boolean): Promise<RememberedHeads>;
  /** Holds chains against what was recalled before they were read, and remembers them. @throws RolledBackError, StoreError */
  compare(chains: readonly ChainState[], before: RememberedHeads): Promise<void>;
  /** Chains grew by our own doing. */
  grown(chains: readonly GrownChain[]): Promise<void>;
}

/** A chain as far as its memory is concerned. */
export interface ChainState {
  readonly author: Uint8Array;
  readonly role: string;
  readonly entries: readonly LedgerEntry[];
  readonly limit: number;
  readonly hashes: readonly Uint8Array[];
}

export interface Repository extends RepositoryPlace {
  readonly keyring: Keyring;
  /** Absent where nothing is to be remembered. */
  readonly heads?: HeadMemory;
  /** Folder for this repository's caches: deletable at any time. */
  readonly cacheDir: string;
  /** Keys of a domain. @throws RoleError if neither the root secret nor that domain's secret is in hand */
  domainKeys(domain: Uint8Array): DomainKeys;
  /** Opens a session's key with the reader's key, once per session. @throws RoleError, CorruptError */
  sessionKey(
    ids: { readonly writer: Uint8Array; readonly domain: Uint8Array; readonly session: Uint8Array },
    sealed: SealedSessionKey,
  ): Uint8Array;
}

/** Reads and verifies the genesis object. @throws NoRepositoryError, CorruptError, BadSignatureError, NewerFormatError */
export async function locateRepository(store: Store): Promise<RepositoryPlace> {
  let bytes: Uint8Array;
  try {
    bytes = await store.get(GENESIS_NAME);
  } catch (cause) {
    if (cause instanceof NotFoundError) {
      for (const folder of ['packs/', 'snapshots/'])
        for await (const { name } of store.list(folder))
          throw new NoRepositoryError(
            store.location,
            `${store.location} holds ${name} but no genesis object: it is what is left of a repository. Copy the file genesis there from another copy of it`,
            cause,
          );
      throw new NoRepositoryError(
        store.location,
        `there is no repository at ${store.location}; create one with: varve init -r ${store.location}`,
        cause,
      );
    }
    throw cause;
  }
  const { genesis, signed, signature } = decodeGenesis(bytes);
  if (!verifySignature(genesis.admins[0]!, GENESIS_LABEL, signed, signature))
    throw new BadSignatureError('genesis', 'not signed by its admin key');
  return { store, id: asId('repository', sha256(bytes)), genesis };
}

/** Joins a located repository with the keys in hand. @throws WrongKeyError if the keys belong to another repository */
export function openRepository(
  place: RepositoryPlace,
  keyring: Keyring,
  cacheDir: string,
  options: { readonly heads?: HeadMemory } = {},
): Repository {
  if (!equalBytes(keyring.repository, place.id)) {
    throw new WrongKeyError(
      `this key belongs to repository ${toHex(keyring.repository).slice(0, 16)}, but ${place.store.location} is ${toHex(place.id).slice(0, 16)}`,
    );
  }
  const salt = place.genesis.salt;
  const readerPrivate = keyring.root === null ? undefined : readerPrivateKey(keyring.root, salt);
  if (readerPrivate !== undefined && !equalBytes(x25519Public(readerPrivate), place.genesis.readerKey)) {
    throw new WrongKeyError('this key does not fit the reader key in the genesis object');
  }
  const domains = new Map<string, DomainKeys>();
  const sessions = new Map<string, Uint8Array>();
  let openSession: SessionOpener | undefined;
  const repository: Repository = {
    ...place,
    ...options,
    keyring,
    cacheDir,
    domainKeys(domain) {
      const hex = toHex(domain);
      let keys = domains.get(hex);
      if (keys === undefined) {
        const { root, writer } = keyring;
        if (writer !== null && equalBytes(writer.domain, domain)) keys = domainKeys(writer.domainSecret, salt, domain);
        else if (root !== null) keys = domainKeys(domainSecret(root, salt, domain), salt, domain);
        else throw new RoleError('reader', `domain ${hex.slice(0, 8)}`);
        domains.set(hex, keys);
      }
      return keys;
    },
    sessionKey(ids, sealed) {
      // With all that was sealed: a header that an index object made up must not stand for the session's own.
      const hex = toHex(sha256(ids.writer, ids.domain, ids.session, sealed.enc, sealed.ct, sealed.commitment));
      let key = sessions.get(hex);
      if (key === undefined) {
        if (keyring.root === null) throw new RoleError('reader', 'reading what is stored');
        openSession ??= sessionOpener(readerPrivateKeys(keyring.root, salt, keyring.readers));
        const { writer, domain, session } = ids;
        key = openSession(repository.domainKeys(domain), { repository: place.id, writer, domain, session }, sealed);
        if (key === undefined)
          throw new CorruptError(
            `session ${toHex(session)}`,
            'its sealed key does not open with the reader key in hand; if the reader key was rotated since, export it again',
          );
        sessions.set(hex, key);
      }
      return key;
    },
  };
  return repository;
}

/** The author id of the keyring's writer. @throws RoleError */
export function writerAuthor(repository: Repository): AuthorId {
  if (repository.keyring.writer === null) throw new RoleError('writer', 'storing a snapshot');
  return authorOf(publicKeyOf(repository.keyring.writer.seed));
}

/** A new repository's genesis object and keyring, which holds every role. Nothing is stored: whoever puts `genesis` makes it exist. */
export function newRepository(store: Store, nowMs: number): { place: RepositoryPlace; keyring: Keyring; genesis: Uint8Array } {
  const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
  const [salt, root, adminSeed, writerSeed, domain] = [random(32), random(32), random(32), random(32), random(16)];
  const genesis: Genesis = {
    salt,
    created: timeOfMs(nowMs),
    admins: [publicKeyOf(adminSeed)],
    threshold: 1,
    readerKey: x25519Public(readerPrivateKey(root, salt)),
    vault: isGuardedStore(store) ? store.vaultKey : null,
    readerSigner: publicKeyOf(readerSignSeed(root, salt)),
  };
  const signed = encodeGenesis(genesis);
  const bytes = concat(signed, sign(adminSeed, GENESIS_LABEL, signed));
  const id = asId('repository', sha256(bytes));
  const writer = { seed: writerSeed, domain, domainSecret: domainSecret(root, salt, domain) };
  return { place: { store, id, genesis }, keyring: { repository: id, root, adminSeed, writer }, genesis: bytes };
}
