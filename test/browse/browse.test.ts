/** Looking inside snapshots: listing, searching, comparing, dumping, adding up, and tags, over real backups. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { describeObject } from '../../lib/browse/describe-object.js';
import { type Change, diffSnapshots } from '../../lib/browse/diff-snapshots.js';
import { dumpFile } from '../../lib/browse/dump-file.js';
import { dumpTar } from '../../lib/browse/dump-tar.js';
import { findPaths } from '../../lib/browse/find-paths.js';
import { listTree } from '../../lib/browse/list-tree.js';
import { entryAt, joinPath, openTrees } from '../../lib/browse/open-tree.js';
import { repositoryStats } from '../../lib/browse/repository-stats.js';
import { toHex, utf8 } from '../../lib/bytes.js';
import { NotFoundError } from '../../lib/errors.js';
import { selectSnapshot, selectSnapshots } from '../../lib/ledger/select.js';
import { tagSnapshots } from '../../lib/ledger/tags.js';
import { namesOfPath } from '../../lib/repository/tree-path.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { strictly } from '../helpers/strictly.js';

const folder = scratch(t);
const source = join(folder, 'source');
const odd = Buffer.concat([Buffer.from(`${source}/odd`), Buffer.from([0xff])]);
const long = 'l'.repeat(200);
mkdirSync(join(source, 'sub', 'deep'), { recursive: true });
mkdirSync(join(source, 'same', 'below'), { recursive: true });
writeFileSync(join(source, 'same', 'below', 'kept.txt'), 'kept');
writeFileSync(join(source, 'a.txt'), 'one');
writeFileSync(join(source, 'gone.txt'), 'gone');
writeFileSync(join(source, 'type'), 'file');
writeFileSync(join(source, 'mode'), 'mode');
writeFileSync(join(source, 'sub', 'deep', 'big.bin'), Buffer.alloc(300_000, 'x1y2z3'));
writeFileSync(join(source, 'sub', long), 'long name');
writeFileSync(join(source, 'sub', 'ünï'), 'name');
writeFileSync(odd, 'odd');
linkSync(join(source, 'a.txt'), join(source, 'sub', 'hard'));
symlinkSync('a.txt', join(source, 'link'));
utimesSync(join(source, 'mode'), 1000.25, -1.75);

const made = await makeRepository(folder);
const first = await made.backup({ paths: [source], tags: ['one'] });
writeFileSync(join(source, 'a.txt'), 'two!');
rmSync(join(source, 'gone.txt'));
rmSync(join(source, 'type'));
mkdirSync(join(source, 'type'));
writeFileSync(join(source, 'type', 'inside'), 'x');
chmodSync(join(source, 'mode'), 0o600);
renameSync(join(source, 'sub', 'ünï'), join(source, 'sub', 'über'));
const second = await made.backup({ paths: [source] });
const repository = await made.open();
const opened = await openTrees(repository, await selectSnapshots(repository, strictly));
const [before, after] = [opened.trees[0]!, opened.trees[1]!];
t.teardown(() => opened.close());

const text = (path: Uint8Array): string =>
  Buffer.from(path).toString('latin1').replace(Buffer.from(source).toString('latin1'), '');

async function changes(...from: Parameters<typeof diffSnapshots>): Promise<Change[]> {
  const all: Change[] = [];
  for await (const change of diffSnapshots(...from)) all.push(change);
  return all;
}

t.test('paths are bytes, and are walked without following symlinks', async (t) => {
  t.same(
    namesOfPath(utf8('/a//./b/../c/')).map((name) => Buffer.from(name).toString()),
    ['a', 'c'],
  );
  t.equal(Buffer.from(joinPath(utf8('/'), utf8('a'))).toString(), '/a');
  t.equal(Buffer.from(joinPath(utf8('/a'), utf8('b'))).toString(), '/a/b');
  t.equal(text(entryAt(before, odd).path), '/odd\xff');
  t.throws(() => entryAt(before, utf8(`${source}/link/x`)), { name: 'NotFoundError', message: /link is not a directory/ });
  t.throws(() => entryAt(before, utf8(`${source}/nope`)), NotFoundError);
});

t.test('a listing has every entry once, parents first, in the order of names', async (t) => {
  const all = [...listTree(before, { path: utf8(source), recursive: true })].map(({ path }) => text(path));
  t.same(all, [
    '/a.txt',
    '/gone.txt',
    '/link',
    '/mode',
    '/odd\xff',
    '/same',
    '/same/below',
    '/same/below/kept.txt',
    '/sub',
    '/sub/deep',
    '/sub/deep/big.bin',
    '/sub/hard',
    `/sub/${long}`,
    `/sub/${Buffer.from('ünï').toString('latin1')}`,
    '/type',
  ]);
  t.equal([...listTree(before, { path: utf8(source) })].length, 8, 'one level');
  t.same(
    [...listTree(before, { path: utf8(`${source}/a.txt`) })].map(({ path }) => text(path)),
    ['/a.txt'],
    'a file lists itself',
  );
  const skipping = [...listTree(before, { path: utf8(source), recursive: true, enter: ({ path }) => text(path) !== '/sub' })];
  t.notOk(skipping.some(({ path }) => text(path).startsWith('/sub/')));
});

t.test('a comparison says what changed, and reads nothing of what did not', async (t) => {
  const all = await changes(before, after, { beforePath: utf8(source), afterPath: utf8(source), metadata: true });
  const said = all.filter(({ path }) => !['', '/sub'].includes(text(path))).map(({ kind, path }) => `${kind} ${text(path)}`);
  const [old, renamed] = ['ünï', 'über'].map((name) => Buffer.from(name).toString('latin1'));
  t.same(
    said.sort(),
    [
      '+ /type/inside',
      `+ /sub/${renamed}`,
      '- /gone.txt',
      `- /sub/${old}`,
      'M /a.txt',
      'M /sub/hard',
      'T /type',
      'U /mode',
    ].sort(),
  );
  t.same(await changes(before, before), []);
  t.ok(
    (await changes(after, before)).some(({ kind, path }) => kind === '-' && text(path) === '/type/inside'),
    'the other way round too',
  );
});

t.test('a search folds what several snapshots hold unchanged', async (t) => {
  const find = async (name: string) =>
    (
      await findPaths(opened.trees, {
        wanted: (_, entry) => Buffer.from(entry.name).toString() === name,
        onUnreadable: ({ error }) => {
          throw error;
        },
      })
    ).map(({ snapshots }) => snapshots.map(({ id }) => toHex(id)));
  const [a, b] = [toHex(first.snapshotId!), toHex(second.snapshotId!)];
  t.same(await find('kept.txt'), [[a, b]]);
  t.same(await find('a.txt'), [[a], [b]], 'two versions');
  t.same(await find('gone.txt'), [[a]]);
  t.same(await find('nowhere'), []);
});

t.test('a dumped file is what was backed up', async (t) => {
  const parts: Uint8Array[] = [];
  await dumpFile(before, utf8(`${source}/sub/deep/big.bin`), async (bytes) => void parts.push(bytes));
  t.ok(Buffer.concat(parts).equals(readFileSync(join(source, 'sub', 'deep', 'big.bin'))));
  await t.rejects(
    dumpFile(before, utf8(source), async () => undefined),
    NotFoundError,
  );
});

t.test('tar unpacks a dumped directory to what it was', async (t) => {
  const parts: Uint8Array[] = [];
  await dumpTar(after, utf8(source), async (bytes) => void parts.push(bytes));
  const archive = Buffer.concat(parts);
  t.equal(archive.byteLength % 512, 0);
  const target = join(folder, 'unpacked');
  mkdirSync(target);
  const tar = spawnSync('tar', ['xpf', '-', '-C', target], { input: archive });
  t.equal(tar.status, 0, tar.stderr.toString());
  const list = (from: string): string =>
    execFileSync(
      'sh',
      [
        '-c',
        `cd "$1" && find . -printf '%p %y %m %s %T@ %n %l\\n' | grep -v '^[^ ]* d' | LC_ALL=C sort && find . -type f -exec sha256sum {} + | LC_ALL=C sort`,
        'sh',
        from,
      ],
      { encoding: 'latin1' },
    );
  t.equal(list(target), list(source), 'names, modes, sizes, nanoseconds before 1970, hard links, content');
});

t.test('the sums add up', async (t) => {
  const snapshots = await selectSnapshots(repository, strictly);
  const stats = await repositoryStats(repository, snapshots);
  t.equal(stats.snapshots, 2);
  t.equal(stats.restoreBytes, first.totalBytes + second.totalBytes);
  t.equal(stats.storedBytes, stats.packBytes + stats.indexBytes + stats.otherBytes);
  t.equal(
    Number(
      execFileSync('sh', [
        '-c',
        `find "$1" -type f -path '*/packs/*' -printf '%s\\n' | awk '{s+=$1} END {print s}'`,
        'sh',
        made.location,
      ]),
    ),
    stats.packBytes,
  );
  t.ok(stats.dataChunkBytes < stats.restoreBytes && stats.dataChunks > 0);
});

t.test('objects are described without secrets', async (t) => {
  const secrets = [made.keyring.root!, made.keyring.adminSeed!, made.keyring.writer!.seed, made.keyring.writer!.domainSecret].map(
    toHex,
  );
  const snapshot = await selectSnapshot(repository, 'latest');
  const big = entryAt(after, utf8(`${source}/a.txt`)).entry;
  const names = [{ kind: 'genesis' }, { kind: 'manifest', snapshot }, { kind: 'tree', snapshot, path: utf8(source) }] as const;
  for (const name of names) {
    const json = JSON.stringify(await describeObject(repository, name));
    t.ok(json.length > 100);
    for (const secret of secrets) t.notOk(json.includes(secret));
  }
  t.match(await describeObject(repository, { kind: 'tree', snapshot, path: utf8(`${source}/a.txt`) }), {
    entry: { name: 'a.txt', sizeBytes: 'sizeBytes' in big ? big.sizeBytes : -1 },
  });
});

t.test('tags change in the ledger, the snapshot does not', async (t) => {
  const [one] = await selectSnapshots(repository, strictly);
  t.same(
    (await tagSnapshots(repository, [one!], { add: ['b', 'a'], remove: ['one'] })).map(({ tags }) => tags),
    [['a', 'b']],
  );
  const again = await selectSnapshot(repository, toHex(one!.id));
  t.same(again.tags, ['a', 'b']);
  t.same(again.body.tags, ['one']);
  t.same(await tagSnapshots(repository, [again], { add: ['a'] }), [], 'nothing to write');
  // U+1F600 comes before U+FF5E in UTF-16, and after it in UTF-8.
  const wide = ['a', 'b', '\uff5e', '\u{1f600}'];
  t.same((await tagSnapshots(repository, [again], { add: [...wide].reverse() }))[0]!.tags, wide, 'in the order of UTF-8');
  t.same((await selectSnapshot(repository, toHex(one!.id))).tags, wide);
  await tagSnapshots(repository, await selectSnapshots(repository, strictly), { set: ['z'] });
  t.same(
    (await selectSnapshots(repository, { ...strictly, filter: { tags: [['z']] } })).map(({ tags }) => tags),
    [['z'], ['z']],
  );
  await t.rejects(tagSnapshots(repository, [again], { set: ['z'], add: ['y'] }), RangeError);
});
