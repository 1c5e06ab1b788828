/** The contract, run against every store; the decorator that fails on purpose; and how a place becomes a store. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { NoRepositoryError, StoreError } from '../../lib/errors.js';
import { createDirectoryStore } from '../../lib/store/directory.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { openStore } from '../../lib/store/open.js';
import { isLocalStore } from '../../lib/store/store.js';
import { storeContract } from '../contract/store.js';
import { FaultyStore } from '../helpers/faulty-store.js';

storeContract(t, 'memory', async () => new MemoryStore());
storeContract(t, 'directory', async (t) => createDirectoryStore(t.testdir()));
storeContract(t, 'faulty without faults', async () => new FaultyStore(new MemoryStore()));

t.test('only a directory store hands out paths', async (t) => {
  const store = await createDirectoryStore(t.testdir());
  t.ok(isLocalStore(store));
  t.equal(store.pathOf('a/b'), join(store.location, 'a/b'));
  t.throws(() => store.pathOf('../b'), RangeError);
  t.notOk(isLocalStore(new MemoryStore()));
});

t.test('a faulty store fails the call it was told to and no other', async (t) => {
  const store = new FaultyStore(new MemoryStore(), { operation: 'put', prefix: 'packs/', nth: 2, effect: 'ENOSPC' });
  await store.put('packs/1', [utf8('1')]);
  await store.put('ledger/1', [utf8('1')]);
  await t.rejects(store.put('packs/2', [utf8('2')]), { code: 'STORE', cause: { code: 'ENOSPC' } });
  t.equal(await store.stat('packs/2'), undefined);
  await store.put('packs/2', [utf8('2')]);
  store.inject({ operation: 'put', effect: 'lost' });
  await t.rejects(store.put('packs/3', [utf8('3')]), StoreError);
  t.ok(await store.stat('packs/3'), 'lost after the work');
  store.heal();
  store.inject({ operation: 'get', prefix: 'packs/1', effect: 'corrupt' });
  store.inject({ operation: 'get', prefix: 'packs/2', effect: 'truncate' });
  t.same([...(await store.get('packs/1'))], [0x30], 'one bit flipped');
  t.equal((await store.get('packs/2')).byteLength, 0);
  t.same(store.calls.at(-1), { operation: 'get', name: 'packs/2' });
});

t.test('a path and a file URL open the same store', async (t) => {
  const path = join(t.testdir(), 'new', 'repo dir');
  await (await openStore(path, { create: true })).put('a', [utf8('x')]);
  t.ok(await (await openStore(path)).stat('a'));
  t.ok(await (await openStore(pathToFileURL(path).href)).stat('a'));
});

t.test('a directory that is missing is refused with what to do', async (t) => {
  const folder = t.testdir();
  await t.rejects(openStore(join(folder, 'none')), { code: 'NO_REPOSITORY', message: /varve init/ });
  writeFileSync(join(folder, 'file'), '');
  await t.rejects(openStore(join(folder, 'file')), { code: 'NO_REPOSITORY', message: /not a directory/ });
  await t.rejects(openStore(join(folder, 'file', 'x')), NoRepositoryError);
  await t.rejects(openStore(''), NoRepositoryError);
});

t.test('places of other kinds are refused by name, and never become directories', async (t) => {
  const before = process.cwd();
  process.chdir(t.testdir());
  t.teardown(() => process.chdir(before));
  for (const place of [
    's3://bucket/repo',
    'vault:/run/nobody-is-here.sock',
    'vault:relative.sock',
    'ssh://-oProxyCommand=x/repo',
    'S3://bucket',
    'host.example:repo',
    'file://elsewhere/x',
  ])
    await t.rejects(openStore(place, { create: true }), NoRepositoryError, place);
  await t.rejects(openStore('s3://bucket/repo'), /local directories, vault: and ssh:/);
  mkdirSync('odd:name');
  t.ok(await openStore('./odd:name'));
});
