/** Several serving threads show one repository: each has a file system of its own and shares the table of numbers with the others. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { createNodeTable } from '../../lib/view/node-table.js';
import { Fixed } from '../../lib/view/root-names.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { nodeAt, openView, snapshotNodes, type View } from '../helpers/view.js';

const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(join(source, 'inner'), { recursive: true });
const data = randomBytes(300_000);
writeFileSync(join(source, 'inner', 'file'), data);
const made = await makeRepository(folder);
const repository = await made.open();
const numbers = createNodeTable();

const open = (): Promise<View> => openView(t, repository, {}, numbers);
/** Number of the newest snapshot's `path`, as `fs` gives it out. */
const numberOf = (fs: View, path: string): number => nodeAt(fs, snapshotNodes(fs).at(-1)!, path);

t.test('a thread that has not heard of a snapshot serves what another gave numbers to', async (t) => {
  const [first, second, third, fourth] = [await open(), await open(), await open(), await open()] as const;
  for (const fs of [first, second, third, fourth]) t.same(fs.readdir(Fixed.snapshots, 0, 100).entries, []);
  await made.backup({ paths: [source] });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const file = numberOf(first, join(source, 'inner/file'));
  const into = new Uint8Array(data.length + 10);
  t.equal(second.read(file, 0, into), data.length, 'a read that came back empty would end the file there');
  t.same(into.subarray(0, data.length), data);
  const inner = numberOf(first, join(source, 'inner'));
  t.equal(third.readdir(inner, 0, 10).entries.length, 1);
  t.equal(fourth.lookup(inner, utf8('file'))?.nodeId, file);
});

t.test('a link that one thread gives out leads somewhere in another that has just looked for snapshots', async (t) => {
  const [first, second] = [await open(), await open()] as const;
  first.readdir(Fixed.snapshots, 0, 100);
  // Until the first looks again.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  second.readdir(Fixed.snapshots, 0, 100);
  await made.backup({ paths: [source] });
  const target = Buffer.from(first.readlink(first.lookup(Fixed.root, utf8('latest'))!.nodeId)!).toString();
  t.equal(first.readdir(Fixed.snapshots, 0, 100).entries.length, 2);
  t.ok(second.lookup(Fixed.snapshots, utf8(target.split('/').at(-1)!)), target);
});

t.test('what was never given out is an error, not an empty file or directory', async (t) => {
  const fs = await open();
  for (const unknown of [2 ** 40, 10_000 * 65_536 + 7]) {
    t.throws(() => fs.read(unknown, 0, new Uint8Array(10)), { code: 'NOT_FOUND' });
    t.throws(() => fs.readdir(unknown, 0, 10), { code: 'NOT_FOUND' });
    t.throws(() => fs.readdirRecords?.(unknown, 0, 10), { code: 'NOT_FOUND' });
    t.throws(() => fs.lookup(unknown, utf8('name')), { code: 'NOT_FOUND' });
    t.throws(() => fs.seek(unknown, 0, 'data'), { code: 'NOT_FOUND' }, 'a hole would be zeros');
    t.throws(() => fs.listxattr(unknown), { code: 'NOT_FOUND' });
    t.throws(() => fs.getxattr(unknown, utf8('user.x')), { code: 'NOT_FOUND' });
    t.throws(() => fs.readlink(unknown), { code: 'NOT_FOUND' });
  }
  t.throws(() => fs.read(numberOf(fs, join(source, 'inner')), 0, new Uint8Array(10)), { code: 'NOT_FOUND' }, 'a directory');
});
