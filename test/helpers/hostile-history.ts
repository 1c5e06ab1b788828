/**
 * Histories by people who all mean ill but two hosts: any entry of any type by any key, with any value and any time, as an attacker with stolen keys would make them.
 * They pass through what a vault judges an entry by, or, as in a plain directory, through nothing. All from a seed.
 */
import { createHash, type KeyObject, sign } from 'node:crypto';
import { concat, toHex, utf8 } from '../../lib/bytes.js';
import { Curve, privateKeyObject } from '../../lib/crypto/raw-keys.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { RefusedError } from '../../lib/errors.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { decodeEntry, ENTRY_LABEL, encodeEntry, type LedgerEntry, misplaced } from '../../lib/format/entry.js';
import type { Genesis } from '../../lib/format/genesis.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType, type Payload, payloadOf, type SnapshotPayload } from '../../lib/format/payload.js';
import { Kind, withLength } from '../../lib/format/preamble.js';
import { type Timestamp, writeTime } from '../../lib/format/time.js';
import { type AuthorId, asId } from '../../lib/id.js';
import { authorities, hasEnd } from '../../lib/ledger/authority.js';
import { type Assembled, assemble, type RawChain } from '../../lib/ledger/state.js';
import type { RepositoryPlace } from '../../lib/repository/repository.js';
import { termsOf } from '../../lib/retention/policy.js';
import { retain } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { type Acceptable, acceptEntry } from '../../lib/vault/accept.js';
import { Chains, knownOf } from '../../lib/vault/chains.js';
import { receiptsFor, takeForReceipt } from '../../lib/vault/receipts.js';
import { anyPayload, SPREAD } from './hostile-payloads.js';
import { seeded } from './simulated-repository.js';

export type Random = (below: number) => number;

export const DAY = 86_400;
export const NAMES = [
  'founder',
  'admin 1',
  'admin 2',
  'vault',
  'vault 2',
  'host 1',
  'host 2',
  'evil',
  'auditor',
  'stranger',
] as const;
export type Name = (typeof NAMES)[number];
export const HOSTS = ['host 1', 'host 2'] as const;

const VAULT_SAYS: readonly number[] = [
  EntryType.extend,
  EntryType.hold,
  EntryType.pruneIntent,
  EntryType.pruneDone,
  EntryType.check,
  EntryType.incident,
];

interface Cast {
  readonly publicKey: Uint8Array;
  readonly key: KeyObject;
  readonly author: AuthorId;
  readonly hex: string;
}

const digest = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest());

/** Made once: keys are the dearest thing here. */
export const CAST = Object.fromEntries(
  NAMES.map((name): [Name, Cast] => {
    const seed = digest(name);
    const publicKey = publicKeyOf(seed);
    const author = authorOf(publicKey);
    return [name, { publicKey, key: privateKeyObject(Curve.ed25519, seed), author, hex: toHex(author) }];
  }),
) as Record<Name, Cast>;

const REPOSITORY = asId('repository', digest('repository'));
const START = Date.UTC(2026, 0, 1) / 1000;
const NO_SIGNATURE = new Uint8Array(64);

/** Everything that an author says beside what follows from its chain. */
export interface Draft {
  readonly by: Name;
  readonly time: Timestamp;
  readonly payload: Payload | { readonly raw: { readonly type: number; readonly body: Uint8Array } };
}

export interface Kept {
  readonly entry: LedgerEntry;
  readonly hash: Uint8Array;
}

/** A snapshot that an honest host took, and what it was promised, by the history's own book. */
export interface Taken {
  readonly host: Name;
  readonly entry: LedgerEntry;
  readonly manifest: string;
  promisedSec: number;
  /** Acknowledged by the vault of the story. */
  receiptSec?: number;
}

export interface HistoryOptions {
  /** Whether entries pass a vault's judgement; else any that can be decoded is there. */
  readonly vault: boolean;
  /** Whether entries are signed; that takes most of the time. */
  readonly signed?: boolean;
  /** Where authors' times come from: another seed gives the same history at other times. */
  readonly times?: number;
  /** The vault is there from the beginning. */
  readonly genesisVault?: boolean;
  /** Names of those who do not act, and of whom nobody says anything. */
  readonly without?: readonly Name[];
}

type Grown = { readonly [K in keyof RawChain]-?: Exclude<RawChain[K], undefined> extends readonly (infer T)[] ? T[] : never };

export class HostileHistory {
  readonly random: Random;
  readonly times: Random;
  readonly signed: boolean;
  readonly place: RepositoryPlace;
  /** Everything that is there, by author in hex; and its bytes by name. */
  readonly raw = new Map<string, Grown>();
  readonly objects = new Map<string, Uint8Array>();
  readonly taken: Taken[] = [];
  /** Manifests that exist, by hex, and whose they are. */
  readonly manifests = new Map<string, { readonly writer: string; readonly stream: Uint8Array; readonly state: number }>();
  chains: Chains | undefined;
  nowSec = START;
  kept = 0;
  refused = 0;
  readonly #options: HistoryOptions;
  #pending: Acceptable[] = [];
  #ids = 0;

  constructor(seed: number, options: HistoryOptions) {
    this.random = seeded(seed);
    this.times = seeded((options.times ?? seed) ^ 0x5bd1e995);
    this.signed = options.signed ?? false;
    this.#options = options;
    const inGenesis = this.random(2) === 0 || options.genesisVault === true;
    const genesis: Genesis = {
      salt: digest('salt'),
      created: { sec: START, nsec: 0 },
      admins: [CAST.founder.publicKey],
      threshold: 1,
      readerKey: digest('reader'),
      vault: inGenesis ? CAST.vault.publicKey : null,
    };
    this.place = { store: new MemoryStore(() => this.nowSec * 1000), id: REPOSITORY, genesis };
    this.#found(inGenesis);
  }

  #found(inGenesis: boolean): void {
    const { random } = this;
    this.#say('founder', { type: EntryType.genesis });
    if (this.#options.vault) this.restart();
    const cert = (name: Name, role: number) => (by: Name) =>
      this.#say(by, { type: EntryType.cert, role, publicKey: CAST[name].publicKey });
    const writer = (name: Name) => (by: Name) =>
      this.#say(by, { type: EntryType.writerCert, publicKey: CAST[name].publicKey, domain: new Uint8Array(16) });
    cert('admin 1', 0)('founder');
    const rest: [Name, (by: Name) => void][] = [
      ['host 1', writer('host 1')],
      ['host 2', writer('host 2')],
      ['evil', writer('evil')],
      ['auditor', cert('auditor', 2)],
      ['admin 2', cert('admin 2', 0)],
      ['vault', inGenesis ? () => undefined : cert('vault', 1)],
    ];
    for (; rest.length > 0; ) {
      const [[name, make]] = rest.splice(random(rest.length), 1) as [(typeof rest)[number]];
      if (!this.without(name)) make(random(3) === 0 ? 'admin 1' : 'founder');
    }
    this.#say('founder', { type: EntryType.policy, ...SPREAD });
  }

  without(name: Name): boolean {
    return this.#options.without?.includes(name) === true;
  }

  #say(by: Name, payload: Payload): void {
    this.enter({ by, time: { sec: Math.floor(this.nowSec), nsec: 0 }, payload });
  }

  newId(): Uint8Array {
    return digest(`id ${this.#ids++}`);
  }

  one<T>(of: readonly T[]): T {
    return of[this.random(of.length)]!;
  }

  chain(hex: string): Grown {
    return this.raw.get(hex) ?? { entries: [], hashes: [], storedMs: [] };
  }

  // ---- entries ----------------------------------------------------------------------------------------------------------------

  #bytesOf({ by, time, payload }: Draft): Uint8Array {
    const { author, hex, key } = CAST[by];
    const { hashes } = this.chain(hex);
    const place = { repository: REPOSITORY, author, sequence: hashes.length, previous: hashes.at(-1) ?? new Uint8Array(32) };
    let signed: Uint8Array;
    if ('raw' in payload) {
      const out = new CborWriter();
      out.array(7).bytes(place.repository).bytes(author).int(place.sequence).bytes(place.previous);
      writeTime(out, time);
      signed = withLength(Kind.entry, out.int(payload.raw.type).raw(payload.raw.body).finish());
    } else signed = encodeEntry({ ...place, time, payload });
    return concat(signed, this.signed ? sign(null, concat(utf8(ENTRY_LABEL), Uint8Array.of(0), signed), key) : NO_SIGNATURE);
  }

  /** Sends an entry. @returns it, if it is kept */
  enter(draft: Draft): Kept | undefined {
    const { author, hex } = CAST[draft.by];
    const name = entryName(author, this.chain(hex).hashes.length);
    const bytes = this.#bytesOf(draft);
    if (!this.#mayTry(draft.by)) {
      this.refused++;
      return undefined;
    }
    const own = draft.by === 'vault' && this.chains !== undefined;
    let accepted: Acceptable;
    try {
      // A vault does not judge itself.
      accepted =
        this.chains === undefined || own
          ? { entry: decodeEntry(bytes, name).entry, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) }
          : this.#judge(draft.by, name, bytes, this.chains);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.refused++;
      return undefined;
    }
    // As Commits does it: what came before a policy goes by the one before.
    if (this.chains !== undefined && !own && payloadOf(accepted.entry.payload, 'policy') !== undefined) this.acknowledge();
    const kept = this.#keep(accepted, name, bytes);
    if (this.chains !== undefined && !own) {
      this.#pending.push(accepted);
      // As Commits does it: what comes after a policy goes by it.
      if (payloadOf(accepted.entry.payload, 'policy') !== undefined) this.acknowledge();
    }
    return kept;
  }

  /** A vault whose word does not count says nothing; a chain of an author whom nobody knows is no ledger. */
  #mayTry(by: Name): boolean {
    const { hex } = CAST[by];
    if (this.chains !== undefined) return by !== 'vault' || this.isLive(this.chains);
    return (
      this.raw.size === 0 ||
      authorities(this.place.genesis, (author) => this.raw.get(toHex(author))).some((one) => toHex(one.author) === hex)
    );
  }

  isLive(chains: Chains): boolean {
    return chains.authority(CAST.vault.hex)?.receiptLimit === Number.POSITIVE_INFINITY;
  }

  #keep({ entry, hash }: Acceptable, name: string, bytes: Uint8Array): Kept {
    this.kept++;
    const hex = toHex(entry.author);
    const chain = this.chain(hex);
    this.raw.set(hex, chain);
    chain.entries.push(entry);
    chain.hashes.push(hash);
    chain.storedMs.push(this.nowSec * 1000);
    this.objects.set(name, bytes);
    this.chains?.append(entry, hash, this.nowSec * 1000);
    return { entry, hash };
  }

  /** What lib/vault/check-entry.ts finds, but for quotas. @throws RefusedError */
  #judge(by: Name, name: string, bytes: Uint8Array, chains: Chains): Acceptable {
    const { hex } = CAST[by];
    const { hashes } = chains.chain(hex);
    const refuse = (why: string): never => {
      throw new RefusedError(why);
    };
    const known = knownOf(chains);
    let accepted: Acceptable;
    if (this.signed && chains.authority(hex)?.role !== 'auditor') {
      const head = hashes.at(-1) ?? new Uint8Array(32);
      const isWriter = chains.authority(hex)?.roles.has('writer') === true && this.random(2) === 0;
      const caller = isWriter ? ({ role: 'writer', writer: hex } as const) : ({ role: 'admin' } as const);
      accepted = acceptEntry(
        name,
        bytes,
        { author: hex, sequence: hashes.length },
        { count: hashes.length, head },
        caller,
        known,
      );
    } else {
      const { entry } = decodeEntry(bytes, name);
      const authority = chains.authority(hex);
      if (authority === undefined || chains.hasEnded(hex)) return refuse('nobody, or not any more');
      if (misplaced(entry, authority.roles) !== undefined) return refuse('not his to write');
      accepted = { entry, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) };
    }
    const { entry, hash } = accepted;
    const retire = payloadOf(entry.payload, 'retire');
    if (retire !== undefined && !hasEnd(chains.chain(toHex(retire.author)).hashes, { count: retire.count, heads: [retire.head] }))
      refuse('a false end');
    const snapshot = payloadOf(entry.payload, 'snapshot');
    if (snapshot !== undefined) this.#judgeSnapshot(hex, snapshot, chains, refuse);
    const why = chains.objection(entry, hash);
    return why === undefined ? accepted : refuse(why);
  }

  #judgeSnapshot(hex: string, snapshot: SnapshotPayload, chains: Chains, refuse: (why: string) => never): void {
    if (chains.hasSnapshot(snapshot.manifest)) refuse('a snapshot already');
    const manifest = this.manifests.get(toHex(snapshot.manifest));
    if (manifest === undefined || manifest.writer !== hex || manifest.state !== snapshot.state)
      throw new RefusedError('not its manifest');
    if (toHex(manifest.stream) !== toHex(snapshot.stream)) refuse('not its stream');
    const { longestSec } = termsOf(chains.policy());
    if (longestSec > 0 && snapshot.retainUntilSec > this.nowSec + longestSec + DAY) refuse('too long');
  }

  /** Receipts for what waits, as Commits writes them. */
  acknowledge(): void {
    const { chains } = this;
    if (chains === undefined) return;
    while (this.#pending.length > 0) {
      const { some, rest } = takeForReceipt(this.#pending);
      const isLive = this.isLive(chains);
      const sec = Math.floor(this.nowSec);
      const receipts = isLive ? receiptsFor(some, chains, sec) : [];
      if (isLive) this.enter({ by: 'vault', time: { sec, nsec: 0 }, payload: { type: EntryType.receipt, receipts } });
      for (const [i, { entry }] of some.entries()) {
        const snapshot = payloadOf(entry.payload, 'snapshot');
        if (snapshot !== undefined) chains.noteReceived(entry, snapshot, isLive ? sec : entry.time.sec);
        const taken = this.taken.find((one) => one.entry === entry);
        if (!isLive || taken === undefined) continue;
        taken.promisedSec = Math.max(taken.promisedSec, receipts[i]!.retainUntilSec);
        taken.receiptSec = sec;
      }
      this.#pending = rest;
    }
  }

  /** The vault ends without notice and starts anew: it reads what is there, and acknowledges what has no receipt. */
  restart(): void {
    const chains = this.fresh();
    this.chains = chains;
    this.#pending = [];
    for (const author of chains.authors()) {
      if (author === CAST.vault.hex) continue;
      const { entries, hashes } = chains.chain(author);
      const limit = Math.min(entries.length, chains.authority(author)?.limit ?? 0);
      for (let i = 0; i < limit; i++)
        if (chains.receipt(author, i) === undefined) this.#pending.push({ entry: entries[i]!, hash: hashes[i]! });
    }
    this.acknowledge();
  }

  /** The vault's state as its next start has it. */
  fresh(): Chains {
    return new Chains(this.place, this.assembled(), ({ author }) => toHex(author) !== CAST.vault.hex);
  }

  assembled(): Assembled {
    const copies = [...this.raw].map(([hex, { entries, hashes, storedMs }]): [string, RawChain] => [
      hex,
      { entries: [...entries], hashes: [...hashes], storedMs: [...storedMs] },
    ]);
    return assemble(this.place.genesis, new Map(copies));
  }

  // ---- what happens -----------------------------------------------------------------------------------------------------------

  anyTime(): Timestamp {
    const { times } = this;
    const now = Math.floor(this.nowSec);
    const extremes = [
      -62_135_596_800,
      0,
      1,
      now - 400 * DAY,
      now - DAY,
      now + DAY,
      now + 40 * DAY,
      4_102_444_800,
      253_402_300_799,
    ];
    // Out of bounds now and then; which entries there are does not depend on times otherwise.
    const beyond = [-62_135_596_801, 253_402_300_800, 2 ** 53 - 1, -(2 ** 53) + 1];
    if (this.random(12) === 0) return { sec: beyond[this.random(beyond.length)]!, nsec: 0 };
    const sec = times(3) === 0 ? now : times(2) === 0 ? extremes[times(extremes.length)]! : now + times(20 * DAY) - 10 * DAY;
    return { sec: Math.max(sec, -62_135_596_800), nsec: [0, 1, 999_999_999][times(3)]! };
  }

  putManifest(by: Name): { id: Uint8Array; stream: Uint8Array; state: number } {
    const id = this.newId();
    const made = { writer: CAST[by].hex, stream: new Uint8Array(16).fill(this.random(2)), state: this.random(4) === 0 ? 1 : 0 };
    this.manifests.set(toHex(id), made);
    return { id, ...made };
  }

  /** An honest backup, perhaps on a host with a wrong clock. */
  backup(host: Name): void {
    const { id, stream, state } = this.putManifest(host);
    const policy = this.chains?.policy() ?? SPREAD;
    const own = retain(policy, undefined, this.nowSec, state === 0, []);
    const { times } = this;
    const sec = Math.floor(this.nowSec) + (times(3) === 0 ? times(4000 * DAY) - 2000 * DAY : 0);
    const kept = this.enter({
      by: host,
      time: { sec, nsec: 0 },
      payload: { type: EntryType.snapshot, manifest: id, stream, state, ...own },
    });
    if (kept !== undefined) this.taken.push({ host, entry: kept.entry, manifest: toHex(id), promisedSec: own.retainUntilSec });
  }

  /** The draft of any entry by anybody who means ill. */
  anyDraft(): Draft {
    const vaults: readonly Name[] = this.#options.vault ? ['vault'] : ['vault', 'vault'];
    const actors: readonly Name[] = [
      'founder',
      'admin 1',
      'admin 1',
      'admin 2',
      'admin 2',
      'evil',
      'evil',
      'vault 2',
      'auditor',
      'stranger',
    ];
    const by = this.one([...actors, ...vaults].filter((name) => !this.without(name)));
    let payload = anyPayload(this, by);
    // The vault of the story gives the receipts that its program gives.
    while (by === 'vault' && this.chains !== undefined && !('type' in payload && VAULT_SAYS.includes(payload.type)))
      payload = anyPayload(this, by);
    return { by, time: by === 'vault' ? { sec: Math.floor(this.nowSec), nsec: 0 } : this.anyTime(), payload };
  }

  step(): void {
    const choice = this.random(20);
    if (choice < 5) this.backup(this.one(HOSTS));
    else if (choice < 15) this.enter(this.anyDraft());
    else if (choice < 17) this.nowSec += this.one([0, 60, 3600, DAY, 3 * DAY, 20 * DAY]);
    else if (choice < 19) this.acknowledge();
    else if (this.chains !== undefined) this.restart();
  }
}
