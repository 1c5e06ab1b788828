/** user.varve.first-seen: since which snapshot of its stream a file is what it is. */
import { mkdirSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { rfc3339 } from '../../lib/format/time.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { nodeAt, openView, snapshotNodes } from '../helpers/view.js';

const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(join(source, 'inner'), { recursive: true });
const made = await makeRepository(folder);
const repository = await made.open();
let now = Date.UTC(2030, 0, 1);
async function backup(change: () => void, options: { host?: string } = {}): Promise<void> {
  change();
  now += 3_600_000;
  const nowMs = now;
  await made.backup({ paths: [source], host: 'here', threads: 1, nowMs: () => nowMs, force: true, ...options });
}
const write = (name: string, text: string, mtime: number): void => {
  writeFileSync(join(source, name), text);
  utimesSync(join(source, name), mtime, mtime);
};
const link = (target: string): void => symlinkSync(target, join(source, 'link'));

await backup(() => {
  write('stays', 'as it is', 1);
  write('inner/changes', 'first', 1);
  write('touched', 'same bytes', 1);
  link('one');
});
await backup(() => write('stays', 'of another host', 9), { host: 'elsewhere' });
await backup(() => {
  write('stays', 'as it is', 1);
  write('inner/changes', 'second', 1);
});
await backup(() => {
  write('touched', 'same bytes', 2);
  unlinkSync(join(source, 'link'));
  link('two');
});
await backup(() => write('inner/changes', 'first', 1));
const times = snapshotRecords(await loadLedger(repository)).map(({ received }) => rfc3339(received));

t.test('it is the time of the oldest snapshot of the stream from which on nothing has changed', async (t) => {
  const fs = await openView(t, repository);
  const snapshots = snapshotNodes(fs);
  t.equal(snapshots.length, 5);
  const seen = (snapshot: number, path: string): string =>
    Buffer.from(fs.getxattr(nodeAt(fs, snapshots[snapshot]!, join(source, path)), utf8('user.varve.first-seen'))!).toString();
  t.equal(seen(4, 'stays'), times[0], 'the snapshot of another host between them says nothing');
  t.equal(seen(1, 'stays'), times[1]);
  t.equal(seen(4, 'inner/changes'), times[4], 'it was so before, but not ever since');
  t.equal(seen(3, 'inner/changes'), times[2]);
  t.equal(seen(2, 'touched'), times[0]);
  t.equal(seen(4, 'touched'), times[3]);
  t.equal(seen(3, 'link'), times[3]);
  t.equal(seen(3, 'inner'), times[2], 'a directory by all that it holds');
});

t.test('a mount of one snapshot and path says the same, and lists it when asked to', async (t) => {
  const hex = Buffer.from(snapshotRecords(await loadLedger(repository))[3]!.id).toString('hex');
  const only = { hex, path: utf8(join(source, 'inner')) };
  const fs = await openView(t, repository, { only, listVirtualXattrs: true });
  const node = fs.lookup(1, utf8('changes'))!.nodeId;
  t.equal(Buffer.from(fs.getxattr(node, utf8('user.varve.first-seen'))!).toString(), times[2]);
  t.ok(fs.listxattr(node).some((name) => Buffer.from(name).toString() === 'user.varve.first-seen'));
});
