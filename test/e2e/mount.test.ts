/**
 * Mounts of real repositories, seen through the programs people use: rsync finds no difference, new snapshots appear, damage is named and stays where it is,
 * a dead server answers ENOTCONN. Needs root or fusermount3, and rsync; says so and skips where they are missing.
 */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { serialize } from 'node:v8';
import t from 'tap';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { tagSnapshots } from '../../lib/ledger/tags.js';
import { mountDriver } from '../../lib/mount/drivers.js';
import { mountRepository } from '../../lib/mount/mount-repository.js';
import { packageRoot } from '../../lib/native.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { restore } from '../../lib/restore/restore.js';
import { openStore } from '../../lib/store/open.js';

// A mount must never be touched by the process that serves it: everything here asks through other programs.
const run = promisify(execFile);
/** What was logged, once `text` is in it or five seconds have passed: lines of serving threads come later than their replies. */
async function logged(lines: readonly string[], text: string): Promise<string> {
  for (let i = 0; i < 100 && !lines.join('\n').includes(text); i++) await sleep(50);
  return lines.join('\n');
}

const POLICY = { minimumSec: 0, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, yearSec: 0 };

const missing =
  mountDriver('kernel').unavailable() ??
  (process.geteuid?.() !== 0 ? 'needs root, for every kind of entry' : undefined) ??
  ['rsync', 'setfattr', 'setfacl']
    .map((program) => (spawnSync(program, ['--version']).error ? `${program} is not installed` : undefined))
    .find((reason) => reason);

const base = realpathSync(mkdtempSync(join(tmpdir(), 'varve-mount-')));
t.teardown(() => {
  for (const name of readdirSync(base)) spawnSync('umount', ['-l', join(base, name)], { stdio: 'ignore' });
  rmSync(base, { recursive: true, force: true });
});

async function newRepository(name: string): Promise<{ repository: Repository; keyFile: string }> {
  const store = await openStore(join(base, name), { create: true });
  const { place, keyring } = await initRepository(store, { label: 'test', policy: POLICY });
  const keyFile = join(base, `${name}.key`);
  writeFileSync(keyFile, serialize(keyring));
  return { repository: openRepository(place, keyring, join(base, `${name}.cache`)), keyFile };
}

function mountpoint(name: string): string {
  const path = join(base, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** A tree with every kind of entry. */
function makeSource(path: string): void {
  mkdirSync(join(path, 'sub/deeper'), { recursive: true });
  mkdirSync(join(path, 'empty'));
  mkdirSync(join(path, 'many'));
  for (let i = 0; i < 5000; i++) writeFileSync(join(path, 'many', `file-${i}`), `content ${i % 100}`);
  writeFileSync(join(path, 'small'), 'a few bytes');
  writeFileSync(join(path, 'nothing'), '');
  const big = Buffer.alloc(3_000_000);
  for (let i = 0, x = 1; i < big.length; i += 4) big.writeUInt32LE((x = (Math.imul(x, 1664525) + 1013904223) >>> 0), i);
  writeFileSync(join(path, 'sub/big'), big);
  symlinkSync('../small', join(path, 'sub/link'));
  symlinkSync('nowhere at all', join(path, 'dangling'));
  const script = `
    set -e
    cd "$1"
    ln small sub/hard; ln small sub/deeper/hard
    mkfifo fifo; mknod char c 1 3; mknod block b 7 250
    truncate -s 20M sparse; printf middle | dd of=sparse bs=1 seek=9000000 conv=notrunc status=none
    printf x > "$(printf 'not-\\377-utf8')"
    setfattr -n user.note -v "some text" small
    setfattr -n user.long -v "$(head -c 6000 /dev/zero | tr '\\0' a)" sub/big 2>/dev/null || true
    setfacl -m u:1234:rwx small; setfacl -d -m g:77:rx sub
    chmod 4751 sub/big; chown 1000:1001 sub/big; chmod 1777 empty
    touch -d '1955-03-04 05:06:07.123456789 UTC' sub/big; touch -h -d '2033-01-01 00:00:00.5 UTC' dangling
    python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
    python3 -c "
import os
open('n' * 255, 'w').write('the longest name')
open(b'not-' + b'\\xe9' * 251, 'w').write('and one in another encoding')
os.mkdir('links')
open('links/0', 'w').write('one file of ten thousand names')
for n in range(1, 10000): os.link('links/0', 'links/%d' % n)
for level in range(300): os.mkdir('deep'); os.chdir('deep')
open('bottom', 'w').write('three hundred down')
"
  `;
  execFileSync('bash', ['-c', script, 'bash', path]);
}

t.test('mounts', { skip: missing ?? false }, async (t) => {
  const source = join(base, 'source');
  mkdirSync(source);
  makeSource(source);
  const { repository, keyFile } = await newRepository('repo');
  await backup(repository, { paths: [source], host: 'alpha', tags: ['daily'] });

  await t.test('rsync with every flag finds no difference to the source, and the names above lead there', async (t) => {
    const logs: string[] = [];
    const at = mountpoint('mnt-1');
    const mounted = await mountRepository(repository, { mountpoint: at, onLog: (message) => logs.push(message) });
    const shown = join(at, 'latest', source);
    const rsync = await run('rsync', ['-aHAXn', '--checksum', '--delete', '--itemize-changes', `${source}/`, `${shown}/`]);
    t.equal(rsync.stdout, '', 'rsync has nothing to do');
    const stats = '%i %h %a %u %g %s %t:%T %.9Y %N';
    const hard = await run('stat', [
      '-c',
      '%i %h',
      join(shown, 'small'),
      join(shown, 'sub/hard'),
      join(shown, 'sub/deeper/hard'),
    ]);
    t.equal(new Set(hard.stdout.trim().split('\n')).size, 1, 'hard links are one inode');
    t.match(hard.stdout, / 3\n/, 'with the true count');
    t.equal((await run('stat', ['-c', '%h', join(shown, 'links/9999')])).stdout, '10000\n');
    t.equal((await run('cat', [join(shown, 'deep/'.repeat(300), 'bottom')])).stdout, 'three hundred down');
    const blocks = Number((await run('stat', ['-c', '%b', join(shown, 'sparse')])).stdout);
    t.ok(blocks > 0 && blocks < 4096, `a sparse file has few blocks (${blocks})`);
    const seek = 'import os,sys; f=os.open(sys.argv[1],0); print(os.lseek(f,0,os.SEEK_DATA)>0, os.lseek(f,0,os.SEEK_HOLE))';
    t.match((await run('python3', ['-c', seek, join(shown, 'sparse')])).stdout, /^True 0/, 'its hole is found');
    const digest = (await run('sha256sum', [join(source, 'sub/big')])).stdout.slice(0, 64);
    t.match((await run('getfattr', ['--only-values', '-n', 'user.varve.sha256', join(shown, 'sub/big')])).stdout, digest);
    t.notMatch((await run('getfattr', ['-d', join(shown, 'sub/big')])).stdout, /varve/, 'virtual attributes are not listed');
    const listing = (await run('find', [at, '-maxdepth', '3', '-not', '-path', '*/snapshots/*/*', '-printf', '%y %P -> %l\n']))
      .stdout;
    for (const line of [
      /l latest -> snapshots\/\S+Z\n/,
      /d hosts\/alpha -> \n/,
      /l hosts\/alpha\/latest -> \.\.\/\.\.\/snapshots\//,
      /l tags\/daily\/\S+Z ->/,
      /l by-id\/[0-9a-f]{16} -> \.\.\/snapshots/,
      /f \.varve\/status\.json/,
    ])
      t.match(listing, line);
    for (const name of ['now', new Date().toISOString(), new Date().toISOString().slice(0, 10)]) {
      t.equal((await run('stat', ['-L', '-c', '%F', join(at, 'at', name)])).stdout.trim(), 'directory', `at/${name}`);
    }
    await t.rejects(run('stat', [join(at, 'at/2001-01-01')]), /No such file/);
    t.equal(JSON.parse((await run('cat', [join(at, '.varve/status.json')])).stdout).snapshots, 1);
    t.match((await run('cat', [join(at, '.varve/ledger.jsonl')])).stdout, /"type":"snapshot"/);
    const inodes = (await run('find', [shown, '-printf', '%i %P\n'])).stdout;
    const first = (await run('stat', ['-c', stats, join(shown, 'sub/big')])).stdout;
    await mounted.unmount();
    const again = await mountRepository(repository, { mountpoint: at });
    t.equal((await run('find', [shown, '-printf', '%i %P\n'])).stdout, inodes, 'inode numbers are the same at the next mount');
    t.equal((await run('stat', ['-c', stats, join(shown, 'sub/big')])).stdout, first);
    await again.unmount();
    t.same(logs, []);
  });

  await t.test('rsync finds no difference to what was restored either, nor when it is restored again over it', async (t) => {
    const targetPath = join(base, 'restored');
    const snapshot = await selectSnapshot(repository, 'latest');
    const compare = ['-aHAXn', '--checksum', '--delete', '--itemize-changes', `${source}/`, `${targetPath}${source}/`];
    t.match(await restore(repository, snapshot, { targetPath, verify: true, numericIds: true }), { problemCount: 0, skipped: 0 });
    t.equal((await run('rsync', compare)).stdout, '');
    execFileSync('bash', [
      '-c',
      'cd "$1" && rm small && printf y >> sub/big && rm -r deep many/file-7',
      'bash',
      targetPath + source,
    ]);
    t.match(await restore(repository, snapshot, { targetPath, numericIds: true }), { problemCount: 0 });
    t.equal((await run('rsync', compare)).stdout, '');
  });

  await t.test(
    'the fuse-native driver shows the same files, modes, times to the second and contents',
    { skip: mountDriver('fuse-native').unavailable() ?? false },
    async (t) => {
      const at = mountpoint('mnt-native');
      const mounted = await mountRepository(repository, { mountpoint: at, driver: 'fuse-native' });
      const shown = join(at, 'latest', source);
      // Names that are not UTF-8 and times before 1970 are what it cannot show.
      const script = `
        cd "$1"
        find . -not -name 'not-*' -printf '%y %m %U %G %p %l\\n' | LC_ALL=C sort
        find . -type f -not -name 'not-*' -not -path ./sub/big -printf '%s %Ts %p\\n' | LC_ALL=C sort
        find . -type f -not -name 'not-*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum`;
      const seen = async (path: string): Promise<string[]> =>
        (await run('bash', ['-c', script, 'bash', path], { maxBuffer: 1 << 26 })).stdout.split('\n');
      const [have, want] = [await seen(shown), await seen(source)];
      t.ok(want.length > 15_000, 'there is much to compare');
      t.same(
        want.filter((line, i) => line !== have[i]),
        [],
      );
      t.equal(have.length, want.length);
      t.match((await run('ls', [at])).stdout, /latest\n/);
      await mounted.unmount();
      t.same(readdirSync(at), [], 'and is gone');
    },
  );

  await t.test('a directory of 100,000 entries lists every name once', async (t) => {
    const many = join(base, 'a hundred thousand');
    mkdirSync(many);
    // Names of many lengths, so that replies end at every place in an entry. Links cost less to make than files.
    const make = `
import os, sys
os.chdir(sys.argv[1])
for n in range(100000):
    if n % 10000 == 0: os.mknod('%05d' % n); first = '%05d' % n
    else: os.link(first, '%05d' % n + 'x' * (n * 7 % 61))`;
    await run('python3', ['-c', make, many]);
    // Apart from the others, which have what is newest read as a whole.
    const { repository: own } = await newRepository('many');
    await backup(own, { paths: [many], host: 'alpha' });
    const at = mountpoint('mnt-many');
    const mounted = await mountRepository(own, { mountpoint: at });
    const list = async (path: string): Promise<string[]> =>
      (await run('ls', ['-f', path], { maxBuffer: 1 << 26 })).stdout.split('\n').slice(0, -1).sort();
    const want = await list(many);
    t.equal(want.length, 100_002, 'with . and ..');
    for (const time of ['first', 'second']) {
      const have = await list(join(at, 'latest', many));
      t.equal(have.length, want.length, `the ${time} time`);
      t.ok(
        want.every((name, i) => name === have[i]),
        `the same names the ${time} time`,
      );
    }
    await mounted.unmount();
  });

  await t.test('a repository without snapshots shows the directories in which they will appear', async (t) => {
    const { repository: fresh } = await newRepository('fresh');
    const logs: string[] = [];
    const at = mountpoint('mnt-fresh');
    const mounted = await mountRepository(fresh, { mountpoint: at, onLog: (message) => logs.push(message) });
    const shown = (await run('find', [at, '-mindepth', '1', '-printf', '%y %P\\n'])).stdout.trim().split('\n').sort();
    t.same(shown, [
      'd .varve',
      'd .varve/snapshots',
      'd at',
      'd by-id',
      'd hosts',
      'd snapshots',
      'd tags',
      'f .varve/ledger.jsonl',
      'f .varve/status.json',
    ]);
    for (const name of ['latest', 'at/now', 'hosts/alpha']) await t.rejects(run('stat', [join(at, name)]), /No such file/, name);
    t.match(JSON.parse((await run('cat', [join(at, '.varve/status.json')])).stdout), { snapshots: 0, latest: null });
    await backup(fresh, { paths: [join(source, 'sub')], host: 'alpha' });
    await sleep(2000);
    t.match((await run('ls', [at])).stdout, /^latest$/m, 'the first one appears');
    // Large reads wake threads that have not heard of the snapshot.
    await run('cmp', [join(at, 'latest', source, 'sub/big'), join(source, 'sub/big')]);
    await mounted.unmount();
    t.same(readdirSync(at), []);
    t.same(logs, []);
  });

  await t.test('one snapshot from a path down can be the root', async (t) => {
    const at = mountpoint('mnt-2');
    const mounted = await mountRepository(repository, {
      mountpoint: at,
      snapshotName: 'latest',
      subPath: Buffer.from(`${source}/sub`),
      ownerRoot: true,
    });
    t.equal((await run('ls', [at])).stdout, 'big\ndeeper\nhard\nlink\n');
    t.equal((await run('stat', ['-c', '%u:%g', join(at, 'big')])).stdout, '0:0\n', 'owned by root on request');
    await run('cmp', [join(at, 'big'), join(source, 'sub/big')]);
    await mounted.unmount();
    await t.rejects(mountRepository(repository, { mountpoint: at, snapshotName: 'latest', subPath: Buffer.from('no/such') }), {
      code: 'NOT_FOUND',
    });
  });

  await t.test('a mountpoint that holds or lies in the repository or the cache is refused', async (t) => {
    for (const bad of [base, join(base, 'repo'), join(base, 'repo/packs'), join(base, 'repo.cache')])
      await t.rejects(mountRepository(repository, { mountpoint: bad }), { code: 'MOUNT' }, bad);
  });

  await t.test('a new snapshot appears in two mounts, also with a backup running', async (t) => {
    const points = [mountpoint('mnt-3'), mountpoint('mnt-4')];
    const mounts = await Promise.all(points.map((at) => mountRepository(repository, { mountpoint: at })));
    const before = (await run('readlink', [join(points[0]!, 'latest')])).stdout;
    writeFileSync(join(source, 'added'), 'new');
    await sleep(1100);
    const reading = Promise.all(points.map((at) => run('tar', ['cf', '/dev/null', '-C', join(at, 'latest'), '.'])));
    await backup(repository, { paths: [source], host: 'beta' });
    await reading;
    await sleep(2000);
    for (const at of points) {
      t.not((await run('readlink', [join(at, 'latest')])).stdout, before);
      t.equal((await run('cat', [join(at, 'latest', source, 'added')])).stdout, 'new');
      t.equal((await run('ls', [join(at, 'hosts')])).stdout, 'alpha\nbeta\n');
      t.notMatch((await run('ls', [join(at, 'tags')])).stdout, /^kept$/m);
    }
    // An entry that brings no snapshot changes listings that the kernel may remember.
    await tagSnapshots(repository, [await selectSnapshot(repository, 'latest')], { add: ['kept'] });
    await sleep(2000);
    for (const at of points) t.match((await run('ls', [join(at, 'tags')])).stdout, /^kept$/m);
    await Promise.all(mounts.map((mounted) => mounted.unmount()));
  });

  await t.test('when the server is killed the mount answers ENOTCONN, never an empty directory', async (t) => {
    const at = mountpoint('mnt-5');
    const program = `
      import { readFileSync } from 'node:fs'; import { deserialize } from 'node:v8';
      const [root, location, keyFile, cacheDir, mountpoint] = process.argv.slice(1);
      const load = (name) => import(root + '/dist/lib/' + name + '.js');
      const { openStore } = await load('store/open'); const { locateRepository, openRepository } = await load('repository/repository');
      const { mountRepository } = await load('mount/mount-repository');
      const place = await locateRepository(await openStore(location));
      const mounted = await mountRepository(openRepository(place, deserialize(readFileSync(keyFile)), cacheDir), { mountpoint });
      console.log('mounted'); await mounted.finished;`;
    const server = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      program,
      packageRoot(),
      join(base, 'repo'),
      keyFile,
      join(base, 'repo.cache'),
      at,
    ]);
    await new Promise<void>((resolve, reject) => {
      server.stdout.once('data', () => resolve());
      server.stderr.on('data', (text: Buffer) => t.comment(text.toString()));
      server.once('exit', () => reject(new Error('the server ended')));
    });
    const listing = (await run('ls', [at])).stdout;
    t.match(listing, /latest/);
    const gone = new Promise((resolve) => server.once('close', resolve));
    server.kill('SIGKILL');
    await gone;
    // The kernel may remember a listing for the second that names live up there: a whole one, never an empty one.
    let said = '';
    const deadline = Date.now() + 5000;
    while (!/not connected/.test(said) && Date.now() < deadline) {
      said = await run('ls', [at]).then(
        ({ stdout }) => stdout,
        (error: Error) => error.message,
      );
      if (!/not connected/.test(said)) t.equal(said, listing);
    }
    t.match(said, /not connected/);
    await t.rejects(run('ls', [join(at, 'latest/')]), /not connected/);
    spawnSync('umount', ['-l', at]);
  });

  await t.test('damage is named in the log, gives EIO where it is, and leaves the rest readable', async (t) => {
    const { repository: other } = await newRepository('damaged');
    const folder = join(base, 'two');
    mkdirSync(folder);
    writeFileSync(join(folder, 'whole'), 'this stays readable, in a pack of its own '.repeat(20));
    await backup(other, { paths: [folder], host: 'alpha' });
    const sound = new Set(packs(join(base, 'damaged')));
    writeFileSync(join(folder, 'broken'), randomBytes(400_000));
    await backup(other, { paths: [folder], host: 'alpha' });
    const fresh = packs(join(base, 'damaged')).filter((file) => !sound.has(file));
    const victim = fresh.sort((a, b) => statSync(b).size - statSync(a).size)[0]!;
    damage(victim, 400);
    const logs: string[] = [];
    const at = mountpoint('mnt-6');
    const mounted = await mountRepository(other, { mountpoint: at, onLog: (message) => logs.push(message) });
    await t.rejects(run('cat', [join(at, 'latest', folder, 'broken')]), /Input\/output error/);
    await run('cmp', [join(at, 'latest', folder, 'whole'), join(folder, 'whole')]);
    const pack = victim.split('/').at(-1)!;
    const line = await logged(logs, pack);
    t.match(line, pack, 'the pack is named');
    t.match(line, /^read of [0-9a-f]{8}:\/\S+ failed: /, 'and the path');
    const manifests = join(base, 'damaged/snapshots');
    const newest = (await run('readlink', [join(at, 'latest')])).stdout.trim();
    const hex = JSON.parse((await run('cat', [join(at, '.varve/status.json')])).stdout).latest.id as string;
    await mounted.unmount();
    damage(join(manifests, hex), 200);
    // As the program does it when no filter is given: one that asks nothing hides nothing.
    const again = await mountRepository(other, { mountpoint: at, filter: {}, onLog: (message) => logs.push(message) });
    t.equal((await run('ls', [join(at, 'snapshots')])).stdout.trim().split('\n').length, 2, 'both are listed');
    await t.rejects(run('ls', [join(at, newest)]), /Input\/output error/);
    t.match(await logged(logs, `snapshots/${hex}`), `snapshots/${hex}`, 'the manifest is named');
    const [older] = (await run('ls', [join(at, 'snapshots')])).stdout.split('\n');
    await run('cmp', [join(at, 'snapshots', older!, folder, 'whole'), join(folder, 'whole')]);
    await again.unmount();
  });
});

/** Changes byte `at` of a file, whatever it is. */
function damage(file: string, at: number): void {
  chmodSync(file, 0o600);
  const bytes = readFileSync(file);
  bytes[at]! ^= 0xff;
  writeFileSync(file, bytes);
}

/** Paths of all packs of a repository. */
function packs(repository: string): string[] {
  return (
    readdirSync(join(repository, 'packs'), { recursive: true, withFileTypes: true }) as {
      isFile(): boolean;
      parentPath: string;
      name: string;
    }[]
  )
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
