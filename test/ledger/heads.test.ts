/**
 * What a machine remembers of a ledger: whatever a storage takes away, brings back or shows to one and not to the other is noticed by everybody who saw more,
 * and only an admin's word brings such a repository back. Every storage here is an attacker's.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { statusOf } from '../../cli/exit.js';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { CorruptError, RefusedError, RoleError, RolledBackError, StoreError } from '../../lib/errors.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { acceptFork } from '../../lib/ledger/accept-fork.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { headsFolder, rememberHeads } from '../../lib/ledger/heads.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, listAuthors, newWriterKey, revokeAuthor } from '../../lib/ledger/roles.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { openRepository, type Repository, type RepositoryPlace } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { verifyLedger } from '../../lib/verify/verify-ledger.js';
import { scratch } from '../helpers/backup-repository.js';

const folder = scratch(t);
const START_MS = 1_700_000_000_000;
let clockMs = START_MS;
const now = (): { sec: number; nsec: number } => ({ sec: Math.floor((clockMs += 60_000) / 1000), nsec: 0 });

class Scene {
  readonly store = new MemoryStore();
  readonly #state = join(folder, String(Math.random()).slice(2));
  place!: RepositoryPlace;
  keyring!: Keyring;

  async begin(): Promise<this> {
    const made = await initRepository(this.store, { label: 'test', policy: DEFAULT_POLICY, nowMs: (clockMs += 60_000) });
    this.place = made.place;
    this.keyring = made.keyring;
    return this;
  }

  stateDir(name: string): string {
    return join(this.#state, name);
  }

  /** A machine of its own: the repository with what `name` remembers. */
  client(name: string, keyring = this.keyring, store = this.store): Repository {
    const place = { ...this.place, store };
    return openRepository(place, keyring, '', { heads: rememberHeads(place, this.stateDir(name)) });
  }

  /** The storage as it is now, to be shown again later. */
  async image(): Promise<Map<string, Uint8Array>> {
    const image = new Map<string, Uint8Array>();
    for await (const { name } of this.store.list('')) image.set(name, (await this.store.get(name)).slice());
    return image;
  }

  async show(image: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const names: string[] = [];
    for await (const { name } of this.store.list('')) names.push(name);
    for (const name of names) await this.store.remove(name);
    for (const [name, bytes] of image) await this.store.put(name, [bytes]);
  }
}

let manifests = 0;
/** One more snapshot entry of the writer of `repository`. */
async function snapshot(repository: Repository): Promise<void> {
  const manifest = new Uint8Array(32).fill(++manifests);
  await appendEntry(repository, repository.keyring.writer!.seed, now(), () => ({
    type: EntryType.snapshot,
    manifest,
    stream: new Uint8Array(16),
    state: 0,
    retainUntilSec: 0,
    slots: 0,
  }));
}

const writerOf = ({ keyring }: Scene): string => toHex(authorOf(publicKeyOf(keyring.writer!.seed)));

t.test(
  'entries that were seen and are gone are a rollback for everybody who saw them, and nothing is written over it',
  async (t) => {
    const scene = await new Scene().begin();
    const a = scene.client('a');
    await loadLedger(a);
    for (let i = 0; i < 3; i++) await snapshot(a);
    await loadLedger(scene.client('b'));
    await scene.store.remove(entryName(authorOf(publicKeyOf(scene.keyring.writer!.seed)), 2));
    for (const name of ['a', 'b']) {
      const error = await loadLedger(scene.client(name)).catch((caught: unknown) => caught);
      t.ok(error instanceof RolledBackError, name);
      t.match((error as Error).message, `ledger/${writerOf(scene)} had 3 entries and has 2`, 'what is missing is named');
      await t.rejects(snapshot(scene.client(name)), RolledBackError, 'an append does not build on it either');
    }
    const before = await scene.image();
    await t.rejects(snapshot(scene.client('a')), RolledBackError);
    t.same([...(await scene.image()).keys()], [...before.keys()], 'nothing was written');
    await t.resolves(loadLedger(scene.client('new')), 'who saw nothing before has nothing to go by');
  },
);

t.test('an older image of the whole repository is a rollback, and the newer one is right again', async (t) => {
  const scene = await new Scene().begin();
  await snapshot(scene.client('a'));
  const old = await scene.image();
  await snapshot(scene.client('a'));
  await appendEntry(scene.client('a'), scene.keyring.adminSeed, now(), () => ({ type: EntryType.policy, ...DEFAULT_POLICY }));
  const recent = await scene.image();
  await scene.show(old);
  await t.rejects(loadLedger(scene.client('a')), RolledBackError);
  await t.rejects(loadLedger(scene.client('a')), RolledBackError, 'and stays one: looking does not make it right');
  await scene.show(recent);
  await t.resolves(loadLedger(scene.client('a')));
});

t.test('another chain with valid signatures is a fork, and so are two histories for two clients', async (t) => {
  const scene = await new Scene().begin();
  await snapshot(scene.client('a'));
  await loadLedger(scene.client('b'));
  const common = await scene.image();
  await snapshot(scene.client('a'));
  const forA = await scene.image();
  // The same author signed something else on another machine, or its key was stolen.
  await scene.show(common);
  await snapshot(scene.client('b'));
  await snapshot(scene.client('b'));
  const forB = await scene.image();
  const error = await loadLedger(scene.client('a')).catch((caught: unknown) => caught);
  t.ok(error instanceof RolledBackError, 'longer, but not the same');
  t.match((error as Error).message, `ledger/${writerOf(scene)} has another entry 1 than it had`);
  await t.resolves(loadLedger(scene.client('b')));
  await scene.show(forA);
  await t.resolves(loadLedger(scene.client('a')));
  await t.rejects(loadLedger(scene.client('b')), RolledBackError);
  await scene.show(forB);
  await t.rejects(snapshot(scene.client('a')), RolledBackError);
});

t.test('an admin accepts what is there: for this machine, for others that see it, and once', async (t) => {
  const scene = await new Scene().begin();
  await snapshot(scene.client('a'));
  await loadLedger(scene.client('b'));
  const old = await scene.image();
  for (let i = 0; i < 2; i++) await snapshot(scene.client('a'));
  await loadLedger(scene.client('b'));
  await scene.show(old);
  await t.rejects(loadLedger(scene.client('b')), RolledBackError);
  const writerOnly = { ...scene.keyring, adminSeed: null };
  await t.rejects(acceptFork(scene.client('a', writerOnly), { reason: 'I say so' }), RoleError, 'a writer cannot');
  const differences = await acceptFork(scene.client('a'), { reason: 'the disk failed', nowMs: clockMs });
  t.same(differences, [`ledger/${writerOf(scene)} had 3 entries and has 1`], 'what is lost is said');
  await t.resolves(loadLedger(scene.client('a')));
  await t.resolves(loadLedger(scene.client('b')), 'another client goes on when it sees the entry');
  await t.rejects(
    acceptFork(scene.client('a'), { reason: 'again', nowMs: clockMs }),
    RefusedError,
    'there is nothing left to accept',
  );
  const accepted = await scene.image();

  for (let i = 0; i < 2; i++) await snapshot(scene.client('b'));
  await loadLedger(scene.client('a'));
  await scene.show(accepted);
  for (const name of ['a', 'b'])
    await t.rejects(
      loadLedger(scene.client(name)),
      RolledBackError,
      `the same acceptance is no way back a second time (${name})`,
    );
});

t.test('an acceptance that was kept back does not cover what is taken away later', async (t) => {
  const scene = await new Scene().begin();
  await snapshot(scene.client('host'));
  const first = await scene.image();
  await acceptFork(scene.client('admin'), { reason: 'a precaution', anyway: true, nowMs: (clockMs += 60_000) });
  const accepted = await scene.image();
  // The host is never shown the admin's entry, and goes on.
  await scene.show(first);
  for (let i = 0; i < 3; i++) await snapshot(scene.client('host'));
  await scene.show(accepted);
  await t.rejects(loadLedger(scene.client('host')), RolledBackError);
});

t.test('an acceptance by a key that was rotated, or over chains that are not these, counts for nothing', async (t) => {
  const scene = await new Scene().begin();
  const stolen = scene.keyring;
  await snapshot(scene.client('a'));
  const old = await scene.image();
  const rotation = await prepareRotation(scene.client('a'), 'admin', { nowMs: (clockMs += 60_000) });
  await rotation.commit();
  scene.keyring = rotation.keyring;
  const rotated = await scene.image();
  await snapshot(scene.client('a'));
  await scene.show(rotated);
  await t.rejects(acceptFork(scene.client('thief', stolen), { reason: 'x', anyway: true }), RoleError, 'the program says so');
  const admin = authorOf(publicKeyOf(stolen.adminSeed!));
  // Without the program: the entry is put all the same.
  await appendEntry(openRepository(scene.place, stolen, ''), stolen.adminSeed, now(), () => ({
    type: EntryType.acceptFork,
    heads: [],
    reason: 'x',
  }));
  await t.rejects(loadLedger(scene.client('a')), RolledBackError);
  await scene.show(old);
  await appendEntry(openRepository(scene.place, stolen, ''), stolen.adminSeed, now(), () => ({
    type: EntryType.acceptFork,
    heads: [{ author: admin, count: 1, head: new Uint8Array(32) }],
    reason: 'over another chain',
  }));
  await t.rejects(loadLedger(scene.client('a')), RolledBackError);
});

t.test('whoever cuts off the end of a retired author’s chain is noticed by everybody, with or without a memory', async (t) => {
  const scene = await new Scene().begin();
  const host = newWriterKey(scene.client('admin'));
  await certifyWriter(scene.client('admin'), host);
  for (let i = 0; i < 3; i++) await snapshot(scene.client('host', host));
  const author = authorOf(publicKeyOf(host.writer!.seed));
  await revokeAuthor(scene.client('admin'), toHex(author), 'gone');
  const whole = await scene.image();
  for (const [left, says] of [
    [2, /had 3 entries .*has 2/],
    [0, /had 3 entries .*has 0/],
  ] as const) {
    await scene.show(
      new Map([...whole].filter(([name]) => !(name.startsWith(`ledger/${toHex(author)}/`) && Number(name.slice(-16)) >= left))),
    );
    for (const stranger of [openRepository(scene.place, scene.keyring, ''), scene.client('admin')]) {
      const error = await loadLedger(stranger).catch((thrown: unknown) => thrown);
      t.type(error, RolledBackError);
      t.match((error as Error).message, says);
      t.equal(statusOf(error), 14);
    }
    const { errors } = await verifyLedger(openRepository(scene.place, scene.keyring, ''));
    t.match(
      errors.filter(({ object }) => object === `ledger/${toHex(author)}`),
      [{ code: 'ROLLED_BACK', message: says }],
      'and verifying tells of it',
    );
    await t.rejects(acceptFork(scene.client('admin'), { reason: 'x', anyway: true }), RolledBackError, 'nobody accepts that');
  }
});

t.test('many processes of one machine remember together what any of them saw', async (t) => {
  const scene = await new Scene().begin();
  const writers: Keyring[] = [];
  for (let i = 0; i < 4; i++) {
    const keyring = newWriterKey(scene.client('setup'));
    await certifyWriter(scene.client('setup'), keyring, { nowMs: (clockMs += 1000) });
    writers.push(keyring);
  }
  await Promise.all(
    writers.map(async (keyring) => {
      for (let i = 0; i < 10; i++) {
        const client = scene.client('host', keyring);
        await snapshot(client);
        await loadLedger(client);
      }
    }),
  );
  const heads = await scene.client('host').heads!.recall();
  t.same(
    writers.map(({ writer }) => heads.chains[toHex(authorOf(publicKeyOf(writer!.seed)))]?.count),
    [10, 10, 10, 10],
    'none was forgotten, and no process took another’s entries for a rollback',
  );
  t.ok(readdirSync(headsFolder(scene.stateDir('host'), scene.place.id)).length <= 2, 'and old states are cleared away');
});

t.test('two processes of one machine that are shown different histories notice, whoever is first', async (t) => {
  const scene = await new Scene().begin();
  await snapshot(scene.client('host'));
  const before = await scene.client('host').heads!.recall();
  const common = await scene.image();
  const other = new MemoryStore();
  for (const [name, bytes] of common) await other.put(name, [bytes]);
  await snapshot(openRepository(scene.place, scene.keyring, ''));
  await snapshot(openRepository({ ...scene.place, store: other }, scene.keyring, ''));
  const one = scene.client('host');
  const two = scene.client('host', scene.keyring, other);
  const { chains } = await loadLedger(openRepository({ ...scene.place, store: other }, scene.keyring, ''));
  await loadLedger(one);
  await t.rejects(two.heads!.compare(chains, before), RolledBackError, 'though both began from the same memory');
});

t.test('a memory that cannot be kept stops what writes and not what reads; a damaged one stops everything', async (t) => {
  const scene = await new Scene().begin();
  const stateDir = scene.stateDir('broken');
  mkdirSync(join(stateDir, '..'), { recursive: true });
  writeFileSync(stateDir, 'a file where the folder should be');
  const told: string[] = [];
  const lenient = openRepository(scene.place, scene.keyring, '', {
    heads: rememberHeads(scene.place, stateDir, { onUnusable: ({ message }) => told.push(message) }),
  });
  await loadLedger(lenient);
  await loadLedger(lenient);
  t.equal(told.length, 1, 'it is said once');
  t.match(told[0], 'VARVE_STATE_DIR');
  await t.rejects(snapshot(lenient), StoreError);
  await t.rejects(loadLedger(scene.client('broken')), StoreError, 'who does not want to go on without it does not');

  await loadLedger(scene.client('a'));
  const states = headsFolder(scene.stateDir('a'), scene.place.id);
  const file = join(states, readdirSync(states).at(-1)!);
  t.match(readFileSync(file, 'utf8'), /^\{"chains"/);
  for (const bad of ['', '{}', '{"chains":{"aa":{"count":1,"head":"zz","sec":0}},"accepted":[]}']) {
    writeFileSync(file, bad);
    await t.rejects(loadLedger(scene.client('a')), CorruptError, 'it is not taken for an empty one');
  }
});

t.test('a revoked writer is told so, its later entries count for nothing, and ranks decide about admins', async (t) => {
  const scene = await new Scene().begin();
  const host = newWriterKey(scene.client('admin'));
  t.same([host.root, host.adminSeed, host.readers], [null, null, undefined], 'a writer’s key holds nothing else');
  t.notSame(host.writer!.domain, scene.keyring.writer!.domain, 'in a domain of its own');
  t.same(newWriterKey(scene.client('admin'), { shareDomain: true }).writer!.domainSecret, scene.keyring.writer!.domainSecret);
  await loadLedger(scene.client('host', host));
  await t.rejects(
    (async () => {
      const client = scene.client('host', host);
      await loadLedger(client);
      await snapshot(client);
    })(),
    { code: 'ROLE', message: /no admin of this repository certified/ },
  );
  await certifyWriter(scene.client('admin'), host);
  await snapshot(scene.client('host', host));
  const id = toHex(authorOf(publicKeyOf(host.writer!.seed)));
  await t.rejects(revokeAuthor(scene.client('host', host), id, 'x'), RoleError, 'not by itself');
  const revoked = await revokeAuthor(scene.client('admin'), id.slice(0, 8), 'stolen');
  t.equal(revoked.entries, 1);
  await t.rejects(revokeAuthor(scene.client('admin'), id, 'again'), RefusedError);
  const client = scene.client('host', host);
  await loadLedger(client);
  await t.rejects(snapshot(client), { code: 'ROLE', message: /revoked by an admin: stolen/ });
  await snapshot(scene.client('host', host));
  const ledger = await loadLedger(scene.client('admin'));
  t.equal(ledger.entries.filter(({ payload }) => payload.type === EntryType.snapshot).length, 1, 'whoever insists is not heard');
  const own = listAuthors(scene.client('admin'), ledger).find(({ role, inHand }) => role === 'admin' && inHand)!;
  await t.rejects(revokeAuthor(scene.client('admin'), toHex(own.author), 'x'), RefusedError, 'the last admin stays');
  t.equal(existsSync(scene.stateDir('nobody')), false);
});
