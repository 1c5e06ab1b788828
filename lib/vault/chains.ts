/**
 * The ledger as a vault holds it: loaded and verified once, then grown entry by entry. Answers at once what accepting an object needs to know: who may write, what
 * is promised for a snapshot, which packs are to be pruned.
 */
import { EMPTY, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { EntryType, type PolicyPayload, payloadOf, type SnapshotPayload } from '../format/payload.js';
import { hexesOf } from '../id.js';
import { type Authority, authorities, certifiedDomains } from '../ledger/authority.js';
import { type Chain, type Ledger, mergeChains } from '../ledger/ledger.js';
import { receiptsOf, standings } from '../ledger/standing.js';
import type { ChainState, RepositoryPlace } from '../repository/repository.js';
import { currentPolicy } from '../retention/policy.js';
import type { Receipted } from '../store/store.js';
import type { Known } from './accept.js';

export interface Grown {
  readonly entries: LedgerEntry[];
  readonly hashes: Uint8Array[];
}

const NO_CHAIN: Grown = { entries: [], hashes: [] };

export class Chains {
  readonly place: RepositoryPlace;
  readonly #chains = new Map<string, Grown>();
  #authorities = new Map<string, Authority>();
  #domains = new Map<string, Set<string>>();
  #policy: PolicyPayload;
  #ledger: Ledger | undefined;
  /** Receipts by `author/sequence`. */
  readonly #receipts = new Map<string, Receipted>();
  /** Times (seconds) at which complete snapshots of a series and class were received. */
  readonly #received = new Map<string, number[]>();
  readonly #snapshots = new Set<string>();
  readonly #intended = new Set<string>();

  /**
   * @param ledger - of `place`, verified
   * @param isOurs - whether an entry is one that the vault acknowledges
   */
  constructor(place: RepositoryPlace, ledger: Ledger, isOurs: (entry: LedgerEntry) => boolean) {
    this.place = place;
    for (const { author, entries, hashes } of ledger.chains)
      this.#chains.set(toHex(author), { entries: [...entries], hashes: [...hashes] });
    this.#ledger = ledger;
    this.#authorize();
    this.#policy = currentPolicy(ledger.entries);
    for (const [key, { receipt, time }] of receiptsOf(ledger)) this.#receipts.set(key, { ...receipt, timeSec: time.sec });
    for (const { entry, payload, received } of standings(ledger)) {
      this.#snapshots.add(toHex(payload.manifest));
      // One that waits for its receipt is counted when it has it.
      const waits = isOurs(entry) && this.receipt(toHex(entry.author), entry.sequence) === undefined;
      if (payload.state === State.complete && !waits) this.#list(entry.author, payload).push(received.sec);
    }
    for (const entry of ledger.entries) this.#noteIntent(entry);
  }

  /** The author's entries and their hashes, as they are. */
  chain(author: string): Grown {
    return this.#chains.get(author) ?? NO_CHAIN;
  }

  authors(): IterableIterator<string> {
    return this.#chains.keys();
  }

  authority(author: string): Authority | undefined {
    return this.#authorities.get(author);
  }

  /** Whether entries of this author do not count any more. */
  hasEnded(author: string): boolean {
    const { limit } = this.#authorities.get(author) ?? { limit: 0 };
    return this.chain(author).entries.length >= limit;
  }

  /** Domains, hex, that a writer's certs name. */
  domains(author: string): ReadonlySet<string> {
    return this.#domains.get(author) ?? new Set();
  }

  policy(): PolicyPayload {
    return this.#policy;
  }

  receipt(author: string, sequence: number): Receipted | undefined {
    return this.#receipts.get(`${author}/${sequence}`);
  }

  hasSnapshot(manifest: Uint8Array): boolean {
    return this.#snapshots.has(toHex(manifest));
  }

  isIntended(pack: string): boolean {
    return this.#intended.has(pack);
  }

  /** When the complete snapshots of the series and class of `payload` were received, seconds. */
  earlier(author: Uint8Array, payload: SnapshotPayload): readonly number[] {
    return this.#list(author, payload);
  }

  /** Takes up an entry that was verified and stored. */
  append(entry: LedgerEntry, hash: Uint8Array): void {
    const hex = toHex(entry.author);
    const chain = this.#chains.get(hex);
    if (chain === undefined) this.#chains.set(hex, { entries: [entry], hashes: [hash] });
    else {
      chain.entries.push(entry);
      chain.hashes.push(hash);
    }
    this.#ledger = undefined;
    if (this.#authorities.get(hex)?.role === 'admin') this.#authorize();
    const { type } = entry.payload;
    if (type === EntryType.policy || type === EntryType.retire) this.#policy = currentPolicy(this.#admins());
    for (const { author, sequence, retainUntilSec, slots } of payloadOf(entry.payload, 'receipt')?.receipts ?? []) {
      const key = `${toHex(author)}/${sequence}`;
      if (!this.#receipts.has(key)) this.#receipts.set(key, { timeSec: entry.time.sec, retainUntilSec, slots });
    }
    this.#noteIntent(entry);
  }

  /** Takes up when a snapshot's entry was received. */
  noteReceived(entry: LedgerEntry, payload: SnapshotPayload, receivedSec: number): void {
    this.#snapshots.add(toHex(payload.manifest));
    if (payload.state === State.complete) this.#list(entry.author, payload).push(receivedSec);
  }

  /** All of it, merged. */
  ledger(): Ledger {
    this.#ledger ??= this.#merge();
    return this.#ledger;
  }

  /** As the memory of heads wants them. */
  states(): ChainState[] {
    return [...this.#authorities.values()].map(({ author, role, limit }) => ({
      author,
      role,
      limit,
      ...this.chain(toHex(author)),
    }));
  }

  #merge(): Ledger {
    const chains: Chain[] = [];
    for (const { author, publicKey, role, limit } of this.#authorities.values()) {
      const { entries, hashes } = this.chain(toHex(author));
      if (entries.length === 0) continue;
      // Copies: whoever holds this ledger must not see it change.
      chains.push({ author, publicKey, role, limit, entries: [...entries], hashes: [...hashes], head: hashes.at(-1)! });
    }
    return { chains, entries: mergeChains(chains) };
  }

  /** The entries of admins that count, in merged order: the order among them is that of the whole. */
  #admins(): LedgerEntry[] {
    const admins = [...this.#authorities.values()].filter(({ role }) => role === 'admin');
    return mergeChains(admins.map(({ author, limit }) => ({ limit, entries: this.chain(toHex(author)).entries })));
  }

  #authorize(): void {
    const list = authorities(this.place.genesis, (author) => this.#chains.get(toHex(author))?.entries);
    this.#authorities = new Map(list.map((authority) => [toHex(authority.author), authority]));
    this.#domains = certifiedDomains(this.#admins());
  }

  #list(author: Uint8Array, { stream, class: name = '' }: SnapshotPayload): number[] {
    const key = `${toHex(author)}/${toHex(stream)}/${name}`;
    let list = this.#received.get(key);
    if (list === undefined) this.#received.set(key, (list = []));
    return list;
  }

  #noteIntent({ payload }: LedgerEntry): void {
    for (const hex of hexesOf(payloadOf(payload, 'pruneIntent')?.packs ?? EMPTY)) this.#intended.add(hex);
  }
}

/** What accepting asks of the chains. */
export function knownOf(chains: Chains): Known {
  return {
    repository: chains.place.id,
    authority: (author) => chains.authority(author),
    hasEnded: (author) => chains.hasEnded(author),
    domains: (author) => chains.domains(author),
  };
}
