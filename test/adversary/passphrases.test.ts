/**
 * Passphrases that are not text, or not the text that was meant, in every way that one comes in: bytes that are not UTF-8 would all become U+FFFD, so that many passphrases would be one. The
 * same for texts that name something.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { passphraseKey } from '../../lib/crypto/passphrase.js';
import { MAIN, runner } from '../cli/program.js';
import { scratch } from '../helpers/backup-repository.js';

const folder = scratch(t);
const repo = join(folder, 'repo');
const environment = {
  VARVE_REPOSITORY: repo,
  VARVE_CACHE_DIR: join(folder, 'cache'),
  VARVE_STATE_DIR: join(folder, 'state'),
  VARVE_HOST: 'h',
};
const varve = runner(environment);
const fileOf = (name: string, bytes: string | Uint8Array): string => {
  writeFileSync(join(folder, name), bytes, { mode: 0o600 });
  return join(folder, name);
};
const ODD = Buffer.from('geheim\xff', 'latin1');
const oddFile = fileOf('odd', ODD);
const right = fileOf('right', 'gehe\u00efm\n');

/** Runs a line of a shell, in which `varve` is the program: only so do arguments and variables have any bytes. */
function shell(line: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync('sh', ['-c', `varve() { "$NODE" "$MAIN" "$@"; }; ${line}`], {
    env: { PATH: process.env.PATH, ...environment, NODE: process.execPath, MAIN },
    encoding: 'utf8',
  });
  return { status, stderr };
}

/** Every way to give a passphrase of these bytes: what to put before and behind the command. */
const WAYS = (file: string, prefix: string, flag: string): Record<string, readonly [string, string]> => ({
  [`${flag}-file`]: ['', `${flag}-file '${file}'`],
  [`${flag}-command`]: ['', `${flag}-command "cat '${file}'"`],
  [`${prefix}_FILE`]: [`${prefix}_FILE='${file}'`, ''],
  [`${prefix}_COMMAND`]: [`${prefix}_COMMAND="cat '${file}'"`, ''],
  [`${prefix}_FD`]: [`${prefix}_FD=3`, `3<'${file}'`],
  [prefix]: [`${prefix}="$(cat '${file}')"`, ''],
});

t.test('bytes that are not UTF-8 are refused by name, whatever way they come', async (t) => {
  for (const [name, [before, behind]] of Object.entries(WAYS(oddFile, 'VARVE_PASSWORD', '--password'))) {
    const { status, stderr } = shell(`${before} varve init ${behind}`);
    t.equal(status, 12, name);
    t.equal(stderr.split('\n').length, 2, 'one line');
    t.match(stderr, new RegExp(`^varve: ${name}: the passphrase is not UTF-8`));
  }
  t.equal(varve(['init', '-p', right]).status, 0);
  for (const [name, [before, behind]] of Object.entries(WAYS(oddFile, 'VARVE_PASSWORD', '--password'))) {
    const { status, stderr } = shell(`${before} varve snapshots ${behind}`);
    t.equal(status, 12, name);
    t.match(stderr, new RegExp(`^varve: ${name}: the passphrase is not UTF-8`));
  }
  for (const [name, [before, behind]] of Object.entries(WAYS(oddFile, 'VARVE_NEW_PASSWORD', '--new-password')))
    for (const command of name.endsWith('_FD')
      ? ['key add', 'key passwd', `key export '${join(folder, 'exported')}'`]
      : ['key add']) {
      const { status, stderr } = shell(`${before} varve ${command} -p '${right}' ${behind}`);
      t.equal(status, 12, `${command} ${name}`);
      t.match(stderr, new RegExp(`^varve: ${name}: the passphrase is not UTF-8`));
    }
  t.equal(
    varve(['key', 'list', '--json', '-p', right]).records.filter(
      (one) => (one as { message_type?: string }).message_type === 'key',
    ).length,
    1,
  );
});

t.test('a replacement character that was meant is one', async (t) => {
  t.match(varve(['snapshots'], { env: { VARVE_PASSWORD: 'wrong \ufffd' } }), { status: 12, stderr: /^varve: wrong passphrase/ });
});

t.test('odd files make no key, and are named for what they are', async (t) => {
  for (const [bytes, why] of [
    ['\ufeffgeheim\n', /byte order mark/],
    [Buffer.from('\ufeffgeheim\n', 'utf16le'), /UTF-16/],
    [Buffer.from('geheim', 'utf16le'), /NUL/],
    ['geheim\n\n', /more than one line end/],
    ['geheim\r\n\r\n', /more than one line end/],
    ['ge\0heim', /NUL/],
    ['', /empty/],
    ['\n', /empty/],
  ] as const) {
    const file = fileOf('odd-file', bytes);
    for (const args of [
      ['init', '-r', join(folder, 'other'), '-p', file],
      ['key', 'add', '-p', right, '--new-password-file', file],
      ['key', 'passwd', '-p', right, '--new-password-file', file],
    ])
      t.match(varve(args), { status: /^(2|12)$/, stderr: why });
  }
  for (const end of ['', '\n', '\r\n']) t.equal(varve(['-q', 'snapshots', '-p', fileOf('fine', `gehe\u00efm${end}`)]).status, 0);
});

t.test('what is empty is called empty, and a wrong one is told how it may differ', async (t) => {
  t.match(varve(['snapshots'], { env: { VARVE_PASSWORD: '' } }), {
    status: 12,
    stderr: /^varve: VARVE_PASSWORD: the passphrase is empty\n/,
  });
  t.match(varve(['snapshots', '-p', fileOf('empty', '')]), { status: 12, stderr: /--password-file: the passphrase is empty/ });
  t.match(varve(['snapshots'], { env: { VARVE_PASSWORD: 'gehei\u0308m' } }), {
    status: 12,
    stderr: /^varve: wrong passphrase.*composed or decomposed.*\n$/,
  });
  t.match(varve(['snapshots'], { env: { VARVE_PASSWORD: ' x' } }).stderr, /begins or ends with a blank/);
  t.match(varve(['snapshots', '-p', fileOf('bom', '\ufeffgehe\u00efm')]).stderr, /byte order mark/);
  t.match(varve(['snapshots', '-p', fileOf('two', 'gehe\u00efm\n\n')]).stderr, /further line end/);
});

t.test('half a surrogate is no passphrase', async (t) => {
  const parameters = { log2N: 4, r: 8, p: 1, salt: new Uint8Array(32) };
  t.throws(() => passphraseKey('a\ud800', parameters), RangeError);
  t.ok(await passphraseKey('a\u{1f600}', parameters));
});

t.test('texts that name something are refused when they are not UTF-8, and stored as they are when they are', async (t) => {
  const source = join(folder, 'src');
  mkdirSync(source);
  writeFileSync(join(source, 'f'), 'x');
  const odd = `"$(printf 'd\\344')"`;
  for (const line of [
    `backup '${source}' --label ${odd}`,
    `backup '${source}' --host ${odd}`,
    `backup '${source}' --tag ${odd}`,
    `backup '${source}' --tag=${odd}`,
    `backup --stdin --stdin-filename ${odd} </dev/null`,
    `backup --stdin-from-command -- echo ${odd}`,
    `snapshots --host ${odd}`,
    `hold add latest --reason ${odd}`,
    `extend latest --for 1d --reason ${odd}`,
    `tag latest --add ${odd}`,
    `policy set --class ${odd} --day 1d`,
    `policy set --class c --match-host ${odd}`,
    `key export ${odd} --no-passphrase`,
    `key add --label ${odd}`,
    `ledger accept-fork --reason ${odd}`,
    `restore latest --target ${odd}`,
  ]) {
    const { status, stderr } = shell(
      `cd '${folder}'; varve ${line} -p '${right}'`
        .replace(/(-- echo .*) (-p .*)$/, '$1')
        .replace('--stdin-from-command', `-p '${right}' --stdin-from-command`),
    );
    t.equal(status, 2, line);
    t.match(stderr, /is not UTF-8; write it as UTF-8/);
  }
  t.match(shell(`VARVE_HOST=${odd} varve backup '${source}' -p '${right}'`), { status: 2, stderr: /VARVE_HOST is not UTF-8/ });
  t.equal(varve(['snapshots', '--json', '-p', right]).records.length, 0, 'nothing was stored');
  t.equal(varve(['-q', 'backup', source, '-p', right, '--label', 'dä', '--tag', '日本']).status, 0);
});

t.test('two sources that differ in bytes that are not UTF-8 are two', async (t) => {
  const { status } = shell(
    `cd '${folder}'; A=$(printf 'd\\344') B=$(printf 'd\\366'); mkdir "$A" "$B"; echo 1 >"$A/one"; echo 2 >"$B/two"; varve -q backup "$A" "$B" -p '${right}'`,
  );
  t.equal(status, 0);
  const listed = varve(['ls', 'latest', '-p', right]).stdout;
  t.match(listed, /one\n/);
  t.match(listed, /two\n/);
  const mixed = shell(`cd '${folder}'; varve -q backup "$(printf 'd\\344')" --exclude "$(printf 'd\\366')" -p '${right}'`);
  t.match(mixed, { status: 2, stderr: /cannot be told apart/ });
});
