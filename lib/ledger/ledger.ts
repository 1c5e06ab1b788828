/**
 * The ledger: every author's signed chain (docs/format.md §11), loaded and verified; append.ts writes to it. A chain's last signature vouches for all
 * entries before it through their hashes, so loading checks one signature a chain; `verifyLedger` in lib/verify checks every one.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, RolledBackError, VarveError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry, misplaced } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { entryName, parseEntryName } from '../format/names.js';
import { compareTimes } from '../format/time.js';
import type { AuthorId } from '../id.js';
import type { HeadMemory, RepositoryPlace } from '../repository/repository.js';
import { type Authority, type AuthorRole, authorities, authorized, type Retirement, wrongEnd } from './authority.js';
import { falseClaims } from './claims.js';

/** What reading and writing the ledger takes: no key of content. */
export interface LedgerPlace extends RepositoryPlace {
  readonly heads?: HeadMemory;
}

export interface Chain {
  readonly author: AuthorId;
  readonly publicKey: Uint8Array;
  readonly role: AuthorRole;
  /** Everything in the chain; only the first `limit` count. */
  readonly entries: readonly LedgerEntry[];
  readonly limit: number;
  /** SHA-256 of each entry's object. */
  readonly hashes: readonly Uint8Array[];
  /** SHA-256 of the last entry's object. */
  readonly head: Uint8Array;
}

export interface Ledger {
  readonly chains: readonly Chain[];
  /** All entries, merged by time, never out of a chain's own order. */
  readonly entries: readonly LedgerEntry[];
  /** Entries, as `placeOf` names them, about a manifest that is another's; see claims.ts. */
  readonly falseClaims?: ReadonlySet<string>;
}

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

/**
 * Which authors have how many entries. A listing is no snapshot: an entry added meanwhile may be seen without the one before it, so a gap is
 * looked at again before it is believed.
 *
 * @throws CorruptError if a chain has a gap
 */
export async function listChains(
  repository: RepositoryPlace,
  prefix = 'ledger/',
): Promise<Map<string, { author: AuthorId; count: number }>> {
  try {
    return await listChainsOnce(repository, prefix);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    return await listChainsOnce(repository, prefix);
  }
}

async function listChainsOnce(
  repository: RepositoryPlace,
  prefix: string,
): Promise<Map<string, { author: AuthorId; count: number }>> {
  const chains = new Map<string, { author: AuthorId; count: number; max: number }>();
  for await (const { name } of repository.store.list(prefix)) {
    const parsed = parseEntryName(name);
    if (parsed === undefined) throw new CorruptError(name, 'is not the name of a ledger entry');
    const hex = toHex(parsed.author);
    const chain = chains.get(hex) ?? { author: parsed.author, count: 0, max: -1 };
    chain.count++;
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

type Listed = Awaited<ReturnType<typeof listChains>>;

const entriesIn = (listed: Listed): number => [...listed.values()].reduce((sum, { count }) => sum + count, 0);

async function readListed(repository: RepositoryPlace, listed: Listed, everySignature: boolean): Promise<Ledger> {
  const read = new Map<string, { chain: Chain; entries: readonly LedgerEntry[] }>();
  let authors: Authority[] = [];
  let strangers: Retirement[] = [];
  for (;;) {
    ({ authorities: authors, strangers } = authorized(repository.genesis, (author) => read.get(toHex(author))?.entries));
    const next = authors.filter(({ author }) => !read.has(toHex(author)));
    if (next.length === 0) break;
    // All at once: of a vault each would be a round trip.
    const chains = await Promise.all(
      next.map((authority) =>
        verifiedChain(repository, authority, listed.get(toHex(authority.author))?.count ?? 0, everySignature),
      ),
    );
    for (const chain of chains) read.set(toHex(chain.author), { chain, entries: chain.entries });
  }
  for (const hex of listed.keys())
    if (!read.has(hex)) throw new BadSignatureError(`ledger/${hex}`, 'its author is certified by no admin');
  const chains: Chain[] = [];
  for (const authority of authors) {
    const { author, role, limit, retired } = authority;
    const chain = { ...read.get(toHex(author))!.chain, role, limit };
    if (retired !== undefined) checkRetired(repository, chain, retired);
    if (chain.entries.length > 0) chains.push(chain);
  }
  // What certified them is gone, or their chains would have been read.
  for (const stranger of strangers) checkRetired(repository, { author: stranger.author, hashes: [] }, stranger);
  const [founder] = authors;
  if (founder === undefined || read.get(toHex(founder.author))!.entries.length === 0)
    throw new CorruptError('ledger', 'its first entry is missing: the chain of the first admin is gone');
  const entries = mergeChains(chains);
  const wrong = await falseClaims(repository, entries);
  return { chains, entries, ...(wrong.size === 0 ? {} : { falseClaims: wrong }) };
}

/** An admin signed where the chain ends: whoever reads it notices a rollback, with or without a memory. @throws RolledBackError unless its beginning is the one that its retirements name */
function checkRetired(
  { store }: RepositoryPlace,
  { author, hashes }: { author: Uint8Array; hashes: readonly Uint8Array[] },
  retired: Retirement,
): void {
  const wrong = wrongEnd(hashes, retired);
  if (wrong !== undefined)
    throw new RolledBackError(
      store.location,
      [`ledger/${toHex(author)} ${wrong}`],
      'what is missing must come back from a second copy: no acceptance goes against a retirement',
    );
}

async function verifiedChain(
  repository: RepositoryPlace,
  { author, publicKey, role, by, limit }: Authority,
  count: number,
  everySignature: boolean,
): Promise<Chain> {
  const raw = await readChain(repository, author, count);
  for (const { entry, name } of raw) {
    const why = misplaced(entry, by);
    if (why !== undefined) throw new CorruptError(name, why);
  }
  for (const { signed, signature, name } of everySignature ? raw : raw.slice(-1)) {
    if (!verifySignature(publicKey, ENTRY_LABEL, signed, signature))
      throw new BadSignatureError(name, 'not signed by its author');
  }
  const hashes = raw.map(({ hash }) => hash);
  const entries = raw.map(({ entry }) => entry);
  return { author, publicKey, role, entries, limit, hashes, head: hashes.at(-1) ?? new Uint8Array(32) };
}

/** The entries that count, of all chains, by time, never out of a chain's own order. */
export function mergeChains(chains: readonly Pick<Chain, 'entries' | 'limit'>[]): LedgerEntry[] {
  const at = chains.map(() => 0);
  const merged: LedgerEntry[] = [];
  for (;;) {
    let best = -1;
    for (let i = 0; i < chains.length; i++) {
      const { entries, limit } = chains[i]!;
      const entry = at[i]! < limit ? entries[at[i]!] : undefined;
      if (entry !== undefined && (best < 0 || compareTimes(entry.time, chains[best]!.entries[at[best]!]!.time) < 0)) best = i;
    }
    if (best < 0) return merged;
    merged.push(chains[best]!.entries[at[best]!]!);
    at[best] = at[best]! + 1;
  }
}

/** Everybody with authority by a loaded ledger. */
export function authoritiesOf(genesis: Genesis, ledger: Ledger): Authority[] {
  const entries = new Map(ledger.chains.map((chain) => [toHex(chain.author), chain.entries]));
  return authorities(genesis, (author) => entries.get(toHex(author)));
}
