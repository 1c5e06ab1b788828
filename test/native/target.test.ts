/** The target kernels: nothing is followed, nothing leaves the directory, and what is asked for is what the file system then says. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8, viewOf } from '../../lib/bytes.js';
import { native } from '../../lib/native.js';
import { RecordBuffer } from '../../lib/restore/task.js';

const kernel = native();
const isRoot = process.geteuid?.() === 0;
const folder = fs.mkdtempSync(join(tmpdir(), 'varve-target-'));
const rootFd = fs.openSync(folder, 'r');
t.teardown(() => {
  fs.closeSync(rootFd);
  // Node's own removal stops at paths longer than the kernel takes.
  execFileSync('rm', ['-rf', folder]);
});
const name = utf8;
const NONE: readonly (readonly [Uint8Array, Uint8Array])[] = [];

t.test('a directory opens beneath another and nowhere else, however the path tries', async (t) => {
  fs.mkdirSync(join(folder, 'in/side'), { recursive: true });
  fs.symlinkSync('/etc', join(folder, 'away'));
  fs.symlinkSync('in', join(folder, 'near'));
  const fd = kernel.openDirBeneath(rootFd, name('in/side'));
  t.equal(fs.fstatSync(fd).ino, fs.statSync(join(folder, 'in/side')).ino);
  kernel.closeFd(fd);
  const self = kernel.openDirBeneath(rootFd, name(''));
  t.equal(fs.fstatSync(self).ino, fs.statSync(folder).ino);
  kernel.closeFd(self);
  for (const path of ['..', 'in/../..', '/etc', 'away', 'near', 'near/side', 'away/ssh', `../${folder}`])
    t.throws(() => kernel.openDirBeneath(rootFd, name(path)), { code: /EXDEV|ELOOP|ENOTDIR/ }, path);
});

t.test('paths longer than the kernel takes are opened in pieces', async (t) => {
  const part = 'd'.repeat(250);
  let fd = kernel.openDirBeneath(rootFd, name(''));
  for (let i = 0; i < 40; i++) {
    kernel.mkdirAt(fd, name(part), 0o700);
    const next = kernel.openDirBeneath(fd, name(part));
    kernel.closeFd(fd);
    fd = next;
  }
  const { ino } = fs.fstatSync(fd);
  kernel.closeFd(fd);
  fd = kernel.openDirBeneath(rootFd, name(Array(40).fill(part).join('/')));
  t.equal(fs.fstatSync(fd).ino, ino);
  kernel.closeFd(fd);
});

t.test('a name is the name of an entry: no path, no dots, no NUL', async (t) => {
  for (const bad of ['', '.', '..', 'a/b', '/etc', 'x'.repeat(256)]) {
    t.throws(() => kernel.createAt(rootFd, name(bad), 0o600), RangeError);
    t.throws(() => kernel.unlinkAt(rootFd, name(bad), false), RangeError);
    t.throws(() => kernel.symlinkAt(name('x'), rootFd, name(bad)), RangeError);
    const request = new RecordBuffer();
    request.add({
      name: name(bad),
      dataOffset: 0,
      dataBytes: 0,
      uid: 0,
      gid: 0,
      mode: 0,
      mtimeSec: 0,
      mtimeNsec: 0,
      what: 0,
      attributes: NONE,
    });
    t.throws(() => kernel.writeFilesAt(rootFd, request.bytes.subarray(0, request.length), new Uint8Array(0)), RangeError);
  }
  t.throws(() => kernel.statAt(rootFd, Uint8Array.of(97, 0, 98)), TypeError);
});

t.test('files are created where nothing is, and opened only when they are regular and have one name', async (t) => {
  fs.symlinkSync('/tmp/varve-must-not-appear', join(folder, 'planted'));
  t.throws(() => kernel.createAt(rootFd, name('planted'), 0o600), { code: 'EEXIST' });
  t.throws(() => kernel.openAt(rootFd, name('planted')), { code: 'ELOOP' });
  kernel.mknodAt(rootFd, name('pipe'), 0o010600, 0, 0);
  t.throws(() => kernel.openAt(rootFd, name('pipe')), { code: 'ESTALE' });
  kernel.closeFd(kernel.createAt(rootFd, name('file'), 0o600));
  const reading = kernel.openAt(rootFd, name('file'));
  kernel.linkFd(reading, rootFd, name('second'));
  t.throws(() => kernel.openWritable(reading), { code: 'ESTALE' });
  t.throws(() => kernel.linkFd(reading, rootFd, name('planted')), { code: 'EEXIST' });
  kernel.unlinkAt(rootFd, name('second'), false);
  // Whatever stands under the name meanwhile.
  fs.renameSync(join(folder, 'file'), join(folder, 'aside'));
  fs.writeFileSync(join(folder, 'file'), 'another');
  const fd = kernel.openWritable(reading);
  kernel.closeFd(reading);
  kernel.writeAt(fd, name('..hello..'), 2, 5, 100_000);
  kernel.truncateFd(fd, 200_000);
  kernel.writeAt(fd, new Uint8Array(50_000).fill(1), 0, 50_000, 0);
  kernel.punchHole(fd, 4096, 40_000);
  kernel.closeFd(fd);
  t.equal(fs.readFileSync(join(folder, 'file'), 'utf8'), 'another');
  fs.renameSync(join(folder, 'aside'), join(folder, 'file'));
  const bytes = fs.readFileSync(join(folder, 'file'));
  t.same(
    [bytes.length, bytes.subarray(100_000, 100_005).toString(), bytes[4095], bytes[4096], bytes[44_095], bytes[44_096]],
    [200_000, 'hello', 1, 0, 0, 1],
  );
  t.equal(kernel.statAt(rootFd, name('nothing')), undefined);
  t.equal(viewOf(kernel.statAt(rootFd, name('file'))!).getBigInt64(4 + 32, true), 200_000n);
});

t.test('many small files in one call, each with its own answer', async (t) => {
  kernel.mkdirAt(rootFd, name('small'), 0o700);
  const fd = kernel.openDirBeneath(rootFd, name('small'));
  fs.symlinkSync('/tmp/varve-must-not-appear', join(folder, 'small/b'));
  const data = name('one two three');
  const request = new RecordBuffer();
  const what = isRoot ? 7 : 6;
  request.add({
    name: name('a'),
    dataOffset: 0,
    dataBytes: 3,
    uid: 11,
    gid: 12,
    mode: 0o4750,
    mtimeSec: -5,
    mtimeNsec: 999_999_999,
    what,
    attributes: [[name('user.a'), name('1')]],
  });
  request.add({
    name: name('b'),
    dataOffset: 4,
    dataBytes: 3,
    uid: 0,
    gid: 0,
    mode: 0o600,
    mtimeSec: 0,
    mtimeNsec: 0,
    what,
    attributes: NONE,
  });
  request.add({
    name: Uint8Array.of(0xff),
    dataOffset: 8,
    dataBytes: 5,
    uid: 0,
    gid: 0,
    mode: 0o400,
    mtimeSec: 5_000_000_000,
    mtimeNsec: 1,
    what,
    attributes: [[name('nonsense.b'), name('2')]],
  });
  const failed = kernel.writeFilesAt(fd, request.bytes.subarray(0, request.length), data);
  t.same([...failed], [1, 0, 17, 2, 8, 95], 'EEXIST for the planted one; ENOTSUP for an attribute of a file that is there');
  t.same(kernel.getXattrs(name(join(folder, 'small/a'))), [[name('user.a'), name('1')]]);
  t.equal(fs.readFileSync(join(folder, 'small/a'), 'utf8'), 'one');
  const stat = fs.statSync(join(folder, 'small/a'), { bigint: true });
  t.equal(stat.mode, 0o104750n, 'set-uid survives, because the owner came first');
  t.equal(stat.mtimeNs, -4_000_000_001n);
  if (isRoot) t.same([stat.uid, stat.gid], [11n, 12n]);
  const odd = Buffer.concat([Buffer.from(`${folder}/small/`), Uint8Array.of(0xff)]);
  t.equal(fs.readFileSync(odd, 'utf8'), 'three');
  t.equal(fs.statSync(odd, { bigint: true }).mtimeNs, 5_000_000_000_000_000_001n);
  t.throws(() => kernel.writeFilesAt(fd, request.bytes.subarray(0, request.length - 1), data), RangeError);
  t.throws(() => kernel.writeFilesAt(fd, request.bytes.subarray(0, request.length), data.subarray(1)), RangeError);
  const cut = request.bytes.slice(0, request.length);
  viewOf(cut).setUint16(7, 9, true);
  t.throws(() => kernel.writeFilesAt(fd, cut, data), RangeError, 'an attribute that is cut short');
  kernel.closeFd(fd);
});

t.test('metadata is set on the entry itself, never on what a symlink points to; each failed step is told', async (t) => {
  fs.writeFileSync(join(folder, 'pointed'), '');
  fs.symlinkSync('pointed', join(folder, 'pointer'));
  const before = fs.statSync(join(folder, 'pointed'), { bigint: true });
  const pointed = kernel.openAt(rootFd, name('pointed'));
  const pointer = kernel.openPathAt(rootFd, name('pointer'));
  t.same(kernel.setMetadataFd(pointer, 2 | 4, 0, 0, 0o777, 7, 8, NONE), [2, 95], 'a symlink has no mode of its own');
  kernel.closeFd(pointer);
  t.equal(fs.lstatSync(join(folder, 'pointer'), { bigint: true }).mtimeNs, 7_000_000_008n);
  t.same(
    kernel.setMetadataFd(pointed, 0, 0, 0, 0, 0, 0, [
      [name('user.a'), name('1')],
      [name('nonsense.b'), name('2')],
    ]),
    [8 + 256, 95],
  );
  t.same(kernel.getXattrs(name(join(folder, 'pointed'))), [[name('user.a'), name('1')]]);
  t.same(kernel.attributeOfFd(pointed, name('user.a')), name('1'));
  t.equal(kernel.attributeOfFd(pointed, name('user.b')), undefined);
  t.same(kernel.setMetadataFd(pointed, 32, 0, 0, 0, 0, 0, [[name('user.b'), name('2')]]), []);
  t.same(kernel.getXattrs(name(join(folder, 'pointed'))), [[name('user.b'), name('2')]], 'what is not wanted goes');
  kernel.closeFd(pointed);
  const after = fs.statSync(join(folder, 'pointed'), { bigint: true });
  t.same([after.mode, after.mtimeNs], [before.mode, before.mtimeNs]);
  fs.mkdirSync(join(folder, 'own'));
  const fd = kernel.openDirBeneath(rootFd, name('own'));
  t.same(kernel.setMetadataFd(fd, 2 | 4, 0, 0, 0o1701, -1, 5, NONE), []);
  kernel.closeFd(fd);
  t.match(fs.statSync(join(folder, 'own'), { bigint: true }), { mode: 0o041701n, mtimeNs: -999_999_995n });
});
