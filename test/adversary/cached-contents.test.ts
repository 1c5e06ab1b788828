/** What the caches and the memory of this machine give away: contents of files, attributes and targets are nowhere in them in clear. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { LocalSealer } from '../../lib/crypto/local-seal.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';

function holds(folder: string, secret: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(secret));
}

/** Why no small disk can be made here. */
const noRoom = (() => {
  if (process.getuid?.() !== 0) return 'only root may mount a tmpfs';
  const probe = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']);
  return probe.status === 0 ? false : 'a tmpfs cannot be mounted here';
})();

t.test('a secret in a small file, an attribute or a target is not in the cache, also after the file is gone', async (t) => {
  const folder = scratch(t);
  const made = await makeRepository(folder);
  const source = join(folder, 'src');
  mkdirSync(source);
  const [content, value, target] = [1, 2, 3].map(() => randomBytes(24).toString('hex'));
  writeFileSync(join(source, 'password'), content!);
  writeFileSync(join(source, 'other'), 'x');
  symlinkSync(target!, join(source, 'link'));
  spawnSync('setfattr', ['-n', 'user.secret', '-v', value!, join(source, 'other')]);
  // What was changed just now is looked at again, whatever is remembered.
  await sleep(2100);
  const options = { paths: [source], host: 'h', label: 'l', threads: 1 };
  await made.backup(options);
  for (const secret of [content, value, target]) t.same(holds(made.cacheDir, secret!), []);
  const again = await made.backup(options);
  t.equal(again.counts.readBytes, 0, 'and the cache is of use all the same');
  t.equal(again.counts.directoriesUnmodified > 0, true);
  writeFileSync(join(source, 'third'), 'more');
  t.equal((await made.backup(options)).counts.readBytes, 4, 'also in a directory in which something changed');
  rmSync(join(source, 'password'));
  await made.backup(options);
  for (const secret of [content, value, target]) t.same(holds(made.cacheDir, secret!), []);
  t.same(holds(made.cacheDir, 'password'), [], 'nor are the names of files; those of directories are');
});

t.test('a sealed row opens under its own name and key only', async (t) => {
  const key = randomBytes(32);
  const [name, row] = [randomBytes(9), randomBytes(300)];
  const sealed = new LocalSealer(key).seal(name, row);
  t.same(Buffer.from(new LocalSealer(key).open(name, sealed)!), row, 'for another run with the same secret');
  t.equal(new LocalSealer(randomBytes(32)).open(name, sealed), undefined);
  t.equal(new LocalSealer(key).open(randomBytes(9), sealed), undefined);
  for (let at = 0; at < sealed.byteLength; at++) {
    const flipped = sealed.slice();
    flipped[at]! ^= 1;
    t.equal(new LocalSealer(key).open(name, flipped), undefined);
  }
  for (let length = 0; length < 60; length++) t.equal(new LocalSealer(key).open(name, sealed.subarray(0, length)), undefined);
});

t.test(
  'a cache on a full disk costs one warning and no byte, and what it knew before is still used',
  { skip: noRoom },
  async (t) => {
    const folder = scratch(t);
    const made = await makeRepository(folder);
    const source = join(folder, 'src');
    mkdirSync(source);
    for (let i = 0; i < 200; i++) writeFileSync(join(source, `f${i}`), `content ${i}`);
    mkdirSync(made.cacheDir, { recursive: true });
    t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', made.cacheDir]).status, 0);
    t.teardown(() => void spawnSync('umount', ['-l', made.cacheDir]));
    await sleep(2100);
    const told: string[] = [];
    const options = {
      paths: [source],
      host: 'h',
      label: 'l',
      threads: 1,
      onCacheUnusable: (error: Error) => told.push(error.message),
    };
    await made.backup(options);
    t.same(told, []);
    spawnSync('dd', ['if=/dev/zero', `of=${join(made.cacheDir, 'filler')}`, 'bs=4k']);
    for (let i = 0; i < 200; i++) writeFileSync(join(source, `g${i}`), `more ${i}`);
    const full = await made.backup(options);
    t.equal(full.state, 'complete');
    t.equal(full.totalFiles, 400);
    t.equal(told.length, 1, told.join('; '));
    t.match(told[0], /No space left|ENOSPC/);
    rmSync(join(made.cacheDir, 'filler'));
    const after = await made.backup(options);
    t.equal(after.totalFiles, 400);
    t.equal(told.length, 1);
  },
);
