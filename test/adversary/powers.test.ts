/**
 * Clocks that jump, an admin who is an attacker or whose key was revoked, a reader's key that was stolen and rotated: each tries what its power might seem to allow,
 * through the vault, and then by writing into the storage itself, where only readers can refuse it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { domainKeys, domainSecret, readerPrivateKeys } from '../../lib/crypto/roles.js';
import { sessionOpener } from '../../lib/crypto/session-open.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { BadSignatureError, CorruptError, RefusedError, RoleError } from '../../lib/errors.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { CertifiedRole, EntryType, payloadOf } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { revokeAuthor } from '../../lib/ledger/roles.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { readEnvelope, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { standings } from '../../lib/ledger/standing.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { placeHold, releaseHold } from '../../lib/retention/holds.js';
import { announcePrune, sweepPrune } from '../../lib/retention/prune.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import type { Reading } from '../../lib/vault/clock.js';
import { Watch } from '../../lib/vault/watch.js';
import { HandChain, imageOf, lostOf, only } from '../helpers/attacker.js';
import { noise } from '../helpers/damaged-repository.js';
import { compareFiles, readFiles } from '../helpers/read-files.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

const DAY = 86_400_000;
const YEARS = 3650 * DAY;
let files = 0;

async function take(made: TestVaultRepository, writer: Repository, nowMs?: number): Promise<string> {
  const file = join(made.folder, 'data');
  writeFileSync(file, noise(`data ${++files}`, 5000));
  const clock = nowMs === undefined ? {} : { nowMs: () => nowMs };
  return toHex((await backup(writer, { paths: [file], host: 'h', label: 'l', threads: 1, ...clock })).snapshotId!);
}

/** As it lies on the vault's disk. */
async function onDisk(made: TestVaultRepository, keyring: Keyring = made.keyring): Promise<Repository> {
  const place = await locateRepository(await openDirectoryStore(made.repositoryDir));
  return openRepository(place, keyring, join(made.folder, `disk-${++files}`));
}

const standingOf = async (from: Repository, hex: string) =>
  standings(await loadLedger(from)).find(({ id }) => toHex(id) === hex)!;

for (const [where, jump] of [
  ['ten years forward', YEARS],
  ['ten years back', -YEARS],
] as const)
  for (const reboot of [false, true])
    t.test(
      `the vault's clock jumps ${where}${reboot ? ' over a reboot' : ''}: nothing is deleted, no backup refused, and it is told`,
      async (t) => {
        const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * DAY, bootId: 'a' };
        const made = await startVaultRepository(t, { readClock: () => ({ ...reading }) });
        const writer = await made.open('writer', only.writer(made.keyring));
        const ids = [await take(made, writer), await take(made, writer), await take(made, writer)];
        const before = await imageOf(made.vault.guard.store);
        const promised = (await standingOf(await onDisk(made), ids[0]!)).retainUntilSec;
        reading.wallMs += jump;
        if (reboot) {
          await made.vault.close();
          reading.bootId = 'b';
          reading.uptimeMs = 60_000;
          await made.restart();
        } else reading.uptimeMs += 60_000;
        await new Watch(made.vault.guard).look();
        const admin = await made.connect('admin');
        for (const step of ['announce', 'sweep'] as const) await admin.prune(step);
        // Less than the shortest promise and the wait together; a boot may have gained a day.
        reading.uptimeMs += 2 * DAY;
        await admin.prune('sweep');
        t.same(lostOf(before, await imageOf(made.vault.guard.store)), [], 'nothing is deleted');
        const again = await made.open('writer', only.writer(made.keyring));
        const after = await take(made, again);
        t.ok((await standingOf(await onDisk(made), after)).receipt, 'a backup is taken and acknowledged');
        t.ok((await standingOf(await onDisk(made), ids[0]!)).retainUntilSec >= promised);
        await made.vault.guard.alerts.settled();
        const { entries } = await loadLedger(await onDisk(made));
        t.ok(
          entries.some(({ payload }) => payloadOf(payload, 'incident')?.code === 'clock-jump'),
          'the ledger tells of it',
        );
      },
    );

t.test('a writer whose clock is ten years ahead or behind is backed up, and its snapshots are dated by the vault', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  for (const jump of [-YEARS, YEARS, -YEARS]) {
    const { received, retainUntilSec } = await standingOf(await onDisk(made), await take(made, writer, Date.now() + jump));
    t.ok(Math.abs(received.sec - Date.now() / 1000) < 60);
    t.ok(retainUntilSec >= Date.now() / 1000 + 86_400 - 60);
  }
});

t.test('an admin shortens nothing: no policy, prune-done, intent or retirement makes a promise smaller', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const ids = [await take(made, writer), await take(made, writer)];
  const before = await imageOf(made.vault.guard.store);
  const promised = (await standingOf(await onDisk(made), ids[0]!)).retainUntilSec;
  const admin = await made.open('admin', only.admin(made.keyring));
  await setPolicy(admin, { minimumSec: 0, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, waitSec: 86_400 });
  await t.rejects(setPolicy(admin, { waitSec: 3600 }), RangeError, 'a wait below a day is not sent');
  const packs: Uint8Array[] = [];
  for await (const { name } of made.vault.guard.store.list('packs/')) packs.push(fromHex(name.slice(-64)));
  const list = { packs: joinSorted(packs), snapshots: joinSorted(ids.map(fromHex)), indexes: new Uint8Array(0) };
  // Announced long ago, as it says itself, and done already.
  const longAgo = timeOfMs(Date.now() - 30 * DAY);
  const tell = [
    { type: EntryType.pruneIntent, ...list },
    { type: EntryType.pruneDone, author: authorOf(publicKeyOf(made.keyring.adminSeed!)), sequence: 0, ...list },
  ] as const;
  for (const payload of tell)
    await appendEntry(admin, made.keyring.adminSeed, longAgo, () => payload).catch((error: Error) => t.comment(error.message));
  const store = await made.connect('admin');
  await store.prune('sweep');
  for (const name of before.keys()) if (!name.startsWith('keys/')) await t.rejects(store.remove(name), `remove ${name}`);
  // As the storage's owner, with the admin's key, by the program: it works it all out again.
  const direct = await onDisk(made);
  await announcePrune(direct);
  await sweepPrune(direct);
  for (const id of ids) {
    const standing = await standingOf(await onDisk(made), id);
    t.ok(!standing.pruned && standing.retainUntilSec >= Math.min(promised, standing.retainUntilSec), 'listed');
  }
  t.equal((await standingOf(await onDisk(made), ids[0]!)).retainUntilSec, promised, 'kept as long as was promised');
  const { author, entries } = (await loadLedger(direct)).chains.find(({ role }) => role === 'writer')!;
  // One that contradicts the chain would make every reader refuse the whole ledger.
  const lie = { type: EntryType.retire, author, count: entries.length, head: new Uint8Array(32).fill(1), reason: '' } as const;
  await t.rejects(
    appendEntry(admin, made.keyring.adminSeed, timeOfMs(Date.now()), () => lie),
    { code: 'REFUSED', message: /would not be read/ },
  );
  await revokeAuthor(await onDisk(made), toHex(author), `after ${entries.length}`);
  t.equal((await standingOf(await onDisk(made), ids[0]!)).retainUntilSec, promised, 'a revoked writer’s too');
  t.same(lostOf(before, await imageOf(made.vault.guard.store)), [], 'and every object is there');
});

t.test(
  'a revoked admin releases nobody’s hold: refused by the vault, ignored by readers when it is put into the storage',
  async (t) => {
    const made = await startVaultRepository(t);
    const writer = await made.open('writer', only.writer(made.keyring));
    const id = await take(made, writer);
    const founder = await made.open('admin', only.admin(made.keyring));
    const second = new Uint8Array(32).fill(7);
    const publicKey = publicKeyOf(second);
    await appendEntry(founder, made.keyring.adminSeed, timeOfMs(Date.now()), () => ({
      type: EntryType.cert,
      role: CertifiedRole.admin,
      publicKey,
    }));
    const [hold] = await placeHold(founder, [fromHex(id)], { reason: 'audit' });
    const theirs = await made.open('admin', { ...only.admin(made.keyring), adminSeed: second });
    await appendEntry(theirs, second, timeOfMs(Date.now()), () => ({
      type: EntryType.hold,
      snapshots: fromHex(id),
      reason: 'mine',
    }));
    await revokeAuthor(await made.open('admin', only.admin(made.keyring)), toHex(authorOf(publicKey)), 'left');
    await t.rejects(
      releaseHold(await made.open('admin', { ...only.admin(made.keyring), adminSeed: second }), hold!.name),
      RefusedError,
      'the program says so',
    );
    const chain = await HandChain.at(theirs, second);
    const release = chain.peek(Date.now(), {
      type: EntryType.release,
      author: hold!.author,
      sequence: hold!.sequence,
      reason: '',
    });
    const connection = await made.connect('admin');
    await t.rejects(
      connection.put(release.name, [release.bytes]),
      { code: 'REFUSED', message: /retired/ },
      'the vault does not take it',
    );
    const disk = await onDisk(made);
    await disk.store.put(release.name, [release.bytes]);
    t.same((await standingOf(disk, id)).holds.map(({ reason }) => reason).includes('audit'), true, 'the hold stands');
    t.equal((await standingOf(disk, id)).freeSec, Number.POSITIVE_INFINITY);
  },
);

t.test('a stolen reader key opens what was there before the rotation, nothing after, and writes nothing', async (t) => {
  const made = await startVaultRepository(t);
  const source = join(made.folder, 'source');
  mkdirSync(source);
  const writer = await onDisk(made, only.writer(made.keyring));
  const run = async (name: string): Promise<string> => {
    writeFileSync(join(source, name), noise(name, 20_000));
    return toHex((await backup(writer, { paths: [source], threads: 1 })).snapshotId!);
  };
  const before = await run('before');
  const stolen = only.reader(made.keyring);
  const rotation = await prepareRotation(await onDisk(made), 'reader');
  await rotation.commit();
  const after = await run('after');
  const thief = await onDisk(made, stolen);
  t.same(
    compareFiles(await readFiles(thief, before), { before: noise('before', 20_000) }),
    { wrong: [], lost: [] },
    'what was there',
  );
  const tried = await readFiles(await onDisk(made, stolen), after);
  t.equal(Buffer.isBuffer(tried.get('after')), false, 'not what came after');
  t.ok(tried.get('') instanceof CorruptError || tried.get('') instanceof RoleError);
  const { envelope } = await readEnvelope(thief, fromHex(after));
  const { salt } = thief.genesis;
  const domain = domainKeys(domainSecret(stolen.root!, salt, envelope.domain), salt, envelope.domain);
  const open = sessionOpener(readerPrivateKeys(stolen.root!, salt));
  t.equal(open(domain, envelope, envelope), undefined, 'the session key is closed to it');
  const owner = await onDisk(made, only.reader(rotation.keyring));
  const expected = { before: noise('before', 20_000), after: noise('after', 20_000) };
  t.same(compareFiles(await readFiles(owner, after), expected), { wrong: [], lost: [] }, 'the new key reads both');

  await t.rejects(backup(thief, { paths: [source] }), RoleError);
  const store = await made.connect('reader');
  const seed = new Uint8Array(32).fill(9);
  const entry = new HandChain(thief, seed).peek(Date.now(), { type: EntryType.incident, code: 'x', detail: '' });
  await t.rejects(store.put(entry.name, [entry.bytes]), { code: 'REFUSED', message: /certified/ });
  const count = snapshotRecords(await loadLedger(owner)).length;
  await owner.store.put(entry.name, [entry.bytes]);
  await t.rejects(
    loadLedger(await onDisk(made)),
    BadSignatureError,
    'an entry of its own, in the storage, is refused for what it is',
  );
  t.equal(count, 2);
});
