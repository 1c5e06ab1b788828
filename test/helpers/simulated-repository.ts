/**
 * A repository in memory for the simulation of test/retention/simulation.test.ts: chains of entries without signatures, packs and manifests without content,
 * a vault with the product's clocks, and the product's own rules: authority, standings, retention, planning. What happens between two yields is atomic;
 * everything else may be interleaved with anything, or never happen.
 */
import { createHash } from 'node:crypto';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf } from '../../lib/crypto/sign.js';
import type { LedgerEntry } from '../../lib/format/entry.js';
import type { Genesis } from '../../lib/format/genesis.js';
import type { Pins } from '../../lib/format/manifest.js';
import { DEFAULT_TERMS, EntryType, type Payload, type PolicyPayload, payloadOf } from '../../lib/format/payload.js';
import { type Authority, authorities, type KnownChain } from '../../lib/ledger/authority.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { disowned, type Standing, standings } from '../../lib/ledger/standing.js';
import { assemble, type Ledger } from '../../lib/ledger/state.js';
import { PackListing } from '../../lib/retention/pack-table.js';
import { pinNode } from '../../lib/retention/pin-locks.js';
import { currentPolicy, termsOf } from '../../lib/retention/policy.js';
import { type Intent, type PrunePlan, planPacks } from '../../lib/retention/prune-plan.js';
import { retain } from '../../lib/retention/slots.js';
import { advance, type ClockState, firstClock, lateClock, type Reading } from '../../lib/vault/clock.js';

export const HOUR = 3600;
export const DAY = 24 * HOUR;

/** Numbers from a seed, the same on every machine. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

const digest = (...parts: readonly (string | number | Uint8Array)[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(typeof part === 'number' ? `${part};` : part);
  return new Uint8Array(hash.digest());
};

interface Chain {
  readonly publicKey: Uint8Array;
  readonly entries: LedgerEntry[];
  readonly hashes: Uint8Array[];
}

export interface Manifest {
  readonly pins: Pins;
  readonly ids: readonly string[];
  readonly storedSec: number;
  readonly session: string;
}

/** What the simulation itself knows of a snapshot, apart from all code under test. */
export interface Known {
  readonly id: string;
  readonly series: string;
  readonly manifest: Manifest;
  promisedSec: number;
  readonly holds: Set<string>;
  complete: boolean;
  superseded: boolean;
}

const REPOSITORY = digest('repository');
/** Shorter chains of differences than the format's, so that they end and begin anew within a run. */
const MAX_DEPTH = 4;

export const MINIMUM: PolicyPayload = {
  minimumSec: DAY,
  hourSec: 2 * DAY,
  daySec: 10 * DAY,
  weekSec: 30 * DAY,
  monthSec: 0,
  yearSec: 0,
  terms: { ...DEFAULT_TERMS, autoPrune: true },
};

export class SimulatedRepository {
  readonly #salt: number;
  trueSec = Date.UTC(2026, 0, 1) / 1000;
  readonly startSec = this.trueSec;
  wallOffsetSec = 0;
  uptimeSec = 0;
  boots = 0;
  reboots = 0;
  /** Grows whenever something was written or removed. */
  changes = 0;
  clock: ClockState;
  readonly genesis: Genesis;
  readonly chains = new Map<string, Chain>();
  readonly packs = new Map<string, { storedSec: number; session: string }>();
  readonly manifests = new Map<string, Manifest>();
  readonly known = new Map<string, Known>();
  /** Entries that the vault has not acknowledged yet. */
  pending: { author: string; sequence: number }[] = [];
  #ids = 0;
  #ledger: Ledger | undefined;
  #standings: { ledger: Ledger; sec: number; list: Standing[] } | undefined;
  readonly #authors = new Map<string, Uint8Array>();

  constructor(salt: number, admins: readonly string[], vault: string) {
    this.#salt = salt;
    this.clock = firstClock(this.reading());
    const key = (name: string): Uint8Array => this.key(name);
    this.genesis = {
      salt: digest('salt'),
      created: { sec: this.trueSec, nsec: 0 },
      admins: admins.slice(0, 1).map(key),
      threshold: 1,
      readerKey: digest('reader'),
      vault: key(vault),
    };
  }

  key(name: string): Uint8Array {
    return digest('key', this.#salt, name);
  }

  author(name: string): Uint8Array {
    let author = this.#authors.get(name);
    if (author === undefined) this.#authors.set(name, (author = authorOf(this.key(name))));
    return author;
  }

  newId(): string {
    // Scattered as hashes are, so that the order of ids says nothing.
    const number = this.#ids++;
    return (Math.imul(number + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0') + number.toString(16).padStart(56, '0');
  }

  // ---- time ------------------------------------------------------------------------------------------------------------------

  reading(): Reading {
    return { wallMs: (this.trueSec + this.wallOffsetSec) * 1000, uptimeMs: this.uptimeSec * 1000, bootId: `boot ${this.boots}` };
  }

  pass(sec: number): void {
    this.trueSec += sec;
    this.uptimeSec += sec;
  }

  reboot(downSec: number): void {
    this.trueSec += downSec;
    this.uptimeSec = 0;
    this.boots++;
  }

  get earlySec(): number {
    this.clock = advance(this.clock, this.reading());
    return this.clock.earlyMs / 1000;
  }

  get lateSec(): number {
    this.clock = advance(this.clock, this.reading());
    return lateClock(this.clock, this.reading().wallMs).lateMs / 1000;
  }

  // ---- ledger ----------------------------------------------------------------------------------------------------------------

  append(name: string, timeSec: number, payload: Payload): LedgerEntry {
    const hex = toHex(this.author(name));
    const chain = this.chains.get(hex) ?? { publicKey: this.key(name), entries: [], hashes: [] };
    this.chains.set(hex, chain);
    const entry: LedgerEntry = {
      repository: REPOSITORY,
      author: this.author(name),
      sequence: chain.entries.length,
      previous: chain.hashes.at(-1) ?? new Uint8Array(32),
      time: { sec: Math.floor(timeSec), nsec: 0 },
      payload,
    };
    chain.entries.push(entry);
    chain.hashes.push(fromHex(this.newId()));
    this.#ledger = undefined;
    this.changes++;
    return entry;
  }

  authorities(): Authority[] {
    return authorities(this.genesis, (author) => this.chains.get(toHex(author)));
  }

  /** Whether entries of this author still count. */
  mayWrite(name: string): boolean {
    const hex = toHex(this.author(name));
    const authority = this.authorities().find(({ author }) => toHex(author) === hex);
    return authority !== undefined && (this.chains.get(hex)?.entries.length ?? 0) < authority.limit;
  }

  ledger(): Ledger {
    if (this.#ledger === undefined) {
      const copies = [...this.chains].map(([hex, { entries, hashes }]): [string, KnownChain] => [
        hex,
        { entries: [...entries], hashes: [...hashes] },
      ]);
      this.#ledger = assemble(this.genesis, new Map(copies));
    }
    return this.#ledger;
  }

  standings(): Standing[] {
    const [ledger, sec] = [this.ledger(), this.earlySec];
    if (this.#standings?.ledger !== ledger || this.#standings.sec !== sec)
      this.#standings = { ledger, sec, list: standings(ledger, sec) };
    return this.#standings.list;
  }

  // ---- storing ---------------------------------------------------------------------------------------------------------------

  removePack(id: string): void {
    this.changes++;
    this.packs.delete(id);
  }

  removeManifest(id: string): void {
    this.changes++;
    this.manifests.delete(id);
  }

  putPack(id: string, session: string): void {
    // A file system dates by the wall clock, whatever that says.
    this.packs.set(id, { storedSec: this.trueSec + this.wallOffsetSec, session });
  }

  putManifest(ids: readonly string[], base: string | undefined, session: string): string {
    const join = (some: readonly string[]): Uint8Array => joinSorted(some.map(fromHex));
    const below = base === undefined ? undefined : this.manifests.get(base);
    const depth = below === undefined ? 0 : (below.pins.depth + 1) % (MAX_DEPTH + 1);
    // As differences wherever they may be: what builds on what is the hard part.
    const pins: Pins =
      depth === 0
        ? { depth: 0, ids: join(ids) }
        : {
            depth,
            base: fromHex(base!),
            removed: join(below!.ids.filter((id) => !ids.includes(id))),
            added: join(ids.filter((id) => !below!.ids.includes(id))),
          };
    const id = this.newId();
    this.manifests.set(id, { pins, ids, storedSec: this.trueSec + this.wallOffsetSec, session });
    return id;
  }

  /** What the vault asks before it takes a snapshot's entry: everything pinned is there, and not about to go. */
  acceptsPins(manifest: string, intended: { packs: ReadonlySet<string>; snapshots: ReadonlySet<string> }): boolean {
    const found = this.manifests.get(manifest);
    if (found === undefined || !this.hasBases(manifest) || intended.snapshots.has(manifest)) return false;
    if ('base' in found.pins && intended.snapshots.has(toHex(found.pins.base))) return false;
    return found.ids.every((id) => this.packs.has(id) && !intended.packs.has(id));
  }

  hasBases(manifest: string): boolean {
    for (let id: string | undefined = manifest; id !== undefined; ) {
      const found: Manifest | undefined = this.manifests.get(id);
      if (found === undefined) return false;
      id = 'base' in found.pins ? toHex(found.pins.base) : undefined;
    }
    return true;
  }

  /** The vault's receipts for what waits. */
  acknowledge(vault: string): void {
    for (const { author, sequence } of this.pending.splice(0)) {
      const chain = this.chains.get(author)!;
      const entry = chain.entries[sequence]!;
      const snapshot = payloadOf(entry.payload, 'snapshot');
      const place = { author: entry.author, sequence, hash: chain.hashes[sequence]! };
      const timeSec = Math.ceil(this.lateSec);
      if (snapshot === undefined) {
        this.append(vault, timeSec, { type: EntryType.receipt, receipts: [{ ...place, retainUntilSec: 0, slots: 0 }] });
        continue;
      }
      const policy = currentPolicy(this.ledger().entries);
      const chosen = termsOf(policy).classes.find(({ name }) => name === snapshot.class);
      const { receipts } = this.ledger();
      const earlier = this.standings().filter(
        (other) =>
          toHex(other.entry.author) === author &&
          toHex(other.payload.stream) === toHex(snapshot.stream) &&
          other.payload.class === snapshot.class &&
          other.payload.state === 0 &&
          receipts.has(`${author}/${other.entry.sequence}`),
      );
      const kept = retain(
        policy,
        chosen,
        timeSec,
        snapshot.state === 0,
        earlier.map(({ received }) => received.sec),
      );
      this.append(vault, timeSec, { type: EntryType.receipt, receipts: [{ ...place, ...kept }] });
      const known = this.known.get(toHex(snapshot.manifest));
      if (known !== undefined) known.promisedSec = Math.max(known.promisedSec, kept.retainUntilSec);
    }
  }

  // ---- pruning ---------------------------------------------------------------------------------------------------------------

  plan(nowSec: number): PrunePlan {
    const ledger = this.ledger();
    const listing = new PackListing();
    for (const [hex, { storedSec }] of this.packs) listing.add(hex, 0, storedSec);
    const listed = listing.finish();
    const { packs } = listed;
    const { receipts } = ledger;
    const intents: Intent[] = ledger.entries.flatMap(({ author, sequence, time, payload }) => {
      const intent = payloadOf(payload, 'pruneIntent');
      if (intent === undefined) return [];
      const sinceSec = Math.max(time.sec, receipts.get(`${toHex(author)}/${sequence}`)?.time.sec ?? 0);
      return [{ ...intent, author, sequence, sinceSec }];
    });
    const manifests = new Map(
      [...this.manifests].map(([id, { pins, ids, storedSec: since, session }]) => [
        id,
        { storedSec: since, session, indexes: [], pins: pinNode(packs, { pins, pinCount: ids.length }) },
      ]),
    );
    return planPacks({
      nowSec,
      waitSec: termsOf(currentPolicy(ledger.entries)).waitSec,
      snapshots: standings(ledger, nowSec),
      disowned: disowned(ledger),
      manifests,
      ...listed,
      indexes: new Map(),
      intents,
    });
  }

  // ---- what must hold --------------------------------------------------------------------------------------------------------

  /** Everything wrong with the repository, by what the simulation knows itself. */
  violations(): string[] {
    const wrong: string[] = [];
    const listed = new Map(this.standings().map((standing) => [toHex(standing.id), standing]));
    const early = this.earlySec;
    for (const known of this.known.values()) {
      const standing = listed.get(known.id);
      const due = early >= known.promisedSec && known.holds.size === 0 && (known.superseded || !known.complete);
      if (due) continue;
      const short = known.id.slice(0, 8);
      if (standing?.pruned === true) wrong.push(`${short} is kept and was taken off the list`);
      if (standing !== undefined && standing.retainUntilSec < known.promisedSec)
        wrong.push(`${short} is kept for less than was promised`);
      if (!this.hasBases(known.id)) wrong.push(`${short} is kept and its manifest, or one it builds on, is gone`);
      for (const id of known.manifest.ids)
        if (!this.packs.has(id)) wrong.push(`${short} is kept and pack ${id.slice(0, 8)} is gone`);
    }
    return wrong;
  }
}
