/** Where the program runs: no home, odd TMPDIR, folders of others, keys from pipes, an output that takes nothing. Each is told in one line, and nothing is made where nobody asked for it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addKey, exportKeyFile } from '../../lib/repository/keys.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { MAIN, runner } from './program.js';

const folder = scratch(t);
const made = await makeRepository(folder);
const source = join(folder, 'src');
mkdirSync(source);
writeFileSync(join(source, 'file'), 'content');
await made.backup({ paths: [source], host: 'h', label: 'l', threads: 1 });
const keyFile = join(folder, 'varve.key');
writeFileSync(keyFile, await exportKeyFile(made.keyring, undefined, { label: 'k' }), { mode: 0o600 });
await addKey(await made.open(), made.keyring, 'geheim', { label: 's', log2N: 4 });
const environment = {
  VARVE_REPOSITORY: made.location,
  VARVE_KEY_FILE: keyFile,
  VARVE_CACHE_DIR: join(folder, 'cache'),
  VARVE_STATE_DIR: join(folder, 'state'),
};
const varve = runner(environment);
const isRoot = process.getuid?.() === 0;
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

t.test(
  'without a home, reading works with one warning, and what must be remembered is refused by name',
  { skip: isRoot ? false : 'only root may become a user without an entry' },
  async (t) => {
    const place = scratch(t);
    for (const path of [place, folder]) chmodSync(path, 0o755);
    spawnSync('cp', ['-a', made.location, join(place, 'repo')]);
    spawnSync('cp', [keyFile, join(place, 'key')]);
    spawnSync('chown', ['-R', '54321:54321', place]);
    const work = join(place, 'work');
    mkdirSync(work);
    chownSync(work, 54321, 54321);
    for (const home of [undefined, '', 'relative']) {
      const run = (args: readonly string[]) =>
        spawnSync(process.execPath, [MAIN, ...args], {
          cwd: work,
          uid: 54321,
          gid: 54321,
          encoding: 'utf8',
          env: {
            PATH: process.env.PATH,
            VARVE_REPOSITORY: join(place, 'repo'),
            VARVE_KEY_FILE: join(place, 'key'),
            ...(home === undefined ? {} : { HOME: home }),
          },
        });
      const read = run(['snapshots', '--json']);
      t.equal(read.status, 0, read.stderr);
      t.equal(lines(read.stdout).length, 1);
      t.equal(lines(read.stderr).length, 1, read.stderr);
      t.match(read.stderr, /no home folder.*VARVE_CACHE_DIR and VARVE_STATE_DIR/);
      const wrote = run(['backup', MAIN]);
      t.equal(wrote.status, 1);
      t.match(wrote.stderr, /VARVE_STATE_DIR names a folder/);
      t.same(readdirSync(work), [], 'nothing in the working directory');
    }
  },
);

t.test('a TMPDIR that is not there is named', async (t) => {
  const ran = varve(['snapshots', '--no-cache'], { env: { TMPDIR: '/nonexistent' } });
  t.match(ran, { status: 1, stderr: /^varve: no temporary folder can be made in \/nonexistent \(ENOENT\); set TMPDIR to .*\n$/ });
  t.equal(varve(['-q', 'snapshots', '--no-cache'], { env: { TMPDIR: 'relative' } }).status, 0);
  t.notOk(existsSync('relative'));
});

t.test('caches and state that others may change are not used, and it is told', async (t) => {
  for (const mode of [0o777, 0o770, 0o1777]) {
    const cache = join(scratch(t), 'cache');
    t.equal(varve(['-q', 'snapshots'], { env: { VARVE_CACHE_DIR: cache } }).stderr, '');
    const own = join(cache, readdirSync(cache)[0]!);
    chmodSync(own, mode);
    if (isRoot) chownSync(own, 0, 12345);
    const ran = varve(['-q', 'snapshots'], { env: { VARVE_CACHE_DIR: cache } });
    t.equal(ran.status, 0);
    t.equal(lines(ran.stderr).length, 1);
    t.match(ran.stderr, /^varve: the cache folder cannot be used \(others may write to .*\); using a temporary one/);
  }
  const state = join(scratch(t), 'state');
  t.equal(varve(['-q', 'snapshots'], { env: { VARVE_STATE_DIR: state } }).stderr, '');
  chmodSync(join(state, readdirSync(state)[0]!), 0o777);
  const read = varve(['-q', 'snapshots'], { env: { VARVE_STATE_DIR: state } });
  t.equal(read.status, 0);
  t.equal(lines(read.stderr).length, 1);
  t.match(read.stderr, /others may write to .*a rollback of the repository goes unnoticed/);
  t.match(varve(['backup', source], { env: { VARVE_STATE_DIR: state } }), { status: 1, stderr: /others may write to/ });
});

t.test('folders of another user are not used', { skip: isRoot ? false : 'only root may give files away' }, async (t) => {
  const [cache, state] = [join(scratch(t), 'cache'), join(scratch(t), 'state')];
  const env = { VARVE_CACHE_DIR: cache, VARVE_STATE_DIR: state };
  t.equal(varve(['-q', 'snapshots'], { env }).stderr, '');
  for (const path of [cache, state]) spawnSync('chown', ['-R', '12345:12345', path]);
  const ran = varve(['-q', 'snapshots'], { env });
  t.equal(ran.status, 0);
  t.match(ran.stderr, /cache folder cannot be used \(.* belongs to another user \(uid 12345\)\)/);
  t.match(ran.stderr, /remember the ledger in .*belongs to another user/);
  t.equal(lines(ran.stderr).length, 2, 'one for each');
});

t.test('a key file that others may read is told of once, and works', async (t) => {
  const loose = join(folder, 'loose.key');
  writeFileSync(loose, readFileSync(keyFile), { mode: 0o644 });
  chmodSync(loose, 0o644);
  const ran = varve(['-q', 'snapshots', '--key-file', loose]);
  t.equal(ran.status, 0);
  t.match(ran.stderr, /^varve: the key file \S+loose.key has mode 0644: .*chmod 600 \S+\n$/);
});

t.test('a key file comes through a pipe, for a mount in the background too', async (t) => {
  const shell = (line: string) =>
    spawnSync('bash', ['-c', line], {
      env: {
        ...process.env,
        ...environment,
        VARVE_KEY_FILE: '',
        NODE: process.execPath,
        MAIN,
        KEY: keyFile,
        AT: join(folder, 'mnt'),
      },
      encoding: 'utf8',
      timeout: 60_000,
    });
  t.equal(shell('"$NODE" "$MAIN" -q snapshots --key-file <(cat "$KEY")').status, 0);
  t.equal(shell('"$NODE" "$MAIN" -q snapshots --key-file /dev/fd/9 9<"$KEY"').status, 0);
  if (!existsSync('/dev/fuse')) {
    t.comment('there is no /dev/fuse: nothing is mounted');
    return;
  }
  mkdirSync(join(folder, 'mnt'));
  t.teardown(() => void spawnSync('umount', ['-l', join(folder, 'mnt')]));
  for (const way of ['--key-file <(cat "$KEY")', '--key-file /dev/fd/9 9< <(cat "$KEY")']) {
    const ran = shell(`"$NODE" "$MAIN" -q mount "$AT" ${way} && ls "$AT" && "$NODE" "$MAIN" umount "$AT"`);
    t.equal(ran.status, 0, ran.stderr);
    t.match(ran.stdout, /snapshots/);
  }
  const wrong = shell('VARVE_PASSWORD=wrong "$NODE" "$MAIN" mount "$AT"');
  t.match(wrong, { status: 12, stderr: /^varve: wrong passphrase/ });
  const right = shell('VARVE_PASSWORD=geheim "$NODE" "$MAIN" -q mount "$AT" && "$NODE" "$MAIN" umount "$AT"');
  t.equal(right.status, 0, right.stderr);
});

t.test(
  'an output that takes nothing is one line and a failure, for every command',
  { skip: existsSync('/dev/full') ? false : 'there is no /dev/full' },
  async (t) => {
    const to = (args: readonly string[], where: string) =>
      spawnSync('sh', ['-c', `exec "$0" "$@" ${where}`, process.execPath, MAIN, ...args], {
        env: { ...process.env, ...environment },
        encoding: 'utf8',
      });
    for (const args of [
      ['--version'],
      ['--help'],
      ['help', 'backup'],
      [],
      ['snapshots'],
      ['--json', 'snapshots'],
      ['ls', 'latest'],
      ['find', '*'],
      ['diff', 'latest', 'latest'],
      ['dump', `latest:${source}/file`],
      ['dump', `latest:${source}`],
      ['stats'],
      ['check'],
      ['status'],
      ['ledger', 'show'],
      ['key', 'list'],
      ['policy', 'show'],
      ['cat', 'genesis'],
      ['prune', '-n'],
      ['backup', source],
      ['restore', 'latest', '--target', join(folder, 'out')],
      ['umount', '/nowhere'],
    ]) {
      const ran = to(args, '>/dev/full');
      const name = args.join(' ') || 'nothing';
      t.not(ran.status, 0, name);
      // This repository's ledger says nothing of key slots, which check warns of.
      const told = lines(ran.stderr).filter((line) => !line.includes('key slots'));
      t.equal(told.length, 1, `${name}: ${ran.stderr}`);
      t.notMatch(ran.stderr, /\n\s+at /);
    }
    t.equal(to(['snapshots'], '2>/dev/full').status, 0, 'what cannot be warned of does not end the work');
    const child = spawn(process.execPath, [MAIN, 'dump', `latest:${source}/file`], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (text) => (said += text));
    t.not((await once(child, 'close'))[0], 0, 'a dump that nobody took is not done');
    t.match(said, /^varve: standard output cannot be written \(EPIPE\).*\n$/);
    rmSync(join(folder, 'out'), { recursive: true, force: true });
  },
);
