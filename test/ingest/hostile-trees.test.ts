/**
 * Generated trees of all that a file system may hold (names, links over devices, attributes, sizes, times, depth), while files change, vanish and are swapped:
 * a run never ends early, every snapshot can be read whole, every entry that is missing is a named problem, and a run over the tree at rest stores it as it is.
 * VARVE_SEEDS=N makes N trees on each file system instead of one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { differences, makeRepository, readLatest, scratch } from '../helpers/backup-repository.js';

const SEEDS = Number(process.env.VARVE_SEEDS ?? 1);
const NO_ROOT = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'mounting needs root on Linux';

/** Makes a tree at argv[1] from the seed argv[2]; what cannot be made is passed over. */
const MAKE = `
import os, random, sys
root, seed = os.fsencode(sys.argv[1]), int(sys.argv[2])
pick = random.Random(seed)
files, folders = [], [root]
def attempt(make):
    try: make()
    except (OSError, OverflowError, ValueError, IndexError): pass
def name():
    kind = pick.randrange(6)
    if kind == 0: text = bytes(pick.choice([c for c in range(1, 256) if c != 47]) for _ in range(pick.randrange(1, 40)))
    elif kind == 1: text = b'n' * 255
    elif kind == 2: text = pick.choice([b' ', b'-rf', b'a\\\\x41', b'\\n', b'\\x1b[2J', b'*', b'[x]', '\\u00e4'.encode(), 'a\\u0308'.encode()])
    else: text = b'f%d' % pick.randrange(1000)
    return text if text not in (b'.', b'..') else b'dots'
def time():
    return pick.choice([0, 1, -1, 2**31, 2**32, 2**33, -2**31, 2**52, 1_600_000_000])
for step in range(250):
    parent = pick.choice(folders)
    path = parent + b'/' + name()
    kind = pick.randrange(11)
    def make():
        if kind == 0:
            os.mkdir(path); folders.append(path)
        elif kind == 1: os.symlink(pick.choice([b'f1', b'x' * 4000, b'/', b'\\xff']), path)
        elif kind == 2: os.mkfifo(path)
        elif kind == 3: os.link(pick.choice(files), path)
        elif kind == 4:
            with open(path, 'xb') as file: file.truncate(pick.choice([1, 70_000, 2**31, 2**40, 2**43 + 1]))
            files.append(path)
        elif kind == 5: os.mknod(path, 0o020600, os.makedev(pick.randrange(500), pick.randrange(9999)))
        else:
            with open(path, 'xb') as file: file.write(pick.randbytes(pick.choice([0, 1, 256, 257, 5000, 65_536, 65_537, 300_000])))
            files.append(path)
        if pick.randrange(4) == 0: attempt(lambda: os.setxattr(path, pick.choice([b'user.a', b'user.\\xff', b'user.' + b'l' * 250]), pick.randbytes(pick.choice([0, 10, 5000])), follow_symlinks=False))
        if pick.randrange(4) == 0: attempt(lambda: os.chown(path, pick.randrange(2**31), pick.randrange(2**31), follow_symlinks=False))
        if kind != 1 and pick.randrange(4) == 0: attempt(lambda: os.chmod(path, pick.randrange(0o10000)))
        if pick.randrange(3) == 0: attempt(lambda: os.utime(path, ns=(0, time() * 10**9 + pick.randrange(10**9)), follow_symlinks=False))
    attempt(make)
deep = root
for step in range(60):
    deep += b'/d'
    attempt(lambda: os.mkdir(deep))
`;

/** Changes the tree at argv[1] until it is killed. */
const CHURN = `
import os, random, sys
root = os.fsencode(sys.argv[1])
pick = random.Random(int(sys.argv[2]))
home = root + b'/churn'
os.makedirs(home, exist_ok=True)
print('churns', flush=True)
while True:
    at = home + b'/%d' % pick.randrange(40)
    other = home + b'/%d' % pick.randrange(40)
    try:
        kind = pick.randrange(8)
        if kind == 0: os.unlink(at)
        elif kind == 1: os.rename(at, other)
        elif kind == 2: os.link(at, other)
        elif kind == 3: os.symlink(b'%d' % pick.randrange(40), at)  # never out of the tree: what follows writes through it
        elif kind == 4: os.truncate(at, pick.randrange(300_000))
        elif kind == 5: os.mkdir(at)
        elif kind == 6: os.rmdir(at)
        else:
            with open(at, 'ab') as file: file.write(pick.randbytes(pick.randrange(100_000)))
    except OSError: pass
`;

/** Runs over one generated tree at `source`. */
async function survive(t: Test, source: string, seed: number): Promise<void> {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const made = spawnSync('python3', ['-c', MAKE, source, String(seed)], { encoding: 'utf8' });
  t.equal(made.status, 0, made.stderr);
  const churner = spawn('python3', ['-c', CHURN, source, String(seed)], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve) => churner.stdout!.once('data', resolve));
  try {
    for (let run = 0; run < 3; run++) {
      const { problems, state } = await repo.backup({ paths: [source], threads: 2 });
      t.equal(state, problems.length === 0 ? 'complete' : 'partial');
      const below = problems.filter(({ path }) => !Buffer.from(path).toString('latin1').startsWith(`${source}/churn`));
      t.same(
        below.map(({ path, code }) => `${Buffer.from(path).toString('latin1')} ${code}`),
        [],
        `seed ${seed}: problems only where something changes`,
      );
      // Throws for whatever a reader refuses.
      t.ok((await readLatest(await repo.open())).size > 50);
    }
  } finally {
    churner.kill('SIGKILL');
    await new Promise((resolve) => churner.once('exit', resolve));
  }
  t.same((await repo.backup({ paths: [source] })).problems, [], `seed ${seed}`);
  t.same(differences(await readLatest(await repo.open()), source), [], `seed ${seed}: the tree at rest is stored as it is`);
  t.same((await repo.backup({ paths: [source], force: true })).problems, []);
  t.same(differences(await readLatest(await repo.open()), source), [], `seed ${seed}: and the same when all is read again`);
}

const NO_PYTHON = spawnSync('python3', ['-c', '']).status === 0 ? undefined : 'there is no python3';

/** Mounts at `at`; says why not where it cannot. */
function mounted(t: Test, at: string, ...args: string[]): string | undefined {
  const { status, stderr } = spawnSync('mount', [...args, at], { encoding: 'utf8' });
  if (status !== 0) return stderr.trim() || 'mount failed';
  t.teardown(() => void spawnSync('umount', ['-l', at]));
  return undefined;
}

function makeOn(t: Test, kind: string, folder: string, at: string): string | undefined {
  if (kind === 'tmpfs') return mounted(t, at, '-t', 'tmpfs', 'none');
  if (kind === 'overlay') {
    for (const name of ['lower', 'upper', 'work']) mkdirSync(join(folder, 'layers', name), { recursive: true });
    const inner = mounted(t, join(folder, 'layers'), '-t', 'tmpfs', 'none');
    if (inner !== undefined) return inner;
    for (const name of ['lower', 'upper', 'work']) mkdirSync(join(folder, 'layers', name), { recursive: true });
    writeFileSync(join(folder, 'layers/lower/from-below'), 'from below');
    const layers = ['lowerdir=lower', 'upperdir=upper', 'workdir=work'].map((one) => one.replace('=', `=${folder}/layers/`));
    return mounted(t, at, '-t', 'overlay', '-o', layers.join(), 'overlay');
  }
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, 400 << 20);
  const mkfs = spawnSync(`mkfs.${kind}`, ['-q', image], { encoding: 'utf8' });
  if (mkfs.status !== 0) return `no mkfs.${kind}`;
  return mounted(t, at, '-o', 'loop', image);
}

for (const kind of ['plain', 'tmpfs', 'ext4', 'xfs', 'btrfs', 'overlay']) {
  t.test(`hostile trees on ${kind}`, async (t) => {
    const skip = NO_PYTHON ?? (kind === 'plain' ? undefined : NO_ROOT);
    if (skip !== undefined) {
      t.pass(kind, { skip });
      return;
    }
    for (let seed = 1; seed <= SEEDS; seed++) {
      await t.test(`seed ${seed}`, async (t) => {
        const folder = mkdtempSync(join(scratch(t), 'on-'));
        const at = join(folder, 'at');
        mkdirSync(at);
        const why = kind === 'plain' ? undefined : makeOn(t, kind, folder, at);
        if (why !== undefined) {
          t.pass(kind, { skip: why });
          return;
        }
        await survive(t, at, seed);
      });
    }
  });
}
