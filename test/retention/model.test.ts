/**
 * The rules of retention as properties: over random histories of a ledger, over random repositories for the planner, and over overlapping runs of the real
 * commit and the real prune on a store in memory. No content is stored; pins, entries, signatures and times are real ones.
 */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { compareBytes, toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { StoreError } from '../../lib/errors.js';
import type { LedgerEntry } from '../../lib/format/entry.js';
import { type Envelope, State } from '../../lib/format/manifest.js';
import { packName } from '../../lib/format/names.js';
import { encodePackHeader, PackClass } from '../../lib/format/pack.js';
import { EntryType, type Payload, payloadOf } from '../../lib/format/payload.js';
import { EntryKind } from '../../lib/format/tree.js';
import { asId } from '../../lib/id.js';
import { commit } from '../../lib/ingest/commit.js';
import type { Run } from '../../lib/ingest/run.js';
import type { Authority, KnownChain } from '../../lib/ledger/authority.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { applyDifference, joinSorted, resolvePins } from '../../lib/ledger/pins.js';
import { readEnvelope } from '../../lib/ledger/snapshots.js';
import { disowned, hasExpired, intended, type Standing, seriesOf, standings } from '../../lib/ledger/standing.js';
import { assembleFor, type Ledger } from '../../lib/ledger/state.js';
import { openRepository, type Repository, writerAuthor } from '../../lib/repository/repository.js';
import { PackTable } from '../../lib/retention/pack-table.js';
import { type PinNode, packLocks, pinNode } from '../../lib/retention/pin-locks.js';
import { announcePrune, sweepPrune } from '../../lib/retention/prune.js';
import {
  GRACE_SEC,
  type Intent,
  ORPHAN_SEC,
  type PruneInput,
  planPacks,
  type StoredManifest,
} from '../../lib/retention/prune-plan.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { ClockedStore, type StoreClock } from '../helpers/clocked-store.js';
import type { Operation } from '../helpers/faulty-store.js';

t.setTimeout(600_000);

const DAY = 86_400;
const id32 = (n: number): Uint8Array => {
  const id = new Uint8Array(32).fill(n & 255);
  new DataView(id.buffer).setUint32(0, Math.imul(n + 1, 2_654_435_761) >>> 0);
  new DataView(id.buffer).setUint32(4, n);
  return id;
};
const joined = (numbers: readonly number[]): Uint8Array => joinSorted([...new Set(numbers)].map(id32));

// ---- histories ------------------------------------------------------------------------------------------------------------

/** Admin, second admin, vault, two writers: authors of one byte repeated. */
const ROLES = ['admin', 'admin', 'vault', 'writer', 'writer'] as const;
const author = (n: number): Uint8Array => new Uint8Array(16).fill(n);

interface Said {
  readonly by: number;
  readonly sec: number;
  readonly payload: Payload;
}

const anySec = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constantFrom(-1_000_000, 1_000_000)).map((day) => day * DAY);
const anyId = fc.integer({ min: 0, max: 7 });
const anySnapshot = fc.record({
  by: fc.constantFrom(3, 4),
  sec: anySec,
  payload: fc.record({
    type: fc.constant(EntryType.snapshot),
    manifest: anyId.map(id32),
    stream: fc.constantFrom(0, 1).map(author),
    state: fc.constantFrom(State.complete, State.complete, State.partial),
    retainUntilSec: fc.integer({ min: 0, max: 120 }).map((day) => day * DAY),
    slots: fc.constant(0),
  }),
});
const adminSays = (payload: fc.Arbitrary<Payload>): fc.Arbitrary<Said> =>
  fc.record({ by: fc.constantFrom(0, 1), sec: anySec, payload });
const anyIds = fc.array(anyId, { minLength: 1, maxLength: 4 }).map(joined);
const anyExtend = adminSays(
  fc.record({
    type: fc.constant(EntryType.extend),
    snapshots: anyIds,
    untilSec: fc.integer({ min: 0, max: 150 }).map((day) => day * DAY),
    reason: fc.constant(''),
  }),
);
const anyHold = adminSays(fc.record({ type: fc.constant(EntryType.hold), snapshots: anyIds, reason: fc.constant('') }));
const anyRelease = adminSays(
  fc.record({
    type: fc.constant(EntryType.release),
    author: fc.constantFrom(0, 1).map(author),
    sequence: fc.integer({ min: 0, max: 6 }),
    reason: fc.constant(''),
  }),
);
const anyPolicy = adminSays(
  fc.record({
    type: fc.constant(EntryType.policy),
    minimumSec: fc.nat(),
    hourSec: fc.nat(),
    daySec: fc.nat(),
    weekSec: fc.nat(),
    monthSec: fc.nat(),
    yearSec: fc.nat(),
  }),
);
const anyDone = adminSays(
  fc.record({
    type: fc.constant(EntryType.pruneDone),
    author: fc.constant(author(0)),
    sequence: fc.nat({ max: 6 }),
    packs: fc.constant(new Uint8Array()),
    snapshots: anyIds,
    indexes: fc.constant(new Uint8Array()),
  }),
);
const anySaid: fc.Arbitrary<Said> = fc.oneof(
  { weight: 4, arbitrary: anySnapshot as fc.Arbitrary<Said> },
  anyExtend,
  anyHold,
  anyPolicy,
  anyDone,
);
const anyHistory = fc.array(fc.oneof({ weight: 6, arbitrary: anySaid }, anyRelease), { maxLength: 40 });

function ledgerOf(said: readonly Said[], limits: ReadonlyMap<number, number> = new Map()): Ledger {
  const read = new Map<string, KnownChain>();
  const authorities = ROLES.map((role, n): Authority => {
    const entries = said
      .filter(({ by }) => by === n)
      .map(
        ({ sec, payload }, sequence): LedgerEntry => ({
          repository: new Uint8Array(32),
          author: author(n),
          sequence,
          previous: new Uint8Array(32),
          time: { sec, nsec: 0 },
          payload,
        }),
      );
    const limit = limits.get(n) ?? Number.POSITIVE_INFINITY;
    read.set(toHex(author(n)), { entries, hashes: entries.map(() => new Uint8Array(32)) });
    const roles = new Set([role]);
    const receiptLimit = role === 'vault' ? Number.POSITIVE_INFINITY : 0;
    return { author: asId('author', author(n)), publicKey: new Uint8Array(32), role, roles, limit, receiptLimit };
  });
  return assembleFor(authorities, [], read);
}

const byId = (all: readonly Standing[]): Map<string, Standing> => new Map(all.map((standing) => [toHex(standing.id), standing]));

t.test(
  'what is kept stays kept, whatever anybody adds: floods, false times, other classes, policies, lies about pruning',
  async (t) => {
    fc.assert(
      fc.property(anyHistory, fc.array(anySaid, { maxLength: 30 }), fc.integer({ min: 0, max: 120 }), (before, after, day) => {
        const now = day * DAY;
        const then = standings(ledgerOf(before), now);
        const later = byId(standings(ledgerOf([...before, ...after]), now));
        for (const standing of then) {
          const hex = toHex(standing.id);
          const still = later.get(hex)!;
          if (standing.retainUntilSec > now || standing.holds.length > 0) {
            if (hasExpired(still, now)) return false;
            if (still.pruned && !standing.pruned) return false;
          }
        }
        // The newest of a stream gives way to its successor only: the last complete one of every stream never expires.
        const last = new Map<string, string>();
        for (const entry of ledgerOf([...before, ...after]).entries) {
          const payload = payloadOf(entry.payload, 'snapshot');
          if (payload?.state === State.complete) last.set(seriesOf({ entry, payload }), toHex(payload.manifest));
        }
        for (const hex of last.values()) if (later.get(hex)!.pruned || hasExpired(later.get(hex)!, 1e15)) return false;
        return true;
      }),
      { numRuns: 3000 },
    );
    t.pass();
  },
);

t.test('ten thousand forged snapshots, past and future, displace nothing', async (t) => {
  const good: Said = {
    by: 3,
    sec: 50 * DAY,
    payload: { type: EntryType.snapshot, manifest: id32(1), stream: author(0), state: 0, retainUntilSec: 60 * DAY, slots: 2 },
  };
  const flood = Array.from(
    { length: 10_000 },
    (_, i): Said => ({
      by: 3,
      sec: (i % 2 === 0 ? i : 1e6 - i) * DAY,
      payload: {
        type: EntryType.snapshot,
        manifest: id32(i % 3 === 0 ? 1 : i + 10),
        stream: author(i % 5),
        state: 0,
        retainUntilSec: 0,
        slots: 0,
      },
    }),
  );
  const found = byId(standings(ledgerOf([good, ...flood]), 59 * DAY)).get(toHex(id32(1)))!;
  t.equal(found.retainUntilSec, 60 * DAY);
  t.notOk(hasExpired(found, 59 * DAY));
});

t.test('retiring a writer, however far back, takes no promise away', async (t) => {
  fc.assert(
    fc.property(anyHistory, fc.nat({ max: 10 }), fc.integer({ min: 0, max: 120 }), (history, count, day) => {
      const now = day * DAY;
      const retired = ledgerOf(history, new Map([[3, count]]));
      const all = [...standings(retired, now), ...disowned(retired)];
      return standings(ledgerOf(history), now).every(
        ({ id, retainUntilSec, holds }) =>
          (retainUntilSec <= now && holds.length === 0) ||
          all.some((other) => toHex(other.id) === toHex(id) && !hasExpired(other, now)),
      );
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('nobody releases a hold that is still to come', async (t) => {
  const snapshot: Said = {
    by: 3,
    sec: 0,
    payload: { type: EntryType.snapshot, manifest: id32(1), stream: author(0), state: 1, retainUntilSec: 0, slots: 0 },
  };
  const release: Said = { by: 1, sec: 5, payload: { type: EntryType.release, author: author(0), sequence: 0, reason: '' } };
  const hold: Said = { by: 0, sec: 10, payload: { type: EntryType.hold, snapshots: id32(1), reason: '' } };
  t.equal(standings(ledgerOf([snapshot, release, hold]))[0]!.holds.length, 1);
  t.equal(standings(ledgerOf([snapshot, hold, { ...release, sec: 11 }]))[0]!.holds.length, 0);
});

// ---- the planner ------------------------------------------------------------------------------------------------------------

interface Tree {
  readonly manifests: Map<string, { readonly pins: Envelope['pins']; readonly pinCount: number; readonly resolved: Set<number> }>;
}

/** Manifests that build on one another at random; `steps` says on which, and what changes. */
function grow(steps: readonly { readonly on: number; readonly full: boolean; readonly packs: readonly number[] }[]): Tree {
  const manifests: Tree['manifests'] = new Map();
  const list: { hex: string; depth: number; ids: Uint8Array }[] = [];
  steps.forEach(({ on, full, packs }, i) => {
    const hex = toHex(id32(1000 + i));
    const base = list[on % Math.max(1, list.length)];
    const ids = joined(packs);
    if (base === undefined || full || base.depth === 16) {
      manifests.set(hex, { pins: { depth: 0, ids }, pinCount: ids.byteLength / 32, resolved: new Set(packs) });
      list.push({ hex, depth: 0, ids });
      return;
    }
    const before = new Set(manifests.get(base.hex)!.resolved);
    const removed = joined([...before].filter((n) => !packs.includes(n)));
    const added = joined(packs.filter((n) => !before.has(n)));
    if (compareBytes(applyDifference(base.ids, removed, added, ''), ids) !== 0) throw new Error('the test is wrong');
    const pins = { depth: base.depth + 1, base: new Uint8Array(Buffer.from(base.hex, 'hex')), removed, added };
    manifests.set(hex, { pins, pinCount: ids.byteLength / 32, resolved: new Set(packs) });
    list.push({ hex, depth: base.depth + 1, ids });
  });
  return { manifests };
}

const anySteps = fc.array(
  fc.record({
    on: fc.nat({ max: 30 }),
    full: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    packs: fc.uniqueArray(fc.nat({ max: 19 }), { maxLength: 20 }),
  }),
  { minLength: 1, maxLength: 30 },
);
const PACKS = Array.from({ length: 18 }, (_, n) => n);

t.test('the longest lock on each pack is that of resolving every manifest, for any tree of differences', async (t) => {
  fc.assert(
    fc.property(anySteps, fc.infiniteStream(fc.nat({ max: 1000 })), (steps, weights) => {
      const { manifests } = grow(steps);
      // Packs 18 and 19 are pinned, but not in the store.
      const table = new PackTable(joined(PACKS));
      const nodes = new Map<string, PinNode>([...manifests].map(([hex, one]) => [hex, pinNode(table, one)]));
      const list = Float64Array.from(manifests, () => weights.next().value as number);
      const { locks, broken } = packLocks(table.count, nodes, list);
      if (broken.size > 0) return false;
      const all = [...manifests.values()];
      return PACKS.every((n) => {
        const expected = Math.max(-1, ...all.map(({ resolved }, i) => (resolved.has(n) ? list[i]! : -1)));
        const number = table.number(toHex(id32(n)))!;
        const by = locks[0]!.by[number]!;
        return (
          locks[0]!.weight[number] === expected && (expected < 0 ? by < 0 : list[by] === expected && all[by]!.resolved.has(n))
        );
      });
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

t.test('pins that do not resolve are found, and those of others are not touched by them', async (t) => {
  const { manifests } = grow([
    { on: 0, full: true, packs: [1, 2, 3] },
    { on: 0, full: true, packs: [4, 5] },
  ]);
  const [first] = manifests.keys();
  const base = new Uint8Array(Buffer.from(first!, 'hex'));
  const bad: Envelope['pins'][] = [
    { depth: 1, base, removed: joined([9]), added: joined([4, 10]) },
    { depth: 1, base, removed: joined([]), added: joined([1]) },
    { depth: 2, base, removed: joined([]), added: joined([9]) },
    { depth: 1, base: id32(77), removed: joined([]), added: joined([4, 5, 6]) },
    { depth: 1, base, removed: joined([1]), added: joined([]) },
  ];
  const table = new PackTable(joined(PACKS));
  bad.forEach((pins, i) => {
    const nodes = new Map(
      [...manifests, ['bad', { pins, pinCount: 4 }] as const].map(([hex, one]) => [hex, pinNode(table, one)]),
    );
    const { locks, broken } = packLocks(table.count, nodes, Float64Array.of(10, 20, 0));
    t.same([...broken], ['bad'], `bad ${i}`);
    for (const n of [1, 2, 3]) t.equal(locks[0]!.weight[table.number(toHex(id32(n)))!], 10);
    for (const n of [4, 5]) t.equal(locks[0]!.weight[table.number(toHex(id32(n)))!], 20);
  });
});

t.test(
  'nothing that is needed, young, or not announced long enough is ever ripe; a base stays while anything builds on it',
  async (t) => {
    const anyDay = fc.integer({ min: 0, max: 40 });
    let ripe = 0;
    fc.assert(
      fc.property(
        anySteps,
        fc.record({
          free: fc.infiniteStream(fc.oneof(anyDay, fc.constant(Number.POSITIVE_INFINITY))),
          stored: fc.infiniteStream(anyDay),
        }),
        fc.array(fc.record({ day: anyDay, packs: fc.array(fc.nat({ max: 19 })), steps: fc.array(fc.nat({ max: 29 })) }), {
          maxLength: 4,
        }),
        fc.record({ now: anyDay, wait: fc.integer({ min: 0, max: 5 }) }),
        (steps, { free, stored }, announced, { now, wait }) => {
          const nowSec = now * DAY;
          const { manifests: tree } = grow(steps);
          const table = new PackTable(joined(PACKS));
          const hexes = [...tree.keys()];
          const snapshots = hexes.map((hex): Standing => {
            const freeSec = (free.next().value as number) * DAY;
            const entry = { author: author(3) } as unknown as LedgerEntry;
            return {
              id: asId('snapshot', new Uint8Array(Buffer.from(hex, 'hex'))),
              entry,
              freeSec,
              pruned: false,
              overtaken: false,
              holds: [],
              newest: false,
            } as unknown as Standing;
          });
          const manifests = new Map(
            [...tree].map(([hex, one]): [string, StoredManifest] => [
              hex,
              { storedSec: 0, session: '', indexes: [], pins: pinNode(table, one) },
            ]),
          );
          const intents = announced.map(
            ({ day, packs, steps: which }, sequence): Intent => ({
              author: author(0),
              sequence,
              sinceSec: day * DAY,
              packs: joined(packs),
              snapshots: joinSorted(
                [...new Set(which.filter((i) => i < hexes.length))].map((i) => new Uint8Array(Buffer.from(hexes[i]!, 'hex'))),
              ),
              indexes: new Uint8Array(),
            }),
          );
          const packStoredSec = Float64Array.from(PACKS, () => (stored.next().value as number) * DAY);
          const input: PruneInput = {
            nowSec,
            waitSec: wait * DAY,
            snapshots,
            disowned: [],
            manifests,
            packs: table,
            packBytes: new Float64Array(table.count),
            packStoredSec,
            indexes: new Map(),
            intents,
          };
          const plan = planPacks(input);
          const waited = (sinceSec: number): boolean => nowSec - sinceSec >= Math.max(wait * DAY, GRACE_SEC);
          const going = new Set(plan.snapshots.filter(({ state }) => state === 'ripe').map(({ id }) => id));
          for (const hex of going) {
            const { freeSec } = snapshots[hexes.indexOf(hex)]!;
            if (nowSec - freeSec < GRACE_SEC) return false;
            if (
              !intents.some(
                (intent) => waited(intent.sinceSec) && Buffer.from(intent.snapshots).includes(Buffer.from(hex, 'hex')),
              )
            )
              return false;
          }
          const left = new Set(hexes.filter((hex) => !plan.manifestsToDelete.includes(hex)));
          for (const hex of left) {
            const { base } = manifests.get(hex)!.pins!;
            if (base !== undefined && !left.has(base)) return false;
          }
          for (const { id, state } of plan.packs) {
            if (state !== 'ripe') continue;
            ripe++;
            const number = table.number(id)!;
            const n = PACKS.find((pack) => toHex(id32(pack)) === id)!;
            if (nowSec - packStoredSec[number]! < ORPHAN_SEC) return false;
            if (!announced.some(({ day, packs }) => packs.includes(n) && waited(day * DAY))) return false;
            if (hexes.some((hex) => tree.get(hex)!.resolved.has(n) && !going.has(hex))) return false;
          }
          return true;
        },
      ),
      { numRuns: 3000 },
    );
    t.ok(ripe > 100, `${ripe} packs were ripe`);
  },
);

// ---- overlapping runs -------------------------------------------------------------------------------------------------------

const random16 = (): Uint8Array => new Uint8Array(randomBytes(16));

/** A repository in memory, in which commits are real and packs are headers. */
async function modelRepository(
  clock: StoreClock,
): Promise<(before?: (operation: Operation, name: string) => Promise<void> | void) => Repository> {
  const store = new MemoryStore();
  const policy = { minimumSec: DAY, hourSec: 0, daySec: 2 * DAY, weekSec: 0, monthSec: 0, yearSec: 0 };
  const { place, keyring } = await initRepository(new ClockedStore(store, clock), { label: '', policy, nowMs: clock.nowMs });
  return (before) => openRepository({ ...place, store: new ClockedStore(store, clock, before) }, keyring, '');
}

async function modelBackup(repository: Repository, clock: StoreClock, random: () => number): Promise<Uint8Array> {
  const nowMs = (): number => clock.nowMs;
  const ids = {
    repository: repository.id,
    writer: writerAuthor(repository),
    domain: repository.keyring.writer!.domain,
    session: random16(),
  };
  const sealed = { enc: id32(1), ct: new Uint8Array(48), commitment: id32(2) };
  const usable: Uint8Array[] = [];
  const { packs: going } = intended((await loadLedger(repository)).entries);
  for await (const { name } of repository.store.list('packs/')) {
    const hex = name.slice(-64);
    if (!going.has(hex) && random() < 0.5) usable.push(new Uint8Array(Buffer.from(hex, 'hex')));
  }
  for (let i = 0; i < 2; i++) {
    const header = encodePackHeader({ ...ids, ...sealed, packClass: PackClass.data, salt: new Uint8Array(randomBytes(32)) });
    const id = sha256(header);
    await repository.store.put(packName(id), [header]);
    usable.push(id);
  }
  const run = {
    keys: { ...ids, sealed, sessionKey: new Uint8Array(32), indexKey: new Uint8Array(32) },
    pins: () => ({ ids: usable, bytes: 0 }),
    storedBytes: 0,
    indexIds: [],
  } as unknown as Run;
  const root = {
    name: new Uint8Array(),
    mode: 0o755,
    owner: { uid: 0, gid: 0, user: null, group: null },
    mtimeSec: 0,
    mtimeNsec: 0,
    btimeSec: null,
    btimeNsec: 0,
    xattrs: [],
    link: null,
    kind: EntryKind.directory,
    tree: id32(3),
    totals: { files: 0, directories: 0, bytes: 0 },
  } as const;
  const body = { host: 'h', label: 'l', paths: [], tags: [], root, problems: [], problemCount: 0, program: '', notes: [] };
  const stream = asId('stream', author(random() < 0.5 ? 1 : 2));
  return (
    await commit(
      repository,
      run,
      { stream, body, startedMs: clock.nowMs, claimedMs: clock.nowMs, complete: random() < 0.8 },
      nowMs,
    )
  ).id;
}

/** What listed snapshots lack. */
async function lost(repository: Repository, clock: StoreClock): Promise<string[]> {
  const missing: string[] = [];
  const stored = new Set<string>();
  for await (const { name } of repository.store.list('packs/')) stored.add(name.slice(-64));
  for (const { id } of standings(await loadLedger(repository), clock.nowMs / 1000).filter(({ pruned }) => !pruned)) {
    const read = async (base: Uint8Array): Promise<Envelope> => (await readEnvelope(repository, base)).envelope;
    const pins = await resolvePins(await read(id), read, toHex(id)).catch((error: Error) => error);
    if (pins instanceof Error) missing.push(pins.message);
    else
      for (let at = 0; at < pins.byteLength; at += 32)
        if (!stored.has(toHex(pins.subarray(at, at + 32)))) missing.push(`${toHex(id)} lacks a pack`);
  }
  return missing;
}

t.test(
  'a thousand backups that overlap a prune, at any operation of either, with clocks that run on meanwhile, lose nothing',
  async (t) => {
    let overlaps = 0;
    let refused = 0;
    let deleted = 0;
    for (let seed = 1; overlaps < 1000; seed++) {
      let state = seed * 7919;
      const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
      const clock: StoreClock = { nowMs: Date.parse('2024-01-01T00:00:00Z'), stored: new Map() };
      const open = await modelRepository(clock);
      const promised: { hex: string; untilSec: number }[] = [];
      type Hook = (operation: Operation, name: string) => Promise<void>;
      const backup = async (before?: Hook): Promise<void> => {
        try {
          const id = toHex(await modelBackup(open(before), clock, random));
          const standing = byId(standings(await loadLedger(open()), clock.nowMs / 1000)).get(id)!;
          promised.push({ hex: id, untilSec: standing.retainUntilSec });
        } catch (error) {
          if (!(error instanceof StoreError) && (error as { code?: string }).code !== 'NOT_FOUND') throw error;
          refused++;
        }
      };
      const prune = async (before?: Hook): Promise<void> => {
        const nowMs = (): number => clock.nowMs;
        if (random() < 0.6) await announcePrune(open(before), { nowMs });
        if (random() < 0.5) clock.nowMs += 3 * DAY * 1000;
        if (random() < 0.8) deleted += (await sweepPrune(open(before), { nowMs })).packs.length;
      };
      const once = (at: number, work: () => Promise<void>): (() => Promise<void>) => {
        let left = at;
        return async () => {
          if (left-- === 0) await work();
        };
      };
      for (let round = 0; round < 25; round++) {
        clock.nowMs += Math.floor(random() * 2 * DAY * 1000);
        const [outer, inner] = random() < 0.5 ? [backup, prune] : [prune, backup];
        await outer(once(Math.floor(random() * 60), async () => inner()));
        overlaps++;
        const missing = await lost(open(), clock);
        if (missing.length > 0) t.same(missing, [], `seed ${seed}, round ${round}`);
        const listed = new Set(
          standings(await loadLedger(open()), clock.nowMs / 1000)
            .filter(({ pruned }) => !pruned)
            .map(({ id }) => toHex(id)),
        );
        for (const { hex, untilSec } of promised)
          if (untilSec > clock.nowMs / 1000 && !listed.has(hex)) t.fail(`seed ${seed}, round ${round}: ${hex} is not listed`);
      }
    }
    t.ok(deleted > 100, `${deleted} packs were deleted, ${refused} of ${overlaps} backups had to be run again`);
  },
);
