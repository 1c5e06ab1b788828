/** Targets that take less than the snapshot has: names that they think equal, attributes and owners that they refuse, file systems in them that are full or read-only. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { concat, utf8, viewOf } from '../../lib/bytes.js';
import type { Snapshot } from '../../lib/ledger/snapshots.js';
import { native } from '../../lib/native.js';
import type { RestoreOptions, RestoreReport } from '../../lib/restore/options.js';
import { restore } from '../../lib/restore/restore.js';
import { directory, file, pieces, type TinyRepository, tinyRepository } from '../helpers/tiny-repository.js';

const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-odd-'));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));
let number = 0;
const newPath = (): string => join(scratch, `t${number++}`);
const isRoot = process.geteuid?.() === 0;

let tiny: TinyRepository;
t.before(async () => {
  tiny = await tinyRepository(join(scratch, 'repository'), join(scratch, 'cache'));
});

const into = (snapshot: Snapshot, targetPath: string, options: Partial<RestoreOptions> = {}): Promise<RestoreReport> =>
  restore(tiny.repository, snapshot, { targetPath, threads: 0, ...options });
const filled = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte);

/** Has the system find names whatever the case of their letters and however those are composed. Few kernels have such a file system at hand. */
function folding(): () => void {
  const kernel = native() as unknown as Record<string, (...args: unknown[]) => unknown>;
  const originals = { ...kernel };
  const foldOf = (name: string): string => name.normalize('NFC').toLowerCase();
  const find = (dirFd: unknown, name: Uint8Array): Uint8Array => {
    const wanted = foldOf(Buffer.from(name).toString());
    const found = fs.readdirSync(`/proc/self/fd/${dirFd}/.`).find((one) => foldOf(one) === wanted);
    return found === undefined ? name : utf8(found);
  };
  for (const call of ['mkdirAt', 'createAt', 'openAt', 'openPathAt', 'statAt', 'unlinkAt', 'mknodAt'])
    kernel[call] = (fd, name, ...rest) => originals[call]!(fd, find(fd, name as Uint8Array), ...rest);
  kernel.symlinkAt = (target, fd, name) => originals.symlinkAt!(target, fd, find(fd, name as Uint8Array));
  kernel.linkFd = (from, fd, name) => originals.linkFd!(from, fd, find(fd, name as Uint8Array));
  kernel.writeFilesAt = (fd, request, data) => {
    const bytes = request as Uint8Array;
    const failed: number[] = [];
    for (let at = 0, file = 0; at < bytes.byteLength; file++) {
      const length = viewOf(bytes).getUint16(at, true);
      const end = at + 6 + length + viewOf(bytes).getUint32(at + 2, true) + 33;
      const name = find(fd, bytes.subarray(at + 6, at + 6 + length));
      const head = bytes.slice(at, at + 6);
      viewOf(head).setUint16(0, name.byteLength, true);
      const [, ...answer] = originals.writeFilesAt!(
        fd,
        concat(head, name, bytes.subarray(at + 6 + length, end)),
        data,
      ) as Uint32Array;
      if (answer.length > 0) failed.push(file, ...answer);
      at = end;
    }
    return Uint32Array.from(failed);
  };
  return () => void Object.assign(kernel, originals);
}

t.test('of two names that the target thinks equal one is there, whole, and the other is a named problem', async (t) => {
  t.teardown(folding());
  const link = { id: filled(9, 16), nlink: 2 };
  const snapshot = await tiny.snapshot({
    DIR: directory({ f: file('of the first') }),
    LINK: file('linked, in a chunk of its own', { link }),
    README: file('the first, in a chunk of its own'),
    ROWS: pieces([filled(1, 70_000), filled(2, 70_000)]),
    dir: directory({ g: file('of the second') }),
    'e\u0301': file('decomposed'),
    link: file('linked, in a chunk of its own', { link }),
    readme: file('the second, in a chunk of its own'),
    rows: pieces([filled(3, 70_000), filled(4, 70_000)]),
    sym: { kind: 'symlink', target: 'a' },
    '\u00e9': file('composed'),
  });
  const olds: Record<string, string[]> = {
    nothing: [],
    first: ['README', 'ROWS', 'LINK'],
    second: ['readme', 'rows'],
    third: ['Readme'],
  };
  for (const [what, names] of Object.entries(olds)) {
    for (const fresh of [true, false]) {
      if (fresh && names.length > 0) continue;
      const target = newPath();
      if (!fresh) fs.mkdirSync(target);
      for (const name of names) fs.writeFileSync(join(target, name), 'old, and of another length');
      const report = await into(snapshot, target);
      const problems = report.problems.map(({ path, code }) => [Buffer.from(path).toString(), code]);
      t.equal(problems.length, 5, `${what}: ${JSON.stringify(problems)}`);
      t.ok(problems.every(([, code]) => code === 'NAME'));
      t.equal(report.missing, 5);
      const left = new Set(problems.map(([path]) => path));
      for (const [name, content] of [
        ['README', 'the first, in a chunk of its own'],
        ['readme', 'the second, in a chunk of its own'],
      ] as const) {
        if (left.has(name)) continue;
        const there = fs.readdirSync(target).find((one) => one.toLowerCase() === 'readme')!;
        t.equal(fs.readFileSync(join(target, there), 'utf8'), content, `${what}: the one without a problem is there`);
      }
      t.equal(fs.readdirSync(target).filter((one) => one.toLowerCase() === 'rows').length, 1);
      t.same(fs.readdirSync(join(target, fs.readdirSync(target).find((one) => one.toLowerCase() === 'dir')!)).length, 1);
    }
  }
});

t.test('an attribute that is too large for the target costs that attribute, and nothing else', async (t) => {
  const target = fs.mkdtempSync(join(scratch, 'disk-'));
  // More than a block of the file system, which is all that ext4 gives to the attributes of a file; 64 KiB is what the kernel takes at most.
  const xattrs = ['a', 'b', 'c', 'd'].map((name) => ({ name: utf8(`user.${name}`), value: filled(120, 4000) }));
  const image = join(scratch, 'image');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 8 << 20);
  if (
    !isRoot ||
    spawnSync('mkfs.ext4', ['-q', image]).status !== 0 ||
    spawnSync('mount', ['-o', 'loop', image, target]).status !== 0
  ) {
    t.pass('an ext4 file system', { skip: 'needs root, mkfs.ext4 and a loop device' });
    return;
  }
  try {
    const snapshot = await tiny.snapshot({
      d: directory({ f: file('f') }, { xattrs }),
      large: pieces([filled(5, 70_000), filled(6, 70_000)], { xattrs }),
      small: file('a small file', { xattrs: xattrs.slice(0, 1) }),
      small2: file('another small file', { xattrs }),
    });
    const report = await into(snapshot, target, { verify: true });
    t.match(report, { restored: 4, verified: 4, missing: 0 });
    t.ok(report.refusedMetadata >= 3 && report.problems.every(({ code, lacks }) => code === 'ENOSPC' && lacks === 'metadata'));
  } finally {
    spawnSync('umount', [target]);
  }
});

t.test('a file system in the target that is full or read-only stops what lies on it, and nothing else', async (t) => {
  const target = newPath();
  for (const name of ['full', 'readonly', 'bound']) fs.mkdirSync(join(target, name), { recursive: true });
  const mount = (...args: string[]): boolean => isRoot && spawnSync('mount', args).status === 0;
  const mounted = ['full', 'readonly', 'bound'].map((name) => join(target, name));
  try {
    if (
      !mount('-t', 'tmpfs', '-o', 'size=16k', 'varve-test', mounted[0]!) ||
      !mount('-t', 'tmpfs', '-o', 'ro', 'varve-test', mounted[1]!) ||
      !mount('--bind', mounted[2]!, mounted[2]!) ||
      !mount('-o', 'remount,ro,bind', mounted[2]!)
    ) {
      t.pass('mounts', { skip: 'mounting needs root' });
      return;
    }
    const many = (text: string): Record<string, ReturnType<typeof file>> =>
      Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${i}`, file(`${text} ${i} `.repeat(200))]));
    const snapshot = await tiny.snapshot({
      a: file('before'),
      bound: directory({ f: file('f') }),
      full: directory({
        ...many('full'),
        rows: pieces([filled(7, 70_000), filled(8, 70_000)]),
        sub: directory({ x: file('x') }),
      }),
      readonly: directory(many('read-only')),
      z: file('after, in a chunk of its own'),
    });
    for (const threads of [0, 2]) {
      const report = await into(snapshot, target, { threads });
      t.equal(fs.readFileSync(join(target, 'z'), 'utf8'), 'after, in a chunk of its own');
      t.ok(report.missing > 10);
      const told = report.problems.filter(({ lacks }) => lacks === 'data').map(({ code }) => code);
      t.same(told.sort(), ['ENOSPC', 'EROFS', 'EROFS'], 'each once');
      for (const name of fs.readdirSync(join(target, 'full')))
        if (fs.statSync(join(target, 'full', name)).isFile() && (fs.statSync(join(target, 'full', name)).mode & 0o7777) === 0o644)
          t.match(fs.readFileSync(join(target, 'full', name), 'utf8'), new RegExp(`^full ${name.slice(1)} `));
    }
  } finally {
    for (const path of mounted) spawnSync('umount', [path]);
  }
});

t.test(
  'owners that are refused are told once, counted, and cost neither the file nor its verification',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const owner = { uid: 4321, gid: 4321 };
    const snapshot = await tiny.snapshot({
      d: directory({ a: file('a', { owner }), b: file('b, in a chunk', { owner, mode: 0o4755 }) }, { owner }),
      large: pieces([filled(5, 70_000), filled(6, 70_000)], { owner, mode: 0o6755 }),
      sym: { kind: 'symlink', target: 'x', owner },
    });
    const kernel = native();
    const { setMetadataFd, writeFilesAt } = kernel;
    t.teardown(() => Object.assign(kernel, { setMetadataFd, writeFilesAt }));
    // As a file system does that knows no owners (root squashed, FAT): chown(2) is refused.
    const refusedOwner = 0xfffffffe;
    kernel.setMetadataFd = (fd, what, _uid, _gid, ...rest) => {
      if ((what & 1) === 0) return setMetadataFd(fd, what, 0, 0, ...rest);
      const [mode, ...others] = rest;
      return [1, 1, ...setMetadataFd(fd, what & ~1, refusedOwner, refusedOwner, mode & ~0o6000, ...others)];
    };
    kernel.writeFilesAt = (fd, request, data) => {
      const changed = request.slice();
      const failed: number[] = [];
      for (let at = 0, n = 0; at < changed.byteLength; n++) {
        const end = at + 6 + viewOf(changed).getUint16(at, true) + viewOf(changed).getUint32(at + 2, true) + 33;
        changed[end - 1] = changed[end - 1]! & ~1;
        viewOf(changed).setUint32(end - 17, viewOf(changed).getUint32(end - 17, true) & ~0o6000, true);
        failed.push(n, 1, 1);
        at = end;
      }
      writeFilesAt(fd, changed, data);
      return Uint32Array.from(failed);
    };
    const report = await into(snapshot, newPath(), { verify: true });
    t.match(report, { restored: 4, verified: 3, missing: 0, refusedMetadata: 6, problemCount: 1 });
    t.match(report.problems, [{ code: 'EPERM', lacks: 'metadata', message: /its owner/ }]);
  },
);

t.test('names that have other numbers here are told once', { skip: !isRoot && 'needs root' }, async (t) => {
  const owner = { uid: 4321, gid: 4322, user: 'nobody', group: 'no-such-group' };
  const snapshot = await tiny.snapshot({ a: file('a', { owner }), b: file('b', { owner }) });
  for (const numericIds of [false, true]) {
    const notes: string[] = [];
    await into(snapshot, newPath(), { numericIds, onNote: (message) => notes.push(message) });
    t.equal(notes.length, numericIds ? 0 : 1);
    if (!numericIds) t.match(notes[0]!, /nobody 4321 → \d+; --numeric-ids keeps/);
  }
});
