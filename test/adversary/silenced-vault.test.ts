/** A hold that no honest program releases, and a vault whose incidents nobody reads any more. */
import { join } from 'node:path';
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { CertifiedRole, EntryType, MAX_SECOND } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { standings } from '../../lib/ledger/standing.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { listHolds, releaseHold } from '../../lib/retention/holds.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import { openVaultStore } from '../../lib/store/vault.js';
import { certifyVault } from '../../lib/vault/certify.js';
import { startVault } from '../../lib/vault/server.js';
import { repositoryStatus } from '../../lib/vault/status.js';
import { HandChain, only } from '../helpers/attacker.js';
import { scratch } from '../helpers/backup-repository.js';
import { lowerAdminAndWriter, onDisk, say, take } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

t.test('a hold that is dated to the last second of all can be released', async (t) => {
  const made = await startVaultRepository(t);
  const id = await take(made, await made.open('writer', only.writer(made.keyring)));
  const { lower } = await lowerAdminAndWriter(made);
  await say(made, lower, { type: EntryType.hold, snapshots: fromHex(id), reason: 'for ever' }, 'admin', MAX_SECOND * 1000);
  const founder = await made.open('admin', only.admin(made.keyring));
  const [hold] = await listHolds(founder);
  await t.resolves(releaseHold(founder, hold!.name), 'by the program');
  const standing = standings(await loadLedger(await onDisk(made))).find((one) => toHex(one.id) === id);
  t.same(standing?.holds, []);
});

t.test('retiring the admin who certified the vault leaves its incidents to be read, or its end told', async (t) => {
  const folder = scratch(t);
  const directory = join(folder, 'repo');
  const { place, keyring } = await initRepository(await createDirectoryStore(directory), {
    label: 'test',
    policy: DEFAULT_POLICY,
  });
  const lower = new Uint8Array(32).fill(41);
  await appendEntry(openRepository(place, keyring, join(folder, 'c0')), keyring.adminSeed, timeOfMs(Date.now()), () => ({
    type: EntryType.cert,
    role: CertifiedRole.admin,
    publicKey: publicKeyOf(lower),
  }));
  const sockets = { admin: join(folder, 'a.sock'), writer: join(folder, 'w.sock'), reader: join(folder, 'r.sock') };
  const vault = await startVault({
    repository: directory,
    stateDir: join(folder, 'state'),
    sockets,
    onLog: () => undefined,
    everySec: 3600,
  });
  t.teardown(() => vault.close());
  const connection = await openVaultStore(`vault:${sockets.admin}`);
  t.teardown(() => connection.close());
  const admin = openRepository(
    await locateRepository(connection),
    { ...only.admin(keyring), adminSeed: lower },
    join(folder, 'c1'),
  );
  await certifyVault(admin);
  const disk = async () =>
    openRepository(await locateRepository(await openDirectoryStore(directory)), keyring, join(folder, 'c2'));
  vault.guard.alerts.tell('refused-deletion', 'somebody tried');
  await vault.guard.alerts.settled();
  const incidents = async () => (await repositoryStatus(await disk())).incidents.map(({ code }) => code);
  t.ok((await incidents()).includes('refused-deletion'));
  const sent = (await HandChain.at(await disk(), keyring.adminSeed!)).peek(Date.now(), {
    type: EntryType.retire,
    author: authorOf(publicKeyOf(lower)),
    count: 0,
    head: new Uint8Array(32),
    reason: '',
  });
  await connection.put(sent.name, [sent.bytes]);
  await vault.guard.alerts.settled();
  t.equal(vault.guard.commits!.certified, true, 'the vault believes that its word counts');
  const now = await incidents();
  t.ok(now.includes('refused-deletion'), `what it told is still told: ${now.join()}`);
  t.ok(now.includes('key-retired'), 'and this too');
});
