/**
 * Keys by role, with the program as people run it: a host that only writes, a laptop that only reads, an admin's drawer; what each is refused, and what the
 * writer's key can decrypt. And a storage that goes back in time, which every one of them notices.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { open } from '../../lib/crypto/envelope.js';
import { decodeEntry, tagsAad } from '../../lib/format/entry.js';
import { INDEX_HEADER_BYTES, indexAad } from '../../lib/format/index-object.js';
import { payloadOf } from '../../lib/format/payload.js';
import { unlockWithKeyFile } from '../../lib/repository/keys.js';
import { listPacks } from '../../lib/repository/open-index.js';
import { readPackDirectory } from '../../lib/repository/pack-directory.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { rangesOf } from '../../lib/repository/snapshot-reader.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { scratch } from '../helpers/backup-repository.js';
import { type Ran, runner } from './program.js';

const folder = scratch(t);
const at = (...names: string[]): string => join(folder, ...names);
const repo = at('repo');
const source = at('source');
const SECRETS = ['confidential-name', 'classified-content', 'hidden-host', 'private-label'];
mkdirSync(join(source, SECRETS[0]!), { recursive: true });
writeFileSync(join(source, SECRETS[0]!, 'file'), `${SECRETS[1]}\n`.repeat(40));
writeFileSync(join(source, 'large'), `${SECRETS[1]} `.repeat(20_000));
mkdirSync(at('mnt'));

/** `varve` on a machine of its own, with one key file. */
const machine = (name: string) => {
  const varve = runner({
    VARVE_REPOSITORY: repo,
    VARVE_KEY_FILE: at(`${name}.key`),
    VARVE_CACHE_DIR: at(name, 'cache'),
    VARVE_STATE_DIR: at(name, 'state'),
    VARVE_HOST: SECRETS[2]!,
  });
  return (...args: string[]): Ran => varve(args);
};
const [owner, writer, reader, admin] = ['owner', 'writer', 'reader', 'admin'].map(machine) as [
  ReturnType<typeof machine>,
  ReturnType<typeof machine>,
  ReturnType<typeof machine>,
  ReturnType<typeof machine>,
];
const ok = (ran: Ran, what: string): Ran => {
  t.equal(ran.status, 0, `${what}: ${ran.stderr}`);
  return ran;
};
const backUp = (): Ran => writer('backup', source, '--label', SECRETS[3]!, '--json');

t.test('one person makes everything in one step, and hands out a key for each role', async (t) => {
  ok(owner('init'), 'init');
  t.ok(existsSync(at('owner', 'state')), 'what was made is remembered at once');
  for (const role of ['writer', 'reader', 'admin']) {
    const host = role === 'writer' ? ['--host', SECRETS[2]!] : [];
    ok(owner('key', 'export', at(`${role}.key`), '--role', role, '--no-passphrase', '--name', `the ${role}`, ...host), role);
  }
  t.equal(statSync(at('writer.key')).mode & 0o777, 0o600);
  t.equal(owner('key', 'export', at('writer.key'), '--role', 'writer', '--no-passphrase').status, 2, 'never over another');
  t.equal(owner('key', 'export', at('x.key'), '--role', 'reader', '--share-domain', '--no-passphrase').status, 2);
  const place = await locateRepository(await openDirectoryStore(repo));
  const rings = await Promise.all(
    ['owner', 'writer', 'reader', 'admin'].map((name) => unlockWithKeyFile(place, readFileSync(at(`${name}.key`)), name)),
  );
  const [all, w, r, a] = rings as [(typeof rings)[0], (typeof rings)[0], (typeof rings)[0], (typeof rings)[0]];
  t.same([w.root, w.adminSeed, r.adminSeed, r.writer, a.root, a.writer], [null, null, null, null, null, null]);
  t.not(toHex(w.writer!.domain), toHex(all.writer!.domain), 'the writer has a domain of its own');
  ok(owner('key', 'export', at('shared.key'), '--role', 'writer', '--share-domain', '--no-passphrase'), 'shared');
  const shared = await unlockWithKeyFile(place, readFileSync(at('shared.key')), 'shared');
  t.equal(toHex(shared.writer!.domain), toHex(all.writer!.domain), 'unless told otherwise');
  const authors = ok(owner('key', 'list', '--json'), 'list').records.filter(({ message_type: type }) => type === 'author');
  t.same(
    authors.map((one: Record<string, unknown>) => [one.role, one.state, one.in_hand]),
    [
      ['admin', 'active', true],
      ['writer', 'active', true],
      ['writer', 'active', false],
      ['writer', 'active', false],
    ],
  );
  const help = owner('key', 'export', '--help').stdout;
  for (const word of ['--share-domain', 'domain of its own', 'find out whether']) t.match(help, word);
});

t.test('a host with a writer’s key backs up and deduplicates, and reads nothing', async (t) => {
  const first = ok(backUp(), 'first').records.at(-1) as unknown as { new_bytes: number; retain_until: string };
  t.match(first.retain_until, /^20\d\d-/, 'it says until when the snapshot is kept');
  rmSync(at('writer', 'cache'), { recursive: true });
  const again = ok(backUp(), 'again').records.at(-1) as unknown as { new_bytes: number; files_new: number };
  t.equal(again.files_new, 2, 'the cache is lost');
  t.ok(again.new_bytes < 2500, `and ${again.new_bytes} bytes are stored for what is there already`);
  const listed = ok(writer('snapshots', '--json'), 'snapshots');
  t.equal(listed.records.length, 2);
  t.match(listed.records[0], { id: /^[0-9a-f]{64}$/, state: 'complete', retain_until: /^20/ });
  for (const secret of SECRETS) t.notMatch(listed.stdout, secret);
  const commands: string[][] = [
    ['mount', '-f', at('mnt')],
    ['restore', 'latest', '--target', at('out')],
    ['ls', 'latest'],
    ['dump', 'latest', `${source}/large`],
    ['cat', 'manifest', 'latest'],
    ['find', '*'],
    ['diff', 'latest~1', 'latest'],
    ['check'],
    ['stats'],
    ['snapshots', '--host', 'x'],
    ['tag', '--add', 'x', 'latest'],
    ['key', 'add'],
    ['key', 'rotate', '--role', 'writer'],
    ['key', 'revoke', '00000000', '--reason', 'x'],
    ['key', 'export', at('y.key'), '--role', 'reader', '--no-passphrase'],
    ['ledger', 'accept-fork', '--reason', 'x'],
  ];
  for (const args of commands) {
    const { status, stdout, stderr } = writer(...args);
    t.equal(status, 17, args.join(' '));
    t.match(stderr, /needs a key with the (reader|admin) role/, 'and it says what is needed');
    for (const secret of SECRETS.slice(0, 2)) t.notMatch(stdout + stderr.replaceAll(source, ''), secret);
  }
  t.equal(existsSync(at('y.key')), false);
  ok(writer('ledger', 'show'), 'who did what is for everybody');
  ok(writer('ledger', 'verify'), 'and to be verified by everybody');
});

t.test('no content, name or path is in anything that a writer’s key decrypts', async (t) => {
  ok(owner('tag', '--add', 'x', 'latest'), 'a tag in its domain');
  const store = await openDirectoryStore(repo);
  const place = await locateRepository(store);
  const repository = openRepository(place, await unlockWithKeyFile(place, readFileSync(at('writer.key')), 'w'), at('unused'));
  const { domain } = repository.keyring.writer!;
  const keys = repository.domainKeys(domain);
  const plain: Buffer[] = [];
  const ranges = rangesOf(store);
  for (const hex of (await listPacks(repository)).keys())
    plain.push(Buffer.from(readPackDirectory(repository, ranges, Buffer.from(hex, 'hex')).directory));
  ranges.close();
  t.ok(plain.length >= 2, 'directories of packs');
  for await (const { name } of store.list('index/')) {
    const bytes = await store.get(name);
    plain.push(
      Buffer.from(open(keys.index, indexAad(bytes.subarray(0, INDEX_HEADER_BYTES)), bytes.subarray(INDEX_HEADER_BYTES))!),
    );
  }
  let tags = 0;
  for await (const { name } of store.list('ledger/')) {
    const { entry } = decodeEntry(await store.get(name), name);
    const payload = payloadOf(entry.payload, 'tags');
    if (payload === undefined) continue;
    tags++;
    plain.push(Buffer.from(open(keys.tags, tagsAad(entry.repository, entry.author, entry.sequence), payload.sealed)!));
  }
  t.equal(tags, 1, 'and the tags of its domain');
  // What is in clear, every byte of the store.
  for await (const { name } of store.list('')) plain.push(Buffer.from(await store.get(name)), Buffer.from(name));
  for (const secret of [...SECRETS, source])
    t.notOk(
      plain.some((bytes) => bytes.includes(secret)),
      secret,
    );
  for (const key of ['reader', 'admin', 'writer', 'owner'] as const) {
    const ring = await unlockWithKeyFile(place, readFileSync(at(`${key}.key`)), key);
    const sees = ring.root !== null;
    const header = (await store.get(`packs/${[...(await listPacks(repository)).keys()][0]!.replace(/^(..)/, '$1/$1')}`)).subarray(
      0,
      256,
    );
    const ids = { writer: header.slice(40, 56), domain: header.slice(56, 72), session: header.slice(72, 88) };
    const sealed = { enc: header.slice(96, 128), ct: header.slice(128, 176), commitment: header.slice(176, 208) };
    const opened = await Promise.resolve()
      .then(() => openRepository(place, ring, at('unused')).sessionKey(ids, sealed))
      .then(
        () => true,
        () => false,
      );
    t.equal(opened, sees, `${key} ${sees ? 'opens' : 'does not open'} a session`);
  }
});

t.test('a laptop with a reader’s key restores and checks; an admin’s key reads nothing and rules', async (t) => {
  ok(reader('restore', `latest:${source}`, '--target', at('out')), 'restore');
  t.equal(readFileSync(at('out', SECRETS[0]!, 'file'), 'utf8'), readFileSync(join(source, SECRETS[0]!, 'file'), 'utf8'));
  ok(reader('check', '--read-data'), 'check');
  t.match(ok(reader('snapshots'), 'snapshots').stdout, SECRETS[2]!);
  for (const args of [
    ['backup', source],
    ['tag', '--add', 'y', 'latest'],
    ['key', 'add'],
    ['key', 'rotate', '--role', 'reader'],
    ['key', 'remove', '00'],
  ])
    t.equal(reader(...args).status, 17, `reader ${args.join(' ')}`);
  for (const args of [
    ['backup', source],
    ['ls', 'latest'],
    ['check'],
    ['restore', 'latest', '--target', at('no')],
    ['mount', '-f', at('mnt')],
    ['key', 'rotate', '--role', 'reader'],
  ])
    t.equal(admin(...args).status, 17, `admin ${args.join(' ')}`);
  t.equal(ok(admin('snapshots', '--json'), 'snapshots').records.length, 2);
});

t.test('a rotated reader key opens what is older and nothing of later sessions; passphrases are rewritten', async (t) => {
  const rotated = ok(owner('key', 'rotate', '--role', 'reader'), 'rotate');
  t.match(rotated.stdout, /every key file exported before.*--role reader/s, 'it says who must get a new one');
  t.equal(statSync(at('owner.key')).mode & 0o777, 0o600);
  t.equal(existsSync(at('owner.key.new')), false);
  writeFileSync(join(source, 'new'), 'after the rotation');
  ok(backUp(), 'the writer’s key needs no change');
  t.equal(reader('ls', 'latest').status, 17);
  t.match(reader('ls', 'latest').stderr, /came by a rotation.*export it again/);
  ok(reader('ls', 'latest~1'), 'older');
  const list = reader('snapshots', '--json');
  t.equal(list.status, 17, 'a list has what opens');
  t.equal(list.records.length, 2);
  t.match(JSON.parse(list.stderr), {
    message_type: 'warning',
    error: 'ROLE',
    message: /left out.*came by a rotation.*export it again/,
  });
  t.equal(reader('check').status, 17, 'it does not call damage what it cannot open');
  rmSync(at('reader.key'));
  ok(owner('key', 'export', at('reader.key'), '--role', 'reader', '--no-passphrase'), 'exported again');
  ok(reader('check'), 'check');
  t.equal(reader('dump', 'latest', `${source}/new`).stdout, 'after the rotation');

  const passphrase = runner({
    VARVE_REPOSITORY: repo,
    VARVE_PASSWORD: 'pass',
    VARVE_CACHE_DIR: at('p', 'cache'),
    VARVE_STATE_DIR: at('p', 'state'),
  });
  ok(
    runner({
      VARVE_REPOSITORY: repo,
      VARVE_KEY_FILE: at('owner.key'),
      VARVE_NEW_PASSWORD: 'pass',
      VARVE_STATE_DIR: at('owner', 'state'),
      VARVE_CACHE_DIR: at('owner', 'cache'),
    })(['key', 'add']),
    'a slot',
  );
  ok(passphrase(['key', 'rotate', '--role', 'admin']), 'the slot in hand');
  const slots = ok(passphrase(['key', 'list', '--json']), 'list').records.filter(({ message_type: type }) => type === 'key');
  t.same(
    slots.map(({ state, current }) => [state, current]).sort(),
    [
      ['listed', true],
      ['removed', false],
    ],
    'is replaced, and the old one opens nothing until it is pruned',
  );
  t.equal(readdirSync(join(repo, 'keys')).length, 2);
  t.equal(
    ok(passphrase(['key', 'list', '--json']), 'list').records.filter(
      (one: Record<string, unknown>) => one.role === 'admin' && one.state === 'active' && one.in_hand,
    ).length,
    1,
  );
  for (const run of [owner, admin])
    t.match(run('key', 'revoke', '00000000', '--reason', 'x').stderr, /replaced by a rotation/, 'the old one is over');
  rmSync(at('owner.key'));
  ok(passphrase(['key', 'export', at('owner.key'), '--no-passphrase']), 'a copy');
  ok(owner('key', 'rotate', '--role', 'writer', '--new-domain'), 'writer');
  ok(owner('backup', source), 'the new one writes');
  t.equal(
    owner('key', 'list', '--json').records.filter(
      (one: Record<string, unknown>) => one.role === 'writer' && one.state === 'revoked',
    ).length,
    1,
  );
});

t.test('a storage that goes back in time is noticed by every machine, and nothing proceeds until an admin says so', async (t) => {
  cpSync(repo, at('yesterday'), { recursive: true });
  ok(backUp(), 'today');
  ok(reader('snapshots'), 'seen by the reader');
  ok(owner('snapshots'), 'and by the owner');
  rmSync(repo, { recursive: true });
  cpSync(at('yesterday'), repo, { recursive: true });
  const attempts: [ReturnType<typeof machine>, string[]][] = [
    [writer, ['backup', source]],
    [writer, ['snapshots']],
    [reader, ['restore', 'latest', '--target', at('never')]],
    [reader, ['mount', '-f', at('mnt')]],
    [reader, ['check']],
    [owner, ['ledger', 'verify']],
    [owner, ['ledger', 'show']],
    [owner, ['tag', '--add', 'z', 'latest']],
    [owner, ['key', 'list']],
    [owner, ['key', 'export', at('z.key'), '--no-passphrase']],
  ];
  for (const [run, args] of attempts) {
    const { status, stdout, stderr } = run(...args);
    t.equal(status, 14, args.join(' '));
    t.match(stdout + stderr, /ledger\/[0-9a-f]{32}:? had 4 entries and has 3/, 'what is missing is named');
  }
  t.same(
    readdirSync(repo, { recursive: true }).sort(),
    readdirSync(at('yesterday'), { recursive: true }).sort(),
    'nothing was written',
  );
  t.equal(existsSync(at('never')), false);
  t.match(ok(owner('ledger', 'accept-fork', '--reason', 'x', '--dry-run'), 'dry').stdout, 'had 4 entries and has 3');
  t.equal(reader('snapshots').status, 14, 'which changed nothing');
  ok(owner('ledger', 'accept-fork', '--reason', 'the array failed, restored from yesterday'), 'accepted');
  for (const [name, run] of Object.entries({ owner, reader, writer })) ok(run('snapshots'), `${name} goes on`);
  ok(backUp(), 'and the host backs up again');
  ok(owner('ledger', 'verify'), 'verify');
  const shown = ok(owner('ledger', 'show', '--json', '--type', 'accept-fork', '--since', '1h'), 'show').records;
  t.match(shown, [{ type: 'accept-fork', author_role: 'admin', reason: /array failed/ }]);
  t.equal(
    ok(
      owner('ledger', 'show', '--json', '--author', String((shown[0] as Record<string, unknown>).entry_author).slice(0, 8)),
      'author',
    ).records.every((one: Record<string, unknown>) => one.author_role === 'admin'),
    true,
  );

  // Another repository in its place, made by whoever owns the storage.
  rmSync(repo, { recursive: true });
  ok(
    runner({ VARVE_REPOSITORY: repo, VARVE_KEY_FILE: at('other.key'), VARVE_STATE_DIR: at('other', 'state') })(['init']),
    'swapped',
  );
  for (const run of [owner, reader, writer]) t.equal(run('snapshots').status, 12);
});

t.test('a revoked writer is told so; a state folder that cannot be used stops writing and not reading', async (t) => {
  rmSync(repo, { recursive: true });
  cpSync(at('yesterday'), repo, { recursive: true });
  for (const name of ['owner', 'writer', 'reader']) rmSync(at(name, 'state'), { recursive: true });
  const own = writer('key', 'list', '--json').records.find((one: Record<string, unknown>) => one.in_hand === true) as unknown as {
    author: string;
  };
  ok(owner('key', 'revoke', own.author.slice(0, 8), '--reason', 'host was stolen'), 'revoke');
  const refused = writer('backup', source);
  t.equal(refused.status, 17);
  t.match(refused.stderr, /revoked by an admin: host was stolen/);
  t.equal(owner('key', 'revoke', own.author, '--reason', 'again').status, 13);

  writeFileSync(at('nofolder'), '');
  const broken = runner({
    VARVE_REPOSITORY: repo,
    VARVE_KEY_FILE: at('owner.key'),
    VARVE_CACHE_DIR: at('owner', 'cache'),
    VARVE_STATE_DIR: at('nofolder'),
  });
  const read = broken(['ls', 'latest']);
  t.equal(read.status, 0, read.stderr);
  t.equal(read.stderr.match(/VARVE_STATE_DIR/g)?.length, 1, 'it says so once');
  const write = broken(['backup', source]);
  t.equal(write.status, 1);
  t.match(write.stderr, /VARVE_STATE_DIR/);
});
