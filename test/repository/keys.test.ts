/** Keys and first entries: every way in opens the same keys, and the last one stays. */
import t from 'tap';
import { RefusedError, RepositoryExistsError, WrongKeyError } from '../../lib/errors.js';
import { EntryType } from '../../lib/format/payload.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { unlockCounting } from '../../lib/ledger/rotation.js';
import { addSlot, listSlots, removeSlot, restoreSlot } from '../../lib/ledger/slots.js';
import {
  addKey,
  exportKeyFile,
  keyFileNeedsPassphrase,
  listKeys,
  rolesOf,
  slotsOf,
  unlockWithKeyFile,
  unlockWithPassphrase,
} from '../../lib/repository/keys.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { listStore } from '../../lib/verify/listing.js';
import { checkSlots } from '../../lib/verify/objects.js';
import { Findings } from '../../lib/verify/report.js';

const CHEAP = { log2N: 4, label: 'test@host', policy: DEFAULT_POLICY };

t.test('a new repository can be written to at once, and is never made twice', async (t) => {
  const store = new MemoryStore();
  const { place, keyring, slot } = await initRepository(store, { ...CHEAP, passphrase: 'first' });
  t.ok(slot);
  t.same(rolesOf(keyring), ['admin', 'reader', 'writer']);
  const { entries, chains } = await loadLedger(openRepository(place, keyring, ''), true);
  t.same(
    entries.map(({ payload }) => payload.type),
    [EntryType.genesis, EntryType.writerCert, EntryType.policy, EntryType.slots],
  );
  t.equal(chains.length, 1, 'the writer has a certificate, and no entry yet');
  await t.rejects(initRepository(store, { ...CHEAP, passphrase: 'second' }), RepositoryExistsError);
  t.ok(await locateRepository(store), 'and the second attempt takes nothing away');
});

t.test('what fails half-way leaves no repository', async (t) => {
  const store = new MemoryStore();
  const put = store.put.bind(store);
  store.put = (name, parts) => (name.startsWith('ledger/') ? Promise.reject(new Error('disk full')) : put(name, parts));
  await t.rejects(initRepository(store, { ...CHEAP, passphrase: 'x' }), /disk full/);
  t.equal(await store.stat('genesis'), undefined);
});

t.test('passphrases open, change and go; the last one stays', async (t) => {
  const store = new MemoryStore();
  const { place, keyring, slot } = await initRepository(store, { ...CHEAP, passphrase: 'first' });
  const repository = openRepository(place, keyring, '');
  const added = await addSlot(repository, keyring, 'zweite ü', { ...CHEAP, label: 'second' });
  t.same((await unlockCounting(place, 'zweite ü')).keyring, keyring);
  t.equal((await unlockCounting(place, 'first')).slotId, slot!.id);
  await t.rejects(unlockCounting(place, 'First'), WrongKeyError);
  await t.rejects(addSlot(repository, keyring, '', CHEAP), RangeError);

  const changed = await addSlot(repository, keyring, 'third', { ...CHEAP, label: added.label, replaces: [added.id] });
  await t.rejects(unlockCounting(place, 'zweite ü'), /an admin removed it on/);
  const states = async () =>
    Object.fromEntries(
      (await listSlots(place, await loadLedger(repository))).map(({ id, label, state }) => [id, [label, state]]),
    );
  t.same(await states(), {
    [slot!.id]: ['test@host', 'listed'],
    [added.id]: ['second', 'removed'],
    [changed.id]: ['second', 'listed'],
  });

  await removeSlot(repository, slot!.id.slice(0, 6));
  await t.rejects(unlockCounting(place, 'first'), WrongKeyError);
  await t.rejects(removeSlot(repository, changed.id), RefusedError, 'the last one');
  await t.rejects(removeSlot(repository, slot!.id), /was removed already/);
  t.same((await unlockCounting(place, 'third')).keyring, keyring);

  await restoreSlot(repository, slot!.id);
  t.equal((await unlockCounting(place, 'first')).slotId, slot!.id, 'a removal can be taken back');
  await t.rejects(restoreSlot(repository, slot!.id), RefusedError);
  await removeSlot(repository, changed.id);
  await t.rejects(removeSlot(repository, slot!.id), RefusedError);
});

t.test('a slot that opens and was removed does not hide another with the same passphrase', async (t) => {
  const { place, keyring, slot } = await initRepository(new MemoryStore(), { ...CHEAP, passphrase: 'same' });
  const repository = openRepository(place, keyring, '');
  let last = slot!.id;
  for (let i = 0; i < 6; i++) {
    const label = i % 2 === 0 ? CHEAP.label : 'another';
    last = (await addSlot(repository, keyring, 'same', { ...CHEAP, label, replaces: [last] })).id;
    t.same(await unlockCounting(place, 'same'), { keyring, slotId: last, unlisted: false });
  }
});

t.test('a repository from before slots stood in the ledger: the first change lists all that are there', async (t) => {
  const store = new MemoryStore();
  const { place, keyring } = await initRepository(store, CHEAP);
  const repository = openRepository(place, keyring, '');
  const [one, two] = [await addKey(place, keyring, 'one', CHEAP), await addKey(place, keyring, 'two', CHEAP)];
  t.same(
    (await listSlots(place, await loadLedger(repository))).map(({ state }) => state),
    ['unlisted', 'unlisted'],
  );
  t.equal((await unlockCounting(place, 'one')).unlisted, false, 'nothing is said of any');
  await removeSlot(repository, one.id);
  await t.rejects(unlockCounting(place, 'one'), WrongKeyError);
  t.equal((await unlockCounting(place, 'two')).unlisted, false);
  await t.rejects(removeSlot(repository, two.id), RefusedError);
  await addKey(place, keyring, 'three', CHEAP);
  t.equal((await unlockCounting(place, 'three')).unlisted, true, 'one that comes later without a word');
});

t.test('of slots that one passphrase opens under one label, the one whose keys count is taken, whatever their ids', async (t) => {
  const store = new MemoryStore();
  const { place, keyring, slot } = await initRepository(store, { ...CHEAP, passphrase: 'pass' });
  const pending = { ...keyring, adminSeed: new Uint8Array(32).fill(7) };
  // Ids are random, and slots are tried in their order.
  for (let first = slot!.id; first === slot!.id; ) {
    const other = await addKey(place, pending, 'pass', CHEAP);
    if (other.id < first) first = other.id;
    t.same((await unlockCounting(place, 'pass')).keyring, keyring);
  }
  t.equal((await slotsOf(place, 'pass')).length, (await listKeys(place)).length);
  t.equal((await slotsOf(place, 'other')).length, 0);
  await addKey(place, pending, 'elsewhere', { ...CHEAP, label: 'another' });
  t.same((await unlockCounting(place, 'elsewhere')).keyring, pending, 'a label of its own is taken as it is');
  let entry: string | undefined;
  for await (const { name } of store.list('ledger/')) entry ??= name;
  await store.remove(entry!);
  await store.put(entry!, [new Uint8Array(100)]);
  t.ok((await unlockCounting(place, 'pass')).slotId, 'a damaged ledger is no matter of keys');
});

t.test('a damaged slot does not shut out the others', async (t) => {
  const store = new MemoryStore();
  const { place, keyring } = await initRepository(store, { ...CHEAP, passphrase: 'good' });
  await store.put('keys/0000000000000000', [new Uint8Array(100)]);
  t.same((await unlockWithPassphrase(place, 'good')).keyring, keyring);
  await t.rejects(unlockWithPassphrase(place, 'bad'), /damaged/);
  t.equal((await listKeys(place)).length, 1);
});

t.test('a store that lists slots which are never there keeps nobody for ever', async (t) => {
  for (const changing of [false, true]) {
    const store = new MemoryStore();
    const { place } = await initRepository(store, { ...CHEAP, passphrase: 'good' });
    const list = store.list.bind(store);
    let listings = 0;
    store.list = async function* (prefix) {
      if (prefix === 'keys/' && ++listings > 100) throw new Error('still listing');
      yield* list(prefix);
      if (prefix === 'keys/')
        yield { name: `keys/${String(changing ? listings : 0).padStart(16, '0')}`, sizeBytes: 100, storedMs: 0 };
    };
    await t.rejects(unlockWithPassphrase(place, 'bad'), { code: 'WRONG_KEY', message: /wrong passphrase/ });
    t.equal(listings, changing ? 5 : 2);
    await t.resolves(unlockWithPassphrase(place, 'good'));
  }
});

t.test(
  'check finds a slot sound whose keyring holds the keys of later readers, and one that cannot be a keyring wrong',
  async (t) => {
    const store = new MemoryStore();
    const { place, keyring } = await initRepository(store, CHEAP);
    const repository = openRepository(place, keyring, '');
    const slotErrors = async (): Promise<string[]> => {
      const findings = new Findings();
      await checkSlots(repository, await listStore(store, findings), findings);
      return findings.errors.map(({ message }) => message);
    };
    const reader = new Uint8Array(32);
    for (const count of [0, 1, 2, 7, 8, 9, 100])
      await addKey(place, count === 0 ? keyring : { ...keyring, readers: Array(count).fill(reader) }, 'p', CHEAP);
    t.same(await slotErrors(), []);
    const name = `keys/${(await listKeys(place))[0]!.id}`;
    const bytes = await store.get(name);
    await store.remove(name);
    // One byte more would do for six of the seven: a keyring without an admin may be as long as one with an admin and a byte.
    await store.put(name, [bytes, new Uint8Array(4)]);
    t.match(await slotErrors(), [/holds no keyring/]);
  },
);

t.test('key files open with and without a passphrase, their own repository only', async (t) => {
  const { place, keyring } = await initRepository(new MemoryStore(), CHEAP);
  await t.rejects(unlockWithPassphrase(place, 'any'), /key file/);
  const clear = await exportKeyFile(keyring, undefined, CHEAP);
  t.equal(keyFileNeedsPassphrase(clear, 'k'), false);
  t.same(await unlockWithKeyFile(place, clear, 'k'), keyring);
  const sealed = await exportKeyFile(keyring, 'secret', CHEAP);
  t.equal(keyFileNeedsPassphrase(sealed, 'k'), true);
  t.same(await unlockWithKeyFile(place, sealed, 'k', 'secret'), keyring);
  await t.rejects(unlockWithKeyFile(place, sealed, 'k', 'Secret'), WrongKeyError);
  await t.rejects(unlockWithKeyFile(place, sealed, 'k'), WrongKeyError);
  await t.rejects(unlockWithKeyFile(place, Buffer.from('not a key'), 'k'), WrongKeyError);
  const damaged = Buffer.from(clear);
  damaged[damaged.byteLength - 20] = damaged[damaged.byteLength - 20]! ^ 1;
  await t.rejects(unlockWithKeyFile(place, damaged, 'k'), WrongKeyError);
  const other = await initRepository(new MemoryStore(), CHEAP);
  await t.rejects(unlockWithKeyFile(other.place, clear, 'k'), /belongs to/);
});
