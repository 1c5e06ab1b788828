/** Reading a file again that looks unchanged: its chunks are compared with what they were, and only a file that differs is digested as a whole. */
import { createHash, randomBytes } from 'node:crypto';
import { ftruncateSync, openSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
import { LocalSealer } from '../../lib/crypto/local-seal.js';
import { type FileEntry, isFile } from '../../lib/format/tree.js';
import { ChangeCache } from '../../lib/ingest/change-cache.js';
import { ingestFile } from '../../lib/ingest/large-file.js';
import { Run } from '../../lib/ingest/run.js';
import { listPacks, openIndex } from '../../lib/repository/open-index.js';
import { differences, makeRepository, readLatest, scratch, type TestRepository } from '../helpers/backup-repository.js';

const SPARSE_BYTES = 40 << 20;

/** A file with data, zeros that are stored as zeros, and a hole. */
function image(path: string, data: Uint8Array): void {
  const fd = openSync(path, 'w');
  writeSync(fd, data);
  writeSync(fd, new Uint8Array(6 << 20), 0, 6 << 20, data.length);
  ftruncateSync(fd, SPARSE_BYTES);
  writeSync(fd, data, 0, 1000, SPARSE_BYTES - 1000);
}

async function entryAt(repo: TestRepository, path: string): Promise<FileEntry> {
  const { entry } = (await readLatest(await repo.open())).get(path)!;
  if (!isFile(entry)) throw new Error('not a file');
  return entry;
}

/** A change cache that `work` uses, closed afterwards: what it is given is to be had when it is opened again. */
async function withCache<T>(folder: string, work: (cache: ChangeCache) => Promise<T> | T): Promise<T> {
  const cache = await ChangeCache.open(join(folder, 'changes'), new LocalSealer(new Uint8Array(32)), () => true, t.fail);
  try {
    return await work(cache);
  } finally {
    await cache.close();
  }
}

async function withRun<T>(repo: TestRepository, cache: ChangeCache, work: (run: Run) => Promise<T>): Promise<T> {
  const repository = await repo.open();
  const index = await openIndex(repository, { filter: true });
  const stored = await listPacks(repository);
  const options = { level: 3, threads: 2, dryRun: true };
  const run = await Run.start(repository, index, stored, cache, repository.genesis.readerKey, options);
  try {
    return await work(run);
  } finally {
    await run.close();
    await index.close();
  }
}

t.test('a file whose chunks are those it had keeps its digest, which is not computed anew', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'image');
  const data = randomBytes(20 << 20);
  image(path, data);
  const repo = await makeRepository(folder);
  await repo.backup({ paths: [path] });
  const entry = await entryAt(repo, path);
  const mark = new Uint8Array(32).fill(7);
  let readBytes = 0;
  const againIn = (run: Run, former: FileEntry) =>
    ingestFile(run, utf8(path), former, undefined, (bytes) => void (readBytes += bytes));
  const first = (cache: ChangeCache) => withRun(repo, cache, (run) => againIn(run, { ...entry, digest: mark }));
  t.not(toHex((await withCache(folder, first)).digest!), toHex(mark), 'without the cuts it had it is read as if it were new');
  await withCache(folder, async (cache) =>
    withRun(repo, cache, async (run) => {
      readBytes = 0;
      const again = (former: FileEntry) => againIn(run, former);
      const same = await again({ ...entry, digest: mark });
      t.equal(toHex(same.digest!), toHex(mark), 'a digest that it never had shows that nothing was computed');
      t.same(same.content, entry.content);
      t.equal(same.changed, false);
      t.equal(readBytes, data.length + (6 << 20) + 4096, 'and it was read once');

      readBytes = 0;
      const bytes = data.slice();
      bytes[bytes.length - 5]! ^= 1;
      const fd = openSync(path, 'r+');
      writeSync(fd, bytes);
      const other = await again({ ...entry, digest: mark });
      const hash = createHash('sha256')
        .update(bytes)
        .update(new Uint8Array(SPARSE_BYTES - data.length - 1000));
      t.equal(toHex(other.digest!), hash.update(data.subarray(0, 1000)).digest('hex'), 'one bit more or less, and it is');
      t.equal(readBytes, data.length + (6 << 20) + 4096, 'bytes are counted once all the same');

      writeSync(fd, data);
      ftruncateSync(fd, SPARSE_BYTES + 5);
      const longer = await again({ ...entry, digest: mark });
      t.not(toHex(longer.digest!), toHex(mark), 'the same chunks and a longer hole are another file');
      ftruncateSync(fd, SPARSE_BYTES);
      writeSync(fd, new Uint8Array(1), 0, 1, SPARSE_BYTES - 8 * 4096);
      t.not(toHex((await again({ ...entry, digest: mark })).digest!), toHex(mark), 'and so is one with zeros where a hole was');
    }),
  );
});

t.test('cuts that are not those of the file lead to nothing wrong', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'image');
  image(path, randomBytes(5 << 20));
  const repo = await makeRepository(folder);
  await repo.backup({ paths: [path] });
  const entry = await entryAt(repo, path);
  const read = (former: FileEntry | undefined) =>
    withCache(folder, (cache) => withRun(repo, cache, (run) => ingestFile(run, utf8(path), former, undefined, () => undefined)));
  const right = await read(undefined);
  const cuts = await withCache(folder, (cache) => [...cache.cuts(utf8(path))!]);
  t.equal(
    cuts.reduce((sum, length) => sum + length),
    (11 << 20) + 4096,
    'holes are no cuts',
  );
  const wrong: [string, number[]][] = [
    ['one fewer', cuts.slice(1)],
    ['one more', [...cuts, 4096]],
    ['none', []],
    ['of no length', [0, ...cuts]],
    ['all zero', cuts.map(() => 0)],
    ['beyond a block', [2 ** 32 - 1, ...cuts]],
    ['shifted', [cuts[0]! - 1, cuts[1]! + 1, ...cuts.slice(2)]],
    ['exchanged', [cuts[1]!, cuts[0]!, ...cuts.slice(2)]],
  ];
  for (const [what, lengths] of wrong) {
    await withCache(folder, (cache) => cache.putCuts(utf8(path), Uint32Array.from(lengths)));
    const again = await read(entry);
    t.same([again.content, again.digest, again.changed], [right.content, right.digest, false], what);
  }
});

t.test('force stores what it always did', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'image');
  image(path, randomBytes(3 << 20));
  const repo = await makeRepository(folder);
  await repo.backup({ paths: [path] });
  const first = await entryAt(repo, path);
  for (let i = 0; i < 3; i++) {
    const { newBytes, counts } = await repo.backup({ paths: [path], force: true });
    t.ok(newBytes < 100_000, `${newBytes} bytes`);
    t.equal(counts.readBytes, (9 << 20) + 4096);
    t.same(await entryAt(repo, path), first);
  }
  writeFileSync(path, randomBytes(100_000));
  utimesSync(path, 5, 5);
  await repo.backup({ paths: [path], force: true });
  t.same(differences(await readLatest(await repo.open()), path), []);
});
