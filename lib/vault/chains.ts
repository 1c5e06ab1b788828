/**
 * The ledger as a vault holds it: loaded and verified once, then grown entry by entry. Answers at once what accepting an object needs to know: who may write, what
 * is promised for a snapshot, which packs are to be pruned.
 */
import { EMPTY, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { type PolicyPayload, payloadOf, type SnapshotPayload } from '../format/payload.js';
import { hexesOf } from '../id.js';
import { type Authority, authorized, certifiedDomains, type Retirement } from '../ledger/authority.js';
import { standings } from '../ledger/standing.js';
import { type Assembled, assemble, assembleFor, type Ledger } from '../ledger/state.js';
import type { ChainState, RepositoryPlace } from '../repository/repository.js';
import { currentPolicy } from '../retention/policy.js';
import type { Receipted } from '../store/store.js';
import type { Known } from './accept.js';

export interface Grown {
  readonly entries: LedgerEntry[];
  readonly hashes: Uint8Array[];
  readonly storedMs: (number | undefined)[];
}

const NO_CHAIN: Grown = { entries: [], hashes: [], storedMs: [] };

export class Chains {
  readonly place: RepositoryPlace;
  readonly #chains = new Map<string, Grown>();
  #authorities = new Map<string, Authority>();
  #strangers: readonly Retirement[] = [];
  readonly #falseClaims: ReadonlySet<string> | undefined;
  #domains = new Map<string, Set<string>>();
  #policy: PolicyPayload | undefined;
  #ledger: Ledger | undefined;
  /** Receipts by `author/sequence`. */
  readonly #receipts = new Map<string, Receipted>();
  /** Whether no other vault's receipts have to be held against those of the one. */
  #hasOneVault = false;
  /** Whether an entry came in that may change which of them count. */
  #areReceiptsStale = true;
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
    for (const { author, entries, hashes, storedMs = [] } of ledger.chains)
      this.#chains.set(toHex(author), { entries: [...entries], hashes: [...hashes], storedMs: [...storedMs] });
    this.#ledger = ledger;
    // What contradicts itself never comes in later: a vault takes no second entry about a manifest.
    this.#falseClaims = ledger.falseClaims;
    this.#authorize();
    for (const { entry, payload, received } of standings(ledger)) {
      // One that waits for its receipt is counted when it has it.
      const waits = isOurs(entry) && this.receipt(toHex(entry.author), entry.sequence) === undefined;
      if (payload.state === State.complete && !waits) this.#list(entry.author, payload).push(received.sec);
    }
    for (const entry of ledger.entries) this.#noteIntent(entry);
    // Of writers that were retired too: what was promised for them stands.
    for (const { entries } of ledger.chains)
      for (const { payload } of entries) {
        const snapshot = payloadOf(payload, 'snapshot');
        if (snapshot !== undefined) this.#snapshots.add(toHex(snapshot.manifest));
      }
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
    this.#policy ??= currentPolicy(this.#assembled(this.#chains).entries);
    return this.#policy;
  }

  #isAdmin(author: string): boolean {
    return this.#authorities.get(author)?.role === 'admin';
  }

  receipt(author: string, sequence: number): Receipted | undefined {
    if (this.#areReceiptsStale) {
      this.#receipts.clear();
      for (const [key, { receipt, time }] of this.ledger().receipts)
        this.#receipts.set(key, { retainUntilSec: receipt.retainUntilSec, slots: receipt.slots, timeSec: time.sec });
      this.#areReceiptsStale = false;
    }
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
  append(entry: LedgerEntry, hash: Uint8Array, storedMs = Date.now()): void {
    const hex = toHex(entry.author);
    const chain = this.#chains.get(hex);
    if (chain === undefined) this.#chains.set(hex, { entries: [entry], hashes: [hash], storedMs: [storedMs] });
    else {
      chain.entries.push(entry);
      chain.hashes.push(hash);
      chain.storedMs[entry.sequence] = storedMs;
    }
    this.#ledger = undefined;
    // A vault's chain may say how far its promises count.
    const receipts = payloadOf(entry.payload, 'receipt')?.receipts;
    const isRetiredVaults = receipts !== undefined && this.#authorities.get(hex)?.limit !== Number.POSITIVE_INFINITY;
    if (this.#isAdmin(hex) || isRetiredVaults) {
      this.#authorize();
      this.#policy = undefined;
      this.#areReceiptsStale = true;
    }
    for (const { author, sequence, retainUntilSec, slots } of receipts ?? []) {
      const key = `${toHex(author)}/${sequence}`;
      // The order of policies is that in which they were received.
      if (this.#isAdmin(toHex(author))) this.#policy = undefined;
      if (this.#hasOneVault && !this.#receipts.has(key))
        this.#receipts.set(key, { timeSec: entry.time.sec, retainUntilSec, slots });
      else this.#areReceiptsStale = true;
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

  /**
   * The ledger as every reader would have it with one more entry. Nothing is kept of it.
   *
   * @returns what readers would refuse, or that the entry would change nothing; undefined when all is well
   */
  objection(entry: LedgerEntry, hash: Uint8Array): string | undefined {
    const hex = toHex(entry.author);
    const { entries, hashes, storedMs } = this.chain(hex);
    const with_ = { entries: [...entries, entry], hashes: [...hashes, hash], storedMs: [...storedMs, Date.now()] };
    const { chains, wrongEnds, authorities } = assemble(this.place.genesis, new Map(this.#chains).set(hex, with_));
    const why = chains.find(({ author }) => toHex(author) === hex)?.voids.get(entry.sequence);
    if (why !== undefined) return why;
    const [wrong] = wrongEnds;
    if (wrong !== undefined) return `contradicts the chain ${toHex(wrong.author).slice(0, 8)}, which ${wrong.why}`;
    const known = new Set(authorities.map(({ author }) => toHex(author)));
    for (const other of this.#chains.keys())
      if (!known.has(other)) return `leaves the chain ${other.slice(0, 8)} without an author`;
    return undefined;
  }

  #merge(): Ledger {
    // Copies: whoever holds this ledger must not see it change.
    const copies = [...this.#chains].map(([hex, { entries, hashes, storedMs }]): [string, Grown] => [
      hex,
      { entries: [...entries], hashes: [...hashes], storedMs: [...storedMs] },
    ]);
    const { authorities: _, wrongEnds: __, ...ledger } = this.#assembled(new Map(copies));
    return this.#falseClaims === undefined ? ledger : { ...ledger, falseClaims: this.#falseClaims };
  }

  #assembled(chains: ReadonlyMap<string, Grown>): Assembled {
    return assembleFor([...this.#authorities.values()], this.#strangers, chains);
  }

  #authorize(): void {
    const { authorities, strangers } = authorized(this.place.genesis, (author) => this.#chains.get(toHex(author)));
    this.#authorities = new Map(authorities.map((authority) => [toHex(authority.author), authority]));
    this.#strangers = strangers;
    this.#hasOneVault = authorities.filter(({ receiptLimit }) => receiptLimit > 0).length === 1;
    const admins = authorities.filter(({ role }) => role === 'admin');
    this.#domains = certifiedDomains(assembleFor(admins, [], this.#chains).entries);
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
