/**
 * The ways into a repository: key slots that are flipped, exchanged, added or deleted in the storage, and an admin connection without any key that removes all of them.
 * The ledger says which slots there are, so that `check` finds each of these, and a vault gives up none that no admin removed.
 */
import t from 'tap';
import { payloadOf } from '../../lib/format/payload.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { unlockCounting } from '../../lib/ledger/rotation.js';
import { addSlot, listSlots, removeSlot, restoreSlot } from '../../lib/ledger/slots.js';
import { addKey } from '../../lib/repository/keys.js';
import { openRepository } from '../../lib/repository/repository.js';
import { sweepPrune } from '../../lib/retention/prune.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import type { Reading } from '../../lib/vault/clock.js';
import { Watch } from '../../lib/vault/watch.js';
import { walkLedger } from '../../lib/verify/ledger-walk.js';
import { listStore } from '../../lib/verify/listing.js';
import { checkSlots } from '../../lib/verify/objects.js';
import { Findings } from '../../lib/verify/report.js';
import { checkListedSlots } from '../../lib/verify/slot-check.js';
import { startVaultRepository } from '../helpers/vault.js';

const DAY = 86_400_000;
const CHEAP = { label: 'l', log2N: 4 };

async function scene(passphrase = 'pass') {
  const store = new MemoryStore();
  const { place, keyring, slot } = await initRepository(store, { ...CHEAP, passphrase, policy: DEFAULT_POLICY });
  const repository = openRepository(place, keyring, '');
  const ledger = await walkLedger(repository, await listStore(store, new Findings()), new Findings());
  const found = async (by = ledger): Promise<Findings> => {
    const findings = new Findings();
    const listing = await listStore(store, findings);
    await checkSlots(repository, listing, findings);
    await checkListedSlots(repository, listing, by, findings);
    return findings;
  };
  return { store, place, keyring, slot: slot!, repository, found };
}

t.test('check finds every single-bit flip of a key slot, its deletion, exchange, and one that was added', async (t) => {
  const { store, keyring, slot, repository, found } = await scene();
  const name = `keys/${slot.id}`;
  const bytes = (await store.get(name)).slice();
  t.equal((await found()).errorCount, 0);
  let missed = 0;
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    await store.remove(name);
    await store.put(name, [flipped]);
    if (!(await found()).errors.some(({ object }) => object === name)) missed++;
  }
  t.equal(missed, 0, `${bytes.byteLength * 8} flips`);
  await store.remove(name);
  t.match((await found()).errors, [{ object: name, code: 'NOT_FOUND' }], 'deleted');
  await store.put(name, [bytes]);

  const other = await addSlot(repository, keyring, 'other', CHEAP);
  const ledger = await walkLedger(repository, await listStore(store, new Findings()), new Findings());
  const [a, b] = [bytes, (await store.get(`keys/${other.id}`)).slice()];
  for (const [at, put] of [
    [name, b],
    [`keys/${other.id}`, a],
  ] as const) {
    await store.remove(at);
    await store.put(at, [put]);
  }
  t.match(
    (await found(ledger)).errors.map(({ message }) => message).join('; '),
    new RegExp(`holds the bytes of key slot ${other.id}.*holds the bytes of key slot ${slot.id}`),
    'exchanged',
  );
  const { id } = await addKey(repository, keyring, 'a stranger', CHEAP);
  t.match(
    (await found(ledger)).warnings.map(({ object, message }) => `${object} ${message}`).join('; '),
    new RegExp(`keys/${id} is not in the ledger`),
  );
});

t.test('a removed slot opens nothing at once, and its object goes when the wait is over, not before', async (t) => {
  const { store, place, keyring, slot, repository } = await scene();
  const other = await addSlot(repository, keyring, 'other', CHEAP);
  await removeSlot(repository, slot.id);
  await t.rejects(unlockCounting(place, 'pass'), /an admin removed it on/);
  const sweep = async (ms: number) => (await sweepPrune(repository, { nowMs: () => Date.now() + ms })).slots;
  t.same(await sweep(3 * DAY - 60_000), []);
  await restoreSlot(repository, slot.id);
  t.same(await sweep(30 * DAY), [], 'a removal that was taken back');
  await removeSlot(repository, slot.id, { nowMs: Date.now() - 30 * DAY });
  t.same(await sweep(0), [], 'an entry that says it is older than the store has it');
  await store.remove(`keys/${other.id}`);
  t.same(await sweep(4 * DAY), [], 'never the last one that is there');
  await addSlot(repository, keyring, 'third', CHEAP);
  t.same(await sweep(4 * DAY), [slot.id]);
  t.equal(await store.stat(`keys/${slot.id}`), undefined);
});

t.test('an admin connection without a key removes no key slot, and the ledger tells of the attempt', async (t) => {
  const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * DAY, bootId: 'a' };
  const later = (ms: number): void => {
    reading.wallMs += ms;
    reading.uptimeMs += ms;
  };
  const made = await startVaultRepository(t, { readClock: () => ({ ...reading }) });
  const owner = await made.open('admin');
  const slots = [await addSlot(owner, made.keyring, 'one', CHEAP), await addSlot(owner, made.keyring, 'two', CHEAP)];
  const connection = await made.connect('admin');
  const attack = async (): Promise<void> => {
    for (const { id } of slots) await t.rejects(connection.remove(`keys/${id}`), { code: 'REFUSED' }, `removal of ${id}`);
  };
  await attack();
  later(30 * DAY);
  await attack();
  await made.vault.guard.alerts.settled();
  const { entries } = await loadLedger(owner);
  t.ok(
    entries.some(({ payload }) => payloadOf(payload, 'incident')?.code === 'slot-change'),
    'an incident',
  );
  t.ok(
    made.log.some((line) => line.startsWith('slot-change: ')),
    'an alert',
  );

  const [first, second] = slots as [(typeof slots)[0], (typeof slots)[0]];
  await removeSlot(owner, first.id);
  await t.rejects(connection.remove(`keys/${first.id}`), /can still be taken back/);
  await new Watch(made.vault.guard).look();
  t.ok(await connection.stat(`keys/${first.id}`), 'the timer leaves it, too');
  later(73 * 3_600_000);
  await t.rejects(connection.remove(`keys/${second.id}`), { code: 'REFUSED' });
  await new Watch(made.vault.guard).look();
  t.equal(await connection.stat(`keys/${first.id}`), undefined, 'until the wait is over');
  t.same(
    (await listSlots(owner, await loadLedger(owner))).map(({ id, state }) => [id, state]),
    [[second.id, 'listed']],
  );
});

t.test('through a vault few slots can be put that the ledger does not list, and they go after a day', async (t) => {
  const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * DAY, bootId: 'a' };
  const made = await startVaultRepository(t, { readClock: () => ({ ...reading }) });
  const owner = await made.open('admin');
  const strangers: string[] = [];
  for (let i = 0; i < 8; i++) strangers.push((await addKey(owner, made.keyring, 'x', CHEAP)).id);
  await t.rejects(addKey(owner, made.keyring, 'x', CHEAP), /wait for an admin/);
  const connection = await made.connect('admin');
  await t.rejects(connection.remove(`keys/${strangers[0]}`), /less than a day ago/);
  reading.wallMs += 2 * DAY;
  reading.uptimeMs += 2 * DAY;
  await t.rejects(connection.remove(`keys/${strangers[0]}`), /lists no other slot/, 'they may be all there is');
  const { id } = await addSlot(owner, made.keyring, 'mine', CHEAP);
  t.ok(id, 'the first entry lists what was there');
  const stranger = (await addKey(owner, made.keyring, 'y', CHEAP)).id;
  reading.wallMs += 2 * DAY;
  reading.uptimeMs += 2 * DAY;
  await connection.remove(`keys/${stranger}`);
  t.equal(await connection.stat(`keys/${stranger}`), undefined);
});
