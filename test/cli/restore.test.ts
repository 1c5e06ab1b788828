/** `varve restore` as typed: what is named, what the statuses mean, and where things land. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runner } from './program.js';

const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'varve-cli-restore-')));
t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const varve = runner({
  VARVE_REPOSITORY: at('repository'),
  VARVE_KEY_FILE: at('key'),
  VARVE_CACHE_DIR: at('cache'),
  VARVE_STATE_DIR: at('state'),
});
const source = at('source');
fs.mkdirSync(join(source, 'sub'), { recursive: true });
for (const name of ['a', 'sub/b', 'sub/c']) fs.writeFileSync(join(source, name), `content of ${name}`);

t.before(() => {
  t.equal(varve(['init']).status, 0);
  t.equal(varve(['backup', '-q', source]).status, 0);
});

t.test('an --include that matches nothing is named and is status 1; so are patterns that let nothing through', async (t) => {
  const target = ['--target', at('included')];
  const none = varve(['restore', 'latest', ...target, '--include', '/tpyo']);
  t.equal(none.status, 1);
  t.match(none.stderr, /--include \/tpyo matched nothing/);
  const some = varve([
    'restore',
    'latest',
    ...target,
    '--include',
    `${source}/sub`,
    '--include',
    `${source}/sub/b`,
    '--include',
    'nope',
  ]);
  t.equal(some.status, 1);
  t.equal(some.stderr.match(/matched nothing/g)?.length, 1, some.stderr);
  t.match(some.stderr, /--include nope/);
  const fine = varve([
    'restore',
    'latest',
    ...target,
    '--include',
    `${source}/sub`,
    '--include',
    `${source}/sub/b`,
    '--include',
    '!nope',
  ]);
  t.equal(fine.status, 0, fine.stderr);
  const nothing = varve(['restore', `latest:${source}`, '--target', at('nothing'), '-e', '*']);
  t.equal(nothing.status, 1);
  t.match(nothing.stderr, /let nothing through/);
});

t.test('-n -v, and JSON, name every file: what would be restored, left and deleted', async (t) => {
  const target = at('named');
  fs.mkdirSync(join(target, 'old'), { recursive: true });
  fs.copyFileSync(join(source, 'a'), join(target, 'a'));
  const args = ['restore', `latest:${source}`, '--target', target, '--delete'];
  const dry = varve([...args, '-n', '-v']);
  t.equal(dry.status, 0, dry.stderr);
  for (const line of ['would leave   a', 'would restore sub/b', 'would restore sub/c', 'would delete  old', 'directory     sub'])
    t.ok(dry.stdout.split('\n').includes(line), `${line}: ${dry.stdout}`);
  const expected = [
    ['deleted', 'old'],
    ['directory', 'sub'],
    ['restored', 'sub/b'],
    ['restored', 'sub/c'],
    ['skipped', 'a'],
  ];
  for (const more of [['-n'], []]) {
    const records = varve([...args, '--json', ...more]).records as unknown as Record<string, string>[];
    const named = records.filter(({ message_type: type }) => type === 'file').map(({ action, path }) => [action!, path!]);
    t.same(named.sort(), expected, more.join());
  }
  t.notOk(fs.existsSync(join(target, 'old')));
});

t.test('--in-place restores to where the path was, a file beside its neighbours', async (t) => {
  fs.writeFileSync(join(source, 'sub/b'), 'changed');
  fs.chmodSync(join(source, 'sub'), 0o700);
  fs.writeFileSync(join(source, 'sub/new'), 'new');
  const one = varve(['restore', `latest:${source}/sub/b`, '--in-place']);
  t.equal(one.status, 0, one.stderr);
  t.equal(fs.readFileSync(join(source, 'sub/b'), 'utf8'), 'content of sub/b');
  t.equal(fs.statSync(join(source, 'sub')).mode & 0o777, 0o700, 'the directory that it is in was not asked for');
  t.equal(varve(['restore', `latest:${source}/./sub/`, '--in-place', '--delete']).status, 0);
  t.equal(fs.statSync(join(source, 'sub')).mode & 0o777, 0o755, 'now it was');
  t.same(fs.readdirSync(join(source, 'sub')), ['b', 'c']);
  fs.rmSync(source, { recursive: true });
  const gone = varve(['restore', `latest:${source}/sub/b`, '--in-place']);
  t.equal(gone.status, 13);
  t.match(gone.stderr, /there is no directory/);
  t.equal(varve(['restore', `latest:${source}`, '--in-place']).status, 0);
  t.equal(fs.readFileSync(join(source, 'sub/c'), 'utf8'), 'content of sub/c');
});

t.test('status 3 when all data is there and only metadata is not, 1 when something is missing', async (t) => {
  const target = at('statuses');
  fs.mkdirSync(target);
  if (process.geteuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', 'varve-test', target]).status !== 0) {
    t.pass('a file system without user attributes', { skip: 'mounting needs root' });
    return;
  }
  try {
    execFileSync('setfattr', ['-n', 'user.large', '-v', 'x'.repeat(3000), join(source, 'a')]);
    t.equal(varve(['backup', '-q', source]).status, 0);
    spawnSync('mount', ['-o', 'remount,size=256k', target]);
    const image = at('image');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 8 << 20);
    spawnSync('mkfs.ext4', ['-q', '-b', '1024', image]);
    fs.mkdirSync(at('ext4'));
    if (spawnSync('mount', ['-o', 'loop', image, at('ext4')]).status === 0) {
      try {
        const lacking = varve(['restore', `latest:${source}`, '--target', at('ext4')]);
        t.equal(lacking.status, 3, lacking.stderr);
        t.match(lacking.stderr, /user\.large: (ENOSPC|E2BIG|ERANGE)/);
        t.match(lacking.stdout, /All data is there; 1 piece of metadata/);
      } finally {
        spawnSync('umount', [at('ext4')]);
      }
    }
    fs.mkdirSync(join(target, 'sub/b/full'), { recursive: true });
    const missing = varve(['restore', `latest:${source}`, '--target', target]);
    t.equal(missing.status, 1, missing.stderr);
    t.match(missing.stderr, /sub\/b: a directory that is not empty/);
  } finally {
    spawnSync('umount', [target]);
  }
});
