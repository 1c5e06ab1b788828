/** Restoring made-up snapshots into real folders: what is made, what is left alone, what is mended, and what is never touched. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import type { Snapshot } from '../../lib/ledger/snapshots.js';
import { native } from '../../lib/native.js';
import type { Matcher, RestoreOptions, RestoreReport } from '../../lib/restore/options.js';
import { restore } from '../../lib/restore/restore.js';
import { type Children, directory, file, pieces, type TinyRepository, tinyRepository } from '../helpers/tiny-repository.js';

const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-restore-'));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));
let number = 0;
const newPath = (): string => join(scratch, `t${number++}`);
const root = process.geteuid?.() === 0;

let tiny: TinyRepository;
t.before(async () => {
  tiny = await tinyRepository(join(scratch, 'repository'), join(scratch, 'cache'));
});

const into = (snapshot: Snapshot, targetPath: string, options: Partial<RestoreOptions> = {}): Promise<RestoreReport> =>
  restore(tiny.repository, snapshot, { targetPath, ...options });

const read = (target: string, path: string): string => fs.readFileSync(join(target, path), 'utf8');
const mtimeNs = (path: string): bigint => fs.lstatSync(path, { bigint: true }).mtimeNs;
const setTime = (path: string, sec: number, nsec: number): void => {
  const fd = fs.openSync(path, 'r');
  native().setMetadataFd(fd, 4, 0, 0, 0, sec, nsec, []);
  fs.closeSync(fd);
};
const filled = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte);
const blocksOf = (path: string): number => fs.statSync(path).blocks;

/** Paths below `folder`, sorted. */
const listing = (folder: string): string[] => (fs.readdirSync(folder, { recursive: true }) as string[]).sort();

const OLD: readonly [number, number] = [-86_400 * 365, 1];
const MTIME_NS = 1_709_210_096_123_456_789n;

t.test(
  'everything comes back: content, kinds, modes, owners, attributes, times before 1970 and links',
  { skip: !root && 'needs root' },
  async (t) => {
    const link = { id: filled(7, 16), nlink: 3 };
    const snapshot = await tiny.snapshot({
      home: directory(
        {
          'a.txt': file('a whole file, longer than what stands in its entry', { mode: 0o4755, owner: { uid: 1234, gid: 2345 } }),
          'b.txt': file('inline', { mtime: OLD }),
          empty: file('', { mode: 0o000 }),
          one: file('linked thrice, and long enough for a chunk', { link }),
          pieces: pieces([filled(1, 70_000), 1_000_000, filled(2, 70_000)]),
          sub: directory({ two: file('linked thrice, and long enough for a chunk', { link }) }, { mode: 0o1777, mtime: OLD }),
          zsocket: { kind: 'socket', mode: 0o600 },
          ztone: { kind: 'symlink', target: '../nowhere', mtime: OLD, owner: { uid: 5, gid: 6 } },
          zunfifo: { kind: 'fifo' },
          zzero: { kind: 'charDevice', major: 1, minor: 5, mode: 0o666 },
          zzthree: file('linked thrice, and long enough for a chunk', { link }),
        },
        { mode: 0o2750, owner: { uid: 42, gid: 43 }, mtime: [1_000_000_000, 999_999_999] },
      ),
      xattrs: file('attributes', { xattrs: [{ name: utf8('trusted.varve'), value: Uint8Array.of(0, 1, 2) }] }),
    });
    const target = newPath();
    const report = await into(snapshot, target, { verify: true });
    t.same(report.problems, []);
    t.match(report, { restored: 12, directories: 2, skipped: 0, verified: 6 });
    const home = join(target, 'home');
    t.equal(read(home, 'a.txt'), 'a whole file, longer than what stands in its entry');
    t.match(fs.statSync(join(home, 'a.txt')), { mode: 0o104755, uid: 1234, gid: 2345 }, 'set-uid after the owner');
    t.equal(mtimeNs(join(home, 'a.txt')), MTIME_NS);
    t.equal(read(home, 'b.txt'), 'inline');
    t.equal(mtimeNs(join(home, 'b.txt')), -86_400n * 365n * 1_000_000_000n + 1n, 'before 1970, to the nanosecond');
    t.match(fs.statSync(join(home, 'empty')), { size: 0, mode: 0o100000 });
    t.same(
      fs.readFileSync(join(home, 'pieces')),
      Buffer.concat([filled(1, 70_000), new Uint8Array(1_000_000), filled(2, 70_000)]),
    );
    t.ok(blocksOf(join(home, 'pieces')) < 2100 / 2, 'its hole is a hole');
    const { ino, nlink } = fs.statSync(join(home, 'one'));
    t.equal(nlink, 3);
    t.same([fs.statSync(join(home, 'sub/two')).ino, fs.statSync(join(home, 'zzthree')).ino], [ino, ino]);
    t.match(fs.lstatSync(join(home, 'sub')), { mode: 0o041777 });
    t.equal(
      mtimeNs(join(home, 'sub')),
      -86_400n * 365n * 1_000_000_000n + 1n,
      'a directory keeps its time though things were made in it',
    );
    t.match(fs.lstatSync(home), { mode: 0o042750, uid: 42, gid: 43 });
    t.equal(mtimeNs(home), 1_000_000_000_999_999_999n);
    t.ok(fs.lstatSync(join(home, 'zsocket')).isSocket());
    t.equal(fs.readlinkSync(join(home, 'ztone')), '../nowhere');
    t.match(fs.lstatSync(join(home, 'ztone')), { uid: 5, gid: 6 });
    t.equal(mtimeNs(join(home, 'ztone')), -86_400n * 365n * 1_000_000_000n + 1n);
    t.ok(fs.lstatSync(join(home, 'zunfifo')).isFIFO());
    t.match(fs.lstatSync(join(home, 'zzero')), { mode: 0o020666, rdev: 0x105 });
    t.same(native().getXattrs(utf8(join(target, 'xattrs'))), [[utf8('trusted.varve'), Uint8Array.of(0, 1, 2)]]);
  },
);

t.test('a part lands in the target without the path above it, and a single file by its name', async (t) => {
  const snapshot = await tiny.snapshot({ a: directory({ b: directory({ c: file('c'), d: directory({}) }), e: file('e') }) });
  const target = newPath();
  await into(snapshot, target, { subPath: utf8('/a/b') });
  t.same(listing(target), ['c', 'd']);
  const other = newPath();
  await into(snapshot, other, { subPath: utf8('/a/e') });
  t.same(listing(other), ['e']);
  await t.rejects(into(snapshot, newPath(), { subPath: utf8('/a/x') }), { code: 'NOT_FOUND' });
});

t.test('include and exclude choose; folders are made only for what is in them', async (t) => {
  const snapshot = await tiny.snapshot({
    keep: directory({ 'a.c': file('1'), 'b.o': file('2'), deep: directory({ 'c.c': file('3') }) }, { mode: 0o710 }),
    none: directory({ 'd.o': file('4'), deep: directory({ 'e.o': file('5') }) }),
    whole: directory({ 'f.c': file('6'), 'g.o': file('7') }),
  });
  const text = (path: Uint8Array): string => Buffer.from(path).toString('latin1');
  const include: Matcher = (path, isDirectory) =>
    text(path).endsWith('.c') || text(path) === '/whole' ? 'yes' : isDirectory ? 'maybe-below' : 'no';
  const exclude: Matcher = (path) => (text(path) === '/whole/g.o' ? 'yes' : 'no');
  const target = newPath();
  const report = await into(snapshot, target, { include, exclude });
  t.same(listing(target), ['keep', 'keep/a.c', 'keep/deep', 'keep/deep/c.c', 'whole', 'whole/f.c']);
  t.match(report, { restored: 3, directories: 3, problemCount: 0 });
  t.equal(fs.statSync(join(target, 'keep')).mode & 0o777, 0o710);
});

t.test('always: what is right is left alone, what differs is mended in place, piece by piece', async (t) => {
  const tree: Children = {
    long: pieces([filled(1, 100_000), 200_000, filled(2, 100_000), filled(3, 50_000)]),
    right: file('just as it should be, in one chunk'),
    short: file('inline'),
    wrong: file('the bytes of the snapshot, in one chunk'),
  };
  const snapshot = await tiny.snapshot(tree);
  const target = newPath();
  await into(snapshot, target);
  const inodes = listing(target).map((name) => fs.statSync(join(target, name)).ino);
  fs.writeFileSync(join(target, 'wrong'), 'other');
  fs.writeFileSync(join(target, 'short'), 'much longer than inline');
  const fd = fs.openSync(join(target, 'long'), 'r+');
  fs.writeSync(fd, 'X', 320_000);
  fs.writeSync(fd, 'Y', 150_000);
  fs.writeSync(fd, 'Z', 460_000);
  fs.closeSync(fd);
  fs.utimesSync(join(target, 'right'), 5, 5);
  const report = await into(snapshot, target, { verify: true });
  t.match(report, { restored: 3, skipped: 1, problemCount: 0, verified: 3 });
  t.same(
    fs.readFileSync(join(target, 'long')),
    Buffer.concat([filled(1, 100_000), new Uint8Array(200_000), filled(2, 100_000), filled(3, 50_000)]),
  );
  t.ok(blocksOf(join(target, 'long')) * 512 < 300_000, 'the hole is a hole again');
  t.equal(read(target, 'wrong'), 'the bytes of the snapshot, in one chunk');
  t.equal(read(target, 'short'), 'inline');
  t.equal(mtimeNs(join(target, 'right')), MTIME_NS, 'its time is mended too');
  t.same(
    listing(target).map((name) => fs.statSync(join(target, name)).ino),
    inodes,
    'no file was replaced',
  );
  t.match(await into(snapshot, target), { restored: 0, skipped: 4 });
});

t.test('if-changed, if-newer and never leave alone what they should', async (t) => {
  const snapshot = await tiny.snapshot({
    a: file('from the snapshot, a'),
    b: file('from the snapshot, b'),
    d: directory({}, { mode: 0o700 }),
  });
  const prepare = (): string => {
    const target = newPath();
    fs.mkdirSync(join(target, 'd'), { recursive: true, mode: 0o755 });
    fs.writeFileSync(join(target, 'a'), 'FROM THE TARGET,   A');
    fs.writeFileSync(join(target, 'b'), 'from the target, b');
    setTime(join(target, 'a'), 1_709_210_096, 123_456_789);
    return target;
  };
  let target = prepare();
  t.match(await into(snapshot, target, { overwrite: 'if-changed' }), { restored: 1, skipped: 1 });
  t.equal(read(target, 'a'), 'FROM THE TARGET,   A', 'same size and time');
  t.equal(read(target, 'b'), 'from the snapshot, b');
  target = prepare();
  setTime(join(target, 'a'), 1_709_210_096, 123_456_788);
  t.match(await into(snapshot, target, { overwrite: 'if-newer' }), { restored: 1, skipped: 1 });
  t.equal(read(target, 'a'), 'from the snapshot, a', 'the snapshot is newer by a nanosecond');
  t.equal(read(target, 'b'), 'from the target, b');
  target = prepare();
  t.match(await into(snapshot, target, { overwrite: 'never' }), { restored: 0, skipped: 2 });
  t.equal(read(target, 'b'), 'from the target, b');
  t.equal(fs.statSync(join(target, 'd')).mode & 0o777, 0o755, 'not even the mode of a directory');
});

t.test('delete removes what the snapshot does not have, in restored directories only, and not what is excluded', async (t) => {
  const snapshot = await tiny.snapshot({ a: directory({ keep: file('1') }), b: directory({ keep: file('2') }) });
  const target = newPath();
  for (const folder of ['a/extra/deep', 'b', 'c']) fs.mkdirSync(join(target, folder), { recursive: true });
  for (const path of ['a/extra/deep/x', 'a/y', 'b/z', 'c/w', 'keep.log']) fs.writeFileSync(join(target, path), '');
  fs.symlinkSync(scratch, join(target, 'a/link'));
  const exclude: Matcher = (path) => (/\.log$|^\/b$/.test(Buffer.from(path).toString()) ? 'yes' : 'no');
  t.match(await into(snapshot, target, { delete: true, exclude, dryRun: true }), { deleted: 4 });
  t.ok(fs.existsSync(join(target, 'a/y')), 'a dry run removes nothing');
  t.match(await into(snapshot, target, { delete: true, exclude }), { deleted: 4, restored: 1, problemCount: 0 });
  t.same(listing(target), ['a', 'a/keep', 'b', 'b/z', 'keep.log']);
  t.ok(fs.existsSync(join(scratch, 'repository')), 'a symlink goes, not what it points to');
  await t.rejects(into(snapshot, '/', { delete: true }), { code: 'REFUSED' });
});

t.test('a dry run counts and makes nothing, not even the target', async (t) => {
  const snapshot = await tiny.snapshot({
    a: directory({ f: file('one'), g: file('two, in a chunk of its own'), h: { kind: 'symlink', target: 'f' } }),
  });
  const target = newPath();
  t.match(await into(snapshot, target, { dryRun: true }), { restored: 3, directories: 1, bytes: 29 });
  t.notOk(fs.existsSync(target));
  fs.mkdirSync(join(target, 'a'), { recursive: true });
  fs.writeFileSync(join(target, 'a/f'), 'uno');
  t.match(await into(snapshot, target, { dryRun: true }), { restored: 3, skipped: 0 });
  t.same([listing(target), read(target, 'a/f')], [['a', 'a/f'], 'uno']);
});

t.test('symlinks planted in the target are replaced and never followed', async (t) => {
  const snapshot = await tiny.snapshot({
    dir: directory({ f: file('a secret that must not leave the target') }),
    file: file('another secret that must not leave it'),
    long: pieces([filled(1, 70_000), filled(2, 70_000)], { xattrs: [] }),
    zero: file(''),
  });
  const outside = newPath();
  const target = newPath();
  fs.mkdirSync(outside);
  fs.mkdirSync(target);
  for (const name of ['long', 'zero']) fs.writeFileSync(join(outside, name), 'outside');
  fs.symlinkSync(outside, join(target, 'dir'));
  fs.symlinkSync(join(outside, 'new'), join(target, 'file'));
  fs.symlinkSync(join(outside, 'long'), join(target, 'long'));
  fs.linkSync(join(outside, 'zero'), join(target, 'zero'));
  const before = fs.statSync(join(outside, 'zero'), { bigint: true });
  t.match(
    await into(snapshot, target, { overwrite: 'never' }),
    { problems: [{ code: 'KIND' }], skipped: 3, restored: 0 },
    'never: a symlink is no directory',
  );
  t.match(await into(snapshot, target), { problemCount: 0, restored: 4 });
  t.same(listing(outside), ['long', 'zero']);
  t.equal(read(outside, 'long'), 'outside');
  t.equal(read(outside, 'zero'), 'outside', 'a second name of a file outside is replaced, not written through');
  t.equal(fs.statSync(join(outside, 'zero'), { bigint: true }).mtimeNs, before.mtimeNs);
  t.ok(fs.lstatSync(join(target, 'dir')).isDirectory());
  t.ok(fs.lstatSync(join(target, 'long')).isFile());
});

t.test('the target itself may be reached through a symlink', async (t) => {
  const real = newPath();
  fs.mkdirSync(real);
  const link = newPath();
  fs.symlinkSync(real, link);
  await into(await tiny.snapshot({ f: file('x') }), link);
  t.same(listing(real), ['f']);
});

t.test('a target that cannot be made is an error, in /proc too, and one that lies deeper is made', async (t) => {
  const snapshot = await tiny.snapshot({ f: file('x') });
  await t.rejects(into(snapshot, '/proc/varve/target'), { code: 'STORE' });
  const deep = join(newPath(), 'a', 'b');
  await into(snapshot, deep);
  t.same(listing(deep), ['f']);
});

t.test('a tree with names that lead elsewhere, or twice, is refused and leaves nothing outside', async (t) => {
  for (const names of [['..'], ['/etc'], ['.'], ['a/b'], ['same', 'same'], ['b', 'a'], ['']]) {
    const hostile = names.map((name): [Uint8Array, ReturnType<typeof file>] => [utf8(name), file('hostile')]);
    const snapshot = await tiny.snapshot({ ok: file('fine'), zbad: directory(hostile) });
    const target = newPath();
    const report = await into(snapshot, target);
    t.match(report, { restored: 1, problems: [{ code: 'CORRUPT', path: Buffer.from('zbad') }] }, JSON.stringify(names));
    t.same(listing(target), ['ok', 'zbad']);
  }
});

t.test('a directory in the place of a file goes if it is empty or delete allows it', async (t) => {
  const snapshot = await tiny.snapshot({ a: file('a'), b: { kind: 'symlink', target: 'a' } });
  const target = newPath();
  fs.mkdirSync(join(target, 'a'), { recursive: true });
  fs.mkdirSync(join(target, 'b/c'), { recursive: true });
  t.match(await into(snapshot, target), { restored: 1, problems: [{ code: 'KIND', path: Buffer.from('b') }] });
  t.match(await into(snapshot, target, { delete: true, overwrite: 'if-changed' }), { restored: 1, skipped: 1, problemCount: 0 });
  t.equal(fs.readlinkSync(join(target, 'b')), 'a');
});

t.test('a damaged chunk costs its files and no others, whichever thread meets it', async (t) => {
  for (const threads of [0, 2]) {
    const good = filled(11 + threads, 70_000);
    const bad = filled(21 + threads, 70_000);
    const snapshot = await tiny.snapshot({ good: pieces([good, good]) });
    const damaged = await tiny.snapshot({
      good: pieces([good, good]),
      long: pieces([filled(31 + threads, 300_000), bad]),
      whole: { kind: 'file', data: bad },
      fine: file(`another pack, undamaged ${threads}`),
    });
    const pack = tiny.packPathOf(bad);
    const bytes = fs.readFileSync(pack);
    // The tail of the frames: what lies before it, in another frame, stays readable.
    const at = bytes.byteLength - 128 - 40 - 300;
    fs.chmodSync(pack, 0o600);
    bytes.writeUInt8(bytes[at]! ^ 1, at);
    const directoryAt = Number(bytes.readBigUInt64LE(bytes.byteLength - 48));
    bytes.writeUInt8(bytes[directoryAt - 20]! ^ 1, directoryAt - 20);
    bytes.writeUInt8(bytes[at]! ^ 1, at);
    fs.writeFileSync(pack, bytes);
    const target = newPath();
    const report = await into(damaged, target, { threads });
    t.same(report.problems.map(({ path, code }) => [Buffer.from(path).toString(), code]).sort(), [
      ['long', 'CORRUPT'],
      ['whole', 'CORRUPT'],
    ]);
    t.match(report.problems[0]!.message, /packs\/[0-9a-f]{2}\/[0-9a-f]{64}/);
    t.same(listing(target), ['fine', 'good'], 'nothing is left that looks complete');
    t.match(await into(snapshot, newPath(), { threads }), { problemCount: 0 });
  }
});

t.test('an interrupted restore stops, and run again completes', async (t) => {
  const children: Record<string, ReturnType<typeof file>> = {};
  for (let i = 0; i < 9000; i++) children[`f${i}`] = file(`file ${i} with a few bytes of its own`);
  const snapshot = await tiny.snapshot({
    many: directory(children),
    zlong: pieces(Array.from({ length: 60 }, (_, i) => filled(i + 1, 1_000_000))),
  });
  for (const threads of [0, 2]) {
    const target = newPath();
    const abort = new AbortController();
    let turns = 0;
    const watch = setInterval(() => {
      if (fs.existsSync(join(target, 'many/f10')) || ++turns > 1000) abort.abort();
    }, 1);
    await t.rejects(into(snapshot, target, { signal: abort.signal, threads }), { code: 'INTERRUPTED' });
    clearInterval(watch);
    const report = await into(snapshot, target, { threads, overwrite: threads === 0 ? 'always' : 'if-changed', verify: true });
    t.equal(report.restored + report.skipped, 9001);
    t.equal(report.problemCount, 0);
    t.equal(listing(join(target, 'many')).length, 9000);
    t.equal(read(target, 'many/f8999'), 'file 8999 with a few bytes of its own');
    t.equal(
      fs
        .readFileSync(join(target, 'zlong'))
        .compare(Buffer.concat(Array.from({ length: 60 }, (_, i) => filled(i + 1, 1_000_000)))),
      0,
    );
  }
});

t.test('sparse leaves holes for zeros, in new files and in old ones', async (t) => {
  const data = Buffer.concat([filled(1, 8192), new Uint8Array(1 << 20), filled(2, 100)]);
  const snapshot = await tiny.snapshot({ f: pieces([data, data]), w: file(data) });
  for (const threads of [0, 1]) {
    const target = newPath();
    for (const content of [undefined, filled(9, 3 << 20)]) {
      if (content !== undefined) for (const name of ['f', 'w']) fs.writeFileSync(join(target, name), content);
      t.match(await into(snapshot, target, { sparse: true, verify: true, threads }), {
        problemCount: 0,
        restored: 2,
        verified: 2,
      });
      t.same(fs.readFileSync(join(target, 'w')), data);
      t.ok(blocksOf(join(target, 'f')) * 512 < 100_000 && blocksOf(join(target, 'w')) * 512 < 100_000);
    }
  }
});

t.test('a hole of 5 TiB takes no time', async (t) => {
  const size = 5 * 2 ** 40;
  const snapshot = await tiny.snapshot({ huge: pieces([filled(1, 5000), size, filled(2, 5000)]) });
  const target = fs.mkdtempSync('/dev/shm/varve-restore-');
  t.teardown(() => fs.rmSync(target, { recursive: true }));
  const begun = Date.now();
  t.match(await into(snapshot, target, { verify: true }), { problemCount: 0, restored: 1, verified: 1, bytes: size + 10_000 });
  // Reading that many zeros would take hours.
  t.ok(Date.now() - begun < 30_000);
  t.equal(fs.statSync(join(target, 'huge')).size, size + 10_000);
  t.match(await into(snapshot, target), { problemCount: 0, skipped: 1 });
});

t.test('verify finds what changed behind its back', async (t) => {
  const snapshot = await tiny.snapshot({ a: file('0123456789abcdefghij'), b: pieces([filled(1, 70_000), filled(2, 70_000)]) });
  const kernel = native();
  const target = newPath();
  const write = kernel.writeFilesAt;
  // The disk lies: one byte turns on its way.
  kernel.writeFilesAt = (fd, request, data) => {
    return write(
      fd,
      request,
      data.map((byte) => byte ^ 1),
    );
  };
  t.teardown(() => (kernel.writeFilesAt = write));
  t.match(await into(snapshot, target, { verify: true, threads: 0 }), {
    problems: [{ code: 'VERIFY', path: Buffer.from('a') }],
    verified: 1,
  });
});

t.test('an attribute that the target does not take is listed once for its name', async (t) => {
  const xattrs = [{ name: utf8('nonsense.varve'), value: Uint8Array.of(1) }];
  const report = await into(
    await tiny.snapshot({ a: file('a', { xattrs }), b: file('b', { xattrs }), c: directory({}, { xattrs }) }),
    newPath(),
  );
  t.match(report, { restored: 2, problemCount: 1, problems: [{ code: 'ENOTSUP' }] });
});

t.test('names come before numbers where this system knows them', { skip: !root && 'needs root' }, async (t) => {
  const owner = { uid: 4321, gid: 4322, user: 'nobody', group: 'no-such-group' };
  const snapshot = await tiny.snapshot({ a: file('a', { owner }) });
  const nobody = Number(/^nobody:[^:]*:(\d+)/m.exec(fs.readFileSync('/etc/passwd', 'utf8'))![1]);
  const [byName, byNumber] = [newPath(), newPath()];
  await into(snapshot, byName);
  t.match(fs.statSync(join(byName, 'a')), { uid: nobody, gid: 4322 });
  await into(snapshot, byNumber, { numericIds: true });
  t.match(fs.statSync(join(byNumber, 'a')), { uid: 4321, gid: 4322 });
});

t.test(
  'an ordinary user keeps what he restores, without set-id bits of others, and lists devices',
  { skip: !root && 'needs root' },
  async (t) => {
    const snapshot = await tiny.snapshot({
      closed: directory({ f: file('in a directory that its owner may not write to'), g: file('') }, { mode: 0o555 }),
      mine: file('mine', { owner: { uid: 65_534, gid: 65_534 }, mode: 0o4711 }),
      secret: file('without any right to read it', { mode: 0o000 }),
      suid: file('of root', { mode: 0o6755 }),
      zero: { kind: 'charDevice', major: 1, minor: 5 },
      zpipe: { kind: 'fifo' },
      zsock: { kind: 'socket' },
    });
    const target = newPath();
    fs.mkdirSync(target);
    for (const path of [scratch, target, join(scratch, 'cache')]) fs.chmodSync(path, 0o777);
    execFileSync('chmod', ['-R', 'a+rX', join(scratch, 'repository')]);
    process.setegid?.(65_534);
    process.setgroups?.([]);
    process.seteuid?.(65_534);
    t.teardown(() => {
      process.seteuid?.(0);
      process.setegid?.(0);
    });
    for (const threads of [0, 2]) {
      const report = await into(snapshot, target, { verify: true, threads });
      t.same(
        report.problems.map(({ path, code }) => [Buffer.from(path).toString(), code]),
        [['zero', 'DEVICE']],
      );
    }
    t.match(await into(snapshot, newPath(), { dryRun: true }), { problems: [{ code: 'DEVICE' }], problemCount: 1 });
    process.seteuid?.(0);
    execFileSync('mknod', [join(target, 'zero'), 'c', '1', '3']);
    process.seteuid?.(65_534);
    t.match(await into(snapshot, target), { problems: [{ code: 'DEVICE' }], problemCount: 1 });
    process.seteuid?.(0);
    t.ok(fs.lstatSync(join(target, 'zero')).isCharacterDevice(), 'a device that could not be made again is not removed');
    t.match(fs.statSync(join(target, 'suid')), { uid: 65_534, gid: 65_534, mode: 0o100755 });
    t.match(fs.statSync(join(target, 'mine')), { uid: 65_534, gid: 65_534, mode: 0o104711 });
    t.match(fs.statSync(join(target, 'secret')), { mode: 0o100000 });
    t.match(fs.statSync(join(target, 'closed')), { mode: 0o040555 });
    t.ok(fs.lstatSync(join(target, 'zsock')).isSocket());
  },
);

t.test('progress ends at the totals', async (t) => {
  const snapshot = await tiny.snapshot({
    a: directory({ f: file('some'), g: pieces([filled(1, 70_000), 5, filled(2, 70_000)]), h: { kind: 'fifo' } }),
  });
  let last: unknown;
  await into(snapshot, newPath(), { onProgress: (progress) => (last = progress) });
  t.same(last, { files: 3, directories: 1, bytes: 140_009, totalFiles: 3, totalBytes: 140_009 });
});
