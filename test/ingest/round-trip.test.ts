/** What goes into a backup comes out of it: every kind of entry, read back through the ordinary readers and compared with lstat, byte for byte. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { isDirectory, isFile } from '../../lib/format/tree.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { isLeaf, readPage } from '../../lib/repository/tree-reader.js';
import {
  danglingPins,
  differences,
  makeRepository,
  pinsOf,
  readLatest,
  scratch,
  snapshotsOf,
} from '../helpers/backup-repository.js';

const ROOT = process.getuid?.() === 0;
const bytes = (...parts: (string | number[])[]): Buffer => Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const run = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

/** A sample of everything; returns what this machine could not make. */
async function everyKind(t: Test, at: string): Promise<string[]> {
  const missing: string[] = [];
  const here = (...parts: (string | number[])[]): Buffer => bytes(`${at}/`, ...parts);
  mkdirSync(at);
  for (const size of [0, 1, 255, 256, 257, 4096, 65_535, 65_536, 65_537, 200_000, 3_000_000])
    writeFileSync(join(at, `size-${size}`), randomBytes(size));
  writeFileSync(join(at, 'zeros'), new Uint8Array(5 << 20));
  writeFileSync(here('not utf-8 ', [0xff, 0xfe, 0x80]), 'a');
  writeFileSync(here('new\nline "quoted" \\ back\t', [0x01, 0x7f]), 'b');
  writeFileSync(join(at, 'n'.repeat(255)), 'c');
  writeFileSync(here(...Array.from({ length: 255 }, () => [0xe9])), 'd');
  mkdirSync(join(at, 'empty'));
  symlinkSync('../nowhere at all', join(at, 'dangling'));
  symlinkSync(bytes([0xc3, 0x28], 'x'.repeat(4000)), join(at, 'long target'));
  symlinkSync('.', join(at, 'loop'));
  run('mkfifo', join(at, 'fifo')) || missing.push('fifo');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(at, 'socket'), resolve));
  t.teardown(() => void server.close());
  if (ROOT && run('mknod', join(at, 'null'), 'c', '1', '3')) {
    run('mknod', join(at, 'block'), 'b', '259', '300000');
    chownSync(join(at, 'size-1'), 12345, 4_000_000_000);
  } else missing.push('devices');
  for (const mode of [0o4755, 0o2711, 0o1777, 0o6070, 0o400]) {
    writeFileSync(join(at, `mode-${mode.toString(8)}`), String(mode));
    chmodSync(join(at, `mode-${mode.toString(8)}`), mode);
  }
  mkdirSync(join(at, 'sticky'));
  chmodSync(join(at, 'sticky'), 0o3777);
  if (
    !run('setfattr', '-n', 'user.note', '-v', 'text', join(at, 'size-257')) ||
    !run('setfattr', '-n', 'user.empty', join(at, 'empty'))
  )
    missing.push('attributes');
  if (!run('setfacl', '-m', 'u:1234:rx', join(at, 'size-4096')) || !run('setfacl', '-d', '-m', 'g:77:rwx', join(at, 'empty')))
    missing.push('ACLs');
  linkSync(join(at, 'size-200000'), join(at, 'empty', 'second name'));
  linkSync(join(at, 'size-200000'), join(at, 'third name'));
  linkSync(join(at, 'size-1'), join(at, 'small second name'));
  linkSync(join(at, 'fifo'), join(at, 'fifo again'));
  const sparse = openSync(join(at, 'sparse'), 'w');
  ftruncateSync(sparse, 300 << 20);
  writeSync(sparse, randomBytes(100_000), 0, 100_000, 70 << 20);
  writeSync(sparse, 'end', (300 << 20) - 3);
  closeSync(sparse);
  writeFileSync(join(at, 'only a hole'), '');
  truncateSync(join(at, 'only a hole'), 1 << 20);
  for (const [name, time] of [
    ['size-0', '@-2000000000.123456789'],
    ['size-255', '@-0.5'],
    ['empty', '@0.000000001'],
    ['size-256', '2200-01-01T00:00:00.999999999Z'],
  ])
    run('touch', '-h', '-d', time!, join(at, name!)) || missing.push(`time ${time}`);
  run('touch', '-h', '-d', '@-1.25', join(at, 'dangling'));
  return missing;
}

t.test('a tree with every kind of entry comes back as it was', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  const missing = await everyKind(t, source);
  if (missing.length > 0) t.comment(`this machine cannot make: ${missing.join(', ')}`);
  const report = await repo.backup({ paths: [source] });
  t.equal(report.state, 'complete');
  t.same(report.problems, []);
  const repository = await repo.open();
  const tree = await readLatest(repository);
  t.same(differences(tree, source), []);
  const root = tree.get('')!.entry;
  t.ok(isDirectory(root) && root.totals.bytes === report.totalBytes && root.totals.files === report.totalFiles);
  t.same(await danglingPins(repository), []);
  // mtimes as the system itself writes them, so that the comparison above is not of one mistake with itself
  const early = tree.get(`${source}/size-0`)!.entry;
  t.same([early.mtimeSec, early.mtimeNsec], [-2_000_000_001, 876_543_211]);

  t.test('and so it does from the change cache, and without it', async (t) => {
    const again = await repo.backup({ paths: [source] });
    t.equal(again.state, 'complete');
    t.same(differences(await readLatest(await repo.open()), source), []);
    rmSync(repo.cacheDir, { recursive: true });
    t.ok((await repo.backup({ paths: [source] })).newBytes < 100_000);
    t.same(differences(await readLatest(await repo.open()), source), []);
  });
});

t.test('an attribute value longer than 4,096 bytes comes back, also when only the change cache knows it', async (t) => {
  let folder: string;
  try {
    folder = scratch(t, '/dev/shm');
  } catch {
    t.pass('long attributes', { skip: 'there is no /dev/shm' });
    return;
  }
  const repo = await makeRepository(scratch(t));
  const source = join(folder, 'source');
  mkdirSync(join(source, 'inner'), { recursive: true });
  writeFileSync(join(source, 'file'), 'content');
  symlinkSync('x', join(source, 'link'));
  if (!run('setfattr', '-n', 'user.long', '-v', 'v'.repeat(60_000), join(source, 'file'))) {
    t.pass('long attributes', { skip: 'this kernel keeps no long attributes in a tmpfs (6.6 does)' });
    return;
  }
  run('setfattr', '-n', 'user.long', '-v', 'd'.repeat(5000), join(source, 'inner'));
  run('setfattr', '-n', 'user.long', '-v', 'r'.repeat(4097), source);
  await sleep(2100);
  // Every run rewrites the pages, so that only the attributes themselves need the first run's packs.
  for (let round = 0; round < 3; round++) {
    writeFileSync(join(source, `round-${round}`), String(round));
    writeFileSync(join(source, 'inner', `round-${round}`), String(round));
    await repo.backup({ paths: [source] });
    t.same(differences(await readLatest(await repo.open()), source), [], `round ${round}`);
  }
});

t.test('ten thousand names of one file are one file, read once', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'first'), randomBytes(50_000));
  for (let i = 0; i < 10; i++) {
    mkdirSync(join(source, `d${i}`));
    for (let n = 0; n < 1000; n++) linkSync(join(source, 'first'), join(source, `d${i}`, `name ${n}`));
  }
  const report = await repo.backup({ paths: [source] });
  t.equal(report.totalFiles, 10_001);
  t.equal(report.counts.readBytes, 50_000);
  const tree = await readLatest(await repo.open());
  t.same(differences(tree, source, { content: false }), []);
  t.equal(new Set([...tree.values()].map(({ sha256 }) => sha256).filter((hash) => hash !== undefined)).size, 1);
});

t.test('a sparse file of 5 TiB is stored in a moment and keeps its holes', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'huge');
  const size = 5 * 2 ** 40;
  const fd = openSync(source, 'w');
  try {
    ftruncateSync(fd, size);
  } catch {
    t.pass('5 TiB', { skip: `this file system (type ${statfsSync(folder).type}) has no files of 5 TiB` });
    return;
  } finally {
    closeSync(fd);
  }
  const writer = openSync(source, 'r+');
  writeSync(writer, 'start', 0);
  writeSync(writer, 'middle', 3 * 2 ** 40);
  writeSync(writer, 'end', size - 3);
  closeSync(writer);
  const report = await repo.backup({ paths: [source] });
  t.equal(report.totalBytes, size);
  t.ok(report.counts.readBytes < 1 << 20, `${report.counts.readBytes} bytes read`);
  const { entry } = (await readLatest(await repo.open())).get(source)!;
  t.ok(isFile(entry) && entry.sizeBytes === size && entry.digest === null);
});

t.test('directories nest three hundred deep', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  let deep = join(folder, 'source');
  mkdirSync(deep);
  for (let level = 0; level < 300; level++) mkdirSync((deep = join(deep, `${level}`)));
  writeFileSync(join(deep, 'bottom'), 'here');
  t.equal((await repo.backup({ paths: [join(folder, 'source')] })).state, 'complete');
  t.same(differences(await readLatest(await repo.open()), join(folder, 'source')), []);
});

t.test('what lies deeper than a path can name is a problem, and the rest is stored', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'beside'), 'stored');
  // Moved into one another from below: no single path is ever too long for mkdir.
  let tower = join(folder, 'tower');
  mkdirSync(tower);
  writeFileSync(join(tower, 'unreachable'), 'x');
  for (let level = 0; level < 20; level++) {
    const next = join(folder, `next-${level}`);
    mkdirSync(next);
    renameSync(tower, join(next, 'x'.repeat(250)));
    tower = next;
  }
  renameSync(tower, join(source, 'tower'));
  const report = await repo.backup({ paths: [source] });
  const tree = await readLatest(await repo.open());
  t.ok(tree.has(`${source}/beside`));
  const stored = [...tree.keys()].some((path) => path.endsWith('/unreachable'));
  t.ok(
    stored ? report.state === 'complete' : report.problems.some(({ code }) => code === 'ENAMETOOLONG'),
    report.problems.map(({ code }) => code).join(),
  );
});

t.test('a directory of a hundred thousand entries is a tree of pages, and one changed entry rewrites few of them', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 100_000; i++) closeSync(openSync(join(source, `entry number ${i}`), 'w'));
  await sleep(2100);
  t.equal((await repo.backup({ paths: [source] })).totalFiles, 100_000);
  const pagesOf = async (): Promise<Set<string>> => {
    const repository = await repo.open();
    const snapshot = (await snapshotsOf(repository)).at(-1)!;
    const pins = await pinsOf(repository, snapshot);
    const reader = await openSnapshotReader(repository, [pins]);
    const from = reader.source(snapshot.envelope.domain, pins);
    const pages = new Set<string>();
    const names: string[] = [];
    const visit = (id: Uint8Array): void => {
      pages.add(Buffer.from(id).toString('hex'));
      const page = readPage(from, id);
      if (isLeaf(page)) {
        names.push(...page.entries.map(({ name }) => Buffer.from(name).toString('latin1')));
        for (const entry of page.entries) if (isDirectory(entry)) visit(entry.tree);
      } else if ('rows' in page) for (const row of page.rows) visit(row.id);
    };
    visit(snapshot.body.root.tree);
    await reader.close();
    t.equal(names.length, new Set(names).size);
    return pages;
  };
  const before = await pagesOf();
  t.ok(before.size > 40, `${before.size} pages`);
  writeFileSync(join(source, 'entry number 51234'), 'changed');
  const report = await repo.backup({ paths: [source] });
  t.equal(report.counts.readBytes, 7);
  const fresh = [...(await pagesOf())].filter((page) => !before.has(page));
  // one leaf, the pages above it, and the directories on the way to the source
  t.ok(fresh.length <= 4 + source.split('/').length, `${fresh.length} new pages`);
  const tree = await readLatest(await repo.open());
  t.equal(tree.size, 100_000 + source.split('/').length);
  const changed = tree.get(join(source, 'entry number 51234'))!.entry;
  t.ok(isFile(changed) && changed.sizeBytes === 7);
});

t.test('empty sources: a directory, a file, a symlink to a directory, and the way to it through a symlink', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  mkdirSync(join(folder, 'directory'));
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('directory', join(folder, 'symlink'));
  writeFileSync(join(folder, 'directory', 'inside'), 'x');
  utimesSync(join(folder, 'file'), 1, 1);
  const report = await repo.backup({ paths: [join(folder, 'file'), join(folder, 'symlink')] });
  t.equal(report.totalFiles, 2);
  const tree = await readLatest(await repo.open());
  for (const name of ['file', 'symlink']) t.same(differences(tree, join(folder, name)), []);
  t.notOk(tree.has(join(folder, 'directory')), 'a symlink as source is stored as a symlink');
  await repo.backup({ paths: [join(folder, 'symlink', 'inside')] });
  const through = await readLatest(await repo.open());
  t.ok(through.has(join(folder, 'symlink', 'inside')));
  t.equal(lstatSync(join(folder, 'symlink')).isSymbolicLink(), true);
  mkdirSync(join(folder, 'empty'));
  t.equal((await repo.backup({ paths: [join(folder, 'empty')] })).totalFiles, 0);
  t.same(differences(await readLatest(await repo.open()), join(folder, 'empty')), []);
});
