/** `npm start`: what a stranger runs first. It says which commands it runs, compares a file through the mount, and cleans up after itself. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { kernelDriver } from '../../lib/mount/kernel.js';
import { packageRoot } from '../../lib/native.js';
import { MAIN } from '../cli/program.js';
import { scratch } from '../helpers/backup-repository.js';

const folder = scratch(t);
const mounts = kernelDriver.unavailable() === undefined;

/** Runs what `npm start` runs, with temporary files of its own. */
function start(temporary: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  mkdirSync(temporary, { recursive: true });
  const { NODE_OPTIONS: _, ...env } = process.env;
  return spawnSync(process.execPath, [join(packageRoot(), 'scripts', 'start.mjs'), ...args], {
    cwd: folder,
    env: {
      ...env,
      TMPDIR: temporary,
      INIT_CWD: folder,
      VARVE_CACHE_DIR: join(folder, 'cache'),
      VARVE_STATE_DIR: join(folder, 'state'),
    },
    encoding: 'utf8',
  });
}

t.test('without a path it backs up its own sources, shows them through a mount, and leaves nothing', async (t) => {
  const temporary = join(folder, 'tmp');
  const { status, stdout, stderr } = start(temporary);
  t.equal(status, 0, stderr);
  for (const command of ['varve init', `varve backup ${join(packageRoot(), 'lib')}`, 'varve snapshots', 'varve mount', 'cmp'])
    t.ok(stdout.includes(`\n$ ${command}`), command);
  t.match(stdout, /the copy is equal to .*\n/);
  t.equal(stdout.includes('This machine does not let us mount'), !mounts);
  if (mounts) t.match(stdout, /\$ ls .*mnt\n {2}at\n {2}by-id\n {2}hosts\n {2}latest\n/);
  t.same(readdirSync(temporary), []);
  t.notOk(readFileSync('/proc/mounts', 'utf8').includes(temporary));
});

t.test(
  'with a path of the user’s, from where he stands, it leaves the mount to look around in, and says how to end it',
  async (t) => {
    const temporary = join(folder, 'tmp-path');
    mkdirSync(join(folder, 'mine', 'sub'), { recursive: true });
    writeFileSync(join(folder, 'mine', 'sub', 'file'), 'mine');
    const { status, stdout, stderr } = start(temporary, 'mine');
    t.equal(status, 0, stderr);
    t.match(stdout, `the copy is equal to ${join(folder, 'mine', 'sub', 'file')}`);
    const [place] = readdirSync(temporary);
    if (mounts) {
      const mountpoint = join(temporary, place!, 'mnt');
      t.teardown(() => void spawnSync('umount', ['-l', mountpoint]));
      t.equal(spawnSync('cat', [join(mountpoint, 'latest', folder, 'mine', 'sub', 'file')], { encoding: 'utf8' }).stdout, 'mine');
      t.match(stdout, `umount ${mountpoint}`);
      t.equal(spawnSync(process.execPath, [MAIN, 'umount', mountpoint]).status, 0);
    }
    rmSync(temporary, { recursive: true });
  },
);

t.test('a path that is not there is said, with what was made', async (t) => {
  const { status, stderr } = start(join(folder, 'tmp-missing'), 'nowhere');
  t.equal(status, 1);
  t.match(stderr, /nowhere[\s\S]*failed.*varve backup/);
});
