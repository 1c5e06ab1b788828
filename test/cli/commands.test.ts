/** The program end to end: each command, its exit status, its JSON, what it refuses, and the examples. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { initRepository } from '../../lib/ledger/init.js';
import { packageRoot } from '../../lib/native.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore } from '../../lib/store/directory.js';
import { scratch } from '../helpers/backup-repository.js';
import { batch, MAIN, runner } from './program.js';

const folder = scratch(t);
const source = join(folder, 'source');
const repo = join(folder, 'repo');
mkdirSync(join(source, 'sub', 'cache'), { recursive: true });
writeFileSync(join(source, 'a.txt'), 'hello\n');
writeFileSync(join(source, 'b.tmp'), 'temporary');
writeFileSync(join(source, 'sub', 'c'), 'c'.repeat(5000));
writeFileSync(join(source, 'sub', 'cache', 'CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55');
writeFileSync(join(source, 'sub', 'cache', 'junk'), 'junk');
writeFileSync(Buffer.concat([Buffer.from(`${source}/odd`), Buffer.from([0xff])]), 'odd');
const environment = {
  VARVE_REPOSITORY: repo,
  VARVE_PASSWORD: 'pass',
  VARVE_CACHE_DIR: join(folder, 'cache'),
  VARVE_STATE_DIR: join(folder, 'state'),
};
// The passphrase is cheap to try here, or stretching it would be most of what this file does; init below makes one that is not.
await initRepository(await createDirectoryStore(repo), {
  passphrase: 'pass',
  label: 'first',
  policy: DEFAULT_POLICY,
  log2N: 4,
});
const varve = runner(environment);
/** With the key file that a test below exports: no passphrase to stretch, so a run costs a fifth. */
const quick = runner({ ...environment, VARVE_PASSWORD: '', VARVE_KEY_FILE: join(folder, 'key') });
const anonymous = { VARVE_PASSWORD: undefined };

t.test('help teaches, and usage errors are 2', async (t) => {
  const [help] = batch([['--help']]);
  t.equal(help!.status, 0);
  for (const word of [
    'backup|create',
    'restore|extract',
    'check|verify',
    'VARVE_PASSWORD_FD',
    'Exit status:',
    '130  interrupted',
    'Examples:',
  ])
    t.ok(help!.stdout.includes(word), word);
  const commands = 'init backup snapshots ls find diff dump mount restore check stats tag key umount'.split(' ');
  for (const [i, own] of batch(commands.map((command) => ['help', command])).entries())
    t.ok(
      own.status === 0 && own.stdout.includes(`varve ${commands[i]} `) && own.stdout.includes('Examples:'),
      `${commands[i]} shows examples`,
    );
  const wrong: string[][] = [
    ['nonsense'],
    ['ls'],
    ['snapshots', '--nonsense'],
    ['backup'],
    ['restore', 'latest'],
    ['restore', 'latest', '--in-place'],
    ['restore', 'latest:/etc', '--in-place', '--target', '/x'],
    ['restore', 'latest:', '--target', '/x'],
    ['ls', 'latest:'],
    ['dump', 'latest:'],
    ['snapshots', '-H', 'x'],
    ['backup', '-e', '[x', '/'],
    ['ls', 'latest', '--since', 'soon'],
    ['snapshots', '--latest', '0', '-r', '/nowhere'],
    ['snapshots', '--latest', 'two', '-r', '/nowhere'],
    ['find', '--type', 'z', 'x', '-r', '/nowhere'],
    ['backup', '--stdin', '/', '-r', '/nowhere'],
    ['backup', '--stdin', '--files-from', '/dev/null', '-r', '/nowhere'],
    ['backup', '--stdin-from-command', '-r', '/nowhere'],
    ['backup', '--stdin-from-command', '--stdin', '-r', '/nowhere', 'true'],
    [],
    ['snapshots'],
  ];
  for (const [i, { status, stderr }] of batch(wrong).entries())
    t.equal(status, 2, `${wrong[i]!.join(' ') || 'nothing at all'}: ${stderr}`);
  t.equal(varve(['nonsense']).status, 2, 'as a process of its own too');
});

t.test('the version is there at once: nothing but the entry file is loaded for it', async (t) => {
  const coverage = join(folder, 'coverage');
  t.match(varve(['--version'], { env: { NODE_V8_COVERAGE: coverage } }).stdout, /^varve \d+\.\d+\.\d+\n$/);
  const loaded = readdirSync(coverage).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
  });
  t.same(loaded, [pathToFileURL(MAIN).href]);
});

t.test('init wants a key, and says how to give one', async (t) => {
  const place = join(folder, 'made by init');
  const env = { VARVE_REPOSITORY: place };
  t.equal(varve(['snapshots'], { env }).status, 10, 'no repository yet');
  const none = varve(['init'], { env: { ...env, ...anonymous } });
  t.equal(none.status, 2);
  t.match(none.stderr, /VARVE_PASSWORD_COMMAND.*terminal/);
  t.equal(existsSync(place), false, 'and nothing was made');
  const made = varve(['init', '--json'], { env });
  t.equal(made.status, 0, made.stderr);
  t.match(made.records[0], { message_type: 'initialized', schema: 1, id: /^[0-9a-f]{64}$/ });
  t.equal(varve(['key', 'list'], { env }).status, 0, 'and the passphrase opens it');
  t.equal(varve(['init'], { env }).status, 1, 'never twice');
});

t.test('init touches nothing of a directory that holds anything else', async (t) => {
  for (const name of ['notes', 'keys/id_rsa', 'ledger/2026.csv', `ledger/${'0'.repeat(32)}/deeper/0000000000000000`, 'keys']) {
    const place = join(folder, `occupied by ${name.replaceAll('/', ' ')}`);
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), 'precious');
    const { status, stderr } = varve(['init'], { env: { VARVE_REPOSITORY: place } });
    t.equal(status, 2, name);
    t.match(stderr, new RegExp(`not empty: it holds ${name.slice(0, 38)}.*choose`));
    const files = (readdirSync(place, { recursive: true }) as string[]).filter((path) => statSync(join(place, path)).isFile());
    t.same(files, [name], 'and what was there is all there is');
    t.equal(readFileSync(join(place, name), 'utf8'), 'precious');
  }
  const disk = join(folder, 'a new file system');
  mkdirSync(join(disk, 'lost+found'), { recursive: true });
  t.equal(
    varve(['init', '--key-file', join(folder, 'key of the disk')], { env: { ...anonymous, VARVE_REPOSITORY: disk } }).status,
    0,
  );
  t.equal(
    varve(['check'], { env: { ...anonymous, VARVE_REPOSITORY: disk, VARVE_KEY_FILE: join(folder, 'key of the disk') } }).status,
    0,
  );
});

t.test('every way to give a passphrase opens, wrong ones are 12', async (t) => {
  const file = join(folder, 'pass');
  writeFileSync(file, 'pass\n');
  const ways: [string[], Record<string, string>][] = [
    [['-p', file], {}],
    [['--password-command', 'echo pass'], {}],
    [[], { VARVE_PASSWORD_FILE: file }],
    [[], { VARVE_PASSWORD_COMMAND: `cat '${file}'` }],
    [['-p', file], { VARVE_KEY_FILE: '/nonexistent' }],
  ];
  for (const [args, env] of ways)
    t.equal(varve(['key', 'list', ...args], { env: { ...anonymous, ...env } }).status, 0, JSON.stringify([args, env]));
  t.equal(varve(['key', 'list'], { env: { ...anonymous, VARVE_PASSWORD_FD: '0' }, input: 'pass\n' }).status, 0);
  t.equal(varve(['key', 'list'], { env: anonymous }).status, 2);
  const wrong = varve(['--json', 'key', 'list'], { env: { VARVE_PASSWORD: 'other' } });
  t.equal(wrong.status, 12);
  t.match(JSON.parse(wrong.stderr), { message_type: 'exit_error', schema: 1, code: 12, error: 'WRONG_KEY' });
  t.equal(varve(['key', 'list', '--key-file', join(folder, 'none')]).status, 12);
});

t.test('keys are added, changed, exported and removed', async (t) => {
  const added = varve(['key', 'add', '--json', '--label', 'spare'], { env: { VARVE_NEW_PASSWORD: 'spare' } });
  const { id } = added.records[0] as unknown as { id: string };
  t.match(added.records[0], { message_type: 'key_added', label: 'spare' });
  t.equal(varve(['key', 'passwd'], { env: { VARVE_PASSWORD: 'spare', VARVE_NEW_PASSWORD: 'changed' } }).status, 0);
  t.equal(varve(['key', 'list'], { env: { VARVE_PASSWORD: 'spare' } }).status, 12);
  const key = join(folder, 'key');
  const neither = varve(['key', 'export', key]);
  t.equal(neither.status, 2);
  t.match(neither.stderr, /VARVE_NEW_PASSWORD.*--no-passphrase/);
  t.equal(varve(['key', 'export', key, '--no-passphrase']).status, 0);
  t.equal(statSync(key).mode & 0o777, 0o600);
  const before = readFileSync(key);
  t.equal(varve(['key', 'export', key, '--no-passphrase']).status, 2, 'a key file replaces nothing');
  t.ok(readFileSync(key).equals(before));
  const rest = varve(['key', 'list', '--json'], { env: { ...anonymous, VARVE_KEY_FILE: key } });
  const slots = rest.records.filter(({ message_type }) => message_type === 'key');
  t.equal(slots.filter(({ state }) => state === 'listed').length, 2);
  t.equal(slots.filter(({ state }) => state === 'removed').length, 1, 'the old one stays until it is pruned');
  t.same(
    rest.records.filter(({ message_type }) => message_type === 'author').map(({ role }) => role),
    ['admin', 'writer'],
  );
  const spare = slots.find(({ label, state }) => label === 'spare' && state === 'listed') as unknown as { id: string };
  t.not(spare.id, id);
  t.equal(varve(['key', 'remove', spare.id]).status, 0);
  const last = varve(['key', 'list', '--json']).records.find(({ state }) => state === 'listed') as unknown as { id: string };
  const refused = varve(['key', 'remove', last.id]);
  t.equal(refused.status, 13);
  t.match(refused.stderr, /only one.*key add/);
});

t.test('backup, and all that looks at it', async (t) => {
  const done = quick(['backup', source, '--exclude-caches', '-e', '*.tmp', '--tag', 'x,y', '--host', 'web1', '--json']);
  t.equal(done.status, 0, done.stderr);
  const summary = done.records.at(-1) as unknown as { snapshot_id: string };
  t.match(summary, { message_type: 'summary', state: 'complete', files_new: 4, snapshot_id: /^[0-9a-f]{64}$/ });
  t.equal(quick(['backup', '-q', source]).stdout, '', '-q says nothing');
  const partial = quick(['create', source, join(folder, 'nowhere')]);
  t.equal(partial.status, 3);
  t.match(partial.stderr, /nowhere/);
  t.equal(quick(['backup', join(folder, 'nowhere')]).status, 1);

  const list = quick(['snapshots', '--json', '--host', 'web1']);
  t.match(list.records, [
    {
      message_type: 'snapshot',
      schema: 1,
      id: summary.snapshot_id,
      host: 'web1',
      tags: ['x', 'y'],
      state: 'complete',
      time: /^\d{4}-.*\.\d{9}Z$/,
    },
  ]);
  t.equal(quick(['snapshots', '--json', '--state', 'partial']).records.length, 1);
  t.equal(quick(['snapshots', '--json', '--until', '2000-01-01']).records.length, 0);
  t.ok(!quick(['snapshots']).stdout.includes('\u001b'), 'no escape sequences in a pipe');

  const short = summary.snapshot_id.slice(0, 8);
  const names = quick(['ls', '--json', `${short}:${source}`]).records.filter(({ message_type }) => message_type === 'node');
  t.same(
    names.map(({ name }) => name),
    ['a.txt', 'odd\ufffd', 'sub', 'c', 'cache', 'CACHEDIR.TAG'],
  );
  t.equal(
    names.find(({ name_b64 }) => name_b64 !== undefined)!.name_b64,
    Buffer.concat([Buffer.from('odd'), Buffer.from([0xff])]).toString('base64'),
  );
  t.match(quick(['ls', '-l', `${short}:${source}/a.txt`]).stdout, /^-rw.* 6 \d{4}-\d\d-\d\d .*\/a\.txt\n$/);
  const odd = spawnSync('sh', ['-c', `exec "$0" "$1" dump "$2:$3/$(printf 'odd\\377')"`, process.execPath, MAIN, short, source], {
    env: { ...process.env, ...environment },
  });
  t.equal(odd.stdout.toString(), 'odd', `a name that is not UTF-8 can be named: ${odd.stderr}`);
  t.equal(quick(['ls', 'ffffffff']).status, 1);
  t.equal(quick(['ls', `latest:${source}/nope`]).status, 1);

  t.equal(quick(['dump', `latest:${source}/a.txt`]).stdout, 'hello\n');
  t.match(quick(['find', '*.tmp', '--json']).records, [
    { message_type: 'match', name: 'b.tmp' },
    { message_type: 'summary', found: 1 },
  ]);
  t.equal(quick(['find', 'a.txt', '-s', 'latest', '--type', 'f', '--json']).records.at(-1)!.snapshots, 1);
  t.equal(quick(['find', 'a.txt', '-s', short, '--type', 'd', '--json']).records.at(-1)!.found, 0);
  t.equal(quick(['find', 'a.txt', '-s', 'ffffffff']).status, 1, 'a snapshot that is not there is not searched in silence');
  t.match(quick(['diff', short, 'latest']).stdout, /^\+ {4}.*\/b\.tmp$/m);
  t.equal(quick(['tag', '--add', 'kept', short]).status, 0);
  t.equal(quick(['snapshots', '--json', '--tag', 'kept,x']).records.length, 1);
  t.match(quick(['stats', '--json']).records[0], { message_type: 'stats', snapshots: 3 });
  t.match(JSON.parse(quick(['cat', 'genesis']).stdout), { object: 'genesis' });
  t.equal(quick(['check', '--read-data']).status, 0);
  t.equal(quick(['verify', '--read-data-subset', '3/2']).status, 2);
});

t.test('restore brings back what was asked for', async (t) => {
  const target = join(folder, 'target');
  const done = quick(['restore', `latest:${source}`, '--target', target, '--include', 'sub', '--exclude', 'junk', '--json']);
  t.equal(done.status, 0, done.stderr);
  t.equal(readFileSync(join(target, 'sub', 'c'), 'utf8'), 'c'.repeat(5000));
  t.equal(existsSync(join(target, 'a.txt')), false);
  t.equal(existsSync(join(target, 'sub', 'cache', 'junk')), false);
  t.equal(quick(['extract', 'latest', '--target', join(folder, 'dry'), '-n']).status, 0);
  t.equal(existsSync(join(folder, 'dry')), false);
});

t.test('a target that is empty, as a variable that nobody set, is not the working directory', async (t) => {
  for (const target of [['--target', ''], ['--target=']]) {
    const { status, stderr } = quick(['restore', `latest:${source}`, ...target, '-n']);
    t.equal(status, 2);
    t.match(stderr, /--target DIR/);
  }
});

const mayNot =
  process.getuid?.() !== 0
    ? 'only root can make a device to back up'
    : spawnSync('setpriv', ['--bounding-set=-mknod', 'true']).status !== 0
      ? 'setpriv is missing, or cannot give up a capability here'
      : undefined;

t.test(
  'devices that may not be made are named, everything else is there, and the status is 3',
  { skip: mayNot ?? false },
  async (t) => {
    const devices = join(folder, 'devices');
    mkdirSync(devices);
    execFileSync('mknod', [join(devices, 'null'), 'c', '1', '3']);
    writeFileSync(join(devices, 'file'), 'beside it');
    t.equal(quick(['backup', devices, '--label', 'devices', '--host', 'devices']).status, 0);
    const target = join(folder, 'without devices');
    const restoring = ['restore', '--host', 'devices', `latest:${devices}`, '--json', '--target', target];
    const { status, stdout, stderr } = spawnSync('setpriv', ['--bounding-set=-mknod', process.execPath, MAIN, ...restoring], {
      env: { ...process.env, ...environment, VARVE_KEY_FILE: join(folder, 'key') },
      encoding: 'utf8',
    });
    t.equal(status, 3, stderr);
    t.match(JSON.parse(stderr), { item: 'null', problem: 'DEVICE', message: /only root/ });
    t.match(JSON.parse(stdout.trimEnd().split('\n').at(-1)!), { message_type: 'summary', restored: 1, problems: 1 });
    t.same(readdirSync(target), ['file']);
  },
);

t.test('a file that may not be read is named, everything else is stored, and the status is 3', async (t) => {
  const asRoot = process.getuid?.() === 0;
  // Root without these two capabilities is refused by mode bits as anybody is.
  const refused = ['--bounding-set=-dac_override,-dac_read_search'];
  if (asRoot && spawnSync('setpriv', [...refused, 'true']).status !== 0) {
    t.pass('a file that root may not read', { skip: 'setpriv is missing, or cannot give up a capability here' });
    return;
  }
  const place = join(folder, 'guarded');
  mkdirSync(place);
  writeFileSync(join(place, 'open'), 'open');
  writeFileSync(join(place, 'secret'), 'secret', { mode: 0 });
  const backup = (...options: string[]) => {
    const words = [process.execPath, MAIN, 'backup', place, '--label', 'guarded', ...options];
    return spawnSync(asRoot ? 'setpriv' : words.shift()!, asRoot ? [...refused, ...words] : words, {
      env: { ...process.env, ...environment, VARVE_KEY_FILE: join(folder, 'key') },
      encoding: 'utf8',
    });
  };
  const programs = backup('--json');
  t.equal(programs.status, 3, programs.stderr);
  t.match(JSON.parse(programs.stderr), { message_type: 'warning', item: join(place, 'secret'), problem: 'EACCES' });
  const summary = JSON.parse(programs.stdout) as { snapshot_id: string };
  t.match(summary, { message_type: 'summary', state: 'partial', total_files: 1, files_new: 1, problems: 1 });
  const people = backup();
  t.equal(people.status, 3, people.stderr);
  t.equal(people.stderr, `varve: ${join(place, 'secret')}: permission denied (EACCES)\n`);
  t.match(people.stdout, /Not complete: 1 problem, named above\n.*marked partial/);
  t.equal(quick(['dump', `${summary.snapshot_id}:${place}/open`]).stdout, 'open');
});

t.test('a file that changes while it is read is named, and the status is 3', async (t) => {
  const place = join(folder, 'restless');
  mkdirSync(place);
  const growing = join(place, 'growing');
  writeFileSync(growing, Buffer.alloc(20_000_000, 'grows '));
  const script = `const fs = require('fs'); for (;;) fs.appendFileSync(${JSON.stringify(growing)}, 'line\\n');`;
  const writer = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  t.teardown(() => void writer.kill('SIGKILL'));
  let ran = quick(['backup', place, '--label', 'restless', '--json']);
  // On a busy machine the writer may sleep while the file is read; not every time.
  for (let i = 0; i < 10 && ran.status !== 3; i++) ran = quick(['backup', place, '--label', 'restless', '--json']);
  writer.kill('SIGKILL');
  await once(writer, 'close');
  t.equal(ran.status, 3, ran.stderr);
  t.match(JSON.parse(ran.stderr), { item: growing, problem: 'CHANGED', message: /growing: changed while it was read/ });
  t.match(ran.records.at(-1), { message_type: 'summary', state: 'partial', total_files: 1, problems: 1 });
});

t.test('streams are stored whole or not at all', async (t) => {
  t.equal(quick(['backup', '--stdin', '--stdin-filename', 'in.txt'], { input: 'from a pipe' }).status, 0);
  t.equal(quick(['dump', 'latest:/in.txt']).stdout, 'from a pipe');
  t.equal(quick(['backup', '--stdin-from-command', '--stdin-filename', 'out', '--', 'echo', '-v', '--json']).status, 0);
  t.equal(quick(['dump', 'latest:/out']).stdout, '-v --json\n', 'the output of a command that ends before anybody reads it');
  const before = quick(['snapshots', '--json']).records.length;
  const failed = quick(['backup', '--stdin-from-command', '--', 'sh', '-c', 'echo half; exit 3']);
  t.equal(failed.status, 1);
  t.match(failed.stderr, /status 3; no snapshot/);
  t.equal(quick(['snapshots', '--json']).records.length, before);
});

t.test('patterns from a file may name variables, one that is not set is refused', async (t) => {
  const dollar = join(folder, 'dollar');
  mkdirSync(dollar);
  for (const name of ['a', 'b', '$RECYCLE.BIN', 'kept']) writeFileSync(join(dollar, name), name);
  const file = join(folder, 'patterns');
  writeFileSync(file, `# comment\n$WHERE/a\n\${WHERE}/dollar/b\n\${WHERE}/dollar/kept\n$$RECYCLE.BIN\n`);
  const kept = (where: string): unknown[] =>
    quick(['backup', '-n', '--json', dollar, '--exclude-file', file], { env: { WHERE: where } }).records.map(
      (one) => one.files_new,
    );
  t.same(kept(folder), [1], 'a');
  t.same(kept(dollar), [2], 'b and kept');
  const unset = quick(['backup', '-n', dollar, '--exclude-file', file]);
  t.equal(unset.status, 2);
  t.match(unset.stderr, /WHERE is not set.*\$\$/);
});

t.test('lists of sources come from files', async (t) => {
  writeFileSync(join(folder, 'globs'), `# comment\n${source}/*.t*\n`);
  writeFileSync(join(folder, 'raw'), Buffer.concat([Buffer.from(`${source}/odd`), Buffer.from([0xff, 0])]));
  const done = quick([
    'backup',
    '--files-from',
    join(folder, 'globs'),
    '--files-from-raw',
    join(folder, 'raw'),
    '--json',
    '--label',
    'lists',
  ]);
  t.match(done.records.at(-1), { total_files: 3, state: 'complete' }, done.stderr);
});

t.test('an interrupted backup ends with 130 and leaves nothing to see', async (t) => {
  const before = quick(['snapshots', '--json']).records.length;
  const child = spawn(process.execPath, [MAIN, 'backup', '--stdin'], {
    env: { ...process.env, ...environment },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.stdin.on('error', () => undefined);
  // More than a pipe holds: when all of it is written, the backup has begun to read.
  await new Promise((resolve) => child.stdin.write(Buffer.alloc(4 << 20, 'x'), resolve));
  child.kill('SIGINT');
  const [status] = (await once(child, 'exit')) as [number];
  t.equal(status, 130);
  t.equal(quick(['snapshots', '--json']).records.length, before);
});

t.test('a reader that goes away ends a listing quietly', async (t) => {
  const shell = spawnSync('bash', ['-c', `"$0" "$1" ls latest~1 | head -0; echo "\${PIPESTATUS[0]}"`, process.execPath, MAIN], {
    env: { ...process.env, ...environment },
  });
  t.equal(shell.stdout.toString(), '0\n');
  t.equal(shell.stderr.toString(), '');
});

t.test('a cache that cannot be written costs a warning', async (t) => {
  const done = quick(['ls', 'latest'], { env: { VARVE_CACHE_DIR: join(source, 'a.txt', 'below') } });
  t.equal(done.status, 0);
  t.match(done.stderr, /^varve: the cache folder cannot be used .*\n$/);
});

t.test(
  'a mount in the background is ready when the command returns, and gone when umount does',
  { skip: existsSync('/dev/fuse') ? false : 'there is no /dev/fuse' },
  async (t) => {
    const at = join(folder, 'mnt');
    mkdirSync(at);
    const mounted = varve(['mount', '--json', at]);
    t.equal(mounted.status, 0, mounted.stderr);
    t.match(mounted.records[0], { message_type: 'mounted', mountpoint: at, log: /\.log$/ });
    const { pid } = mounted.records[0] as unknown as { pid: number };
    t.teardown(() => void spawnSync(process.execPath, [MAIN, 'umount', '-l', at]));
    t.ok(execFileSync('ls', [at]).toString().includes('latest'));
    const shown = `${readFileSync(`/proc/${pid}/environ`)}${readFileSync(`/proc/${pid}/cmdline`)}`;
    t.notOk(shown.includes('VARVE_PASSWORD='), 'the passphrase stands in no environment that lasts');
    const again = quick(['mount', at]);
    t.equal(again.status, 1);
    t.match(again.stderr, /mounted already/);
    t.equal(quick(['umount', at]).status, 0);
    t.notOk(readFileSync('/proc/mounts', 'utf8').includes(at));
    t.equal(quick(['umount', at]).status, 1);
    t.equal(quick(['mount', '-q', '--', at]).status, 0, 'options may be ended, as before a name that begins with a dash');
    t.equal(quick(['umount', '--', at]).status, 0);
    t.equal(quick(['mount', 'latest:/nope', at]).status, 1);
    t.equal(varve(['mount', at], { env: { VARVE_PASSWORD: 'other' } }).status, 12);
  },
);

t.test(
  'a mount in the foreground that a signal ends is gone, and has done what it was asked to',
  { skip: existsSync('/dev/fuse') ? false : 'there is no /dev/fuse' },
  async (t) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const at = join(folder, `mnt-${signal}`);
      mkdirSync(at);
      const child = spawn(process.execPath, [MAIN, 'mount', '-f', at], {
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      t.teardown(() => void spawnSync('umount', ['-l', at]));
      let stderr = '';
      child.stderr.on('data', (text: Buffer) => (stderr += text));
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      t.match(said.toString(), /^Mounted at .*Ctrl-C/);
      t.ok(readFileSync('/proc/mounts', 'utf8').includes(at));
      child.kill(signal);
      // As from a terminal that is closed.
      if (signal === 'SIGHUP') child.kill(signal);
      t.same(await once(child, 'close'), [0, null], `${signal} ${stderr}`);
      t.notOk(readFileSync('/proc/mounts', 'utf8').includes(at));
    }
  },
);

t.test('a mount in the background says what it cannot be told', async (t) => {
  const mount = (words: string): { status: number | null; stderr: string } =>
    spawnSync('sh', ['-c', `exec "$0" "$1" mount ${words}`, process.execPath, MAIN], {
      env: { ...process.env, ...environment },
      encoding: 'utf8',
    });
  const option = mount(`"--tag=$(printf 'odd\\377')" '${join(folder, 'mnt')}'`);
  t.equal(option.status, 2);
  t.match(option.stderr, /--tag: odd.*not UTF-8/);
  const odd = mount(`"$(printf 'latest:/odd\\377')" '${join(folder, 'mnt')}'`);
  t.equal(odd.status, 2);
  t.match(odd.stderr, /odd.*not UTF-8.*--foreground/);
  const place = mount(`-f "$(printf '/tmp/odd\\377')"`);
  t.equal(place.status, 2);
  t.match(place.stderr, /directory to mount at must be UTF-8/);
});

t.test('the examples do what they say', async (t) => {
  const example = (name: string, ...args: string[]) =>
    spawnSync(
      process.execPath,
      [join(packageRoot(), 'dist', 'examples', `${name}.js`), repo, join(folder, 'cache-of-examples'), ...args],
      {
        env: { ...process.env, ...environment },
        encoding: 'utf8',
      },
    );
  const stored = example('back-up-and-list', source);
  t.match(stored.stdout, /^complete: \d+ files, \d+ bytes stored\n[0-9a-f]{8} /, stored.stderr);
  const target = join(folder, 'one-file');
  const restored = example('restore-one-file', `${source}/a.txt`, target);
  t.match(restored.stdout, /1 restored, 1 verified/, restored.stderr);
  t.equal(readFileSync(join(target, 'a.txt'), 'utf8'), 'hello\n');
  const verified = example('verify-hash', 'latest', `${source}/sub/c`);
  t.match(verified.stdout, /^matches [0-9a-f]{64}\n$/, verified.stderr);
});
