/** Runs as a whole: streams, runs that are interrupted, two at once, tables that start anew half-way, long lists of chunks, and bounded memory. */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
import { InterruptedError, SourceError } from '../../lib/errors.js';
import { ChunkType } from '../../lib/format/pack.js';
import { type FileEntry, isFile } from '../../lib/format/tree.js';
import { backup } from '../../lib/ingest/backup.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { readFileRange } from '../../lib/repository/tree-reader.js';
import {
  childReport,
  danglingPins,
  differences,
  makeRepository,
  pinsOf,
  readLatest,
  scratch,
  snapshotsOf,
  startChild,
  type TestRepository,
} from '../helpers/backup-repository.js';
import { ClockedStore } from '../helpers/clocked-store.js';

async function* parts(bytes: Uint8Array, partBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

/** The bytes of the latest snapshot's file at `path`, and the ids of its list pages. */
async function latestFile(
  repo: TestRepository,
  path: string,
): Promise<{ entry: FileEntry; bytes: Uint8Array; listPages: Set<string> }> {
  const repository = await repo.open();
  const snapshot = (await snapshotsOf(repository)).at(-1)!;
  const pins = await pinsOf(repository, snapshot);
  const reader = await openSnapshotReader(repository, [pins]);
  const source = reader.source(snapshot.envelope.domain, pins);
  const { entry } = (await readLatest(repository)).get(path)!;
  if (!isFile(entry)) throw new Error('not a file');
  const bytes = new Uint8Array(entry.sizeBytes);
  readFileRange(source, entry, 0, bytes);
  const listPages = new Set<string>();
  const visit = (rows: Uint8Array, depth: number): void => {
    for (let at = 0; depth > 0 && at < rows.byteLength; at += 40) {
      const id = rows.subarray(at + 8, at + 40);
      listPages.add(toHex(id));
      visit(source.chunks.read(id, ChunkType.listPage).slice(), depth - 1);
    }
  };
  if (entry.content.kind === 'rows') visit(entry.content.rows, entry.content.depth);
  await reader.close();
  return { entry, bytes, listPages };
}

t.test('a stream of any length comes back, and the same one stores nothing twice', async (t) => {
  const repo = await makeRepository(scratch(t));
  for (const size of [0, 1, 100, 256, 257, 60_000, 65_537, 8 << 20, (8 << 20) + 1, 30_000_000]) {
    const bytes = new Uint8Array(randomBytes(size));
    const stdin = { name: 'dump.sql', stream: parts(bytes, 65_536), finished: Promise.resolve() };
    const report = await repo.backup({ stdin });
    t.equal(report.totalBytes, size);
    const read = await latestFile(repo, '/dump.sql');
    t.equal(Buffer.compare(read.bytes, bytes), 0, `${size} bytes`);
    t.equal(toHex(read.entry.digest!), createHash('sha256').update(bytes).digest('hex'));
    const again = await repo.backup({ stdin: { name: 'dump.sql', stream: parts(bytes, 10_007) } });
    t.ok(again.newBytes < 20_000, `${again.newBytes} new bytes for ${size} known ones`);
  }
});

t.test('a stream that fails, or whose command does, leaves no snapshot', async (t) => {
  const repo = await makeRepository(scratch(t));
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(100_000);
    throw new Error('the pipe broke');
  }
  await t.rejects(repo.backup({ stdin: { name: 'a', stream: broken() } }), { message: 'the pipe broke' });
  async function* slow(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 20; i++) {
      await sleep(10);
      yield randomBytes(10_000);
    }
  }
  const repository = await repo.open();
  const early = sleep(30).then(() => {
    throw new Error('exit status 1');
  });
  await t.rejects(backup(repository, { stdin: { name: 'a', stream: slow(), finished: early } }), { message: 'exit status 1' });
  for (const name of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)])
    await t.rejects(repo.backup({ stdin: { name, stream: parts(utf8('x'), 1) } }), SourceError, JSON.stringify(name));
  t.same(await snapshotsOf(await repo.open()), []);
});

t.test('an interrupted run shows nothing, ends at once, and the next one stores only the rest', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 6; i++) writeFileSync(join(source, `large ${i}`), randomBytes(12 << 20));
  for (let i = 0; i < 300; i++) writeFileSync(join(source, `small ${i}`), randomBytes(3000));
  const controller = new AbortController();
  const onProgress = (counts: { readBytes: number }): void => {
    if (counts.readBytes > 45_000_000) controller.abort();
  };
  await t.rejects(repo.backup({ paths: [source], signal: controller.signal, onProgress }), InterruptedError);
  t.same(await snapshotsOf(await repo.open()), []);
  const report = await repo.backup({ paths: [source] });
  t.ok(report.newBytes < 45_000_000, `${report.newBytes} new bytes of 76 million`);
  t.same(differences(await readLatest(await repo.open()), source), []);

  t.test('also one that was interrupted before it began, and a stream in which nothing comes', async (t) => {
    await t.rejects(repo.backup({ paths: [source], signal: AbortSignal.abort() }), InterruptedError);
    async function* never(): AsyncGenerator<Uint8Array> {
      yield randomBytes(10);
      await new Promise(() => undefined);
    }
    const timer = setInterval(() => undefined, 1000);
    await t.rejects(repo.backup({ stdin: { name: 'a', stream: never() }, signal: AbortSignal.timeout(300) }), InterruptedError);
    clearInterval(timer);
    t.equal((await snapshotsOf(await repo.open())).length, 1);
  });
});

t.test('two runs at once, of one stream and of different ones: all commit, and all read back', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const sources = ['a', 'b'].map((name) => join(folder, name));
  for (const source of sources) {
    mkdirSync(source);
    for (let i = 0; i < 50; i++) writeFileSync(join(source, `f${i}`), randomBytes(20_000));
  }
  const runs = [sources[0]!, sources[0]!, sources[1]!, sources[1]!];
  const reports = await Promise.all(runs.map((source) => childReport(startChild({ repo, options: { paths: [source] } }))));
  t.same(
    reports.map(({ state }) => state),
    runs.map(() => 'complete'),
  );
  const repository = await repo.open();
  const snapshots = await snapshotsOf(repository);
  t.equal(snapshots.length, 4);
  t.same(
    snapshots.map(({ entry }) => entry.sequence),
    [0, 1, 2, 3],
  );
  t.same(await danglingPins(repository), []);
  for (const source of sources) {
    await repo.backup({ paths: [source] });
    t.same(differences(await readLatest(await repo.open()), source), []);
  }
});

t.test('tables that start anew during a run lose nothing and store nothing twice', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  for (let d = 0; d < 8; d++) {
    mkdirSync(join(source, `d${d}`), { recursive: true });
    // Every directory holds 6 MB of its own and 6 MB that all share, so that duplicates stand on both sides of a rotation.
    for (let f = 0; f < 200; f++) writeFileSync(join(source, `d${d}`, `own ${f}`), randomBytes(30_000));
    for (let f = 0; f < 200; f++)
      writeFileSync(
        join(source, `d${d}`, `shared ${f}`),
        createHash('shake256', { outputLength: 30_000 }).update(`${f}`).digest(),
      );
  }
  for (let f = 0; f < 3; f++) writeFileSync(join(source, `large ${f}`), randomBytes(10 << 20));
  const dry = await repo.backup({ paths: [source], rotateChunks: 300, dryRun: true });
  t.ok(
    dry.newBytes > 85_000_000 && dry.newBytes < 87_000_000,
    `a dry run counts what would be stored once: ${dry.newBytes} bytes`,
  );
  const report = await repo.backup({ paths: [source], rotateChunks: 300 });
  const indexes = readdirSync(join(repo.location, 'index')).length;
  t.ok(indexes > 1, `${indexes} index objects`);
  t.ok(report.newBytes < 87_000_000, `${report.newBytes} new bytes of 85.5 million`);
  const repository = await repo.open();
  t.same(differences(await readLatest(repository), source), []);
  t.same(await danglingPins(repository), []);
  t.ok((await repo.backup({ paths: [source], force: true })).newBytes < 200_000);
});

t.test('a file of thousands of chunks has list pages, and an edit in its middle rewrites few of them', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const path = join(folder, 'file');
  const original = new Uint8Array(randomBytes(16_000_000));
  const many = new Uint8Array(90_000_000);
  for (let at = 0, n = 0; at < many.byteLength; n++, at += 4096) many.set(createHash('sha256').update(`${n}`).digest(), at);
  for (const [what, content, editAt] of [
    ['random bytes', original, 8_000_000],
    ['regular bytes', many, 45_000_000],
  ] as const) {
    writeFileSync(path, content);
    await repo.backup({ paths: [path] });
    const before = await latestFile(repo, path);
    t.ok(before.listPages.size > 0, `${what}: ${before.listPages.size} list pages`);
    t.equal(Buffer.compare(before.bytes, content), 0);
    // An insertion: everything behind it moves.
    const edited = Buffer.concat([content.subarray(0, editAt), utf8('inserted'), content.subarray(editAt)]);
    writeFileSync(path, edited);
    const report = await repo.backup({ paths: [path] });
    t.ok(report.newBytes < 1_500_000, `${what}: ${report.newBytes} new bytes`);
    const after = await latestFile(repo, path);
    t.equal(Buffer.compare(after.bytes, edited), 0);
    const fresh = [...after.listPages].filter((id) => !before.listPages.has(id)).length;
    t.ok(fresh <= 4, `${what}: ${fresh} of ${after.listPages.size} list pages are new`);
  }
});

t.test('memory stays bounded: 300 MB of small random files in less than 300 MiB', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  const bytes = randomBytes(60_000);
  for (let d = 0; d < 50; d++) {
    mkdirSync(join(source, `${d}`), { recursive: true });
    for (let f = 0; f < 200; f++) {
      bytes.writeUInt32LE(d * 200 + f);
      for (let at = 0; at < bytes.byteLength; at += 64) bytes[at]! ^= d + f;
      const fd = openSync(join(source, `${d}`, `${f}`), 'w');
      writeSync(fd, bytes, 0, 30_000);
      closeSync(fd);
    }
  }
  const report = await childReport(startChild({ repo, options: { paths: [source] } }));
  t.equal(report.readBytes, 300_000_000);
  t.ok(report.maxRssBytes < 300 << 20, `${Math.round(report.maxRssBytes / 2 ** 20)} MiB at most`);
  t.ok(existsSync(join(repo.location, 'packs')));
});

t.test('what a far store can be asked at once is asked at once', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'f'), randomBytes(5000));
  const rounds: string[][] = [];
  let waiting = 0;
  const before = async (operation: string, name: string): Promise<void> => {
    // A vault sends the entries of a chain along with the first.
    if (/^ledger\/.*[1-9]$/.test(name)) return;
    if (waiting++ === 0) rounds.push([]);
    rounds.at(-1)!.push(`${operation} ${name.replace(/[0-9a-f]{16,}/g, '…')}`);
    // Long enough for a busy machine to ask for all that it asks for at once.
    await sleep(150);
    waiting--;
  };
  await repo.backup({ paths: [source], threads: 1 }, (store) => new ClockedStore(store, { nowMs: 0, stored: new Map() }, before));
  t.same(rounds.pop(), ['list ledger/'], 'the last is whether the key was ended meanwhile; behind a vault there is none');
  const at = (what: string): number => rounds.findIndex((round) => round.includes(what));
  t.equal(at('list packs/'), at('list ledger/'), 'packs and ledger at the start');
  t.ok(rounds.at(-5)!.includes('list packs/') && rounds.at(-5)!.includes('list ledger/'), 'and again before the commit');
  t.ok(rounds.length <= 10, `${rounds.length} rounds: ${JSON.stringify(rounds)}`);
});
