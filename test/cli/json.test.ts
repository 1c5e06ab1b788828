/**
 * The one rule for --json: whatever a command prints on stdout is JSON lines, each with `message_type` and `schema`, and so is what it says on stderr.
 * Every command is run here; one that is not fails the test at the end.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { COMMANDS } from '../../cli/commands.js';
import { kernelDriver } from '../../lib/mount/kernel.js';
import { scratch } from '../helpers/backup-repository.js';
import { batch, MAIN, type Ran, runner } from './program.js';

const folder = scratch(t);
const source = join(folder, 'source');
const mountpoint = join(folder, 'mnt');
const repo = join(folder, 'repo');
for (const path of [source, mountpoint]) mkdirSync(path);
writeFileSync(join(source, 'a.txt'), 'hello\n');
const environment = {
  VARVE_REPOSITORY: repo,
  VARVE_KEY_FILE: join(folder, 'key'),
  VARVE_CACHE_DIR: join(folder, 'cache'),
  VARVE_STATE_DIR: join(folder, 'state'),
};
const varve = runner(environment);
const ran = new Set<string>();
/** Commands without subcommands of their own are known by one word, others by two. */
const nameOf = ([verb, second]: readonly string[]): string =>
  /^(key|policy|hold|ledger|stream)$/.test(verb!) ? `${verb} ${second}` : verb!;

function records(t: Test, text: string, what: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      let record: Record<string, unknown> = {};
      try {
        record = JSON.parse(line) as Record<string, unknown>;
      } catch {
        // It has no message_type then.
      }
      t.ok(typeof record.message_type === 'string' && record.schema === 1, `${what}: ${line.slice(0, 300)}`);
      return record;
    });
}

/** Runs a command with --json, which must end with `status` and keep to the rule. @returns the types of its records */
function types(t: Test, args: readonly string[], status = 0, env: Record<string, string> = {}): unknown[] {
  const words = [...args, '--json'];
  const one: Ran = varve(words, { env });
  const what = words.join(' ');
  t.equal(one.status, status, `${what}: ${one.stderr}${one.stdout}`);
  t.ok(one.stdout === '' || one.stdout.endsWith('\n'), 'the last line is whole');
  const told = records(t, one.stderr, `stderr of ${what}`).map(({ message_type: type }) => type);
  t.equal(told.includes('exit_error'), one.stdout === '' && status !== 0, `what ended it is told: ${what}`);
  ran.add(nameOf(args));
  return [...new Set(records(t, one.stdout, what).map(({ message_type: type }) => type))];
}

t.test('commands that change something', async (t) => {
  t.same(types(t, ['init']), ['initialized']);
  const none = ['minimum', 'hour', 'day', 'week', 'month', 'year'].flatMap((name) => [`--${name}`, '0']);
  t.same(types(t, ['policy', 'set', ...none]), ['policy_changed']);
  t.same(types(t, ['backup', source]), ['summary']);
  writeFileSync(join(source, 'a.txt'), 'other\n');
  t.same(types(t, ['backup', '-vv', source]), ['file', 'summary']);
  t.same(types(t, ['backup', source, join(folder, 'missing'), '--label', 'partial'], 3), ['summary']);
  t.same(types(t, ['tag', '--add', 'x', 'latest']), ['tagged', 'summary']);
  t.same(types(t, ['forget', 'latest'], 13), []);
  const [first] = varve(['snapshots', '--json']).records as unknown as { id: string }[];
  t.same(types(t, ['hold', 'add', first!.id, '--reason', 'a test']), ['hold_added']);
  const [{ hold }] = varve(['hold', 'list', '--json']).records as unknown as [{ hold: string }];
  t.same(types(t, ['hold', 'list']), ['hold']);
  t.same(types(t, ['hold', 'release', hold]), ['hold_released']);
  t.same(types(t, ['extend', 'latest', '--for', '1d']), ['extended', 'summary']);
  t.same(types(t, ['prune', '--dry-run']), ['snapshot', 'pack', 'index', 'summary']);
  t.same(types(t, ['prune']), ['swept', 'announced']);
  t.same(types(t, ['restore', `latest:${source}`, '--target', join(folder, 'target')]), ['file', 'summary']);
});

t.test('commands that show something', async (t) => {
  t.same(types(t, ['snapshots']), ['snapshot']);
  t.same(types(t, ['ls', `latest:${source}`]), ['snapshot', 'node']);
  t.same(types(t, ['ls', 'ffffffff'], 1), []);
  t.same(types(t, ['find', 'a*']), ['match', 'summary']);
  t.same(types(t, ['diff', 'latest~1', 'latest']), ['change', 'summary']);
  t.same(types(t, ['check', '--read-data']), ['summary']);
  t.same(types(t, ['stats']), ['stats']);
  t.same(types(t, ['policy', 'show']), ['policy']);
  t.same(types(t, ['stream', 'list']), ['stream']);
  const [{ stream }] = varve(['stream', 'list', '--json']).records as unknown as [{ stream: string }];
  t.same(types(t, ['stream', 'retire', stream, '--reason', 'a test']), ['stream_retired']);
  t.same(types(t, ['status']), ['status']);
  t.same(types(t, ['ledger', 'show']), ['entry']);
  t.same(types(t, ['ledger', 'verify']), ['summary']);
  t.same(types(t, ['ledger', 'accept-fork', '--reason', 'a test', '-n']), ['summary']);
  const [pack] = readdirSync(join(repo, 'packs'), { recursive: true }).filter((name) => name.length > 64) as string[];
  for (const object of [['genesis'], ['ledger'], ['manifest', 'latest'], ['tree', 'latest'], ['pack', pack!.slice(-64)]])
    t.same(types(t, ['cat', ...object]), object.slice(0, 1));
});

t.test('keys', async (t) => {
  const env = { VARVE_NEW_PASSWORD: 'pass' };
  t.same(types(t, ['key', 'add', '--label', 'spare'], 0, env), ['key_added']);
  t.same(types(t, ['key', 'add', '--label', 'another'], 0, env), ['key_added']);
  t.same(types(t, ['key', 'list']), ['key', 'author']);
  const listed = varve(['key', 'list', '--json']).records as unknown as Record<string, string>[];
  const slots = listed.filter(({ message_type: type }) => type === 'key').map(({ id }) => id!);
  t.same(types(t, ['key', 'passwd', slots[0]!], 0, env), ['key_changed']);
  t.same(types(t, ['key', 'remove', slots[1]!]), ['key_removed']);
  t.same(types(t, ['key', 'restore', slots[1]!]), ['key_restored']);
  t.same(types(t, ['key', 'export', join(folder, 'web1'), '--role', 'writer', '--no-passphrase']), ['key_exported']);
  const authors = varve(['key', 'list', '--json']).records as unknown as Record<string, string | boolean>[];
  const web1 = authors.find(({ role, in_hand: mine }) => role === 'writer' && mine === false)!;
  t.same(types(t, ['key', 'revoke', web1.author as string, '--reason', 'a test']), ['author_revoked']);
  t.same(types(t, ['key', 'rotate', '--role', 'writer']), ['key_rotated']);
});

t.test('a vault, and a second one, which finds the repository busy and ends with 11', async (t) => {
  const socket = join(folder, 'admin.sock');
  const serve = (state: string): string[] => ['serve', '--state', join(folder, state), '--socket', `admin=${socket}`];
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const vault = spawn(process.execPath, [MAIN, ...serve('vault'), '--json'], {
    env: { ...inherited, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => void vault.kill('SIGKILL'));
  let said = '';
  let warned = '';
  vault.stdout.on('data', (text: Buffer) => {
    said += text.toString();
  });
  vault.stderr.on('data', (text: Buffer) => {
    warned += text.toString();
  });
  const ended = once(vault, 'close');
  await Promise.race([once(vault.stdout, 'data'), ended]);
  const second = varve([...serve('another'), '--json']);
  t.equal(second.status, 11);
  t.equal(second.stdout, '');
  t.match(JSON.parse(second.stderr), { message_type: 'exit_error', schema: 1, code: 11, error: 'BUSY', message: repo });
  t.same(types(t, serve('another'), 11), []);
  t.same(types(t, ['key', 'certify-vault', '-r', `vault:${socket}`]), ['vault_certified']);
  vault.kill('SIGTERM');
  await ended;
  t.same(
    records(t, said, 'serve').map(({ message_type: type }) => type),
    ['serving'],
  );
  t.match(records(t, warned, 'stderr of serve'), [{ message_type: 'warning', message: /certifies vault/ }]);
});

t.test('a mount', { skip: kernelDriver.unavailable() ?? false }, async (t) => {
  t.same(types(t, ['mount', mountpoint]), ['mounted']);
  t.same(types(t, ['umount', mountpoint]), ['unmounted']);
});

t.test('a command line that is wrong is told in JSON too', async (t) => {
  for (const words of [
    ['nonsense'],
    ['ls'],
    ['snapshots', '--nonsense'],
    ['restore', 'latest'],
    ['check', '--read-data-subset', '3/2'],
  ])
    t.same(types(t, words, 2), []);
});

t.test('dump alone writes what was stored, with --json as without', async (t) => {
  t.equal(varve(['dump', '--json', `latest:${source}/a.txt`]).stdout, 'other\n');
  ran.add('dump');
});

t.test('no command is missing above', async (t) => {
  const help = batch(COMMANDS.map(({ name }) => ['help', name]));
  const names = COMMANDS.flatMap(({ name }, i) => {
    const [, listed = ''] = help[i]!.stdout.split('\nCommands:\n');
    const inner = listed.split('\n\n')[0]!.matchAll(/^ {2}([a-z]\S*)/gm);
    const subcommands = [...inner].map(([, word]) => `${name} ${word}`).filter((one) => one !== `${name} help`);
    return subcommands.length > 0 ? subcommands : [name];
  });
  t.ok(names.includes('key certify-vault') && names.includes('ledger accept-fork'), 'subcommands are found');
  const unmounted = kernelDriver.unavailable() === undefined ? [] : ['mount', 'umount'];
  t.same(
    names.filter((name) => !ran.has(name) && !unmounted.includes(name)),
    [],
  );
});
