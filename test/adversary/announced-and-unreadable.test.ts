/**
 * An admin that announces the pruning of what is kept, so that every host would store everything anew; and a ledger that somebody damaged behind the vault, which must
 * not keep the vault from starting.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { only } from '../helpers/attacker.js';
import { noise } from '../helpers/damaged-repository.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

async function take(made: TestVaultRepository, content: string): Promise<string> {
  const writer = await made.open('writer', only.writer(made.keyring));
  const file = join(made.folder, 'data');
  writeFileSync(file, noise(content, 50_000));
  return toHex((await backup(writer, { paths: [file], host: 'h', label: 'l', threads: 1 })).snapshotId!);
}

async function scene(t: Test): Promise<{ made: TestVaultRepository; all: Uint8Array; packs: Uint8Array[] }> {
  const made = await startVaultRepository(t);
  const id = await take(made, 'first');
  const packs: Uint8Array[] = [];
  for await (const { name } of made.vault.guard.store.list('packs/')) packs.push(fromHex(name.slice(-64)));
  return { made, all: fromHex(id), packs };
}

t.test('an announcement that names what is kept is refused, told with its share, and no run stores anything anew', async (t) => {
  const { made, all, packs } = await scene(t);
  const admin = await made.open('admin', only.admin(made.keyring));
  const intend = (list: { packs: Uint8Array; snapshots: Uint8Array; indexes: Uint8Array }, dateMs = Date.now()) =>
    appendEntry(admin, made.keyring.adminSeed, timeOfMs(dateMs), () => ({ type: EntryType.pruneIntent, ...list }));
  const none = new Uint8Array(0);
  const unknown = new Uint8Array(32).fill(9);
  const refused = { code: 'REFUSED' };
  await t.rejects(intend({ packs: joinSorted(packs), snapshots: all, indexes: none }), refused, 'everything');
  await t.rejects(intend({ packs: joinSorted(packs), snapshots: none, indexes: none }), refused, 'the packs alone');
  await t.rejects(intend({ packs: joinSorted(packs.slice(0, 1)), snapshots: none, indexes: none }), refused, 'one of them');
  await t.rejects(intend({ packs: joinSorted([packs[0]!, unknown]), snapshots: none, indexes: none }), refused, 'among others');
  await t.rejects(intend({ packs: unknown, snapshots: none, indexes: none }), refused, 'what is not there');
  await t.rejects(intend({ packs: none, snapshots: none, indexes: none }), refused, 'nothing');
  await t.rejects(intend({ packs: none, snapshots: all, indexes: none }, Date.now() - 3e10), refused, 'back-dated');
  const before = packs.length;
  t.match(made.log.join('\n'), /announces the pruning of what is kept \(\d+ of the \d+ objects/, 'told');
  await take(made, 'first');
  let after = 0;
  for await (const { name } of made.vault.guard.store.list('packs/')) if (name !== '') after++;
  t.ok(after - before <= 1, 'data packs are used again; a new tree at most');
});

t.test('what was deleted, a vault alone says', async (t) => {
  const { made, all } = await scene(t);
  const admin = await made.open('admin', only.admin(made.keyring));
  const author = new Uint8Array(16);
  const none = new Uint8Array(0);
  await t.rejects(
    appendEntry(admin, made.keyring.adminSeed, timeOfMs(Date.now()), () => ({
      type: EntryType.pruneDone,
      author,
      sequence: 0,
      packs: none,
      snapshots: all,
      indexes: none,
    })),
    { code: 'REFUSED' },
  );
});

t.test(
  'a vault over a ledger that does not read starts, says so, takes nothing in, and lets what is stored be read',
  async (t) => {
    const { made, packs } = await scene(t);
    const chain = join(made.repositoryDir, 'ledger');
    const genesis = readdirSync(chain).find((author) => readdirSync(join(chain, author)).length >= 3)!;
    await made.vault.close();
    const damaged = join(chain, genesis, '0000000000000001');
    writeFileSync(damaged, 'not an entry');
    await made.restart().catch((error: Error) => t.fail(error.message));
    t.match(made.log.join('\n'), /ledger-refused/);
    const reader = await made.connect('reader');
    const pack = toHex(packs[0]!);
    t.ok((await reader.get(`packs/${pack.slice(0, 2)}/${pack}`)).byteLength > 0, 'packs are read');
    const admin = await made.connect('admin');
    const slot = new Uint8Array(16);
    await t.rejects(admin.put('keys/0123456789abcdef', [slot]), 'nothing is taken for a part of an init');
    for await (const { name } of admin.list('ledger/')) await t.rejects(admin.remove(name), `${name} stays`);
    await t.rejects(loadLedger(await made.open('reader')), 'and who reads the ledger is told what is wrong with it');
  },
);
