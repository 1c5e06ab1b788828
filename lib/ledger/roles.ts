/**
 * Who may do what in a repository, and changing that: writers certified and revoked, keys rotated (docs/format.md §5, §11). Every change is an entry of an
 * admin. A new key is handed out before the entry that makes it count: whoever calls keeps it durably first, and then says `commit`.
 */
import { randomBytes } from 'node:crypto';
import { equalBytes, toHex } from '../bytes.js';
import { domainSecret, readerPrivateKeys, x25519Public } from '../crypto/roles.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { NotFoundError, RefusedError, RoleError } from '../errors.js';
import type { Keyring, WriterKeys } from '../format/key-slot.js';
import { type ChainHead, EntryType, payloadOf } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import type { AuthorId } from '../id.js';
import type { Repository } from '../repository/repository.js';
import { appendEntry, requireAuthor } from './append.js';
import { type AuthorRole, readerKeyInForce, readerRotations } from './authority.js';
import { authoritiesOf, type Ledger, loadLedger } from './ledger.js';

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** Somebody whose entries count, or did. */
export interface AuthorRecord {
  readonly author: AuthorId;
  readonly role: AuthorRole;
  /** Domains that a writer may write to. */
  readonly domains: readonly Uint8Array[];
  /** How many entries count. */
  readonly entries: number;
  readonly state: 'active' | 'revoked' | 'rotated';
  /** Why it was revoked. */
  readonly reason?: string;
  /** The key that opened the repository holds this author's. */
  readonly inHand: boolean;
}

/** All authors, in the order in which chains are merged: admins by rank, vaults, writers. */
export function listAuthors(repository: Repository, ledger: Ledger): AuthorRecord[] {
  const { adminSeed, writer } = repository.keyring;
  const own = [adminSeed, writer?.seed ?? null].flatMap((seed) => (seed === null ? [] : [toHex(authorOf(publicKeyOf(seed)))]));
  const domains = new Map<string, Uint8Array[]>();
  for (const { payload } of ledger.entries) {
    const cert = payloadOf(payload, 'writerCert');
    if (cert === undefined) continue;
    const hex = toHex(authorOf(cert.publicKey));
    const known = domains.get(hex) ?? [];
    if (!known.some((domain) => equalBytes(domain, cert.domain))) domains.set(hex, [...known, cert.domain]);
  }
  return authoritiesOf(repository.genesis, ledger).map(({ author, role, roles, limit, retired }) => {
    const hex = toHex(author);
    const length = ledger.chains.find((chain) => equalBytes(chain.author, author))?.entries.length ?? 0;
    return {
      author,
      role,
      domains: roles.has('writer') ? (domains.get(hex) ?? []) : [],
      entries: Math.min(length, limit),
      state: retired !== undefined ? 'revoked' : limit === Number.POSITIVE_INFINITY ? 'active' : 'rotated',
      ...(retired === undefined ? {} : { reason: retired.reason }),
      inHand: own.includes(hex),
    };
  });
}

/** The author whose id starts with `prefix`, at least 4 hex digits. @throws NotFoundError if there is none, or several */
function findAuthor(authors: readonly AuthorRecord[], prefix: string): AuthorRecord {
  const found = /^[0-9a-f]{4,32}$/i.test(prefix)
    ? authors.filter(({ author }) => toHex(author).startsWith(prefix.toLowerCase()))
    : [];
  if (found.length === 1) return found[0]!;
  const message =
    found.length === 0
      ? `no author ${prefix}; varve key list shows them (give at least 4 digits)`
      : `author ${prefix} is ambiguous: ${found.map(({ author }) => toHex(author)).join(', ')}`;
  throw new NotFoundError('author', prefix, message);
}

/** The admin in hand, as the ledger has it. @throws RoleError without an admin's key, or with one that no longer counts */
export function adminInHand(repository: Repository, ledger: Ledger, what: string): { seed: Uint8Array; author: AuthorId } {
  const seed = repository.keyring.adminSeed;
  if (seed === null) throw new RoleError('admin', what);
  return { seed, author: requireAuthor(repository.genesis, ledger, authorOf(publicKeyOf(seed))).author };
}

export function headOf(ledger: Ledger, author: Uint8Array): ChainHead {
  const chain = ledger.chains.find((one) => equalBytes(one.author, author));
  return { author, count: chain?.entries.length ?? 0, head: chain?.head ?? new Uint8Array(32) };
}

export interface RoleOptions {
  readonly nowMs?: number;
}

/**
 * Ends an author's chain where it is now: what it says later counts for nothing. What it said before stays.
 *
 * @throws RoleError without an admin's key
 * @throws RefusedError for the admin in hand or one of higher rank, or who is at an end already; NotFoundError
 */
export async function revokeAuthor(
  repository: Repository,
  prefix: string,
  reason: string,
  { nowMs = Date.now() }: RoleOptions = {},
): Promise<AuthorRecord> {
  const ledger = await loadLedger(repository);
  const admin = adminInHand(repository, ledger, 'revoking a key');
  const authors = listAuthors(repository, ledger);
  const target = findAuthor(authors, prefix);
  const hex = toHex(target.author);
  if (target.state !== 'active')
    throw new RefusedError(`${target.role} ${hex.slice(0, 8)} was ${target.state} already`, { author: hex });
  const rank = (author: Uint8Array): number => authors.findIndex((one) => equalBytes(one.author, author));
  if (target.role === 'admin' && rank(target.author) <= rank(admin.author)) {
    const self = equalBytes(target.author, admin.author);
    throw new RefusedError(
      self
        ? 'this is the admin key in hand, and nobody but an admin of higher rank can end it; replace it with: varve key rotate --role admin'
        : `admin ${hex.slice(0, 8)} ranks above the admin key in hand, which cannot end it`,
      { author: hex },
    );
  }
  await appendEntry(repository, admin.seed, timeOfMs(nowMs), () => ({
    type: EntryType.retire,
    ...headOf(ledger, target.author),
    reason,
  }));
  return { ...target, state: 'revoked', reason };
}

/**
 * A key that writes and does nothing else, in a domain of its own or in that of the key in hand. It counts once `certifyWriter` was called.
 *
 * @throws RoleError unless admin and reader (or, to share, a writer's domain) are in hand
 */
export function newWriterKey(repository: Repository, { shareDomain = false }: { readonly shareDomain?: boolean } = {}): Keyring {
  const { id, genesis, keyring } = repository;
  if (keyring.adminSeed === null) throw new RoleError('admin', 'making a writer’s key');
  const nothing = { repository: id, root: null, adminSeed: null };
  if (shareDomain) {
    if (keyring.writer === null)
      throw new RoleError('writer', 'sharing a domain', 'the key in hand writes to no domain, so there is none to share');
    return { ...nothing, writer: { ...keyring.writer, seed: random(32) } };
  }
  if (keyring.root === null) throw new RoleError('reader', 'making a domain');
  const domain = random(16);
  return { ...nothing, writer: { seed: random(32), domain, domainSecret: domainSecret(keyring.root, genesis.salt, domain) } };
}

/** Makes the writer of `keyring` one whose entries count. @throws RoleError without an admin's key */
export async function certifyWriter(
  repository: Repository,
  { writer }: { readonly writer: WriterKeys | null },
  { nowMs = Date.now() }: RoleOptions = {},
): Promise<void> {
  if (writer === null) throw new RangeError('a keyring without a writer');
  const ledger = await loadLedger(repository);
  const { seed } = adminInHand(repository, ledger, 'certifying a writer');
  const publicKey = publicKeyOf(writer.seed);
  await appendEntry(repository, seed, timeOfMs(nowMs), () => ({ type: EntryType.writerCert, publicKey, domain: writer.domain }));
}

/** Whether the keyring opens every session there may be; a reader key from before a rotation does not. Always true without the reader role. */
export function holdsReaderKeys(
  { id, genesis, keyring }: Pick<Repository, 'id' | 'genesis' | 'keyring'>,
  ledger: Ledger,
): boolean {
  if (keyring.root === null) return true;
  const held = new Set(readerPrivateKeys(keyring.root, genesis.salt, keyring.readers).map((key) => toHex(x25519Public(key))));
  return readerRotations({ id, genesis }, ledger.entries).every((key) => held.has(toHex(key)));
}

/** @throws RoleError without the reader role, or with a reader key from before a rotation */
export function requireReader(repository: Pick<Repository, 'id' | 'genesis' | 'keyring'>, ledger: Ledger, what: string): void {
  if (repository.keyring.root === null) throw new RoleError('reader', what);
  if (holdsReaderKeys(repository, ledger)) return;
  const inForce = toHex(readerKeyInForce(repository, ledger.entries)).slice(0, 8);
  throw new RoleError(
    'reader',
    what,
    `${what} needs the reader key ${inForce}…, which came by a rotation after this key was made: export it again with the key that holds it (varve key export FILE --role reader)`,
  );
}
