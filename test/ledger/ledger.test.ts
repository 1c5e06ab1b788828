/** The ledger: chains that are whole and signed, or refused; appends that race; pins through differences; and what a name finds. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { compareBytes, concat, toHex, utf8 } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import {
  BadSignatureError,
  CorruptError,
  NotFoundError,
  RefusedError,
  RepositoryExistsError,
  RoleError,
} from '../../lib/errors.js';
import { decodeEntry, ENTRY_LABEL, encodeEntry, type LedgerEntry } from '../../lib/format/entry.js';
import { type Envelope, MAX_PIN_DEPTH, State } from '../../lib/format/manifest.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { appendEntry } from '../../lib/ledger/append.js';
import type { Authority, KnownChain } from '../../lib/ledger/authority.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { applyDifference, encodePins, hasPin, joinSorted, resolvePins } from '../../lib/ledger/pins.js';
import { findSnapshot, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { assembleFor } from '../../lib/ledger/state.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import type { Store } from '../../lib/store/store.js';
import { storedNames } from '../helpers/stored-names.js';

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const NOW = { sec: 1_700_000_000, nsec: 0 };

async function newRepository(): Promise<{ store: MemoryStore; repository: Repository; author: Uint8Array }> {
  const store = new MemoryStore();
  const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
  return { store, repository: openRepository(place, keyring, ''), author: authorOf(publicKeyOf(keyring.writer!.seed)) };
}

const snapshotPayload = (manifest: Uint8Array = random(32)) =>
  ({ type: EntryType.snapshot, manifest, stream: new Uint8Array(16), state: 0, retainUntilSec: 0, slots: 0 }) as const;

async function append(repository: Repository, count: number): Promise<void> {
  for (let i = 0; i < count; i++)
    await appendEntry(repository, repository.keyring.writer!.seed, { sec: NOW.sec + i, nsec: 0 }, () => snapshotPayload());
}

/** Puts other bytes under a name, as an attacker who owns the store can. */
async function replace(store: MemoryStore, name: string, bytes: Uint8Array): Promise<void> {
  await store.remove(name);
  await store.put(name, [bytes]);
}

t.test('a new repository has an admin’s chain of three, and the writer’s grows one by one', async (t) => {
  const { repository } = await newRepository();
  t.same(
    (await loadLedger(repository, true)).entries.map(({ payload }) => payload.type),
    [EntryType.genesis, EntryType.writerCert, EntryType.policy],
  );
  await append(repository, 5);
  const ledger = await loadLedger(repository, true);
  t.equal(snapshotRecords(ledger).length, 5);
  t.same(
    ledger.chains.map(({ role, entries }) => [role, entries.length]),
    [
      ['admin', 3],
      ['writer', 5],
    ],
  );
  t.same(
    ledger.chains[1]!.entries.map(({ sequence }) => sequence),
    [0, 1, 2, 3, 4],
  );
});

t.test('twenty appends at once all find a place, in one unbroken chain', async (t) => {
  const { repository } = await newRepository();
  const manifests = Array.from({ length: 20 }, () => random(32));
  const entries = await Promise.all(
    manifests.map((manifest) => appendEntry(repository, repository.keyring.writer!.seed, NOW, () => snapshotPayload(manifest))),
  );
  t.same(
    entries.map(({ sequence }) => sequence).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i),
  );
  const records = snapshotRecords(await loadLedger(repository, true));
  t.same(records.map(({ id }) => toHex(id)).sort(), manifests.map(toHex).sort());
});

t.test('a missing entry is noticed: in the middle, at the start; a missing end is what only a witness could know', async (t) => {
  for (const gone of [0, 2]) {
    const { store, repository, author } = await newRepository();
    await append(repository, 5);
    await store.remove(entryName(asId('author', author), gone));
    await t.rejects(loadLedger(repository), CorruptError);
    await t.rejects(append(repository, 1), CorruptError, 'and nothing is appended to a broken chain');
  }
});

t.test('an entry with any bit changed is refused when every signature is checked', async (t) => {
  const { store, repository, author } = await newRepository();
  await append(repository, 3);
  for (const sequence of [0, 2]) {
    const name = entryName(asId('author', author), sequence);
    const sound = await store.get(name);
    for (let at = 0; at < sound.byteLength; at += 7) {
      const bytes = sound.slice();
      bytes[at]! ^= 1 << (at % 8);
      await replace(store, name, bytes);
      const error = await loadLedger(repository, true).catch((failure: unknown) => failure);
      t.ok(
        error instanceof CorruptError ||
          error instanceof BadSignatureError ||
          (error as { code?: string }).code === 'NEWER_FORMAT',
        `${sequence}, byte ${at}: ${String(error)}`,
      );
    }
    await replace(store, name, sound);
  }
  await loadLedger(repository, true);
});

t.test(
  'the head’s signature vouches for the chain: a rewritten history is refused without checking every signature',
  async (t) => {
    const { store, repository, author } = await newRepository();
    await append(repository, 4);
    const name = (sequence: number): string => entryName(asId('author', author), sequence);
    // An attacker rewrites entry 1 and all hashes after it, but cannot sign.
    let previous = sha256(await store.get(name(0)));
    for (let sequence = 1; sequence < 4; sequence++) {
      const { entry, signature } = decodeEntry(await store.get(name(sequence)), name(sequence));
      const signed = encodeEntry({ ...entry, previous, payload: sequence === 1 ? snapshotPayload() : entry.payload });
      const bytes = concat(signed, signature);
      previous = sha256(bytes);
      await replace(store, name(sequence), bytes);
    }
    await t.rejects(loadLedger(repository), BadSignatureError);
  },
);

t.test('an entry under another name, of another repository, or out of its chain is refused', async (t) => {
  const { store, repository, author } = await newRepository();
  await append(repository, 2);
  const seed = repository.keyring.writer!.seed;
  const name = entryName(asId('author', author), 2);
  const previous = sha256(await store.get(entryName(asId('author', author), 1)));
  const sound: LedgerEntry = { repository: repository.id, author, sequence: 2, previous, time: NOW, payload: snapshotPayload() };
  const wrong: Record<string, LedgerEntry> = {
    'of another repository': { ...sound, repository: random(32) },
    'of another author': { ...sound, author: random(16) },
    'with another number': { ...sound, sequence: 3 },
    'that follows something else': { ...sound, previous: random(32) },
  };
  for (const [what, entry] of Object.entries(wrong)) {
    const signed = encodeEntry(entry);
    await replace(store, name, concat(signed, sign(seed, ENTRY_LABEL, signed)));
    await t.rejects(loadLedger(repository), CorruptError, what);
  }
  const signed = encodeEntry(sound);
  await replace(store, name, concat(signed, sign(random(32), ENTRY_LABEL, signed)));
  await t.rejects(loadLedger(repository), BadSignatureError, 'signed with another key');
  await replace(store, name, concat(signed, sign(seed, ENTRY_LABEL, signed)));
  t.equal((await loadLedger(repository, true)).entries.length, 6);
});

t.test('a chain of somebody whom no admin certified is refused, and a name that is none', async (t) => {
  const { store, repository } = await newRepository();
  const stranger = random(32);
  await appendEntry(repository, stranger, NOW, () => snapshotPayload());
  await t.rejects(loadLedger(repository), BadSignatureError);
  const second = await newRepository();
  await second.store.put('ledger/readme', [random(3)]);
  await t.rejects(loadLedger(second.repository), CorruptError);
  t.ok(store);
});

t.test('a store whose ledger is another at every listing keeps nobody for ever', async (t) => {
  for (const growing of [false, true]) {
    const { store, repository } = await newRepository();
    const list = store.list.bind(store);
    let listings = 0;
    store.list = async function* (prefix) {
      yield* list(prefix);
      if (++listings > 1000) throw new Error('still listing');
      // Of somebody whom nobody certified.
      for (let i = 0; i < (growing ? listings : 1 + (listings % 2)); i++)
        yield { name: entryName(asId('author', new Uint8Array(16)), i), sizeBytes: 100, storedMs: 0 };
    };
    await t.rejects(loadLedger(repository), BadSignatureError);
    t.ok(listings < 50, `${listings} listings`);
  }
});

t.test('a repository whose ledger is gone is no empty one', async (t) => {
  const { store, repository } = await newRepository();
  for (const name of await storedNames(store, 'ledger/')) await store.remove(name);
  await t.rejects(loadLedger(repository), { code: 'CORRUPT', message: /first entry is missing/ });
});

t.test('a certificate in a writer’s own chain certifies nobody', async (t) => {
  const { repository } = await newRepository();
  const friend = random(32);
  await appendEntry(repository, repository.keyring.writer!.seed, NOW, () => ({
    type: EntryType.writerCert,
    publicKey: publicKeyOf(friend),
    domain: new Uint8Array(16),
  }));
  await appendEntry(repository, friend, NOW, () => snapshotPayload());
  await t.rejects(loadLedger(repository), BadSignatureError);
});

t.test('without a key nothing is appended', async (t) => {
  const { repository } = await newRepository();
  await t.rejects(
    appendEntry(repository, null, NOW, () => snapshotPayload()),
    RoleError,
  );
});

t.test('init removes nothing that is not its own', async (t) => {
  for (const name of ['keys/id_rsa', 'ledger/2026.csv', `ledger/${'0'.repeat(32)}/deeper`]) {
    const { store } = await newRepository();
    await store.put(name, [utf8('precious')]);
    await store.remove('genesis');
    const before = await storedNames(store, '');
    await t.rejects(initRepository(store, { label: 'again', policy: DEFAULT_POLICY }), RefusedError, name);
    t.same(await storedNames(store, ''), before);
  }
});

t.test('init leaves what it finds: a repository, or what is left of one', async (t) => {
  const { store } = await newRepository();
  await t.rejects(initRepository(store, { label: 'again', policy: DEFAULT_POLICY }), RepositoryExistsError);
  await store.put('packs/00/thing', [random(5)]);
  await store.remove('genesis');
  const before = await storedNames(store, '');
  await t.rejects(initRepository(store, { label: 'again', policy: DEFAULT_POLICY }), RefusedError);
  t.same(await storedNames(store, ''), before);
  await store.remove('packs/00/thing');
  const { place, keyring } = await initRepository(store, { label: 'again', policy: DEFAULT_POLICY });
  t.equal(
    (await loadLedger(openRepository(place, keyring, ''), true)).entries.length,
    3,
    'keys and entries of an interrupted init are cleared away',
  );
});

/** A store whose operations take a random while, so that what runs at once comes in any order. */
function slowed(store: Store): Store {
  const wait = (): Promise<unknown> => sleep(Math.random() * 4);
  return {
    location: store.location,
    put: async (name, parts) => wait().then(() => store.put(name, parts)),
    get: async (name, range) => wait().then(() => store.get(name, range)),
    stat: async (name) => wait().then(() => store.stat(name)),
    remove: async (name) => wait().then(() => store.remove(name)),
    async *list(prefix) {
      for await (const info of store.list(prefix)) {
        await wait();
        yield info;
      }
    },
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

t.test('of several inits at once one makes the repository, and the others say that there is one', async (t) => {
  for (let round = 0; round < 5; round++) {
    const store = new MemoryStore();
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map((i) =>
        initRepository(slowed(store), { label: `${i}`, policy: DEFAULT_POLICY, passphrase: 'secret', log2N: 4 }),
      ),
    );
    const made = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    t.equal(made.length, 1);
    for (const { reason } of refused) t.ok(reason instanceof RepositoryExistsError, String(reason));
    const { place, keyring, slot } = made[0]!.value;
    t.equal((await loadLedger(openRepository(place, keyring, ''), true)).entries.length, 4, 'genesis, certificate, policy, slot');
    t.same(
      (await storedNames(store, '')).filter((name) => !name.startsWith('ledger/')),
      ['genesis', `keys/${slot!.id}`],
    );
  }
});

t.test('a claim of an init stands for as long as its process does', async (t) => {
  const other = spawn('sleep', ['100']);
  t.teardown(() => other.kill());
  const store = new MemoryStore();
  const claim = `init-${'0'.repeat(32)}`;
  const claims = (fields: object): Promise<void> =>
    store.put(claim, [Buffer.from(JSON.stringify({ host: hostname(), ms: Date.now(), ...fields }))]);
  await claims({ pid: other.pid });
  const waiting = initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
  t.equal(await Promise.race([waiting, sleep(500, 'waits')]), 'waits');
  other.kill();
  await once(other, 'close');
  await waiting;
  t.notOk((await storedNames(store, '')).includes(claim), 'a claim of a process that is gone is removed');

  // What is left of a process before this one, of another machine long ago, or of nobody.
  for (const fields of [{ pid: process.pid }, { pid: 1, host: 'elsewhere', ms: Date.now() - 3_600_000 }, { pid: 'x' }]) {
    await store.remove(claim);
    await store.remove('genesis');
    await claims(fields);
    await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
    t.notOk((await storedNames(store, '')).includes(claim), JSON.stringify(fields));
  }
});

/** A writer's authority, and what was read of its chain. */
const chainOf = (times: readonly number[]): { authority: Authority; raw: KnownChain } => {
  const author = asId('author', random(16));
  const entries = times.map((at, sequence) => ({
    repository: random(32),
    author,
    sequence,
    previous: random(32),
    time: { sec: at, nsec: 0 },
    payload: snapshotPayload(),
  }));
  const hashes = entries.map(() => random(32));
  const roles = new Set(['writer'] as const);
  const limit = Number.POSITIVE_INFINITY;
  return {
    authority: { author, publicKey: random(32), role: 'writer', roles, limit, receiptLimit: 0 },
    raw: { entries, hashes },
  };
};

t.test('merging keeps each chain’s own order, loses nothing, and orders by time where the clocks allow', async (t) => {
  const anyChain = fc.array(fc.integer({ min: -50, max: 50 }), { maxLength: 12 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(anyChain, { maxLength: 5 }), (all) => {
        const chains = all.map(chainOf);
        const read = new Map(chains.map(({ authority, raw }) => [toHex(authority.author), raw]));
        const { entries: merged } = assembleFor(
          chains.map(({ authority }) => authority),
          [],
          read,
        );
        for (const { entries } of read.values())
          if (entries.some((entry, i) => i > 0 && merged.indexOf(entry) < merged.indexOf(entries[i - 1]!))) return false;
        const sane = all.every((times) => times.every((at, i) => i === 0 || at >= times[i - 1]!));
        const ordered = merged.every(({ time }, i) => i === 0 || time.sec >= merged[i - 1]!.time.sec);
        return merged.length === all.flat().length && (!sane || ordered);
      }),
    ),
  );
});

const anyPins = fc
  .uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 30 })
  .map((list) => joinSorted(list.map((n) => sha256(Uint8Array.of(n)))));
const envelopeOf = (pins: Envelope['pins'], pinCount: number): Envelope => ({ pins, pinCount }) as Envelope;

t.test('pins come back through any chain of differences, and never deeper than allowed', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(anyPins, { minLength: 1, maxLength: 40 }), async (history) => {
        const stored = new Map<string, Envelope>();
        const read = async (id: Uint8Array): Promise<Envelope> => stored.get(toHex(id))!;
        let base: { id: Uint8Array; envelope: Envelope; ids: Uint8Array } | undefined;
        for (const ids of history) {
          const envelope = envelopeOf(encodePins(ids, base), ids.byteLength / 32);
          if (envelope.pins.depth > MAX_PIN_DEPTH) throw new Error(`depth ${envelope.pins.depth}`);
          if (compareBytes(await resolvePins(envelope, read, 'manifest'), ids) !== 0) throw new Error('other pins');
          const id = random(32);
          stored.set(toHex(id), envelope);
          base = { id, envelope, ids };
        }
      }),
      { numRuns: 60 },
    ),
  );
  const ids = joinSorted(Array.from({ length: 30 }, (_, n) => sha256(Uint8Array.of(n))));
  const base = { id: random(32), envelope: envelopeOf({ depth: 0, ids }, 30), ids };
  t.equal(encodePins(ids, base).depth, 1, 'an unchanged list is written as a difference');
  for (let n = 0; n < 60; n++) t.equal(hasPin(ids, sha256(Uint8Array.of(n))), n < 30);
});

t.test('a difference that does not fit its base is refused', async (t) => {
  const [a, b, c] = [1, 2, 3].map((n) => sha256(Uint8Array.of(n))) as [Uint8Array, Uint8Array, Uint8Array];
  const base = joinSorted([a, b]);
  const none = new Uint8Array(0);
  t.same(applyDifference(base, a, c, 'm'), joinSorted([b, c]));
  t.throws(() => applyDifference(base, c, none, 'm'), CorruptError);
  t.throws(() => applyDifference(base, none, a, 'm'), CorruptError);
  const read = async (): Promise<Envelope> => envelopeOf({ depth: 0, ids: base }, 2);
  await t.rejects(
    resolvePins(envelopeOf({ depth: 1, base: random(32), removed: none, added: c }, 2), read, 'm'),
    CorruptError,
    'a wrong count',
  );
  await t.rejects(
    resolvePins(envelopeOf({ depth: 2, base: random(32), removed: none, added: c }, 3), read, 'm'),
    CorruptError,
    'a wrong depth',
  );
});

t.test('a snapshot is found by a prefix, as latest, and by a time; partial ones are not the latest', async (t: Test) => {
  const at = (text: string): { sec: number; nsec: number } => ({ sec: Date.parse(text) / 1000, nsec: 0 });
  const make = (hex: string, time: string, state: number = State.complete) => ({
    id: asId('snapshot', new Uint8Array(Buffer.from(hex.padEnd(64, '0'), 'hex'))),
    payload: { ...snapshotPayload(), state },
    time: at(time),
  });
  const all = [
    make('aaaa1', '2026-01-01T00:00Z'),
    make('aaaa2', '2026-01-02T00:00Z'),
    make('bbbb', '2026-01-03T00:00Z'),
    make('cccc', '2026-01-04T00:00Z', State.partial),
  ];
  const found = (name: string): string => toHex(findSnapshot(all, name).id).replace(/0+$/, '');
  t.equal(found('latest'), 'bbbb');
  t.equal(found('latest~0'), 'bbbb');
  t.equal(found('latest~2'), 'aaaa1');
  t.equal(found('aaaa2'), 'aaaa2');
  t.equal(found('cccc'), 'cccc', 'an id finds a partial one');
  t.equal(found('@2026-01-02T12:00Z'), 'aaaa2');
  t.equal(found('@2026-01-02T00:00Z'), 'aaaa2');
  t.equal(found('@2026-01-09T00:00Z'), 'bbbb');
  const later = all.map((one, i) => ({ ...one, time: { sec: one.time.sec + 13, nsec: 570_000_000 + i } }));
  const among = (name: string): string => toHex(findSnapshot(later, name).id).replace(/0+$/, '');
  for (const name of ['', 'T00:00Z', ' 00:00Z', 'T00:00:13Z', 'T01:00:13+01:00', 'T00:00:13.571Z'])
    t.equal(among(`@2026-01-02${name}`), 'aaaa2', `${name}: as lists show it, without fractions`);
  for (const name of ['T00:00:12Z', 'T00:00:13.569Z']) t.equal(among(`@2026-01-02${name}`), 'aaaa1', name);
  t.throws(() => findSnapshot(all, 'aaaa'), { message: /ambiguous.*aaaa1.*aaaa2/ });
  for (const name of [
    'latest~3',
    'dddd',
    'aaa',
    'AAAA1',
    '@2025-12-31T00:00Z',
    '@yesterday',
    '@2026',
    '@-1',
    '',
    'latest~-1',
    'latest~',
    'zzzz',
    `${'a'.repeat(65)}`,
  ])
    t.throws(() => findSnapshot(all, name), NotFoundError, name);
  t.throws(() => findSnapshot([], 'latest'), NotFoundError);
});
