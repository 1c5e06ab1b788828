/** A mount beside manifests that do not open: hosts/, tags/ and filters go on with the others and say so; what is damaged stays listed where the ledger alone decides. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../lib/crypto/kdf.js';
import { StoreError } from '../../lib/errors.js';
import { encodeManifestBody } from '../../lib/format/manifest.js';
import { manifestName } from '../../lib/format/names.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { type SnapshotFilter, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { Manifests } from '../../lib/view/manifests.js';
import { Fixed } from '../../lib/view/root-names.js';
import { forgeManifest, forgeSession, HandChain, snapshotPayload } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { openView, type View } from '../helpers/view.js';

const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(source);
const made = await makeRepository(folder);
const repository = await made.open();
for (const host of ['web1', 'web2']) {
  writeFileSync(join(source, 'file'), randomBytes(100));
  await made.backup({ paths: [source], host, label: 'l', tags: [`of-${host}`], threads: 1 });
}
const chain = await HandChain.at(repository, made.keyring.writer!.seed);
async function commit(change: (bytes: Uint8Array) => void, more: { body?: Uint8Array } = {}, state = 0): Promise<Uint8Array> {
  const manifest = forgeManifest(await forgeSession(repository), [], { stream: randomBytes(16), ...more });
  const bytes = manifest.bytes.slice();
  change(bytes);
  const id = sha256(bytes);
  await repository.store.put(manifestName(id), [bytes]);
  const entry = chain.next(Date.now(), snapshotPayload({ ...manifest, id }, { state }));
  await repository.store.put(entry.name, [entry.bytes]);
  return id;
}
const body = encodeManifestBody((await selectSnapshot(repository, 'latest')).body);
const ids = [
  await commit(() => undefined),
  await commit((bytes) => {
    bytes[5] = 2;
  }),
  // Right in itself, but not what its ledger entry says.
  await commit(() => undefined, { body }, 1),
];
const open = (filter?: SnapshotFilter): Promise<View> => openView(t, repository, filter === undefined ? {} : { filter });
const names = (fs: View, nodeId: number): string[] =>
  fs.readdir(nodeId, 0, 100).entries.map(({ name }) => Buffer.from(name).toString());

t.test('hosts/ and tags/ show what opens, and each that does not is told once', async (t) => {
  const fs = await open();
  t.equal(names(fs, Fixed.snapshots).length, 5, 'by the ledger all are there');
  t.same(fs.notices(), []);
  t.same(names(fs, Fixed.hosts), ['web1', 'web2']);
  const notices = fs.notices();
  t.equal(notices.length, 3);
  for (const id of ids) t.ok(notices.some((line) => line.includes(Buffer.from(id).toString('hex'))));
  t.match(notices[0], /does not open.*varve check/);
  t.same(names(fs, Fixed.tags), ['of-web1', 'of-web2']);
  t.same(fs.notices(), [], 'once');
});

t.test('a filter that asks for what only manifests say leaves them out, and says so', async (t) => {
  const fs = await open({ hosts: ['web1'] });
  t.equal(names(fs, Fixed.snapshots).length, 1);
  t.equal(fs.notices().length, 3);
  const timed = await open({ untilMs: 0 });
  t.equal(names(timed, Fixed.snapshots).length, 0);
  t.same(timed.notices(), [], 'by time alone none is looked into');
});

t.test('a manifest that cannot be read is damage; a store that answers nothing is not', async (t) => {
  const ledger = await loadLedger(repository);
  const record = snapshotRecords(ledger)[0]!;
  const failing = (isGone: (name: string) => boolean) => (name: string) => {
    if (isGone(name)) throw new StoreError(name, 'read', new Error('EIO'));
    return new Uint8Array(1);
  };
  const one = new Manifests(
    repository,
    failing((name) => name === manifestName(record.id)),
    () => ledger,
  );
  t.throws(() => one.open(record), { code: 'CORRUPT' });
  const all = new Manifests(
    repository,
    failing(() => true),
    () => ledger,
  );
  t.throws(() => all.open(record), StoreError);
});
