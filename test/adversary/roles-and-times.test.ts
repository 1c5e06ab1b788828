/**
 * Entries that are fine by themselves and meant to break the ledger, against a real vault and a plain directory: certificates of keys for other roles, times that no clock
 * shows, the retirement of the witness.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { RefusedError } from '../../lib/errors.js';
import { CertifiedRole, EntryType, MAX_SECOND, type Payload } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { acceptFork } from '../../lib/ledger/accept-fork.js';
import { rememberHeads } from '../../lib/ledger/heads.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { standings } from '../../lib/ledger/standing.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import { verifyLedger } from '../../lib/verify/verify-ledger.js';
import { forgeManifest, forgeSession, HandChain, only, snapshotPayload } from '../helpers/attacker.js';
import { scratch } from '../helpers/backup-repository.js';
import { noise } from '../helpers/damaged-repository.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

const YEAR_2100 = 4_102_444_800_000;
let files = 0;

async function take(folder: string, writer: Repository): Promise<string> {
  const file = join(folder, 'data');
  writeFileSync(file, noise(`data ${++files}`, 3000));
  return toHex((await backup(writer, { paths: [file], host: 'h', label: 'l', threads: 1 })).snapshotId!);
}

async function onDisk(made: TestVaultRepository): Promise<Repository> {
  const place = await locateRepository(await openDirectoryStore(made.repositoryDir));
  return openRepository(place, made.keyring, join(made.folder, `disk-${++files}`));
}

/** A directory without a vault, and a machine's memory of it. */
async function plain(t: Test): Promise<{ folder: string; repository: Repository; heads: string }> {
  const folder = scratch(t);
  const store = await createDirectoryStore(join(folder, 'repo'));
  const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
  const heads = join(folder, 'heads');
  const repository = openRepository(place, keyring, join(folder, 'cache'), { heads: rememberHeads(place, heads) });
  return { folder, repository, heads };
}

/** Sends an entry of the admin's through the vault. */
async function sayAsAdmin(made: TestVaultRepository, payload: Payload, timeMs = Date.now()): Promise<void> {
  const admin = await made.open('admin', only.admin(made.keyring));
  const { name, bytes } = (await HandChain.at(admin, made.keyring.adminSeed!)).peek(timeMs, payload);
  await admin.store.put(name, [bytes]);
}

const retainUntil = async (repository: Repository, hex: string): Promise<number> =>
  standings(await loadLedger(repository)).find(({ id }) => toHex(id) === hex)!.retainUntilSec;

for (const [whose, role] of [
  ['a writer', CertifiedRole.vault],
  ['a writer', CertifiedRole.auditor],
  ['the vault', CertifiedRole.admin],
  ['the vault', CertifiedRole.auditor],
] as const)
  t.test(`the key of ${whose} certified as role ${role} as well: backups go on, and the vault starts again`, async (t) => {
    const made = await startVaultRepository(t);
    const writer = await made.open('writer', only.writer(made.keyring));
    const first = await take(made.folder, writer);
    const publicKey = whose === 'the vault' ? made.vault.guard.vaultKey : publicKeyOf(made.keyring.writer!.seed);
    await sayAsAdmin(made, { type: EntryType.cert, role, publicKey });
    for (const again of [false, true]) {
      if (again) await made.restart();
      const more = await made.open('writer', only.writer(made.keyring));
      const id = await take(made.folder, more);
      const read = await onDisk(made);
      const all = standings(await loadLedger(read));
      t.ok(all.find((one) => toHex(one.id) === id)?.receipt, 'taken and acknowledged');
      t.ok(all.some((one) => toHex(one.id) === first));
      t.equal(toHex((await selectSnapshot(read, 'latest')).id), id);
      t.same((await verifyLedger(read)).errors, []);
    }
  });

t.test('an entry of the year 2100 never is the latest: a vault dates it', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  await take(made.folder, writer);
  const forged = forgeManifest(await forgeSession(await made.open('admin')), []);
  const evil = await HandChain.at(writer, made.keyring.writer!.seed);
  await writer.store.put(forged.name, [forged.bytes]);
  const entry = evil.next(YEAR_2100, snapshotPayload(forged));
  await writer.store.put(entry.name, [entry.bytes]);
  // Receipts are of whole batches: the next second is another.
  const honest = await take(made.folder, await made.open('writer', only.writer(made.keyring)));
  const read = await onDisk(made);
  t.equal(toHex((await selectSnapshot(read, 'latest')).id), honest);
  t.equal(toHex((await selectSnapshot(read, `@${new Date(Date.now() + 5000).toISOString()}`)).id), honest);
  const { warnings } = await verifyLedger(read);
  t.ok(warnings.some(({ object, message }) => object === entry.name && /dated more than a day/.test(message)));
});

t.test('an entry of the year 2100 never is the latest: a directory dates it, and a check tells', async (t) => {
  const { folder, repository } = await plain(t);
  await take(folder, repository);
  const forged = forgeManifest(await forgeSession(repository), []);
  const { seed } = repository.keyring.writer!;
  await repository.store.put(forged.name, [forged.bytes]);
  const entry = (await HandChain.at(repository, seed)).next(YEAR_2100, snapshotPayload(forged));
  await repository.store.put(entry.name, [entry.bytes]);
  const honest = await take(folder, repository);
  t.equal(toHex((await selectSnapshot(repository, 'latest')).id), honest);
  const { warnings } = await verifyLedger(repository);
  t.ok(warnings.some(({ object, message }) => object === entry.name && /after it was stored/.test(message)));
});

t.test('retiring the vault from its first entry on shortens no promise', async (t) => {
  const made = await startVaultRepository(t, { policy: { ...DEFAULT_POLICY, minimumSec: 400 * 86_400 } });
  const writer = await made.open('writer', only.writer(made.keyring));
  // Only the vault promises it: the writer is a thief's, who promises nothing.
  const forged = forgeManifest(await forgeSession(await made.open('admin')), []);
  await writer.store.put(forged.name, [forged.bytes]);
  const entry = (await HandChain.at(writer, made.keyring.writer!.seed)).next(Date.now(), snapshotPayload(forged));
  await writer.store.put(entry.name, [entry.bytes]);
  const promised = await retainUntil(await onDisk(made), toHex(forged.id));
  t.ok(promised > Date.now() / 1000 + 399 * 86_400);
  const author = authorOf(made.vault.guard.vaultKey);
  await sayAsAdmin(made, { type: EntryType.retire, author, count: 0, head: new Uint8Array(32), reason: '' });
  t.equal(await retainUntil(await onDisk(made), toHex(forged.id)), promised);
  await made.restart();
  t.equal(await retainUntil(await onDisk(made), toHex(forged.id)), promised);
  t.notOk(made.vault.guard.commits!.certified, 'having acknowledged it, the vault promises nothing more');
});

t.test(
  'an entry of the end of all numbers is refused by a vault, changes nothing in a directory, and can be accepted as lost',
  async (t) => {
    const end = (2 ** 53 - 1) * 1000;
    const made = await startVaultRepository(t);
    const writer = await made.open('writer', only.writer(made.keyring));
    const sent = (await HandChain.at(writer, made.keyring.writer!.seed)).peek(end, {
      type: EntryType.incident,
      code: 'x',
      detail: '',
    });
    await t.rejects(writer.store.put(sent.name, [sent.bytes]), RefusedError);
    await made.restart();

    const { folder, repository, heads } = await plain(t);
    const id = await take(folder, repository);
    const lost = (await HandChain.at(repository, repository.keyring.writer!.seed)).next(end, {
      type: EntryType.incident,
      code: 'x',
      detail: '',
    });
    await repository.store.put(lost.name, [lost.bytes]);
    const { chains } = await loadLedger(repository);
    t.equal(chains.flatMap(({ voids }) => [...voids]).length, 1, 'it is void');
    t.equal(toHex((await selectSnapshot(repository, 'latest')).id), id);
    await repository.store.remove(lost.name);
    await t.rejects(loadLedger(repository), { code: 'ROLLED_BACK' });
    t.equal((await acceptFork(repository, { reason: 'never mind' })).length, 1);
    const { entries } = await loadLedger(repository);
    t.ok(entries.every(({ time }) => time.sec <= MAX_SECOND));
    await take(
      folder,
      openRepository(repository, repository.keyring, join(folder, 'cache2'), { heads: rememberHeads(repository, heads) }),
    );
  },
);
