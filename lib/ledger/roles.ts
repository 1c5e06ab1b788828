/**
 * Who may do what in a repository, and changing that: writers certified and revoked, keys rotated (docs/format.md §5, §11). Every change is an entry of an
 * admin. A new key is handed out before the entry that makes it count: whoever calls keeps it durably first, and then says `commit`.
 */
import { randomBytes } from 'node:crypto';
import { equalBytes, toHex } from '../bytes.js';
import { domainKeys, domainSecret, readerPrivateKeys, x25519Public } from '../crypto/roles.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { NotFoundError, RefusedError, RoleError } from '../errors.js';
import type { Keyring, WriterKeys } from '../format/key-slot.js';
import {
  CertifiedRole,
  type ChainHead,
  EntryType,
  payloadOf,
  RotatedRole,
  type WriterCertPayload,
  type WriterScope,
} from '../format/payload.js';
import { type Timestamp, timeOfMs } from '../format/time.js';
import type { AuthorId } from '../id.js';
import type { Repository } from '../repository/repository.js';
import { appendEntry, requireAuthor } from './append.js';
import type { AuthorRole } from './authority.js';
import { authoritiesOf, type Ledger, loadLedger } from './ledger.js';
import { readerKeyInForce, readerRotations } from './reader-key.js';
import { EVERYTHING, sealScope, WriterScopes } from './scope.js';

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** Somebody whose entries count, or did. */
export interface AuthorRecord {
  readonly author: AuthorId;
  readonly role: AuthorRole;
  /** What the last of its certificates calls it. */
  readonly name?: string;
  /** When the entry that made it was written, as its admin says; of those in the genesis, when that was made. */
  readonly since: Timestamp;
  /** When that entry counts as received. */
  readonly received: Timestamp;
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

/** What made an author: the first entry that did, and the name that the last of them gives. */
interface Made {
  readonly since: Timestamp;
  readonly received: Timestamp;
  readonly name?: string;
  readonly domains: readonly Uint8Array[];
}

function madeBy({ entries, times }: Ledger): Map<string, Made> {
  const found = new Map<string, Made>();
  for (const [i, { author, time, payload }] of entries.entries()) {
    const cert = payloadOf(payload, 'writerCert') ?? payloadOf(payload, 'cert');
    const rotated = payloadOf(payload, 'keyRotate');
    const publicKey = cert?.publicKey ?? (rotated?.role === RotatedRole.admin ? rotated.publicKey : undefined);
    if (publicKey === undefined) continue;
    const hex = toHex(authorOf(publicKey));
    const known = found.get(hex);
    // Whoever takes an admin's place takes its name.
    const name = cert === undefined ? found.get(toHex(author))?.name : cert.name || undefined;
    const domain = cert !== undefined && 'domain' in cert ? (cert as WriterCertPayload).domain : undefined;
    const domains = known?.domains ?? [];
    const isNew = domain !== undefined && !domains.some((one) => equalBytes(one, domain));
    found.set(hex, {
      since: known?.since ?? time,
      received: known?.received ?? times[i]!,
      ...((name ?? known?.name) === undefined ? {} : { name: (name ?? known?.name)! }),
      domains: isNew ? [...domains, domain] : domains,
    });
  }
  return found;
}

/** All authors, in the order in which chains are merged: admins by rank, vaults, auditors, writers. */
export function listAuthors({ keyring, genesis }: Pick<Repository, 'keyring' | 'genesis'>, ledger: Ledger): AuthorRecord[] {
  const { adminSeed, writer, auditorSeed } = keyring;
  const seeds = [adminSeed, writer?.seed, auditorSeed].flatMap((seed) => (seed === null || seed === undefined ? [] : [seed]));
  const own = seeds.map((seed) => toHex(authorOf(publicKeyOf(seed))));
  const made = madeBy(ledger);
  const atFirst = { since: genesis.created, received: genesis.created, domains: [] };
  return authoritiesOf(genesis, ledger).map(({ author, role, roles, limit, retired }) => {
    const hex = toHex(author);
    const length = ledger.chains.find((chain) => equalBytes(chain.author, author))?.entries.length ?? 0;
    const { domains, ...known }: Made = made.get(hex) ?? atFirst;
    return {
      author,
      role,
      ...known,
      domains: roles.has('writer') ? domains : [],
      entries: Math.min(length, limit),
      state: retired !== undefined ? 'revoked' : limit === Number.POSITIVE_INFINITY ? 'active' : 'rotated',
      ...(retired === undefined ? {} : { reason: retired.reason }),
      inHand: own.includes(hex),
    };
  });
}

/**
 * The author that a person means: by its name, or the first digits of its id, at least 4. Of several with one name the only active one is meant.
 *
 * @throws NotFoundError if there is none, or several
 */
export function findAuthor(authors: readonly AuthorRecord[], text: string): AuthorRecord {
  const isPrefix = /^[0-9a-f]{4,32}$/i.test(text);
  const named = authors.filter(({ author, name }) => name === text || (isPrefix && toHex(author).startsWith(text.toLowerCase())));
  const active = named.filter(({ state }) => state === 'active');
  const found = active.length === 1 ? active : named;
  if (found.length === 1) return found[0]!;
  const message =
    found.length === 0
      ? `no author ${text}; varve key list shows them (give a name, or at least 4 digits of an id)`
      : `author ${text} is ambiguous; give more digits of one of these ids: ${found.map(({ author }) => toHex(author)).join(', ')}`;
  throw new NotFoundError('author', text, message);
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

/** What a certificate says of a writer. */
export interface WriterCertOptions extends RoleOptions {
  /** What people call it; everybody who reads the ledger sees it. */
  readonly name?: string;
  /** The hosts and labels that it speaks for; any by default. */
  readonly scope?: WriterScope;
}

/** Makes the writer of `keyring` one whose entries count. @throws RoleError without an admin's key */
export async function certifyWriter(
  repository: Repository,
  { writer }: { readonly writer: WriterKeys | null },
  { nowMs = Date.now(), name, scope = EVERYTHING }: WriterCertOptions = {},
): Promise<void> {
  if (writer === null) throw new RangeError('a keyring without a writer');
  const ledger = await loadLedger(repository);
  const { seed } = adminInHand(repository, ledger, 'certifying a writer');
  const payload = writerCert(repository, writer, name, scope);
  await appendEntry(repository, seed, timeOfMs(nowMs), () => payload);
}

/** The certificate of a writer whose keys are at hand. */
export function writerCert(
  { id, genesis }: Pick<Repository, 'id' | 'genesis'>,
  { seed, domain, domainSecret: secret }: WriterKeys,
  name: string | undefined,
  scope: WriterScope,
): { readonly type: typeof EntryType.writerCert } & WriterCertPayload {
  const publicKey = publicKeyOf(seed);
  const keys = { id, domainKeys: () => domainKeys(secret, genesis.salt, domain) };
  const sealed = sealScope(keys, authorOf(publicKey), domain, scope);
  return { type: EntryType.writerCert, publicKey, domain, sealed, ...(name === undefined ? {} : { name }) };
}

/** Name and scope of a writer by its certificates, for the one that takes its place. @throws RoleError without a key of the domain */
export function certifiedAs(
  repository: Repository,
  ledger: Ledger,
  { seed, domain }: Pick<WriterKeys, 'seed' | 'domain'>,
): { readonly name?: string; readonly scope: WriterScope } {
  const author = authorOf(publicKeyOf(seed));
  const scopes = new WriterScopes(repository, ledger);
  const name = scopes.nameOf(author);
  const all = scopes.scopesOf(author, domain);
  const scope = {
    hosts: [...new Set(all.flatMap(({ hosts }) => hosts))],
    // One certificate for all labels is for all of them.
    labels: all.some(({ labels }) => labels.length === 0) ? [] : [...new Set(all.flatMap(({ labels }) => labels))],
  };
  return { ...(name === undefined ? {} : { name }), scope };
}

/**
 * A key that reads, attests and does nothing else. It counts once `certifyAuditor` was called.
 *
 * @throws RoleError unless an admin and a reader of all that is stored are in hand
 */
export async function newAuditorKey(repository: Repository): Promise<Keyring> {
  const { id, keyring } = repository;
  if (keyring.adminSeed === null) throw new RoleError('admin', 'making an auditor’s key');
  requireReader(repository, await loadLedger(repository), 'making an auditor’s key');
  const { root, readers } = keyring;
  const reading = { repository: id, root, adminSeed: null, writer: null, ...(readers === undefined ? {} : { readers }) };
  return { ...reading, auditorSeed: random(32) };
}

/** Makes the auditor of `keyring` one whose entries count. @throws RoleError without an admin's key */
export async function certifyAuditor(
  repository: Repository,
  { auditorSeed }: Pick<Keyring, 'auditorSeed'>,
  { nowMs = Date.now(), name }: Omit<WriterCertOptions, 'scope'> = {},
): Promise<void> {
  if (auditorSeed === undefined) throw new RangeError('a keyring without an auditor');
  const ledger = await loadLedger(repository);
  const { seed } = adminInHand(repository, ledger, 'certifying an auditor');
  const publicKey = publicKeyOf(auditorSeed);
  await appendEntry(repository, seed, timeOfMs(nowMs), () => ({
    type: EntryType.cert,
    role: CertifiedRole.auditor,
    publicKey,
    ...(name === undefined || name === '' ? {} : { name }),
  }));
}

/** Says in the ledger that keys which exist were handed out in another file. Does nothing without an admin's key that counts: nobody would believe it. */
export async function noteExport(
  repository: Repository,
  role: 'all' | 'reader' | 'admin',
  name: string,
  { nowMs = Date.now() }: RoleOptions = {},
): Promise<void> {
  const { adminSeed } = repository.keyring;
  if (adminSeed === null) return;
  const authors = authoritiesOf(repository.genesis, await loadLedger(repository));
  const own = authors.find(({ author }) => equalBytes(author, authorOf(publicKeyOf(adminSeed))));
  if (own === undefined || own.limit !== Number.POSITIVE_INFINITY) return;
  const what = role === 'all' ? 'everything in hand' : `the ${role} role`;
  const detail = `a key file for ${what} was made: ${name}`;
  await appendEntry(repository, adminSeed, timeOfMs(nowMs), () => ({ type: EntryType.incident, code: 'key-exported', detail }));
}

/** Whether the keyring opens every session there may be; a reader key from before a rotation does not. Always true without the reader role. */
export function holdsReaderKeys(
  { id, genesis, keyring }: Pick<Repository, 'id' | 'genesis' | 'keyring'>,
  ledger: Ledger,
): boolean {
  if (keyring.root === null) return true;
  const held = new Set(readerPrivateKeys(keyring.root, genesis.salt, keyring.readers).map((key) => toHex(x25519Public(key))));
  return readerRotations({ id, genesis }, ledger).every((key) => held.has(toHex(key)));
}

/** @throws RoleError without the reader role, or with a reader key from before a rotation */
export function requireReader(repository: Pick<Repository, 'id' | 'genesis' | 'keyring'>, ledger: Ledger, what: string): void {
  if (repository.keyring.root === null) throw new RoleError('reader', what);
  if (holdsReaderKeys(repository, ledger)) return;
  const inForce = toHex(readerKeyInForce(repository, ledger)).slice(0, 8);
  throw new RoleError(
    'reader',
    what,
    `${what} needs the reader key ${inForce}…, which came by a rotation after this key was made: export it again with the key that holds it (varve key export FILE --role reader)`,
  );
}
