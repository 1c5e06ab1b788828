/**
 * The ledger: every author's signed chain (docs/format.md §11), loaded and verified; append.ts writes to it. A chain's last signature vouches for all
 * entries before it through their hashes, so loading checks one signature a chain; `verifyLedger` in lib/verify checks every one.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, RolledBackError, VarveError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { entryName, parseEntryName } from '../format/names.js';
import type { AuthorId } from '../id.js';
import type { HeadMemory, RepositoryPlace } from '../repository/repository.js';
import { type Authority, authorities, authorized, type Retirement } from './authority.js';
import { falseClaims } from './claims.js';
import { assembleFor, type Ledger, type RawChain } from './state.js';

/** What reading and writing the ledger takes: no key of content. */
export interface LedgerPlace extends RepositoryPlace {
  readonly heads?: HeadMemory;
}

export type { Chain, Ledger } from './state.js';

interface RawEntry {
  readonly entry: LedgerEntry;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  readonly hash: Uint8Array;
  readonly name: string;
}

async function readChain(repository: RepositoryPlace, author: AuthorId, count: number): Promise<RawEntry[]> {
  const raw: RawEntry[] = [];
  let previous: Uint8Array = new Uint8Array(32);
  for (let sequence = 0; sequence < count; sequence++) {
    const name = entryName(author, sequence);
    const bytes = await repository.store.get(name);
    const { entry, signed, signature } = decodeEntry(bytes, name);
    if (!equalBytes(entry.repository, repository.id)) throw new CorruptError(name, 'belongs to another repository');
    if (!equalBytes(entry.author, author) || entry.sequence !== sequence)
      throw new CorruptError(name, 'is not the entry its name says');
    if (!equalBytes(entry.previous, previous)) throw new CorruptError(name, 'does not continue its chain');
    previous = sha256(bytes);
    raw.push({ entry, signed, signature, hash: previous, name });
  }
  return raw;
}

/** A chain as the store lists it. */
export interface ListedChain {
  readonly author: AuthorId;
  readonly count: number;
  /** By sequence, milliseconds since 1970, as far as the store says. */
  readonly storedMs: readonly (number | undefined)[];
}

/**
 * Which authors have how many entries. A listing is no snapshot: an entry added meanwhile may be seen without the one before it, so a gap is
 * looked at again before it is believed.
 *
 * @throws CorruptError if a chain has a gap
 */
export async function listChains(repository: RepositoryPlace, prefix = 'ledger/'): Promise<Map<string, ListedChain>> {
  try {
    return await listChainsOnce(repository, prefix);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    return await listChainsOnce(repository, prefix);
  }
}

async function listChainsOnce(repository: RepositoryPlace, prefix: string): Promise<Map<string, ListedChain>> {
  const chains = new Map<string, { author: AuthorId; count: number; max: number; storedMs: (number | undefined)[] }>();
  for await (const { name, storedMs } of repository.store.list(prefix)) {
    const parsed = parseEntryName(name);
    if (parsed === undefined) throw new CorruptError(name, 'is not the name of a ledger entry');
    const hex = toHex(parsed.author);
    const chain = chains.get(hex) ?? { author: parsed.author, count: 0, max: -1, storedMs: [] };
    chain.count++;
    chain.storedMs[parsed.sequence] = storedMs;
    chain.max = Math.max(chain.max, parsed.sequence);
    chains.set(hex, chain);
  }
  for (const { author, count, max } of chains.values()) {
    if (max !== count - 1)
      throw new CorruptError(`ledger/${toHex(author)}`, `entries are missing: ${count} of ${max + 1} are there`);
  }
  return chains;
}

/** The ledger that each open repository was last seen with, so that a key whose time is over signs nothing more. */
export const lastSeen = new WeakMap<LedgerPlace, Ledger>();

/**
 * Loads and verifies the ledger, and holds it against the heads that this machine remembers. `everySignature` checks each entry's own signature too.
 *
 * @throws CorruptError for a broken chain, BadSignatureError for a signature that is not its author's; RolledBackError against what is remembered, or what a retirement says
 */
export async function loadLedger(repository: LedgerPlace, everySignature = false): Promise<Ledger> {
  // First what is remembered, then what is there: an entry that another process adds and remembers meanwhile is not missed.
  const before = await repository.heads?.recall();
  const ledger = await readLedger(repository, everySignature);
  if (before !== undefined) await repository.heads?.compare(ledger.chains, before);
  lastSeen.set(repository, ledger);
  return ledger;
}

/** How often the ledger is read while it grows. */
const READINGS = 20;

/**
 * As loadLedger, without regard to what is remembered. A listing is no snapshot: it may have the entry that ends a chain without the last one of that chain, so what is
 * wrong is looked at again as long as the ledger grows.
 */
export async function readLedger(repository: RepositoryPlace, everySignature = false): Promise<Ledger> {
  let listed = await listChains(repository);
  for (let attempt = 1; ; attempt++) {
    try {
      return await readListed(repository, listed, everySignature);
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      const again = await listChains(repository);
      if (entriesIn(again) <= entriesIn(listed) || attempt === READINGS) throw error;
      listed = again;
    }
  }
}

/**
 * The admins' chains alone, as far as they verify by themselves: enough to know what only admins say, for a fraction of the reading. Without receipts, times are those of
 * their authors as far as the store's bound them.
 */
export async function readAdmins(repository: RepositoryPlace): Promise<Ledger> {
  const read = new Map<string, RawChain>();
  for (;;) {
    const { authorities: all, strangers } = authorized(repository.genesis, (author) => read.get(toHex(author)));
    const admins = all.filter(({ roles }) => roles.has('admin'));
    const next = admins.find(({ author }) => !read.has(toHex(author)));
    if (next === undefined) return assembleFor(admins, strangers, read);
    const hex = toHex(next.author);
    const listed = (await listChains(repository, `ledger/${hex}/`)).get(hex);
    read.set(hex, await verifiedChain(repository, next, listed, false));
  }
}

type Listed = Awaited<ReturnType<typeof listChains>>;

const entriesIn = (listed: Listed): number => [...listed.values()].reduce((sum, { count }) => sum + count, 0);

async function readListed(repository: RepositoryPlace, listed: Listed, everySignature: boolean): Promise<Ledger> {
  const read = new Map<string, RawChain>();
  let authors: Authority[] = [];
  let strangers: Retirement[] = [];
  for (;;) {
    ({ authorities: authors, strangers } = authorized(repository.genesis, (author) => read.get(toHex(author))));
    const next = authors.filter(({ author }) => !read.has(toHex(author)));
    if (next.length === 0) break;
    // All at once: of a vault each would be a round trip.
    const chains = await Promise.all(
      next.map((authority) => verifiedChain(repository, authority, listed.get(toHex(authority.author)), everySignature)),
    );
    for (const [i, chain] of chains.entries()) read.set(toHex(next[i]!.author), chain);
  }
  for (const hex of listed.keys())
    if (!read.has(hex)) throw new BadSignatureError(`ledger/${hex}`, 'its author is certified by no admin');
  const { authorities: _, wrongEnds, ...ledger } = assembleFor(authors, strangers, read);
  // An admin signed where the chain ends: whoever reads it notices a rollback, with or without a memory.
  for (const { author, why } of wrongEnds)
    throw new RolledBackError(
      repository.store.location,
      [`ledger/${toHex(author)} ${why}`],
      'what is missing must come back from a second copy: no acceptance goes against a retirement',
    );
  const [founder] = authors;
  if (founder === undefined || read.get(toHex(founder.author))!.entries.length === 0)
    throw new CorruptError('ledger', 'its first entry is missing: the chain of the first admin is gone');
  const wrong = await falseClaims(repository, ledger.entries);
  return wrong.size === 0 ? ledger : { ...ledger, falseClaims: wrong };
}

async function verifiedChain(
  repository: RepositoryPlace,
  { author, publicKey }: Authority,
  listed: ListedChain | undefined,
  everySignature: boolean,
): Promise<RawChain> {
  const raw = await readChain(repository, author, listed?.count ?? 0);
  for (const { signed, signature, name } of everySignature ? raw : raw.slice(-1)) {
    if (!verifySignature(publicKey, ENTRY_LABEL, signed, signature))
      throw new BadSignatureError(name, 'not signed by its author');
  }
  return {
    entries: raw.map(({ entry }) => entry),
    hashes: raw.map(({ hash }) => hash),
    ...(listed === undefined ? {} : { storedMs: listed.storedMs }),
  };
}

/** Everybody with authority by a loaded ledger. */
export function authoritiesOf(genesis: Genesis, ledger: Ledger): Authority[] {
  const chains = new Map(ledger.chains.map((chain) => [toHex(chain.author), chain]));
  return authorities(genesis, (author) => chains.get(toHex(author)));
}
