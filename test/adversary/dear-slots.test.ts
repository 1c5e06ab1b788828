/** Key slots that a storage adds: they may cost a thousand derivations each, and there may be any number. The right one opens all the same, within a bound, and it is told. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fromHex } from '../../lib/bytes.js';
import { encodeSlotHeader } from '../../lib/format/key-slot.js';
import { Kind } from '../../lib/format/preamble.js';
import { addKey, unlockWithPassphrase } from '../../lib/repository/keys.js';
import { newRepository, type RepositoryPlace } from '../../lib/repository/repository.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { runner } from '../cli/program.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';

/** A slot that nothing opens, at a price. Ids from `0…`: they sort before all others. */
function hostileSlot(n: number, log2N: number, p: number): { name: string; bytes: Uint8Array } {
  const id = n.toString(16).padStart(16, '0');
  const header = { id: fromHex(id), kdf: 1, log2N, r: 8, p, salt: new Uint8Array(32), commitment: new Uint8Array(32) };
  const head = encodeSlotHeader({ ...header, createdSec: 0, label: 'x' }, Kind.keySlot);
  return { name: `keys/${id}`, bytes: new Uint8Array([...head, ...new Uint8Array(200)]) };
}

async function withSlots(
  t: Test,
  count: number,
  log2N: number,
  p: number,
): Promise<{ place: RepositoryPlace; own: string; gets: string[] }> {
  const store = new MemoryStore();
  const { place, keyring } = newRepository(store, Date.now());
  const { id } = await addKey(place, keyring, 'right', { label: 'own', log2N: 10 });
  for (let n = 0; n < count; n++) {
    const { name, bytes } = hostileSlot(n, log2N, p);
    await store.put(name, [bytes]);
  }
  const gets: string[] = [];
  const watched = Object.assign(Object.create(store) as MemoryStore, {
    get: (name: string) => {
      gets.push(name);
      return store.get(name);
    },
    list: (prefix: string) => store.list(prefix),
  });
  t.teardown(() => store.close());
  return { place: { ...place, store: watched }, own: id, gets };
}

t.test('cheap ones come first: slots at a thousand times the price cost nothing', async (t) => {
  const { place, own } = await withSlots(t, 8, 20, 64);
  const told: string[] = [];
  t.equal((await unlockWithPassphrase(place, 'right', { onNote: (note) => told.push(note) })).slotId, own);
  t.same(told, [], 'one derivation is nothing to tell of');
});

t.test('a wrong passphrase costs no more than the bound, and the refusal names what was not tried', async (t) => {
  const { place } = await withSlots(t, 8, 20, 64);
  await t.rejects(unlockWithPassphrase(place, 'wrong'), {
    code: 'WRONG_KEY',
    message: /^wrong passphrase.*Not tried.*0000000000000000, .* and 3 more; to try one: --key-slot ID$/,
  });
});

t.test('the slot that opened last is tried before cheaper ones, and one can be named', async (t) => {
  const { place, own } = await withSlots(t, 60, 4, 1);
  const told: string[] = [];
  const options = { onNote: (note: string): void => void told.push(note) };
  t.equal((await unlockWithPassphrase(place, 'right', options)).slotId, own);
  t.match(told, [/^61 key slots were tried before .* opened; --key-slot /]);
  await unlockWithPassphrase(place, 'right', { ...options, first: own });
  await unlockWithPassphrase(place, 'right', { ...options, only: own });
  await unlockWithPassphrase(place, 'right', { ...options, only: own.slice(0, 6) });
  t.equal(told.length, 1, 'one derivation each');
  await t.rejects(unlockWithPassphrase(place, 'right', { only: '0000000000000003' }), /key slot 0000000000000003 does not open/);
  await t.rejects(unlockWithPassphrase(place, 'right', { only: '' }), { code: 'NOT_FOUND' });
  await t.rejects(unlockWithPassphrase(place, 'right', { only: 'fff0' }), { code: 'NOT_FOUND' });
  t.equal(
    (await unlockWithPassphrase(place, 'right', { first: 'ffffffffffffffff' })).slotId,
    own,
    'a memory of one that is gone',
  );
});

t.test('a storage with ten thousand slots is asked for 256', async (t) => {
  const { place, own, gets } = await withSlots(t, 10_000, 20, 64);
  await t.rejects(unlockWithPassphrase(place, 'right'), /Not tried.* and 99\d\d more|Not tried.* and 10,?\d+ more/);
  t.ok(gets.length <= 5 * 256, `${gets.length}`);
  gets.length = 0;
  t.equal((await unlockWithPassphrase(place, 'right', { first: own })).slotId, own, 'and the one that opened last is among them');
  t.ok(gets.length <= 256);
});

t.test('this machine remembers which slot opened', async (t) => {
  const folder = scratch(t);
  const made = await makeRepository(folder);
  const repository = await made.open();
  const { id } = await addKey(repository, made.keyring, 'right', { label: 'own', log2N: 4 });
  const varve = runner({
    VARVE_REPOSITORY: made.location,
    VARVE_PASSWORD: 'right',
    VARVE_CACHE_DIR: join(folder, 'cache2'),
    VARVE_STATE_DIR: join(folder, 'state'),
  });
  t.match(varve(['-q', 'snapshots']), { status: 0, stderr: '' });
  for (let n = 0; n < 5; n++) {
    const { name, bytes } = hostileSlot(n, 2, 1);
    writeFileSync(join(made.location, name), bytes);
  }
  t.match(varve(['-q', 'snapshots']), { status: 0, stderr: '' }, 'it is tried first');
  t.match(
    varve(['-q', 'snapshots', '--no-cache'], { env: { VARVE_STATE_DIR: join(folder, 'state2') } }).stderr,
    new RegExp(`6 key slots were tried before ${id} opened`),
  );
  t.match(varve(['-q', 'snapshots', '--key-slot', id], { env: { VARVE_STATE_DIR: join(folder, 'state3') } }).stderr, /^$/);
});
