/** What the vault asks of the system: a unit that systemd understands, and the immutable flag where the file system has it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../../lib/native.js';
import { Immutable } from '../../lib/vault/immutable.js';
import { scratch } from '../helpers/backup-repository.js';

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

t.test('systemd understands the unit', { skip: !has('systemd-analyze') && 'no systemd here' }, async (t) => {
  // The program and its user are not on this machine; everything else is as it stands.
  const text = readFileSync(join(packageRoot(), 'packaging/varve-vault.service'), 'utf8')
    .replace('/usr/bin/env varve', '/bin/true')
    .replace(/^(User|Group)=.*\n/gm, '');
  const file = join(scratch(t), 'varve-vault.service');
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
  t.equal(status, 0, stdout + stderr);
});

t.test('an immutable object stays until pruning clears it', async (t) => {
  const folder = scratch(t);
  const image = join(folder, 'image');
  const mountpoint = join(folder, 'mnt');
  mkdirSync(mountpoint);
  const steps: readonly (readonly [string, readonly string[]])[] = [
    ['truncate', ['-s', '16M', image]],
    ['mkfs.ext4', ['-q', image]],
    ['mount', ['-o', 'loop', image, mountpoint]],
  ];
  for (const [program, args] of steps) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0)
      return void t.pass('an ext4 image', { skip: `none can be mounted here: ${program}: ${error?.message ?? stderr.trim()}` });
  }
  t.teardown(() => void spawnSync('umount', [mountpoint]));
  const log: string[] = [];
  const flags = new Immutable((line) => log.push(line));
  const file = join(mountpoint, 'object');
  writeFileSync(file, 'x');
  flags.set(file);
  await flags.settle();
  if (log.length > 0) return void t.pass('the immutable flag', { skip: `it cannot be set here: ${log[0]}` });
  t.throws(() => unlinkSync(file), { code: 'EPERM' });
  t.throws(() => writeFileSync(file, 'y'), { code: 'EPERM' });
  await flags.clear(file);
  unlinkSync(file);
  t.same(log, []);
});
