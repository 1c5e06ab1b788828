/** The store contract over a vault, with objects that a vault keeps: what test/contract/store.ts says, as far as a role may do it. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { NotFoundError, ObjectExistsError, StoreError } from '../../lib/errors.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import type { Store } from '../../lib/store/store.js';
import { openVaultStore } from '../../lib/store/vault.js';
import { storedNames } from '../helpers/stored-names.js';
import { startTestVault, startVaultRepository } from '../helpers/vault.js';

t.test('a repository is made through the admin socket, and names the vault', async (t) => {
  const vault = await startTestVault(t);
  const before = await vault.connect('admin');
  t.equal(before.hello.repository, undefined);
  t.same(await storedNames(before, ''), []);
  await t.rejects(before.get('genesis'), NotFoundError);
  const made = await startVaultRepository(t);
  const reader = await made.open('reader');
  t.same(reader.genesis.vault, made.vault.guard.vaultKey);
  const ledger = await loadLedger(reader, true);
  t.same(
    ledger.chains.map(({ role, entries }) => [role, entries.length]),
    [
      ['admin', 3],
      ['vault', 2],
    ],
    'genesis and writer-cert are acknowledged in one receipt, the policy that comes after them in the next',
  );
});

t.test('a backup over the writer socket is read back over the reader socket', async (t) => {
  const made = await startVaultRepository(t);
  const source = join(made.folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 40; i++) writeFileSync(join(source, `file ${i}`), `content ${i} `.repeat(i * 100));
  const writer = await made.open('writer', { ...made.keyring, root: null, adminSeed: null });
  const first = await backup(writer, { paths: [source] });
  t.equal(first.state, 'complete');
  const again = await backup(writer, { paths: [source] });
  t.ok(again.newBytes < 10_000, 'what is stored is found again');
  const direct = await startedReader(made);
  t.same(
    await storedNames(direct.overVault, ''),
    await storedNames(direct.onDisk, ''),
    'a listing over the vault is that of the directory',
  );
  for (const name of await storedNames(direct.onDisk, '')) {
    const bytes = await direct.onDisk.get(name);
    t.same(await direct.overVault.get(name), bytes, name);
    t.match(await direct.overVault.stat(name), { name, sizeBytes: bytes.byteLength });
    t.same(await direct.overVault.get(name, { offset: 5, length: 7 }), bytes.slice(5, 12), `${name} in part`);
  }
});

async function startedReader(
  made: Awaited<ReturnType<typeof startVaultRepository>>,
): Promise<{ overVault: Store; onDisk: Store }> {
  return { overVault: await made.connect('reader'), onDisk: made.vault.guard.store };
}

t.test('ranges at, across and past the end; the same bytes again; other bytes; absence', async (t) => {
  const made = await startVaultRepository(t);
  const reader = await made.connect('reader');
  const genesis = await reader.get('genesis');
  const size = genesis.byteLength;
  t.equal(genesis.constructor, Uint8Array, 'plain bytes');
  t.same(await reader.get('genesis', { offset: size - 2, length: 100 }), genesis.slice(size - 2));
  t.equal((await reader.get('genesis', { offset: size, length: 1 })).byteLength, 0);
  t.equal((await reader.get('genesis', { offset: size + 1000, length: 5 })).byteLength, 0);
  t.equal((await reader.get('genesis', { offset: 4, length: 0 })).byteLength, 0);
  await t.rejects(reader.get('genesis', { offset: -1, length: 2 }), RangeError);
  const absent = `packs/ab/ab${'0'.repeat(62)}`;
  for (const name of [absent, `index/${'0'.repeat(64)}`, `keys/${'0'.repeat(16)}`, 'nothing']) {
    await t.rejects(reader.get(name), NotFoundError, name);
    t.equal(await reader.stat(name), undefined, name);
  }
  for (const bad of ['', '..', 'a//b', '/etc/passwd', 'tmp/x']) {
    await t.rejects(reader.get(bad), RangeError, JSON.stringify(bad));
    await t.rejects(reader.put(bad, []), RangeError, JSON.stringify(bad));
  }
  t.same(await storedNames(reader, 'ledger/'), (await storedNames(made.vault.guard.store, 'ledger/')).sort());
  t.same(await storedNames(reader, 'gen'), ['genesis']);
  t.same(await storedNames(reader, 'packs/3'), []);

  const admin = await made.connect('admin');
  const [entry] = await storedNames(reader, 'ledger/');
  await admin.put(entry!, [await reader.get(entry!)]);
  await t.rejects(admin.put(entry!, [utf8('other bytes')]), ObjectExistsError);
  await t.rejects(admin.put('genesis', [genesis]), { code: 'REPOSITORY_EXISTS' });
  await t.rejects(admin.put(`ledger/${toHex(sha256(utf8('x'))).slice(0, 32)}/0000000000000000`, [utf8('x')]), {
    code: 'REFUSED',
  });
});

t.test('closing a store does not wait for the other end', async (t) => {
  const made = await startVaultRepository(t);
  const path = join(made.folder, 'proxy.sock');
  // Hands on bytes and never an end, as ssh does while the other side still has something to finish.
  const proxy = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: made.sockets.reader, allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const)
      from.on('data', (bytes) => to.write(bytes)).on('error', () => undefined);
    t.teardown(() => void [near, far].map((socket) => socket.destroy()));
  });
  proxy.listen(path);
  await once(proxy, 'listening');
  t.teardown(() => void proxy.close());
  const store = await openVaultStore(`vault:${path}`);
  t.ok((await store.get('genesis')).byteLength > 0);
  // The other end never ends: waiting for it would last for good.
  const closed = store.close().then(() => 'closed');
  t.equal(await Promise.race([closed, sleep(20_000, 'late', { ref: false })]), 'closed');
  await t.rejects(store.get('genesis'), StoreError);
});
