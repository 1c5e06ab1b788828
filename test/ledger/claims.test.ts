/** What one writer's entries can do to another's snapshots: naming their manifests again, under another time, stream or state, and tagging them. Nothing. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { encodeTagChange, tagsAad } from '../../lib/format/entry.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType, type Payload, type SnapshotPayload } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { asId } from '../../lib/id.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { findSnapshot, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { blockingPlace } from '../../lib/store/blocking.js';
import { check } from '../../lib/verify/check.js';
import { LedgerFollower } from '../../lib/view/ledger-follower.js';
import { objectReader } from '../../lib/view/objects.js';
import { makeRepository, scratch, snapshotsOf } from '../helpers/backup-repository.js';

const START_MS = Date.UTC(2026, 0, 5, 10);
const HOUR = 3_600_000;

/** A repository with two snapshots of one writer, and another writer who is an attacker. */
async function scene() {
  const folder = scratch(t);
  const source = join(folder, 'source');
  mkdirSync(source);
  const made = await makeRepository(folder, START_MS);
  const all = await made.open();
  const ids: string[] = [];
  for (let i = 1; i <= 2; i++) {
    writeFileSync(join(source, 'file'), `content ${i}`);
    const report = await backup(all, { paths: [source], host: 'h', label: 'l', threads: 1, nowMs: () => START_MS + i * HOUR });
    ids.push(toHex(report.snapshotId!));
  }
  const other = newWriterKey(all);
  await certifyWriter(all, other, { nowMs: START_MS });
  const as = (keyring: Keyring): Repository => openRepository(all, keyring, join(folder, 'other-cache'));
  /** An entry of the other writer. */
  const say = (makePayload: (sequence: number) => Payload, ms = START_MS + 1) =>
    appendEntry(as(other), other.writer!.seed, timeOfMs(ms), makePayload);
  return { made, all, ids, other, say };
}

t.test('a manifest that another author names too is listed as its own author has it', async (t) => {
  const { all, ids, say } = await scene();
  const before = await snapshotsOf(all);
  const payload: SnapshotPayload = before[1]!.payload;
  const place = blockingPlace(all.store);
  const follower = new LedgerFollower(all, await loadLedger(all), objectReader(place));
  // Dated before everything, and promising ten years: as another's, partial, and of another stream.
  const claim = {
    ...payload,
    type: EntryType.snapshot,
    state: 1,
    stream: new Uint8Array(16).fill(9),
    retainUntilSec: 4_000_000_000,
  };
  const entry = await say(() => claim);
  const ledger = await loadLedger(all);
  t.same(
    snapshotRecords(ledger).map(({ id }) => toHex(id)),
    ids,
    'in the order of the true entries',
  );
  const after = await snapshotsOf(all);
  t.same(
    after.map((one) => [toHex(one.entry.author), one.payload.state, one.received, one.tags]),
    before.map((one) => [toHex(one.entry.author), one.payload.state, one.received, one.tags]),
  );
  t.equal(after[1]!.retainUntilSec, 4_000_000_000, 'it is kept as long as anybody promised');
  const records = snapshotRecords(ledger).map((record) => ({ ...record, time: record.received }));
  t.equal(toHex(findSnapshot(records, 'latest').id), ids[1], 'and is the latest');
  t.ok(follower.poll());
  t.same(
    snapshotRecords(follower.ledger).map((one) => [toHex(one.id), toHex(one.entry.author)]),
    snapshotRecords(ledger).map((one) => [toHex(one.id), toHex(one.entry.author)]),
    'a mount that follows sees the same',
  );
  // One that the manifest does not belie is only superfluous.
  const again = await appendEntry(all, all.keyring.writer!.seed, timeOfMs(START_MS + 3 * HOUR), () => ({
    ...payload,
    type: EntryType.snapshot,
  }));
  const report = await check(all);
  const nameOf = ({ author, sequence }: typeof entry): string => entryName(asId('author', author), sequence);
  t.match(
    report.errors.filter(({ object }) => object.startsWith('ledger/')).map(({ object, message }) => [object, message]),
    [[nameOf(entry), /is of another author, stream or state/]],
  );
  t.ok(report.warnings.some(({ object, message }) => object === nameOf(again) && /once more/.test(message)));
});

t.test('nobody tags in a domain that no certificate gives, nor snapshots of another domain than the entry’s', async (t) => {
  const { all, ids, other, say } = await scene();
  const tag = (keyring: Keyring, added: string) => {
    const { domain, seed } = keyring.writer!;
    const plain = encodeTagChange({ snapshots: ids.map((id) => Buffer.from(id, 'hex')), added: [added], removed: [] });
    return (sequence: number): Payload => ({
      type: EntryType.tags,
      domain,
      sealed: seal(all.domainKeys(domain).tags, tagsAad(all.id, authorOf(publicKeyOf(seed)), sequence), plain),
    });
  };
  await say(tag(other, 'of another domain'));
  // With the domain's secret, which it stole, and its own certificate.
  await say(tag({ ...other, writer: { ...all.keyring.writer!, seed: other.writer!.seed } }, 'without a certificate'));
  await appendEntry(all, all.keyring.writer!.seed, timeOfMs(START_MS), tag(all.keyring, 'its own'));
  t.same(
    (await snapshotsOf(all)).map(({ tags }) => tags),
    [['its own'], ['its own']],
  );
  t.match(
    (await check(all)).errors.map(({ message }) => message),
    [/tag entry 1 is of a domain that no certificate gives to its writer/],
  );
});
