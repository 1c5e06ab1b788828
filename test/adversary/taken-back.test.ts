/** An admin retires the vault from its first entry on: what the vault rightly pruned must not come back as missing. And two claims about one manifest, one of them disowned. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { State } from '../../lib/format/manifest.js';
import { EntryType, type Payload } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { openRepository } from '../../lib/repository/repository.js';
import { announcePrune, planPrune, sweepPrune } from '../../lib/retention/prune.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore } from '../../lib/store/directory.js';
import type { Reading } from '../../lib/vault/clock.js';
import { only } from '../helpers/attacker.js';
import { scratch } from '../helpers/backup-repository.js';
import { noise } from '../helpers/damaged-repository.js';
import { DAY, onDisk, say, take } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

const ZERO = { minimumSec: 0, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, yearSec: 0 };

t.test('retiring the vault brings nothing back into lists that it had rightly pruned', async (t) => {
  const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * DAY, bootId: 'a' };
  const made = await startVaultRepository(t, { readClock: () => ({ ...reading }), policy: ZERO });
  const writer = await made.open('writer', only.writer(made.keyring));
  const first = await take(made, writer);
  const second = await take(made, writer);
  const admin = await made.connect('admin');
  made.vault.guard.alerts.tell('refused-deletion', 'somebody tried');
  await made.vault.guard.alerts.settled();
  for (const step of ['announce', 'sweep'] as const) {
    reading.wallMs += 4 * DAY;
    reading.uptimeMs += 4 * DAY;
    await admin.prune(step);
  }
  const listed = async (nowMs: number): Promise<string[]> => {
    const { standings } = await import('../../lib/ledger/standing.js');
    return standings(await loadLedger(await onDisk(made)), nowMs / 1000)
      .filter(({ pruned, overtaken }) => !pruned && !overtaken)
      .map(({ id }) => toHex(id));
  };
  t.same(await listed(reading.wallMs), [second], 'the first was pruned');
  await say(made, made.keyring.adminSeed!, {
    type: EntryType.retire,
    author: authorOf(made.vault.guard.vaultKey),
    count: 0,
    head: new Uint8Array(32),
    reason: '',
  });
  t.same(await listed(reading.wallMs), [second], 'and stays off the list');
  const { check } = await import('../../lib/verify/check.js');
  const report = await check(await onDisk(made), { nowMs: reading.wallMs } as never);
  t.same(
    report.errors.map(({ object, message }) => `${object} ${message}`),
    [],
  );
  t.ok(first && selectSnapshot);
  const { repositoryStatus } = await import('../../lib/vault/status.js');
  const codes = (await repositoryStatus(await onDisk(made))).incidents.map(({ code }) => code);
  t.ok(codes.includes('refused-deletion'), `what the vault told before is still shown: ${codes.join()}`);
});

t.test(
  'an admin’s claim about a manifest of a writer that it disowned does not stand before the writer’s own (plain directory)',
  async (t) => {
    const folder = scratch(t);
    const store = await createDirectoryStore(join(folder, 'repo'));
    const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
    const repository = openRepository(place, keyring, join(folder, 'cache'));
    const file = join(folder, 'data');
    writeFileSync(file, noise('data', 3000));
    const id = (await backup(repository, { paths: [file], host: 'h', label: 'l', threads: 1 })).snapshotId!;
    const promised = snapshotRecords(await loadLedger(repository))[0]!.retainUntilSec;
    t.ok(promised > Date.now() / 1000 + 300 * 86_400);
    const tell = async (payload: Payload) => appendEntry(repository, keyring.adminSeed, timeOfMs(Date.now()), () => payload);
    const stream = new Uint8Array(16).fill(1);
    const author = authorOf(publicKeyOf(keyring.adminSeed!));
    await tell({
      type: EntryType.retire,
      author: authorOf(publicKeyOf(keyring.writer!.seed)),
      count: 0,
      head: new Uint8Array(32),
      reason: '',
    });
    await tell({ type: EntryType.snapshot, manifest: id, stream, state: State.complete, retainUntilSec: 0, slots: 0 });
    await tell({ type: EntryType.retireStream, author, stream, reason: '' });
    const plan = await planPrune(repository, { nowMs: () => Date.now() + 5 * DAY });
    t.equal(plan.snapshots.find((one) => one.id === toHex(id))?.state, 'kept', 'kept as promised');
    await announcePrune(repository, { nowMs: () => Date.now() + 5 * DAY });
    const said = await sweepPrune(repository, { nowMs: () => Date.now() + 12 * DAY });
    t.same(said.manifests, [], 'nothing is deleted');
    t.ok(fromHex);
  },
);
