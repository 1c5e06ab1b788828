/**
 * What only a directory can get wrong: full disks, failing fsyncs, killed writers, leftovers, foreign things among the objects, and
 * the order of system calls that a power cut would test.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import ts from 'typescript';
import { utf8 } from '../../lib/bytes.js';
import { NotFoundError, StoreError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/native.js';
import { createDirectoryStore, type DirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import { storedNames } from '../helpers/stored-names.js';

const temporaries = (store: DirectoryStore): string[] => readdirSync(join(store.location, 'tmp'));

/** The store's own files as plain JavaScript, so that a child starts in milliseconds; returns the folder. */
function compiled(t: Test): string {
  const folder = t.testdir();
  for (const file of [
    'bytes',
    'errors',
    'store/store',
    'store/durable',
    'store/vault-protocol',
    'store/mending',
    'store/directory',
  ]) {
    const to = join(folder, `${file}.mjs`);
    mkdirSync(dirname(to), { recursive: true });
    const source = readFileSync(join(packageRoot(), 'lib', `${file}.ts`), 'utf8').replaceAll(/(from '\.[^']*)\.js'/g, "$1.mjs'");
    writeFileSync(
      to,
      ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } })
        .outputText,
    );
  }
  return folder;
}

t.test('files are for the owner to read only, folders for the owner only', async (t) => {
  const store = await createDirectoryStore(join(t.testdir(), 'made'));
  await store.put('a/b', [utf8('x')]);
  t.equal(statSync(store.pathOf('a/b')).mode & 0o777, 0o400);
  for (const folder of ['', 'a', 'tmp']) t.equal(statSync(join(store.location, folder)).mode & 0o777, 0o700, folder);
});

t.test('a store that is only read is not written to', async (t) => {
  const store = await openDirectoryStore(t.testdir({ a: 'x' }));
  await store.get('a');
  await store.stat('a');
  await storedNames(store, '');
  t.same(readdirSync(store.location), ['a']);
});

t.test('a full disk fails the put, leaves nothing visible and nothing behind, and the store goes on', async (t) => {
  const mountpoint = mkdtempSync(join(tmpdir(), 'varve-full-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mountpoint]);
  t.teardown(() => {
    if (mounted.status === 0) spawnSync('umount', [mountpoint]);
    rmSync(mountpoint, { recursive: true });
  });
  if (mounted.status !== 0) return void t.pass('a full disk', { skip: `cannot mount a tmpfs: ${mounted.stderr}` });
  const store = await createDirectoryStore(join(mountpoint, 'repo'));
  await store.put('packs/small', [new Uint8Array(300_000)]);
  await t.rejects(store.put('packs/big', [new Uint8Array(400_000), new Uint8Array(600_000)]), {
    code: 'STORE',
    cause: { code: 'ENOSPC' },
  });
  t.same(await storedNames(store, ''), ['packs/small']);
  t.same(temporaries(store), []);
  await store.put('packs/other', [new Uint8Array(300_000)]);
  t.equal((await store.stat('packs/other'))?.sizeBytes, 300_000);
});

t.test('after a failed fsync, of a file or of a directory, nothing is visible and every later put is refused', async (t) => {
  const probe = await open(t.testdir({ probe: '' }), 'r');
  const prototype = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const { sync } = prototype;
  t.teardown(() => void (prototype.sync = sync));
  for (const failing of [1, 2]) {
    const store = await createDirectoryStore(t.testdir());
    await store.put('a/before', [utf8('x')]);
    let calls = 0;
    prototype.sync = async function (this: FileHandle): Promise<void> {
      if (++calls === failing) throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' });
      await sync.call(this);
    };
    await t.rejects(store.put('a/fails', [utf8('x')]), { code: 'STORE', cause: { code: 'EIO' } }, `fsync ${failing}`);
    prototype.sync = sync;
    await t.rejects(store.put('a/later', [utf8('x')]), { code: 'STORE', message: /earlier fsync failed/ });
    t.same(await storedNames(store, ''), ['a/before']);
    t.same(temporaries(store), []);
    t.equal((await store.get('a/before')).byteLength, 1, 'reading goes on');
    const fresh = await openDirectoryStore(store.location);
    await fresh.put('a/fails', [utf8('x')]);
  }
});

t.test('leftover temporary files are never listed, and only stale ones of dead writers are swept', async (t) => {
  const folder = t.testdir();
  await (await createDirectoryStore(folder)).put('a', [utf8('x')]);
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const old = new Date(Date.now() - 73 * 3600 * 1000);
  const file = (name: string, time?: Date): string => {
    writeFileSync(join(folder, 'tmp', name), 'half');
    if (time !== undefined) utimesSync(join(folder, 'tmp', name), time, time);
    return name;
  };
  const swept = file(`${dead}-00ff`, old);
  const kept = [file(`${dead}-00fe`), file(`${process.pid}-00fd`, old), file('somebody-elses', old)];
  const store = await openDirectoryStore(folder);
  t.same(await storedNames(store, ''), ['a']);
  t.ok(existsSync(join(folder, 'tmp', swept)), 'not before the first put');
  await store.put('b', [utf8('x')]);
  t.same(temporaries(store).sort(), kept.sort());
  t.same(await storedNames(store, ''), ['a', 'b']);
});

t.test('things that are no objects are not listed, and never read through', async (t) => {
  const outside = t.testdir({ secret: 'secret', folder: { inner: 'x' } });
  const store = await createDirectoryStore(join(outside, 'repo'));
  await store.put('packs/real', [utf8('x')]);
  symlinkSync(join(outside, 'secret'), store.pathOf('packs/link'));
  symlinkSync(join(outside, 'folder'), store.pathOf('packs/linked-folder'));
  mkdirSync(store.pathOf('packs/folder'));
  spawnSync('mkfifo', [store.pathOf('packs/fifo')]);
  for (const odd of ['UPPER', '.hidden', 'with space', 'lost+found']) writeFileSync(join(store.location, 'packs', odd), 'x');
  t.same(await storedNames(store, ''), ['packs/real']);
  for (const odd of ['packs/link', 'packs/folder', 'packs/fifo']) {
    await t.rejects(store.get(odd), StoreError, `get ${odd}`);
    await t.rejects(store.get(odd, { offset: 0, length: 1 }), StoreError, `range of ${odd}`);
    await t.rejects(store.put(odd, [utf8('secret')]), StoreError, `put ${odd}`);
    await t.rejects(store.stat(odd), StoreError, `stat ${odd}`);
  }
  t.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
});

t.test('an object that vanished or was cut short says so', async (t) => {
  const store = await createDirectoryStore(t.testdir());
  await store.put('a/b', [utf8('0123456789')]);
  chmodSync(store.pathOf('a/b'), 0o600);
  truncateSync(store.pathOf('a/b'), 4);
  t.equal((await store.get('a/b')).byteLength, 4);
  await t.rejects(store.put('a/b', [utf8('0123456789')]), { code: 'OBJECT_EXISTS' }, 'a damaged object is not replaced');
  rmSync(store.pathOf('a/b'));
  await t.rejects(store.get('a/b'), NotFoundError);
  rmSync(join(store.location, 'a'), { recursive: true });
  await t.rejects(store.get('a/b'), NotFoundError);
  await t.rejects(store.put('a/b', [utf8('x')]), StoreError, 'a folder taken away under a running store');
  rmSync(store.location, { recursive: true });
  await t.rejects(storedNames(store, ''), StoreError);
});

t.test('a writer killed at any moment leaves each object whole or absent, and all it was told were stored', async (t) => {
  const module = compiled(t);
  const folder = mkdtempSync(join(tmpdir(), 'varve-killed-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const script = `
    import { writeSync } from 'node:fs';
    const { createDirectoryStore } = await import(${JSON.stringify(join(module, 'store/directory.mjs'))});
    const store = await createDirectoryStore(process.argv[1]);
    for (let i = 0; ; i++) {
      const name = 'o/' + process.argv[2] + '/' + i;
      await store.put(name, Array.from({ length: 40 }, (_, part) => new Uint8Array(7000).fill((i + part) & 255)));
      writeSync(1, name + '\\n');
    }`;
  const acknowledged: string[] = [];
  const killOne = async (round: number): Promise<void> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder, `r${round}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (data: string) => {
      if (output === '') setTimeout(() => child.kill('SIGKILL'), Math.random() * 15);
      output += data;
    });
    await new Promise((done) => child.on('close', done));
    acknowledged.push(...output.split('\n').slice(0, -1));
  };
  // three at a time, so that writers also race for tmp/ and o/
  for (let round = 0; round < 30; round += 3) await Promise.all([round, round + 1, round + 2].map(killOne));
  const store = await openDirectoryStore(folder);
  const present = await storedNames(store, '');
  t.ok(acknowledged.length >= 30, `${acknowledged.length} acknowledged`);
  t.same(
    acknowledged.filter((name) => !present.includes(name)),
    [],
    'nothing acknowledged is missing',
  );
  let damaged = 0;
  for (const name of present) {
    const i = Number(name.slice(name.lastIndexOf('/') + 1));
    const bytes = await store.get(name);
    if (bytes.byteLength !== 280_000 || bytes.some((byte, at) => byte !== ((i + Math.floor(at / 7000)) & 255))) damaged += 1;
  }
  t.equal(damaged, 0, 'nothing visible is damaged');
  t.ok(present.length - acknowledged.length <= 30, 'at most the one being put is visible without having been acknowledged');
});

/** The system calls of one put, in order, or undefined without strace. */
function traced(t: Test, folder: string, ...options: string[]): { calls: string[]; failed: string } | undefined {
  const script = `
    const { createDirectoryStore } = await import(${JSON.stringify(join(compiled(t), 'store/directory.mjs'))});
    const store = await createDirectoryStore(process.argv[1]);
    await store.put('packs/3f/object', [new Uint8Array(100)]);
    await store.put('packs/3f/object', [new Uint8Array(100)]);`;
  const log = join(t.testdirName, 'trace');
  const run = spawnSync(
    'strace',
    [
      '-f',
      '-y',
      '-qq',
      '-o',
      log,
      '-e',
      'trace=mkdir,fsync,link,linkat,rename,unlink',
      ...options,
      process.execPath,
      '--input-type=module',
      '-e',
      script,
      folder,
    ],
    { encoding: 'utf8' },
  );
  if (run.error !== undefined || !existsSync(log)) return undefined;
  const calls = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder) && !line.includes('EEXIST') && !line.includes('resumed'))
    .map((line) =>
      line
        .replace(/^\d+ +/, '')
        .replaceAll(/tmp\/\d+-[0-9a-f]+/g, 'TMP')
        .replaceAll(folder, '')
        .replace(/(\w+)\((?:\d+)?/, '$1 ')
        .replaceAll(/[<>"]|, 0\d+|\).*| unfinished.*/g, '')
        .trim(),
    );
  return { calls, failed: run.stderr };
}

t.test('file first, then its name, then the folder: the order that a power cut tests', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'varve-order-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const trace = traced(t, folder);
  if (trace === undefined) return void t.pass('a trace', { skip: 'strace is not installed or may not trace' });
  const { calls } = trace;
  const at = (call: string): number => {
    const index = calls.indexOf(call);
    t.not(index, -1, `${call} happens`, { calls });
    return index;
  };
  const linked = calls.findIndex((call) => call.startsWith('link /TMP, /packs/3f/object'));
  t.not(linked, -1, 'the object gets its name by link', { calls });
  t.ok(at('fsync /TMP') < linked, 'the file is durable before it has its name');
  t.ok(at('mkdir /packs/3f') < at('fsync /packs'), 'a new folder is made durable in its parent');
  t.ok(at('fsync /packs') < linked, 'before anything is put in it');
  t.ok(calls.indexOf('fsync /packs/3f', linked) > linked, 'the folder is durable after it holds the name');
  t.ok(calls.indexOf('unlink /TMP', linked) > calls.indexOf('fsync /packs/3f', linked), 'the temporary name goes last');
  t.ok(calls.includes('fsync /packs/3f/object'), 'an object that was there is synced again before the same put succeeds');
});

t.test('where hard links are refused the object still appears whole and exclusively', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'varve-nolink-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const trace = traced(t, folder, '-e', 'inject=link,linkat:error=EPERM');
  if (trace === undefined) return void t.pass('a trace', { skip: 'strace is not installed or may not trace' });
  t.equal(trace.failed, '');
  const store = await openDirectoryStore(folder);
  t.same(await storedNames(store, ''), ['packs/3f/object']);
  t.equal(lstatSync(store.pathOf('packs/3f/object')).size, 100);
  t.same(temporaries(store), []);
  t.ok(trace.calls.some((call) => call.startsWith('rename /TMP, /packs/3f/object')));
});
