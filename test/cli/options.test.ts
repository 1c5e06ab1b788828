/** Options and environment variables as far as nothing else runs them through the program: that each reaches what it is for. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratch } from '../helpers/backup-repository.js';
import { MAIN, type Ran, runner } from './program.js';

const folder = scratch(t);
const at = (...names: string[]): string => join(folder, ...names);
const source = at('source');
mkdirSync(join(source, 'inner'), { recursive: true });
mkdirSync(join(source, 'tagged'));
writeFileSync(join(source, 'NAME.TXT'), 'upper case');
writeFileSync(join(source, 'name.txt'), 'lower case');
writeFileSync(join(source, 'large'), 'x'.repeat(3000));
writeFileSync(join(source, 'inner', 'deep'), 'deep');
writeFileSync(join(source, 'tagged', '.nobackup'), 'leave this out: really');
writeFileSync(join(source, 'tagged', 'secret'), 'secret');
const names = ['NAME.TXT', 'inner', 'inner/deep', 'large', 'name.txt', 'tagged', 'tagged/.nobackup', 'tagged/secret'];
const environment = {
  VARVE_REPOSITORY: at('repo'),
  VARVE_KEY_FILE: at('key'),
  VARVE_CACHE_DIR: at('cache'),
  VARVE_STATE_DIR: at('state'),
};
const varve = runner(environment);
const ok = (ran: Ran, what: string): Ran => {
  t.equal(ran.status, 0, `${what}: ${ran.stderr}`);
  return ran;
};
ok(varve(['init']), 'init');

/** What a backup with `options` holds below the source. */
function stored(...options: string[]): string[] {
  ok(varve(['backup', '-q', source, '--host', 'options', ...options]), options.join(' '));
  return varve(['ls', '--json', '--host', 'options', `latest:${source}`])
    .records.map(({ path }) => path as unknown as string | undefined)
    .filter((path) => path?.startsWith(`${source}/`))
    .map((path) => path!.slice(source.length + 1))
    .sort();
}
const without = (...left: string[]): string[] => names.filter((name) => !left.includes(name));

t.test('every way to leave something out of a backup leaves out just that', async (t) => {
  writeFileSync(at('patterns'), 'name.txt\n');
  const ways: [string[], string[]][] = [
    [[], names],
    [['--exclude', 'name.txt'], without('name.txt')],
    [['--iexclude', 'name.txt'], without('name.txt', 'NAME.TXT')],
    [['--exclude-file', at('patterns')], without('name.txt')],
    [['--iexclude-file', at('patterns')], without('name.txt', 'NAME.TXT')],
    [['-e', 'inner', '-e', '!name.txt'], without('inner', 'inner/deep')],
    [['--exclude-larger-than', '2k'], without('large')],
    [['--exclude-if-present', '.nobackup'], without('tagged/secret')],
    [['--exclude-if-present', '.nobackup:leave this out'], without('tagged/secret')],
    [['--exclude-if-present', '.nobackup:keep this'], names],
  ];
  for (const [options, expected] of ways) t.same(stored(...options), expected, options.join(' '));
  if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', 'varve-test', join(source, 'inner')]).status !== 0) {
    t.pass('--one-file-system', { skip: 'mounting needs root' });
    return;
  }
  try {
    writeFileSync(join(source, 'inner', 'elsewhere'), '');
    t.same(stored('-x'), without('inner/deep'));
    t.ok(stored().includes('inner/elsewhere'));
  } finally {
    spawnSync('umount', [join(source, 'inner')]);
  }
});

t.test('a restore that fills the target says what to do, and doing that completes it', async (t) => {
  const target = at('small disk');
  mkdirSync(target);
  if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'varve-test', target]).status !== 0) {
    t.pass('a full target', { skip: 'mounting needs root' });
    return;
  }
  try {
    const large = at('large source');
    mkdirSync(large);
    for (const name of ['a', 'b', 'c']) writeFileSync(join(large, name), Buffer.from(name.repeat(40_000)));
    ok(varve(['backup', '-q', large, '--host', 'full']), 'backup');
    const restore = (): Ran => varve(['restore', `latest:${large}`, '--host', 'full', '--target', target]);
    const full = restore();
    t.equal(full.status, 1);
    t.match(full.stderr, /no space is left \(ENOSPC\); make room and run the same command again/);
    ok({ ...full, status: spawnSync('mount', ['-o', 'remount,size=1m', target]).status ?? 1 }, 'remount');
    ok(restore(), 'again');
    for (const name of ['a', 'b', 'c']) t.equal(readFileSync(join(target, name), 'latin1'), name.repeat(40_000));
  } finally {
    spawnSync('umount', [target]);
  }
});

t.test('sources come from a list as they stand there', async (t) => {
  writeFileSync(at('verbatim'), `${source}/name.txt\n${source}/inner\n`);
  const { records } = ok(varve(['backup', '-n', '--json', '--files-from-verbatim', at('verbatim')]), 'verbatim');
  t.match(records.at(-1), { total_files: 2 });
});

t.test('a dry run stores nothing, --force reads all again, --no-cache leaves no cache', async (t) => {
  const count = (): number => varve(['snapshots', '--json']).records.length;
  const before = count();
  t.match(varve(['backup', '-n', source, '--label', 'dry', '--json']).records.at(-1), { dry_run: true, files_new: 6 });
  t.equal(count(), before);
  // Time stamps that are about as old as the last run can hide a change, and make it read again.
  for (const name of ['NAME.TXT', 'name.txt', 'large', 'inner/deep']) utimesSync(join(source, name), 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  stored();
  const again = varve(['backup', '--host', 'options', source, '--json']).records.at(-1);
  const forced = varve(['backup', '--host', 'options', source, '--json', '--force']).records.at(-1);
  t.match([again, forced], [{ read_bytes: 0 }, { read_bytes: 3052 }]);
  const elsewhere = at('no cache here');
  ok(varve(['--no-cache', 'backup', '-q', source], { env: { VARVE_CACHE_DIR: elsewhere } }), '--no-cache');
  t.equal(existsSync(elsewhere), false);
});

t.test('-vv names every file that is read, and -v none', async (t) => {
  const backup = (...options: string[]): Ran => varve(['backup', '-n', source, '--label', 'verbose', ...options]);
  const files = names.filter((name) => statSync(join(source, name)).isFile());
  const lines = backup('-vv')
    .stdout.split('\n')
    .filter((line) => line.startsWith('new '));
  t.same(lines.sort(), files.map((name) => `new     ${join(source, name)}`).sort());
  t.notMatch(backup('-v').stdout, /^new /m);
  const records = backup('-vv', '--json').records.filter(({ message_type: type }) => type === 'file');
  t.same(records.map(({ action, path }) => `${action} ${path}`).sort(), files.map((name) => `new ${join(source, name)}`).sort());
});

t.test('what is left of a repository without its genesis is told from no repository', async (t) => {
  const env = { VARVE_REPOSITORY: at('headless') };
  execFileSync('cp', ['-a', at('repo'), at('headless')]);
  rmSync(at('headless', 'genesis'));
  const ran = varve(['snapshots'], { env });
  t.equal(ran.status, 10);
  t.match(ran.stderr, /holds packs\/.*no genesis object.*Copy the file genesis/);
  t.notMatch(ran.stderr, /varve init/);
});

t.test('a repository of a newer program is left alone, and every command says to upgrade', async (t) => {
  const env = { VARVE_REPOSITORY: at('newer') };
  execFileSync('cp', ['-a', at('repo'), at('newer')]);
  const genesis = readFileSync(at('newer', 'genesis'));
  genesis[5]! += 1;
  rmSync(at('newer', 'genesis'));
  writeFileSync(at('newer', 'genesis'), genesis);
  const before = readdirSync(at('newer'), { recursive: true }).sort();
  for (const args of [['snapshots'], ['backup', source], ['check'], ['restore', 'latest', '-t', at('nowhere')], ['prune']]) {
    const ran = varve([...args, '--json'], { env });
    t.equal(ran.status, 1, args.join(' '));
    t.equal(ran.stdout, '');
    t.match(JSON.parse(ran.stderr), {
      message_type: 'exit_error',
      error: 'NEWER_FORMAT',
      object: 'genesis',
      version: 2,
      message: /newer than this program reads; upgrade varve/,
    });
  }
  const made = varve(['init'], { env: { ...env, VARVE_KEY_FILE: at('key of nothing') } });
  t.equal(made.status, 1, 'nor is one made over it');
  t.match(made.stderr, /already a repository/);
  t.equal(existsSync(at('key of nothing')), false);
  t.same(readdirSync(at('newer'), { recursive: true }).sort(), before);
});

t.test('folders under /proc are an answer, not an endless loop', async (t) => {
  for (const name of ['VARVE_CACHE_DIR', 'VARVE_STATE_DIR']) {
    const ran = varve(['snapshots', '-q'], { env: { [name]: '/proc/varve' } });
    t.equal(ran.status, 0, `${name}: ${ran.stderr}`);
    t.match(ran.stderr, /folder cannot be used|names another place/);
  }
});

t.test('--time is what the author claims, and nothing else goes by it', async (t) => {
  const made = ok(varve(['backup', source, '--time', '1999-12-31T23:59:59Z', '--label', 'claims', '--json']), '--time');
  const { snapshot_id: id, retain_until: until } = made.records.at(-1) as unknown as Record<string, string>;
  const [one] = varve(['snapshots', '--json', id!]).records as unknown as Record<string, string>[];
  t.equal(one!.claimed_time, '1999-12-31T23:59:59.000000000Z');
  for (const time of [one!.time, one!.started, one!.finished])
    t.ok(Math.abs(Date.parse(time!) - Date.now()) < 600_000, String(time));
  t.ok(Date.parse(until!) > Date.now() + 86_000_000, 'it is kept from the real time on');
  t.equal(varve(['snapshots', '--json', '--since', '1h', '--until', '2000-01-01']).records.length, 0);
  // As a list shows it.
  const time = one!.time!;
  for (const text of [time, `${time.slice(0, 19)}Z`, `${time.slice(0, 16)}+00:00`]) {
    const listed = varve(['snapshots', '--json', '--until', text]).records as unknown as Record<string, string>[];
    t.ok(
      listed.some((other) => other.id === one!.id),
      `--until ${text}`,
    );
    t.equal(varve(['snapshots', `@${text}`]).status, 0, `@${text}`);
  }
});

t.test('the environment alone is enough', async (t) => {
  writeFileSync(at('place'), `${at('repo')}\n`);
  const bare = runner({ VARVE_CACHE_DIR: at('cache'), VARVE_STATE_DIR: at('state') });
  const env = { VARVE_REPOSITORY_FILE: at('place'), VARVE_KEY_FILE: at('key'), VARVE_HOST: 'named by the environment' };
  ok(bare(['backup', '-q', source], { env }), 'backup');
  t.match(bare(['snapshots', '--json', 'latest'], { env }).records, [{ host: 'named by the environment' }]);
  const missing = bare(['snapshots'], { env: { ...env, VARVE_REPOSITORY_FILE: at('nothing') } });
  t.equal(missing.status, 2);
  t.match(missing.stderr, /VARVE_REPOSITORY_FILE/);
});

t.test('each option of restore reaches the restore', async (t) => {
  truncateSync(join(source, 'large'), 3_000_000);
  stored();
  const target = at('target');
  const restore = (...options: string[]): Record<string, unknown> =>
    varve(['restore', '--host', 'options', `latest:${source}`, '-t', target, '--json', ...options]).records.at(-1)!;
  t.match(restore('--verify', '--sparse'), { restored: 6, verified: 6, problems: 0 });
  t.ok(statSync(join(target, 'large')).blocks * 512 < 100_000, '--sparse');
  writeFileSync(join(target, 'name.txt'), 'changed here');
  writeFileSync(join(target, 'extra'), '');
  t.match(restore('--overwrite', 'never'), { restored: 0 });
  t.match(restore('--overwrite', 'if-newer'), { restored: 0 });
  t.equal(readFileSync(join(target, 'name.txt'), 'utf8'), 'changed here');
  t.match(restore('--delete', '--dry-run'), { deleted: 1, dry_run: true });
  t.ok(existsSync(join(target, 'extra')));
  t.match(restore('--overwrite', 'if-changed', '--delete'), { restored: 1, deleted: 1 });
  t.equal(readFileSync(join(target, 'name.txt'), 'utf8'), 'lower case');
  rmSync(target, { recursive: true });
  t.match(restore('--iinclude', 'NAME.txt', '--numeric-ids'), { restored: 2 });
  t.same(readdirSync(target).sort(), ['NAME.TXT', 'name.txt']);
  t.match(restore('--include', '*.txt', '--iexclude', 'N*'), { restored: 0 });
});

t.test(
  'options of a mount are in the mount table',
  { skip: existsSync('/dev/fuse') ? false : 'there is no /dev/fuse' },
  async (t) => {
    const mountpoint = at('mnt');
    mkdirSync(mountpoint);
    t.teardown(() => void spawnSync('umount', ['-l', mountpoint]));
    /** Mounts with `options`, looks, and leaves it mounted. */
    const mount = (...options: string[]): { pid: number; line: string } => {
      const { records } = ok(varve(['mount', '--json', ...options, mountpoint]), options.join(' '));
      const line = readFileSync('/proc/mounts', 'utf8')
        .split('\n')
        .find((text) => text.includes(mountpoint))!;
      return { pid: Number(records[0]!.pid), line };
    };
    const plain = mount();
    for (const option of ['ro', 'nosuid', 'nodev', 'default_permissions'])
      t.match(plain.line, new RegExp(`[ ,]${option}[ ,]`), option);
    t.notMatch(plain.line, 'allow_other');
    process.kill(plain.pid, 'SIGKILL');
    for (let i = 0; i < 100 && spawnSync('ls', [mountpoint]).status === 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    ok(varve(['umount', mountpoint]), 'a mount whose server was killed is taken off');
    t.same(readdirSync(mountpoint), []);

    const open = mount(
      '--allow-other',
      '--no-default-permissions',
      '--owner-root',
      '--list-xattrs',
      '--host',
      'options',
      `latest:${source}`,
    );
    t.match(open.line, 'allow_other');
    t.notMatch(open.line, 'default_permissions');
    t.equal(execFileSync('ls', [mountpoint]).toString(), 'NAME.TXT\ninner\nlarge\nname.txt\ntagged\n');
    const shown = spawnSync('getfattr', ['-d', join(mountpoint, 'name.txt')], { encoding: 'utf8' });
    if (shown.error === undefined) t.match(shown.stdout, 'user.varve.sha256');
    process.kill(open.pid, 'SIGKILL');
    for (let i = 0; i < 100 && spawnSync('ls', [mountpoint]).status === 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    mount('-q');
    t.match(execFileSync('ls', [mountpoint]).toString(), 'latest', 'the next mount takes a dead one off');
    ok(varve(['umount', mountpoint]), 'umount');
  },
);

t.test(
  'umount of what is in use says how to do it all the same',
  { skip: existsSync('/dev/fuse') ? false : 'there is no /dev/fuse' },
  async (t) => {
    const mountpoint = at('busy');
    mkdirSync(mountpoint);
    t.teardown(() => void spawnSync('umount', ['-l', mountpoint]));
    ok(varve(['mount', mountpoint]), 'mount');
    const refused = spawnSync(process.execPath, [MAIN, 'umount', mountpoint], {
      cwd: join(mountpoint, 'snapshots'),
      encoding: 'utf8',
    });
    t.equal(refused.status, 1);
    t.match(refused.stderr, /in use.*--lazy/);
    ok(varve(['umount', '--lazy', mountpoint]), '--lazy');
    t.notOk(readFileSync('/proc/mounts', 'utf8').includes(mountpoint));
  },
);
