/** Whatever a file system says of an entry, what was written can be read, what could not be stored is that entry's problem, and the run goes on. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CborReader, CborWriter } from '../../lib/format/cbor.js';
import { storable } from '../../lib/format/storable.js';
import { type Entry, EntryKind, readEntry, writeEntry } from '../../lib/format/tree.js';
import { differences, makeRepository, readLatest, scratch } from '../helpers/backup-repository.js';
import { cannotMount, type HostileNode, mountHostile } from '../helpers/hostile-mount.js';

const REGULAR = 0o100644;
const DIRECTORY = 0o040755;
const SYMLINK = 0o120777;

/** Codes of problems by path below `source`, as latin1. */
function told(problems: readonly { readonly path: Uint8Array; readonly code: string }[], source: string): Record<string, string> {
  return Object.fromEntries(
    problems.map(({ path, code }) => [
      Buffer.from(path)
        .toString('latin1')
        .slice(source.length + 1),
      code,
    ]),
  );
}

t.test('what a writer lets through is what a reader takes, whatever the entry says', async (t) => {
  const bytes = (most: number) => fc.uint8Array({ maxLength: most });
  const odd = fc.oneof(
    fc.integer({ min: -3, max: 5000 }),
    fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 53), -(2 ** 63), 1e9, 999_999_999, 1.5, Number.NaN),
  );
  const common = {
    name: fc.oneof(bytes(300), fc.constantFrom(...['.', '..', '', 'a/b', 'a\0b', 'fine'].map((name) => Buffer.from(name)))),
    mode: odd,
    owner: fc.record({ uid: odd, gid: odd, user: fc.option(fc.string()), group: fc.option(fc.string()) }),
    mtimeSec: odd,
    mtimeNsec: odd,
    btimeSec: fc.option(odd),
    btimeNsec: odd,
    xattrs: fc.array(
      fc.record({
        name: bytes(260),
        value: fc.oneof(
          bytes(4100),
          fc.record({ lengthBytes: fc.integer({ min: 0, max: 9000 }), id: fc.constant(new Uint8Array(32)) }),
        ),
      }),
      { maxLength: 4 },
    ),
    link: fc.option(fc.record({ id: fc.constant(new Uint8Array(16)), nlink: odd })),
  };
  const digest = new Uint8Array(32);
  const entry = fc.oneof(
    fc.record({ ...common, kind: fc.constant(EntryKind.symlink), target: bytes(4100) }),
    fc.record({ ...common, kind: fc.constantFrom(EntryKind.charDevice, EntryKind.blockDevice), major: odd, minor: odd }),
    fc.record({ ...common, kind: fc.constantFrom(EntryKind.fifo, EntryKind.socket) }),
    fc.record({
      ...common,
      kind: fc.constant(EntryKind.directory),
      tree: fc.constant(digest),
      totals: fc.record({ files: odd, directories: odd, bytes: odd }),
    }),
    fc.record({
      ...common,
      kind: fc.constant(EntryKind.regular),
      sizeBytes: fc.constant(0),
      digest: fc.constant(digest),
      content: fc.constant({ kind: 'empty' as const }),
    }),
  );
  let kept = 0;
  fc.assert(
    fc.property(entry, (made) => {
      const codes: string[] = [];
      const stored = storable(made as Entry, (code) => codes.push(code));
      if (stored === undefined) return codes.length > 0;
      kept++;
      const out = new CborWriter();
      writeEntry(out, stored, 0);
      const encoded = out.finish();
      const read = readEntry(new CborReader(encoded, 'test'), [stored.owner]);
      const again = new CborWriter();
      writeEntry(again, read, 0);
      return Buffer.compare(encoded, again.finish()) === 0 && (codes.length > 0 || stored === made || made.link !== null);
    }),
    { numRuns: 3000 },
  );
  t.ok(kept > 100, `${kept} entries could be stored`);
});

t.test('a file system that lies costs the entries it lies about, and nothing else', { skip: cannotMount }, async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const long = 'n'.repeat(300);
  const fine: HostileNode = { name: 'fine', mode: REGULAR, data: 'content' };
  const source = await mountHostile(t, folder, [
    { name: 'zz-last', mode: REGULAR, data: 'last' },
    { name: 'twice', mode: REGULAR, data: 'one' },
    { name: 'twice', mode: REGULAR, data: 'one' },
    { name: long, mode: REGULAR, data: 'unreachable' },
    { name: 'huge', mode: REGULAR, size: 2n ** 53n + 1n },
    { name: 'largest', mode: REGULAR, size: 2n ** 63n - 1n },
    { name: 'future', mode: REGULAR, mtime: 2n ** 62n, data: 'content' },
    { name: 'past', mode: REGULAR, mtime: 2n ** 64n - 2n ** 60n, data: 'content' },
    { name: 'nanoseconds', mode: REGULAR, mtimensec: 4_000_000_000, data: 'content' },
    { name: 'nowhere', mode: SYMLINK, target: '' },
    { name: 'somewhere', mode: SYMLINK, target: 'x'.repeat(4000) },
    { name: 'says-less', mode: REGULAR, size: 0n, data: 'more than it says' },
    { name: 'says-more', mode: REGULAR, size: 5000n, data: 'less than it says' },
    {
      name: 'attributes',
      mode: REGULAR,
      data: 'content',
      xattrs: [
        ['user.a', '1'],
        ['user.a', '1'],
        [`user.${'b'.repeat(300)}`, '2'],
        ['user.c', '3'],
      ],
    },
    { name: 'dir', mode: DIRECTORY, children: [fine, fine, { name: 'huge', mode: REGULAR, size: 2n ** 60n }] },
  ]);
  for (let run = 1; run <= 3; run++) {
    const report = await repo.backup({ paths: [source] });
    t.equal(report.state, 'partial');
    const codes = told(report.problems, source);
    t.equal(codes.huge, 'TOO_LARGE');
    t.equal(codes['dir/huge'], 'TOO_LARGE');
    t.equal(codes.largest, 'TOO_LARGE');
    t.equal(codes.future, 'ODD_TIME');
    t.equal(codes.past, 'ODD_TIME');
    t.equal(codes.nowhere, 'ODD_TARGET');
    t.match(codes.attributes, /attribute user\.bbb/, 'the attribute is named');
    t.ok(codes[long] !== undefined, 'a name that is too long is named');
    const tree = await readLatest(await repo.open());
    const below = [...tree.keys()].filter((path) => path.startsWith(`${source}/`)).map((path) => path.slice(source.length + 1));
    const stored = 'attributes dir dir/fine future nanoseconds past says-less says-more somewhere twice zz-last'.split(' ');
    t.same(below.sort(), stored, `run ${run}`);
    for (const [name, content] of [
      ['twice', 'one'],
      ['says-less', 'more than it says'],
      ['says-more', 'less than it says'],
    ])
      t.equal(tree.get(`${source}/${name}`)!.sha256, createHash('sha256').update(content!).digest('hex'), name!);
    t.same(
      tree.get(`${source}/attributes`)!.xattrs.map(([name]) => name),
      ['user.a', 'user.c'],
    );
  }
});

t.test(
  'names of one inode on two devices, and content that changed between two names, are two files',
  { skip: cannotMount },
  async (t) => {
    const folder = scratch(t);
    const repo = await makeRepository(folder);
    const source = await mountHostile(t, folder, [
      { name: 'a', mode: REGULAR, ino: 7, nlink: 3, data: 'first' },
      { name: 'b', mode: REGULAR, ino: 7, nlink: 3, data: 'other' },
      { name: 'c', mode: REGULAR, ino: 7, nlink: 3, data: 'another size' },
    ]);
    await repo.backup({ paths: [source] });
    const tree = await readLatest(await repo.open());
    const [a, b, c] = ['a', 'b', 'c'].map((name) => tree.get(`${source}/${name}`)!.entry.link!.id);
    t.same(a, b, 'what cannot be told apart by size and times is one file');
    t.equal(tree.get(`${source}/a`)!.sha256, tree.get(`${source}/b`)!.sha256, 'with one content');
    t.notSame(a, c);
    t.not(tree.get(`${source}/c`)!.sha256, tree.get(`${source}/a`)!.sha256);
  },
);

t.test('files that are larger together than a snapshot can count cost those that are too much', async (t) => {
  const folder = scratch(t, '/dev/shm');
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(join(source, 'dir'), { recursive: true });
  writeFileSync(join(source, 'normal'), 'x');
  for (const name of ['p1', 'p2', 'p3', 'dir/p4']) {
    writeFileSync(join(source, name), '');
    try {
      truncateSync(join(source, name), 2 ** 52);
    } catch (error) {
      t.pass('sums', { skip: `no file of 4 PiB here: ${(error as Error).message}` });
      return;
    }
  }
  linkSync(join(source, 'p1'), join(source, 'p1-too'));
  for (let run = 0; run < 2; run++) {
    const { problems, totalBytes, totalFiles } = await repo.backup({ paths: [source] });
    t.equal(problems.length, 4);
    t.ok(problems.every(({ code }) => code === 'TOO_MUCH'));
    t.equal(totalFiles, 2);
    t.ok(Number.isSafeInteger(totalBytes));
    t.ok((await readLatest(await repo.open())).has(join(source, 'normal')));
  }
});

t.test(
  'directories beyond the depth that a snapshot holds are one problem',
  { skip: process.getuid?.() !== 0 && 'made by root' },
  async (t) => {
    const folder = scratch(t, '/dev/shm');
    const repo = await makeRepository(folder);
    const source = join(folder, 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'normal'), 'x');
    const script =
      'import os,sys\nos.chdir(sys.argv[1])\nfor i in range(2100):\n os.mkdir("d"); os.chdir("d"); open("f","w").write("x")';
    if (spawnSync('python3', ['-c', script, source]).status !== 0) {
      t.pass('depth', { skip: 'there is no python3 to make it with' });
      return;
    }
    t.teardown(() => void spawnSync('rm', ['-rf', folder]));
    const { problems } = await repo.backup({ paths: [source] });
    t.same(
      problems.map(({ code }) => code),
      ['TOO_DEEP'],
    );
    t.ok((await readLatest(await repo.open())).has(join(source, 'normal')));
  },
);

t.test('an attribute that cannot be read costs neither the file nor what is beneath', { skip: cannotMount }, async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = await mountHostile(t, folder, [
    {
      name: 'dir',
      mode: DIRECTORY,
      xattrs: [
        [`user.${'x'.repeat(255)}`, '1'],
        ['user.k', '2'],
      ],
      children: [{ name: 'doc', mode: REGULAR, data: 'doc' }],
    },
  ]);
  for (let run = 0; run < 2; run++) {
    const { problems } = await repo.backup({ paths: [source] });
    t.equal(problems.length, 1);
    t.match(problems[0]!.code, /^ERANGE attribute user\.xxx/);
    const tree = await readLatest(await repo.open());
    t.equal(tree.get(`${source}/dir/doc`)!.entry.kind, EntryKind.regular);
    t.same(
      tree.get(`${source}/dir`)!.xattrs.map(([name]) => name),
      ['user.k'],
    );
  }
});

t.test('an ordinary tree has no problems', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'a'), 'a');
  t.same((await repo.backup({ paths: [source] })).problems, []);
  t.same(differences(await readLatest(await repo.open()), source), []);
});
