/** Keys and first entries: every way in opens the same keys, and the last one stays. */
import t from 'tap';
import { RefusedError, RepositoryExistsError, WrongKeyError } from '../../lib/errors.js';
import { EntryType } from '../../lib/format/payload.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { unlockCounting } from '../../lib/ledger/rotation.js';
import {
  addKey,
  changePassphrase,
  exportKeyFile,
  keyFileNeedsPassphrase,
  listKeys,
  removeKey,
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
    [EntryType.genesis, EntryType.writerCert, EntryType.policy],
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
  const added = await addKey(place, keyring, 'zweite ü', { ...CHEAP, label: 'second' });
  t.same((await unlockWithPassphrase(place, 'zweite ü')).keyring, keyring);
  t.equal((await unlockWithPassphrase(place, 'first')).slotId, slot!.id);
  await t.rejects(unlockWithPassphrase(place, 'First'), WrongKeyError);
  await t.rejects(addKey(place, keyring, '', CHEAP), RangeError);

  const changed = await changePassphrase(place, keyring, added.id, 'third', { ...CHEAP, label: added.label });
  await t.rejects(unlockWithPassphrase(place, 'zweite ü'), WrongKeyError);
  t.same(
    (await listKeys(place)).map(({ id, label }) => [id, label]).sort(),
    [
      [slot!.id, 'test@host'],
      [changed.id, 'second'],
    ].sort(),
  );

  await removeKey(place, slot!.id.slice(0, 6));
  await t.rejects(unlockWithPassphrase(place, 'first'), WrongKeyError);
  await t.rejects(removeKey(place, changed.id), RefusedError);
  t.same((await unlockWithPassphrase(place, 'third')).keyring, keyring);
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
