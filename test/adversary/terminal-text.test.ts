/**
 * What others wrote (hosts, labels, tags, reasons, incidents, names, targets, attributes, error messages that carry any of them) on a real terminal: nothing of it steers the
 * terminal, changes the direction of text or begins a line of its own; and as JSON it is the same value.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { EntryType } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey, revokeAuthor } from '../../lib/ledger/roles.js';
import { printable, printableBytes, printableJson } from '../../lib/printable.js';
import { addKey, exportKeyFile } from '../../lib/repository/keys.js';
import { extendSnapshots, placeHold, releaseHold } from '../../lib/retention/holds.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { ledgerJsonLines } from '../../lib/view/status-files.js';
import { MAIN, runner } from './../cli/program.js';
import { HandChain } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';

/** Clears the screen, rings, moves the cursor by a C1 control, turns text around, hides text, and begins a line that looks like ours. */
const HOSTILE =
  'x\u001b[2J\u0007\u009b9A\u0085\u202e\u2066\u200f\u061c\u200b\u2060\ufeff\u00ad\u2028\u{e0041}\u007f\r\nvarve: FAKED';
/** What none of our own output has. The bar has escapes of its own, but not this one. */
const STEERS = new RegExp(
  [
    '\\u001b\\[2J|\\u0007|[\\u0080-\\u009f]|\\u007f|\\u00ad|\\u061c|[\\u200b-\\u200f]|[\\u2028-\\u202e]|[\\u2060-\\u206f]|\\ufeff',
    '\\u{e0041}|(^|[\\r\\n])varve: FAKED',
  ].join('|'),
  'u',
);
const COLUMNS = '400';

const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : 'script(1) is not installed';

t.test('what is escaped: every control, whatever has no width or turns text around, and what is not UTF-8', async (t) => {
  for (const [first, last] of [
    [0, 0x1f],
    [0x7f, 0x9f],
    [0x200b, 0x200f],
    [0x2028, 0x202e],
    [0x2060, 0x206f],
    [0xd800, 0xdfff],
    [0xe0000, 0xe007f],
  ] as const)
    for (let code = first; code <= last; code++) t.match(printable(String.fromCodePoint(code)), /^\\[xu][0-9a-f{}]+$/);
  for (const code of [0xad, 0x61c, 0x180e, 0x115f, 0x3164, 0xfeff, 0xffa0, 0xfff9])
    t.match(printable(String.fromCodePoint(code)), /^\\/);
  const fine = 'Größe, naïve, 日本語, Ελληνικά, e\u0301, 👍, \\x1b, \u00a0';
  t.equal(printable(fine), fine, 'letters of any script stay');
  t.equal(printable(printable(HOSTILE)), printable(HOSTILE), 'twice is once');
  t.equal(printableBytes(Uint8Array.of(0x61, 0xff, 0x1b, 0x9b)), 'a\\xff\\x1b\\x9b');
  t.same(JSON.parse(printableJson({ a: HOSTILE, b: [HOSTILE] })), { a: HOSTILE, b: [HOSTILE] });
  for (const text of [printable(HOSTILE), printableJson({ a: HOSTILE }), printableJson({ a: HOSTILE }, 2)])
    t.notMatch(text, STEERS);
});

t.test('no field of any object steers the terminal', { skip: noTerminal }, async (t) => {
  const folder = scratch(t);
  const made = await makeRepository(folder);
  const source = join(folder, 'src');
  mkdirSync(join(source, `dir ${HOSTILE}`), { recursive: true });
  writeFileSync(join(source, `file ${HOSTILE}`), 'content');
  writeFileSync(join(source, `dir ${HOSTILE}`, 'inner'), 'content');
  symlinkSync(`target ${HOSTILE}`, join(source, 'link'));
  spawnSync('setfattr', ['-n', `user.${HOSTILE}`, '-v', HOSTILE, join(source, `file ${HOSTILE}`)]);
  const repository = await made.open();
  const more = { host: `host ${HOSTILE}`, label: `label ${HOSTILE}`, tags: [`tag ${HOSTILE.replaceAll(',', '')}`], threads: 1 };
  await setPolicy(repository, {
    classes: [{ name: 'c', hosts: [`host ${HOSTILE}`], labels: [`*${HOSTILE}`], tags: [`*${HOSTILE}`], expectSec: 1 }],
  });
  const first = await backup(repository, { paths: [source], ...more });
  writeFileSync(join(source, `file ${HOSTILE}`), 'other content');
  await backup(repository, { paths: [source, join(folder, `not there ${HOSTILE}`)], ...more });
  const [hold] = await placeHold(repository, [first.snapshotId!], { reason: `hold ${HOSTILE}` });
  await placeHold(repository, [first.snapshotId!], { reason: `held ${HOSTILE}` });
  await releaseHold(repository, hold!.name, { reason: `release ${HOSTILE}` });
  await extendSnapshots(repository, [first.snapshotId!], { untilSec: 4e9, reason: `extend ${HOSTILE}` });
  await addKey(repository, repository.keyring, 'p', { label: `slot ${HOSTILE}`, log2N: 4 });
  const writer = await newWriterKey(repository);
  await certifyWriter(repository, writer);
  const author = authorOf(publicKeyOf(writer.writer!.seed));
  await revokeAuthor(repository, toHex(author), `revoked ${HOSTILE}`);
  const vaultSeed = new Uint8Array(32).fill(7);
  const admin = await HandChain.at(repository, repository.keyring.adminSeed!);
  const vault = new HandChain(repository, vaultSeed);
  const cert = admin.next(Date.now(), { type: EntryType.cert, role: 1, publicKey: publicKeyOf(vaultSeed) });
  const incident = vault.next(Date.now(), { type: EntryType.incident, code: `code ${HOSTILE}`, detail: `detail ${HOSTILE}` });
  for (const { name, bytes } of [cert, incident]) await repository.store.put(name, [bytes]);
  const keyFile = join(folder, 'key file');
  writeFileSync(keyFile, await exportKeyFile(made.keyring, undefined, { label: `file ${HOSTILE}` }), { mode: 0o600 });
  const revoked = join(folder, 'revoked');
  writeFileSync(revoked, await exportKeyFile(writer, undefined, { label: 'r' }), { mode: 0o600 });
  const ssh = join(folder, 'ssh');
  writeFileSync(ssh, `#!/bin/sh\nprintf '%s' "$HOSTILE" >&2\nexit 1\n`, { mode: 0o755 });
  const bad = join(folder, `bad ${HOSTILE}`);
  writeFileSync(bad, HOSTILE);

  const environment = {
    VARVE_REPOSITORY: made.location,
    VARVE_KEY_FILE: keyFile,
    VARVE_CACHE_DIR: join(folder, 'cache-cli'),
    VARVE_STATE_DIR: join(folder, 'state'),
    VARVE_SSH: ssh,
    HOSTILE,
  };
  const inFile = `latest:${source}/file ${HOSTILE}`;
  const commands: Record<string, readonly string[]> = {
    snapshots: ['snapshots', '--state', 'partial'],
    'all snapshots': ['snapshots'],
    'a filter': ['snapshots', '--host', HOSTILE],
    status: ['status'],
    'ledger show': ['ledger', 'show'],
    'ledger verify': ['ledger', 'verify'],
    'hold list': ['hold', 'list', '--all'],
    'key list': ['key', 'list'],
    'policy show': ['policy', 'show'],
    'policy set': ['policy', 'set', '--class', `n ${HOSTILE}`, '--match-tag', HOSTILE],
    ls: ['ls', '-l', first.snapshotId === undefined ? '' : toHex(first.snapshotId)],
    find: ['find', '*'],
    diff: ['diff', 'latest', toHex(first.snapshotId!), '--metadata'],
    stats: ['stats'],
    check: ['check', '--read-data'],
    restore: ['restore', toHex(first.snapshotId!), '--target', join(folder, `out ${HOSTILE}`)],
    'restore of nothing': ['restore', `${toHex(first.snapshotId!)}:/${HOSTILE}`, '--target', join(folder, 'out2')],
    'a backup that names every file': ['backup', '-vv', source, join(folder, `not there ${HOSTILE}`)],
    'prune --dry-run': ['prune', '--dry-run', '-v'],
    forget: ['forget', toHex(first.snapshotId!)],
    'cat ledger': ['cat', 'ledger'],
    'cat manifest': ['cat', 'manifest', toHex(first.snapshotId!)],
    'cat tree': ['cat', 'tree', `${toHex(first.snapshotId!)}:${source}`],
    'cat key': ['cat', 'key', HOSTILE],
    'dump of what is no file': ['dump', `${toHex(first.snapshotId!)}:${source}/link`],
    'dump of nothing': ['dump', `${inFile}${HOSTILE}`],
    'an unknown option': [`--${HOSTILE}`, 'snapshots'],
    'an unknown command': [HOSTILE],
    'a snapshot of no such name': ['ls', HOSTILE],
    'a time that is none': ['ls', `@${HOSTILE}`],
    'a size that is none': ['check', '--read-data-subset', HOSTILE],
    'a key file that is none': ['snapshots', '--key-file', bad],
    'a key file that is not there': ['snapshots', '-vv', '--key-file', `no ${HOSTILE}`],
    'a revoked key': ['backup', source, '--key-file', revoked, '-vv'],
    'a place that is none': ['snapshots', '-r', `/${HOSTILE}`],
    'what the other side of ssh says': ['snapshots', '-vv', '-r', 'ssh://user@host/path'],
    init: ['init', '-r', join(folder, `new ${HOSTILE}`), '--key-file', join(folder, `new key ${HOSTILE}`)],
    export: ['key', 'export', join(folder, `exported ${HOSTILE}`), '--no-passphrase', '--name', HOSTILE],
    umount: ['umount', join(folder, HOSTILE)],
  };
  const quoted = (args: readonly string[]): string => args.map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(' ');
  const env = { ...process.env, ...environment, COLUMNS, VARVE_HOST: `host ${HOSTILE}` };
  for (const [name, args] of Object.entries(commands)) {
    const command = quoted([process.execPath, MAIN, ...args]);
    const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { env, input: '' });
    const text = stdout.toString('utf8');
    t.not(text.trim(), '', `${name} says something`);
    t.notMatch(text, STEERS, name);
    const piped = spawnSync('sh', ['-c', `exec ${command} 2>&1 >/dev/null`], { env, input: '' });
    t.notMatch(piped.stdout.toString('utf8'), STEERS, `${name}: what goes to a log`);
    const json = spawnSync('script', ['-qec', quoted([process.execPath, MAIN, '--json', ...args]), '/dev/null'], {
      env,
      input: '',
    });
    t.notMatch(json.stdout.toString('utf8'), STEERS, `${name} as JSON`);
  }
  const run = runner(environment);
  const shown = run(['snapshots', '--json', toHex(first.snapshotId!)]).records.find((record) => 'host' in record);
  t.match(shown, { host: `host ${HOSTILE}`, label: `label ${HOSTILE}` }, 'JSON is the same value to a program');
  t.match(run(['status', '--json']).records[0], { incidents: [{ detail: `detail ${HOSTILE}` }] });
  t.match(run(['status']).stdout, /detail x\\x1b\[2J\\x07\\x9b9A/, 'text that is made safe stands there for people');
  t.notMatch(ledgerJsonLines((await loadLedger(repository)).entries), STEERS, 'the ledger in a mount');
});

t.test('nothing prints but the output module', async (t) => {
  const { packageRoot } = await import('../../lib/native.js');
  const { readdirSync } = await import('node:fs');
  /** The module itself; the version, for which nothing else is loaded; and where bytes of a vault go through. */
  // stdout-writer.ts writes the bytes of files that dump is asked for.
  const PASSES_ON = new Set(['cli/output.ts', 'cli/stdout-writer.ts', 'cli/main.ts', 'cli/serve.ts', 'cli/stdio.ts']);
  const files = ['cli', 'lib'].flatMap((base) =>
    (readdirSync(join(packageRoot(), base), { recursive: true }) as string[])
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${base}/${name}`),
  );
  t.ok(files.length > 150);
  const broken = files.filter((file) => {
    if (PASSES_ON.has(file)) return false;
    const code = readFileSync(join(packageRoot(), file), 'utf8')
      .replaceAll(/\/\*[\s\S]*?\*\//g, '')
      .replaceAll(/(^|[^:])\/\/.*$/gm, '$1');
    return /\bconsole\s*[.[]|process\s*\.\s*(stdout|stderr)(?!\??\s*\.isTTY\b)|writeSync\(\s*[12]\s*,|emitWarning/.test(code);
  });
  t.same(broken, [], 'say it through Output, which makes it safe for a terminal');
});
