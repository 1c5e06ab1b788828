/** Reading a file again that looks unchanged: its chunks are compared with what they were, and only a file that differs is digested as a whole. */
import { createHash, randomBytes } from 'node:crypto';
import { ftruncateSync, openSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
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

async function withRun<T>(repo: TestRepository, work: (run: Run) => Promise<T>): Promise<T> {
  const repository = await repo.open();
  const index = await openIndex(repository, { filter: true });
  const stored = await listPacks(repository);
  const options = { level: 3, threads: 2, dryRun: true };
  const run = await Run.start(repository, index, stored, ChangeCache.none(), repository.genesis.readerKey, options);
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
  await withRun(repo, async (run) => {
    let readBytes = 0;
    const again = async (former: FileEntry) =>
      ingestFile(run, utf8(path), former, undefined, (bytes) => void (readBytes += bytes));
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
  });
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
