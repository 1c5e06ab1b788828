/**
 * What every mount driver must show of a FileSystem, checked on a real mount of the sample. The mount is looked at from child processes
 * only: a process that touches a mount it serves itself can wait for itself. A check that a driver declares itself unable to pass
 * (`limits`) is skipped with that sentence as the reason.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { MountDriver, Mounted, MountOptions } from '../../lib/mount/driver.js';
import { mountAt } from '../../lib/mount/mount-table.js';
import { packageRoot } from '../../lib/native.js';
import {
  BIG_BYTES,
  BIG_EXTENTS,
  GAP_ENTRIES,
  GIB,
  HARD_LINK_INO,
  MANY_ENTRIES,
  type SampleData,
  XATTR_BIG_BYTES,
} from '../helpers/sample-fs.js';
import { sampleSource } from '../helpers/sample-source.js';

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in a child process; never throws for its failure. */
export function run(program: string, args: readonly string[], options: { readonly cwd?: string } = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const limits = { encoding: 'utf8', timeout: 300_000, maxBuffer: 1 << 28, killSignal: 'SIGKILL' } as const;
    execFile(program, args, { ...limits, ...options }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ status, stdout, stderr });
    });
  });
}

/** Runs Python in a child process and returns what it prints as JSON. `formula(offset, length)` mirrors the sample's bytes. */
export async function python(source: string, args: readonly string[] = []): Promise<unknown> {
  const result = await run('python3', ['-c', `${PRELUDE}\n${source}`, ...args]);
  if (result.status !== 0) throw new Error(`python3: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

const PRELUDE = `
import errno, json, os, stat, sys
def formula(offset, length):
    return bytes(((o % 1028096) * 31 + ((o % 1028096) >> 8) * 7) & 255 for o in range(offset, offset + length))
def attempt(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode[error.errno]
`;

/** A folder of the test's own with a mountpoint in it; everything is unmounted and removed afterwards. */
export interface Place {
  readonly folder: string;
  readonly mountpoint: string;
  readonly changing: string;
  readonly log: string[];
  options(over?: Partial<MountOptions>): MountOptions;
  mount(driver: MountDriver, data?: SampleData, over?: Partial<MountOptions>): Promise<Mounted>;
}

export function place(test: { teardown(work: () => unknown): unknown }): Place {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'varve-mount-')));
  const mountpoint = join(folder, 'mnt');
  const changing = join(folder, 'changing');
  mkdirSync(mountpoint);
  writeFileSync(changing, 'first\na\nb\n');
  const log: string[] = [];
  const mounted: Mounted[] = [];
  test.teardown(async () => {
    for (const mount of mounted) await mount.unmount({ lazy: true }).catch(() => undefined);
    while (mountAt(mountpoint) !== undefined && spawnSync('umount', ['-l', mountpoint]).status === 0);
    rmdirSync(mountpoint);
    rmSync(folder, { recursive: true });
  });
  const options = (over: Partial<MountOptions> = {}): MountOptions => ({
    mountpoint,
    fsName: 'sample, of \\ varve',
    allowOther: false,
    defaultPermissions: true,
    readAheadKib: 1024,
    threads: 2,
    onLog: (message) => log.push(message),
    ...over,
  });
  return {
    folder,
    mountpoint,
    changing,
    log,
    options,
    mount: async (driver, data = {}, over = {}) => {
      const mount = await driver.mount(sampleSource(folder, { changingFrom: changing, ...data }), options(over));
      mounted.push(mount);
      return mount;
    },
  };
}

/** Command line of a process that mounts the sample; see mount-server.mjs. */
export function serverArgs(at: Place, driver: MountDriver, over: Partial<MountOptions> = {}): string[] {
  const root = packageRoot();
  const { onLog: _, ...options } = at.options(over);
  const start = { root, driver: driver.name, source: sampleSource(at.folder), options };
  return [join(root, 'test', 'helpers', 'mount-server.mjs'), JSON.stringify(start)];
}

/** Starts a process that mounts the sample, and waits until it has. */
async function startServer(at: Place, driver: MountDriver): Promise<{ child: ChildProcess; ended: Promise<number | null> }> {
  const child = spawn(process.execPath, serverArgs(at, driver), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: plainEnvironment(),
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await Promise.race([new Promise((resolve) => child.stdout?.once('data', resolve)), ended]);
  return { child, ended };
}

/** Without what the test runner hangs into every Node process. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

/** Waits until `done`, for at most five seconds. */
export async function until(done: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    if (await done()) return true;
    await sleep(50);
  }
  return false;
}

interface Shown {
  readonly name: string;
  readonly mode: number;
  readonly ino: string;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: readonly [number, number];
  readonly size: number;
  readonly blocks: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
  readonly target?: string;
}

const LIST = `
root = os.fsencode(sys.argv[1])
shown = []
for name in os.listdir(root):
    s = attempt(lambda: os.lstat(os.path.join(root, name)))
    if isinstance(s, str):
        shown.append({'name': name.decode('latin1'), 'error': s})
        continue
    entry = dict(name=name.decode('latin1'), mode=s.st_mode, ino=str(s.st_ino), nlink=s.st_nlink, uid=s.st_uid, gid=s.st_gid,
        rdev=[os.major(s.st_rdev), os.minor(s.st_rdev)], size=s.st_size, blocks=s.st_blocks, mtimeNs=str(s.st_mtime_ns), ctimeNs=str(s.st_ctime_ns))
    if stat.S_ISLNK(s.st_mode):
        entry['target'] = os.readlink(os.path.join(root, name)).decode('latin1')
    shown.append(entry)
print(json.dumps(shown))
`;

/** Runs every check on `driver`. Where it is unavailable, all are skipped with the reason. */
export function mountContract(driver: MountDriver): void {
  const missing = driver.unavailable();
  const limit = (pattern: RegExp): string | false => missing ?? driver.limits.find((sentence) => pattern.test(sentence)) ?? false;
  const always = (): string | false => missing ?? false;

  t.test(`${driver.name}: what is mounted`, { skip: always() }, async (t) => {
    const at = place(t);
    const mounted = await at.mount(driver);
    const shown = (await python(LIST, [at.mountpoint])) as Shown[];
    const byName = new Map(shown.map((entry) => [entry.name, entry]));
    const get = (name: string): Shown => byName.get(name) ?? missingEntry(name);
    const utf8Name = (name: string): string => Buffer.from(name, 'utf8').toString('latin1');

    t.test('the mount table names the driver, the source and the safe options', async (t) => {
      const entry = mountAt(at.mountpoint);
      t.match(entry, { fsType: 'fuse.varve', source: 'sample, of \\ varve' });
      const line = (await run('grep', [at.mountpoint, '/proc/mounts'])).stdout;
      for (const option of ['ro', 'nosuid', 'nodev']) t.match(line, new RegExp(`[ ,]${option}[ ,]`), option);
    });

    t.test('every entry is listed once', async (t) => {
      t.equal(byName.size, shown.length);
      for (const name of [
        'hello.txt',
        'empty',
        'n'.repeat(255),
        'line\nbreak',
        utf8Name('caf\u00e9'),
        utf8Name('cafe\u0301'),
        'many',
        'fifo',
        'link',
      ]) {
        t.ok(byName.has(name), name.slice(0, 20));
      }
      t.strictSame(
        shown.filter((entry) => 'error' in entry),
        [],
        'and each can be looked at',
      );
    });

    t.test('a name that is not UTF-8 keeps its bytes', { skip: limit(/not UTF-8/) }, async (t) => {
      t.equal(get('b\xff\xfe.b').size, 6);
      t.equal(get('link-bytes').target, '\xff/\xfe');
      const source = `print(json.dumps(open(os.path.join(os.fsencode(sys.argv[1]), b'b\\xff\\xfe.b')).read()))`;
      t.equal(await python(source, [at.mountpoint]), 'bytes\n');
    });

    t.test('the data of a file whose name is not UTF-8 can be read under the name shown', async (t) => {
      const name = [...byName.keys()].find((key) => key.startsWith('b') && key.endsWith('.b')) ?? '';
      const source = `print(json.dumps(open(os.path.join(os.fsencode(sys.argv[1]), sys.argv[2].encode('latin1'))).read()))`;
      t.equal(await python(source, [at.mountpoint, name]), 'bytes\n');
    });

    t.test('kinds, permissions, owners and device numbers', async (t) => {
      t.match(get('hello.txt'), { mode: 0o100644, uid: 1234, gid: 4321, size: 6, nlink: 1 });
      t.match(get('nested'), { mode: 0o040700 });
      t.match(get('fifo'), { mode: 0o010600 });
      t.match(get('socket'), { mode: 0o140600 });
      t.match(get('char'), { mode: 0o020600, rdev: [10, 300_000] });
      t.match(get('block'), { mode: 0o060600, rdev: [8, 1] });
    });

    t.test('symlinks, the long and the dangling too', async (t) => {
      t.match(get('link'), { mode: 0o120777, target: 'hello.txt' });
      t.match(get('link-long'), { target: 'x'.repeat(3000), size: 3000 });
      t.match(get('link-dangling'), { target: '../nowhere' });
      t.equal((await run('cat', [join(at.mountpoint, 'link')])).stdout, 'hello\n');
    });

    t.test('times to the nanosecond', { skip: limit(/nanoseconds/) }, async (t) => {
      t.match(get('hello.txt'), { mtimeNs: '1709210096123456789', ctimeNs: '1709210101987654321' });
    });

    t.test('times before 1970', { skip: limit(/before 1970/) }, async (t) => {
      t.equal(get('old.txt').mtimeNs, '-86400500000000');
    });

    t.test('times that 32 bits do not hold, and milliseconds', async (t) => {
      t.equal(get('future.txt').mtimeNs, '13569465600000000000');
      t.equal(get('hello.txt').mtimeNs.slice(0, 13), '1709210096123');
      t.ok(Number(get('old.txt').mtimeNs) <= 0, 'a time before 1970 is never in the future');
    });

    t.test('hard links share one inode number and count each other', async (t) => {
      t.equal(get('hard-a').ino, get('hard-b').ino);
      t.match([get('hard-a').nlink, get('hard-b').nlink], [2, 2]);
      t.not(get('hard-a').ino, get('hello.txt').ino);
    });

    t.test('inode numbers of 64 bits', { skip: limit(/32 bits/) }, async (t) => {
      t.equal(get('hard-a').ino, String(HARD_LINK_INO));
      t.equal(get('big.bin').ino, String(2n ** 63n + 7n));
    });

    t.test('sizes beyond 4 GiB, and blocks that tell of holes', async (t) => {
      t.match(get('big.bin'), { size: BIG_BYTES, blocks: (3 * 2 ** 20) / 512 });
      t.match(get('gig.bin'), { size: GIB, blocks: GIB / 512 });
    });

    t.test('reads at any offset, whole requests and odd ones', async (t) => {
      const source = `
f = os.open(sys.argv[1] + '/gig.bin', os.O_RDONLY)
wrong = []
for offset, length in [(0, 1), (1, 4096), (4095, 2), (131071, 3), (1028095, 70000), (536870912 - 5, 10), (1073741824 - 7, 100), (1073741824, 10)]:
    want = formula(offset, max(0, min(length, 1073741824 - offset)))
    if os.pread(f, length, offset) != want: wrong.append(offset)
f = os.open(sys.argv[1] + '/big.bin', os.O_RDONLY)
for offset in [0, 4 * 2**30, 5 * 2**40 - 2**20, 5 * 2**40 - 100]:
    if os.pread(f, 100, offset) != formula(offset, 100): wrong.append(offset)
for offset in [2**20, 2**32 - 100, 2**40]:
    if os.pread(f, 100, offset) != bytes(100): wrong.append(offset)
if os.pread(f, 100, 5 * 2**40) != b'': wrong.append('end')
print(json.dumps(wrong))`;
      t.strictSame(await python(source, [at.mountpoint]), []);
    });

    t.test('a mapped file reads the same', async (t) => {
      const source = `
import mmap
f = os.open(sys.argv[1] + '/gig.bin', os.O_RDONLY)
m = mmap.mmap(f, 1073741824, prot=mmap.PROT_READ)
print(json.dumps([m[o:o+100] == formula(o, 100) for o in (0, 123456789, 1073741724)]))`;
      t.strictSame(await python(source, [at.mountpoint]), [true, true, true]);
    });

    t.test('direct reads read the same', async (t) => {
      const from = ['if=gig.bin', 'bs=1M', 'skip=100', 'count=3', 'status=none'];
      const sums = await Promise.all(
        ['iflag=direct', 'iflag=fullblock'].map((flag) =>
          run('sh', ['-c', `dd ${from.join(' ')} ${flag} | sha256sum`], { cwd: at.mountpoint }),
        ),
      );
      t.equal(sums[0]?.stdout, sums[1]?.stdout);
      t.equal(sums[0]?.stderr, '');
    });

    t.test('SEEK_DATA and SEEK_HOLE find the extents', { skip: limit(/SEEK_HOLE/) }, async (t) => {
      const source = `
f = os.open(sys.argv[1] + '/big.bin', os.O_RDONLY)
found = []
at = 0
while True:
    start = attempt(lambda: os.lseek(f, at, os.SEEK_DATA))
    if isinstance(start, str): break
    at = os.lseek(f, start, os.SEEK_HOLE)
    found.append([start, at])
print(json.dumps([found, start, attempt(lambda: os.lseek(f, 5 * 2**40, os.SEEK_HOLE))]))`;
      t.strictSame(await python(source, [at.mountpoint]), [BIG_EXTENTS, 'ENXIO', 'ENXIO']);
    });

    t.test('20,000 entries are listed once each, in any way of listing', async (t) => {
      const many = join(at.mountpoint, 'many');
      const plain = (await run('ls', ['-f', many])).stdout.split('\n').filter((name) => name.startsWith('entry-'));
      t.equal(plain.length, MANY_ENTRIES);
      t.equal(new Set(plain).size, MANY_ENTRIES);
      t.ok(/\s19999 .* entry-19999\n/.test((await run('ls', ['-lU', many])).stdout), 'the size beside the name');
      t.ok((await run('ls', ['-a', many])).stdout.startsWith('.\n..\nentry-00000\n'), 'dot and dot-dot first');
      const gaps = (await run('ls', [join(at.mountpoint, 'gaps')])).stdout.split('\n').filter((name) => name !== '');
      t.equal(new Set(gaps).size, GAP_ENTRIES, 'also where positions do not count entries');
      t.equal(gaps.length, GAP_ENTRIES);
      t.equal((await run('ls', [join(at.mountpoint, 'nothing')])).stdout, '');
    });

    t.test('telldir and seekdir come back to the same entry', async (t) => {
      const source = `
import ctypes
c = ctypes.CDLL(None, use_errno=True)
c.opendir.restype = ctypes.c_void_p
c.readdir.argtypes = [ctypes.c_void_p]; c.readdir.restype = ctypes.c_void_p
c.telldir.argtypes = [ctypes.c_void_p]; c.telldir.restype = ctypes.c_long
c.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
def name(entry): return ctypes.string_at(entry + 19).decode()
result = []
for folder in ('many', 'gaps'):
    d = c.opendir(os.fsencode(sys.argv[1] + '/' + folder))
    seen = []
    while True:
        place = c.telldir(d)
        entry = c.readdir(d)
        if not entry: break
        seen.append((place, name(entry)))
    wrong = 0
    for place, expected in seen[::max(1, len(seen) // 50)] + seen[-1:] + seen[:3]:
        c.seekdir(d, place)
        if name(c.readdir(d)) != expected: wrong += 1
    result.append([len(seen), wrong])
print(json.dumps(result))`;
      t.strictSame(await python(source, [at.mountpoint]), [
        [MANY_ENTRIES + 2, 0],
        [GAP_ENTRIES + 2, 0],
      ]);
    });

    t.test('extended attributes: listed, unlisted, empty, binary, large, missing, and too small a buffer', async (t) => {
      const source = `
import ctypes
f = sys.argv[1] + '/hello.txt'
c = ctypes.CDLL(None, use_errno=True)
small = ctypes.create_string_buffer(10)
short = c.getxattr(os.fsencode(f), b'user.big', small, 10)
short = errno.errorcode[ctypes.get_errno()] if short < 0 else short
listed = c.listxattr(os.fsencode(f), small, 10)
listed = errno.errorcode[ctypes.get_errno()] if listed < 0 else listed
print(json.dumps([sorted(os.listxattr(f)), os.getxattr(f, 'user.small').decode(), os.getxattr(f, 'user.empty').decode(),
  list(os.getxattr(f, 'user.bytes')), os.getxattr(f, 'user.big') == bytes(i & 255 for i in range(${XATTR_BIG_BYTES})),
  os.getxattr(f, 'user.unlisted').decode(), attempt(lambda: os.getxattr(f, 'user.none')), os.listxattr(sys.argv[1] + '/empty'), short, listed]))`;
      t.strictSame(await python(source, [at.mountpoint]), [
        ['user.big', 'user.bytes', 'user.empty', 'user.small'],
        'value',
        '',
        [0, 255, 10, 0],
        true,
        'only if asked',
        'ENODATA',
        [],
        'ERANGE',
        'ERANGE',
      ]);
      t.match((await run('getfattr', ['-n', 'user.small', '--only-values', join(at.mountpoint, 'hello.txt')])).stdout, 'value');
    });

    t.test('statfs: the size of what is held, nothing free', async (t) => {
      const source = `v = os.statvfs(sys.argv[1]); print(json.dumps([v.f_frsize * v.f_blocks, v.f_bfree, v.f_files, v.f_namemax, v.f_flag & os.ST_RDONLY]))`;
      const [total, free, files, name, readOnly] = (await python(source, [at.mountpoint])) as number[];
      t.ok(Math.abs((total ?? 0) - 4096 * 2 ** 33) <= 8192, 'the total, to a block');
      t.strictSame([free, files, name, readOnly], [0, 123_456, 255, 1]);
    });

    t.test('nothing can be written: EROFS', async (t) => {
      const source = `
r = sys.argv[1]
print(json.dumps([attempt(lambda: os.open(r + '/new', os.O_CREAT | os.O_WRONLY)), attempt(lambda: os.open(r + '/hello.txt', os.O_WRONLY)),
  attempt(lambda: os.unlink(r + '/hello.txt')), attempt(lambda: os.mkdir(r + '/d')), attempt(lambda: os.rename(r + '/hello.txt', r + '/x')),
  attempt(lambda: os.chmod(r + '/hello.txt', 0)), attempt(lambda: os.utime(r + '/hello.txt')), attempt(lambda: os.truncate(r + '/hello.txt', 0)),
  attempt(lambda: os.setxattr(r + '/hello.txt', 'user.x', b'1')), attempt(lambda: os.link(r + '/hello.txt', r + '/l'))]))`;
      t.strictSame(await python(source, [at.mountpoint]), Array(10).fill('EROFS'));
    });

    t.test('a missing name is ENOENT, a file used as a directory ENOTDIR', async (t) => {
      const source = `r = sys.argv[1]; print(json.dumps([attempt(lambda: os.lstat(r + '/none')), attempt(lambda: os.lstat(r + '/nested/none/x')), attempt(lambda: os.lstat(r + '/hello.txt/x'))]))`;
      t.strictSame(await python(source, [at.mountpoint]), ['ENOENT', 'ENOENT', 'ENOTDIR']);
    });

    t.test('a read that fails is EIO and a line in the log, and the mount lives on', async (t) => {
      const failed = await run('cat', [join(at.mountpoint, 'bad.bin')]);
      t.equal(failed.stdout, '');
      t.match(failed.stderr, /Input\/output error/);
      t.ok(await until(() => at.log.some((line) => line.includes('does not verify'))), 'the reason reached the log');
      t.equal((await run('cat', [join(at.mountpoint, 'hello.txt')])).stdout, 'hello\n');
    });

    t.test('what changes in a directory with a short time to live shows', async (t) => {
      const folder = join(at.mountpoint, 'changing');
      const look = async (): Promise<string> =>
        (await run('sh', ['-c', 'ls | tr "\\n" " "; readlink latest; stat -c %F c 2>&1'], { cwd: folder })).stdout;
      t.match(await look(), /^a b latest first\n.*No such file/);
      writeFileSync(at.changing, 'second\na\nb\nc\n');
      t.ok(await until(async () => /^a b c latest second\n.*regular/.test(await look())), await look());
    });

    t.test('rsync copies a tree and finds nothing to do the second time', async (t) => {
      const target = join(at.folder, 'copy');
      const args = [
        '-aH',
        '--exclude=*.bin',
        '--exclude=char',
        '--exclude=block',
        '--exclude=socket',
        '--exclude=private',
        '--exclude=link-bytes',
        `--exclude=b*.b`,
      ];
      const first = await run('rsync', [...args, `${at.mountpoint}/`, `${target}/`]);
      t.equal(first.stderr, '');
      const second = await run('rsync', [...args, '-i', `${at.mountpoint}/`, `${target}/`]);
      t.equal(second.stdout, '');
      const links = await run('stat', ['-c', '%h', join(target, 'hard-a')]);
      t.equal(links.stdout.trim(), '2');
    });

    t.test('many processes at once all read what is there', async (t) => {
      const script =
        'for i in 1 2 3 4 5 6 7 8; do (dd if=gig.bin bs=64K skip=$((i * 100)) count=160 status=none | sha256sum) & find many -size -3 | wc -l & done; wait';
      const lines = (await run('sh', ['-c', script], { cwd: at.mountpoint })).stdout.trim().split('\n');
      t.equal(lines.length, 16);
      t.equal(new Set(lines.filter((line) => line.includes('-'))).size, 8);
    });

    t.test('a mount in use is not unmounted unless lazily', async (t) => {
      const user = execFile('sleep', ['60'], { cwd: at.mountpoint });
      await new Promise((resolve) => user.once('spawn', resolve));
      await sleep(100);
      await t.rejects(mounted.unmount(), { code: 'MOUNT', message: /in use/ });
      t.ok(mountAt(at.mountpoint), 'still mounted');
      const gone = mounted.unmount({ lazy: true });
      t.ok(await until(() => mountAt(at.mountpoint) === undefined), 'out of sight at once');
      user.kill('SIGKILL');
      await gone;
      await mounted.finished;
      await mounted.unmount();
      t.pass('finished, and unmounting again changes nothing');
    });
    t.end();
  });

  t.test(`${driver.name}: mounting and ending`, { skip: always() }, async (t) => {
    t.test('a mountpoint that is a file, or missing, is refused', async (t) => {
      const at = place(t);
      await t.rejects(driver.mount(sampleSource(at.folder), at.options({ mountpoint: at.changing })), {
        code: 'MOUNT',
        message: /not a directory/,
      });
      await t.rejects(driver.mount(sampleSource(at.folder), at.options({ mountpoint: join(at.folder, 'none') })), {
        code: 'MOUNT',
      });
    });

    t.test('a file system that does not open leaves no mount behind', async (t) => {
      const at = place(t);
      await t.rejects(at.mount(driver, { failToOpen: true }), { code: 'MOUNT', message: /told to fail/ });
      t.equal(mountAt(at.mountpoint), undefined);
    });

    t.test('two mounts at once, through a symlink too, and unmounted by somebody else', async (t) => {
      const one = place(t);
      const two = place(t);
      spawnSync('ln', ['-s', one.mountpoint, join(one.folder, 'way')]);
      const first = await one.mount(driver, {}, { mountpoint: join(one.folder, 'way') });
      const second = await two.mount(driver);
      for (const at of [one, two]) t.equal((await run('cat', [join(at.mountpoint, 'hello.txt')])).stdout, 'hello\n');
      await t.rejects(one.mount(driver), { code: 'MOUNT', message: /mounted already/ });
      t.equal((await run('umount', [one.mountpoint])).status, 0);
      await first.finished;
      t.equal((await run('cat', [join(two.mountpoint, 'hello.txt')])).stdout, 'hello\n');
      await second.unmount();
      t.equal(mountAt(two.mountpoint), undefined);
    });

    t.test('when a serving thread dies the mount is dead, not empty, and the next mount clears it away', async (t) => {
      const at = place(t);
      const mounted = await at.mount(driver);
      const finished = t.rejects(mounted.finished, { code: 'MOUNT', message: /died/ });
      t.not((await run('cat', [join(at.mountpoint, 'dies.bin')])).status, 0);
      await finished;
      t.match((await run('ls', [at.mountpoint])).stderr, /not connected/);
      const again = await at.mount(driver);
      t.match(at.log.join('\n'), /dead; unmounting/);
      t.equal((await run('cat', [join(at.mountpoint, 'hello.txt')])).stdout, 'hello\n');
      await again.unmount();
      t.equal(mountAt(at.mountpoint), undefined, 'nothing is left under it either');
    });

    for (const [what, signal, status] of [
      ['killed with SIGKILL', 'SIGKILL', null],
      ['ended by process.exit without unmounting', 'SIGUSR2', 5],
    ] as const) {
      t.test(`a server ${what} ends, and leaves a dead mount, never an empty directory`, async (t) => {
        const at = place(t);
        const { child, ended } = await startServer(at, driver);
        t.equal((await run('cat', [join(at.mountpoint, 'hello.txt')])).stdout, 'hello\n');
        child.kill(signal);
        t.equal(await ended, status);
        t.ok(await until(async () => /not connected/.test((await run('ls', [at.mountpoint])).stderr)), 'ENOTCONN');
        const rsync = await run('rsync', ['-a', '--delete', `${at.mountpoint}/`, `${join(at.folder, 'copy')}/`]);
        t.not(rsync.status, 0, 'rsync --delete fails rather than deletes');
        const again = await at.mount(driver);
        t.match(at.log.join('\n'), /dead; unmounting/);
        t.equal((await run('cat', [join(at.mountpoint, 'hello.txt')])).stdout, 'hello\n');
        await again.unmount();
      });
    }

    t.test('a server told to unmount ends by itself', async (t) => {
      const at = place(t);
      const { child, ended } = await startServer(at, driver);
      child.kill('SIGTERM');
      t.equal(await ended, 0);
      t.equal(mountAt(at.mountpoint), undefined);
    });
  });
}

function missingEntry(name: string): never {
  throw new Error(`${name} is not listed`);
}
