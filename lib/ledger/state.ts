/**
 * What a ledger says, from chains that were verified (docs/format.md §11): who is in it, which entries count, when each was received, and their common order. Pure:
 * loading, following, the vault and `check` all come here, so that they cannot come to different answers.
 */
import { equalBytes, toHex } from '../bytes.js';
import { isOfVaults, type LedgerEntry, misplaced } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { EntryType, payloadOf, type Receipt } from '../format/payload.js';
import { compareTimes, msOfTime, type Timestamp, timeOfMs } from '../format/time.js';
import type { AuthorId } from '../id.js';
import { type Authority, type AuthorRole, authorized, type KnownChain, type Retirement, wrongEnd } from './authority.js';

/** A chain as it was read: its signatures, hashes and sequence are right; nothing is said yet of what counts. */
export interface RawChain extends KnownChain {
  /** When the store took each entry, milliseconds since 1970, as far as it says. */
  readonly storedMs?: readonly (number | undefined)[];
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
  /** When the store took each entry, milliseconds since 1970, as far as it says. */
  readonly storedMs?: readonly (number | undefined)[];
  /** Why nothing comes of an entry, by its sequence. */
  readonly voids: ReadonlyMap<number, string>;
  /** Sequences of entries that only certificates which do not count any more allow: they count as little as those behind the end. Absent: none. */
  readonly dropped?: ReadonlySet<number>;
}

/** A receipt that fits its entry, and when it was given. */
export interface Received {
  readonly receipt: Receipt;
  readonly time: Timestamp;
}

export interface Ledger {
  readonly chains: readonly Chain[];
  /** All entries that count, by the time they were received, never out of a chain's own order. */
  readonly entries: readonly LedgerEntry[];
  /** When each of `entries` was received: the vault's time, else its author's, which the store's own time bounds. */
  readonly times: readonly Timestamp[];
  /** By `entryKey`: the receipt that fits, of the first vault that gave one; kept until the latest that any says. */
  readonly receipts: ReadonlyMap<string, Received>;
  /** Entries, as `entryKey` names them, about a manifest that is another's; see claims.ts. */
  readonly falseClaims?: ReadonlySet<string>;
}

/** An author's time that is so far ahead of the store's is not believed. */
export const CLOCK_SLACK_MS = 86_400_000;

/** Names an entry in maps. */
export function entryKey({ author, sequence }: Pick<LedgerEntry, 'author' | 'sequence'>): string {
  return `${toHex(author)}/${sequence}`;
}

export interface Assembled extends Ledger {
  readonly authorities: readonly Authority[];
  /** Chains that do not have the end which an admin signed for them. */
  readonly wrongEnds: readonly { readonly author: Uint8Array; readonly why: string }[];
}

/** Assembles a ledger from what was read of its chains, by author in hex. */
export function assemble(genesis: Genesis, read: ReadonlyMap<string, RawChain>): Assembled {
  const { authorities, strangers } = authorized(genesis, (author) => read.get(toHex(author)));
  return assembleFor(authorities, strangers, read);
}

/** As `assemble`, when it is known who has authority. */
export function assembleFor(
  authorities: readonly Authority[],
  strangers: readonly Retirement[],
  read: ReadonlyMap<string, RawChain>,
): Assembled {
  const chains: Chain[] = [];
  const parts: Part[] = [];
  for (const authority of authorities) {
    const raw = read.get(toHex(authority.author));
    if (raw === undefined || raw.entries.length === 0) continue;
    const chain = chainOf(authority, raw);
    chains.push(chain);
    parts.push({ chain, authority, raw, hex: toHex(authority.author) });
  }
  const receipts = receiptsIn(parts);
  const retirements = [...authorities.flatMap(({ retired }) => retired ?? []), ...strangers];
  const wrongEnds = retirements.flatMap((retired) => {
    const why = wrongEnd(read.get(toHex(retired.author))?.hashes ?? [], retired);
    return why === undefined ? [] : [{ author: retired.author, why }];
  });
  return { authorities, chains, receipts, wrongEnds, ...merged(parts, receipts) };
}

interface Part {
  readonly chain: Chain;
  readonly authority: Authority;
  readonly raw: RawChain;
  readonly hex: string;
}

function chainOf(
  { author, publicKey, role, roles, disownedRoles, limit, receiptLimit }: Authority,
  { entries, hashes, storedMs }: RawChain,
): Chain {
  const voids = new Map<number, string>();
  const dropped = new Set<number>();
  const ever = disownedRoles === undefined ? roles : new Set([...roles, ...disownedRoles]);
  for (const entry of entries) {
    if (receiptLimit > 0 && isVaultsWord(entry)) continue;
    const why = misplaced(entry, ever);
    if (why !== undefined) voids.set(entry.sequence, why);
    else if (ever !== roles && misplaced(entry, roles) !== undefined) dropped.add(entry.sequence);
  }
  return {
    author,
    publicKey,
    role,
    entries,
    limit,
    hashes,
    head: hashes.at(-1)!,
    voids,
    ...(dropped.size === 0 ? {} : { dropped }),
    ...(storedMs === undefined ? {} : { storedMs }),
  };
}

/** What is of the types that vaults write: a retirement or a certificate that does not count any more takes no promise and no account of it back. */
function isVaultsWord(entry: LedgerEntry): boolean {
  return isOfVaults(entry) && !('reserved' in entry.payload);
}

/** Whether the entry at `i` counts. What a vault said counts further than the rest of its chain. */
function counts({ chain: { entries, limit, voids, dropped }, authority: { receiptLimit } }: Part, i: number): boolean {
  const entry = entries[i]!;
  if (voids.has(entry.sequence) || dropped?.has(entry.sequence) === true) return false;
  return entry.sequence < (isVaultsWord(entry) ? Math.max(limit, receiptLimit) : limit);
}

/**
 * Receipts as far as they fit the entry that is there. Of several vaults the one that was certified first says when, and of its own receipts the one with the least time: who
 * certifies a vault of his own redates nothing. The longest that any of them promises is kept.
 */
function receiptsIn(parts: readonly Part[]): Map<string, Received> {
  const targets = new Map(parts.map((part) => [part.hex, part]));
  const found = new Map<string, Received>();
  const vaults = parts.filter(({ authority }) => authority.receiptLimit > 0);
  const rankOf = ({ authority }: Part): number => authority.vaultRank ?? Number.POSITIVE_INFINITY;
  const rank = new Map<string, number>();
  for (const part of vaults.sort((a, b) => (rankOf(a) < rankOf(b) ? -1 : rankOf(a) > rankOf(b) ? 1 : 0))) {
    for (const [i, { payload, time }] of part.chain.entries.entries()) {
      if (payload.type !== EntryType.receipt || i >= part.authority.receiptLimit || !counts(part, i)) continue;
      for (const receipt of payloadOf(payload, 'receipt')?.receipts ?? []) {
        const hex = toHex(receipt.author);
        const target = targets.get(hex);
        const hash = target?.chain.hashes[receipt.sequence];
        if (target === undefined || hash === undefined || !equalBytes(hash, receipt.hash)) continue;
        // A vault that was certified before dates what it says itself.
        if (rankOf(target) < rankOf(part) && isOfVaults(target.chain.entries[receipt.sequence]!)) continue;
        const key = `${hex}/${receipt.sequence}`;
        const other = found.get(key);
        if (other === undefined) {
          rank.set(key, rankOf(part));
          found.set(key, { receipt, time });
          continue;
        }
        const first = rank.get(key) === rankOf(part) && compareTimes(time, other.time) < 0 ? { receipt, time } : other;
        const retainUntilSec = Math.max(receipt.retainUntilSec, other.receipt.retainUntilSec);
        found.set(
          key,
          first.receipt.retainUntilSec === retainUntilSec
            ? first
            : { time: first.time, receipt: { ...first.receipt, retainUntilSec } },
        );
      }
    }
  }
  return found;
}

/** When an entry without a receipt counts as received: an author may not say a time that is far ahead of the store's. A vault's clocks are its own affair. */
export function boundedTime({ time }: LedgerEntry, storedMs: number | undefined): Timestamp {
  if (storedMs === undefined || storedMs <= 0 || msOfTime(time) <= storedMs + CLOCK_SLACK_MS) return time;
  return timeOfMs(storedMs);
}

function receivedTime({ chain, authority, raw, hex }: Part, i: number, receipts: ReadonlyMap<string, Received>): Timestamp {
  const entry = chain.entries[i]!;
  const receipt = receipts.get(`${hex}/${entry.sequence}`);
  if (receipt !== undefined) return receipt.time;
  const isVaults = authority.receiptLimit > 0 && isOfVaults(entry);
  return isVaults ? entry.time : boundedTime(entry, raw.storedMs?.[entry.sequence]);
}

/** The entries that count, of all chains, by the time they were received, never out of a chain's own order. */
function merged(parts: readonly Part[], receipts: ReadonlyMap<string, Received>): Pick<Ledger, 'entries' | 'times'> {
  const entries: LedgerEntry[] = [];
  const times: Timestamp[] = [];
  const at = parts.map(() => -1);
  const next: (Timestamp | undefined)[] = parts.map(() => undefined);
  const advance = (p: number): void => {
    const part = parts[p]!;
    const { length } = part.chain.entries;
    let i = at[p]! + 1;
    while (i < length && !counts(part, i)) i++;
    at[p] = i;
    next[p] = i < length ? receivedTime(part, i, receipts) : undefined;
  };
  for (let p = 0; p < parts.length; p++) advance(p);
  for (;;) {
    let best = -1;
    for (let p = 0; p < parts.length; p++) {
      const time = next[p];
      if (time !== undefined && (best < 0 || compareTimes(time, next[best]!) < 0)) best = p;
    }
    if (best < 0) return { entries, times };
    entries.push(parts[best]!.chain.entries[at[best]!]!);
    times.push(next[best]!);
    advance(best);
  }
}
