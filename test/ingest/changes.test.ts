/** What a second run reads, stores and leaves out: changes of every kind are noticed, what is unchanged is not read, what cannot be read is said. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Level } from 'level';
import t from 'tap';
import { SourceError } from '../../lib/errors.js';
import { isFile } from '../../lib/format/tree.js';
import type { BackupReport } from '../../lib/ingest/backup.js';
import {
  childReport,
  danglingPins,
  differences,
  makeRepository,
  readLatest,
  readSnapshots,
  scratch,
  snapshotsOf,
  startChild,
  type TestRepository,
} from '../helpers/backup-repository.js';
import { ClockedStore } from '../helpers/clocked-store.js';

const ROOT = process.getuid?.() === 0;
/** After so long, a time stamp can no longer hide a change made within its own tick. */
const SETTLED_MS = 2100;

function objects(repo: TestRepository): Set<string> {
  const found = new Set<string>();
  for (const entry of readdirSync(repo.location, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) found.add(join(entry.parentPath, entry.name).slice(repo.location.length + 1));
  return found;
}

/** Names of the objects that `work` adds. */
async function added(repo: TestRepository, work: () => Promise<unknown>): Promise<string[]> {
  const before = objects(repo);
  await work();
  return [...objects(repo)].filter((name) => !before.has(name)).sort();
}

/** The state of all directories above `path`, which others may be using while a test runs. */
function surroundings(path: string): string {
  const states: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    const { mtimeNs, ctimeNs } = lstatSync(at, { bigint: true });
    states.push(`${at} ${mtimeNs} ${ctimeNs}`);
    if (at === '/') return states.join();
  }
}

function smallTree(at: string): void {
  mkdirSync(join(at, 'a', 'b'), { recursive: true });
  for (const name of ['one', 'a/two', 'a/b/three']) writeFileSync(join(at, name), randomBytes(3000));
  writeFileSync(join(at, 'large'), randomBytes(500_000));
  symlinkSync('one', join(at, 'link'));
}

t.test('an unchanged source is not read, and stores a manifest and a ledger entry only', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  await sleep(SETTLED_MS);
  t.equal((await repo.backup({ paths: [source] })).counts.readBytes, 509_000);
  for (let attempt = 0; ; attempt++) {
    const quiet = surroundings(source);
    await repo.backup({ paths: [source] });
    let report: BackupReport | undefined;
    const names = await added(repo, async () => {
      report = await repo.backup({ paths: [source] });
    });
    // Somebody else changed /tmp meanwhile, and its new mtime was stored, as it should.
    if (quiet !== surroundings(source) && attempt < 20) continue;
    t.match(names, [/^ledger\/[0-9a-f]{32}\/[0-9]{16}$/, /^snapshots\/[0-9a-f]{64}$/]);
    t.equal(names.length, 2);
    t.equal(report!.counts.readBytes, 0);
    t.equal(report!.counts.filesUnmodified, 4);
    t.equal(report!.counts.filesNew + report!.counts.filesChanged, 0);
    t.equal(report!.newBytes, 0);
    break;
  }
  t.same(differences(await readLatest(await repo.open()), source), []);

  t.test('force reads everything again and stores none of it', async (t) => {
    const names = await added(repo, async () => {
      t.equal((await repo.backup({ paths: [source], force: true })).counts.readBytes, 509_000);
    });
    t.same(names.filter((name) => /^packs|^index/.test(name)).length <= 2, true, names.join());
    t.same(differences(await readLatest(await repo.open()), source), []);
  });
});

t.test('every kind of change is noticed', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  const at = (name: string): string => join(source, name);
  const keepMtime = (name: string, change: () => void): void => {
    const { atime, mtime } = lstatSync(at(name));
    change();
    utimesSync(at(name), atime, mtime);
  };
  const changes: Record<string, () => void> = {
    nothing: () => undefined,
    'a larger size': () => appendFileSync(at('one'), 'more'),
    'a smaller size': () => writeFileSync(at('a/two'), 'less'),
    'the same size': () => writeFileSync(at('a/b/three'), randomBytes(3000)),
    'the same size and mtime': () => keepMtime('one', () => writeFileSync(at('one'), randomBytes(3004))),
    'the same size and mtime of a large file': () => keepMtime('large', () => writeFileSync(at('large'), randomBytes(500_000))),
    'another file of the same size and mtime moved over it': () => {
      copyFileSync(at('a/b/three'), at('new'));
      writeFileSync(at('new'), randomBytes(3000));
      const { atime, mtime } = lstatSync(at('a/b/three'));
      utimesSync(at('new'), atime, mtime);
      renameSync(at('new'), at('a/b/three'));
    },
    'mode only': () => chmodSync(at('a/two'), 0o600),
    'mtime only': () => utimesSync(at('a/two'), 5, 6),
    'mode of a directory': () => chmodSync(at('a/b'), 0o711),
    'a symlink to somewhere else': () => {
      unlinkSync(at('link'));
      symlinkSync('two', at('link'));
    },
    'a file that became a directory': () => {
      unlinkSync(at('a/two'));
      mkdirSync(at('a/two'));
      writeFileSync(at('a/two/inside'), 'x');
    },
    'a directory that became a symlink': () => {
      rmSync(at('a/b'), { recursive: true });
      symlinkSync('two', at('a/b'));
    },
    'a directory moved': () => renameSync(at('a/two'), at('two')),
    'an attribute': () => void spawnSync('setfattr', ['-n', 'user.note', '-v', 'v', at('one')]),
    'a deleted file': () => unlinkSync(at('large')),
  };
  for (const [what, change] of Object.entries(changes)) {
    change();
    const report = await repo.backup({ paths: [source] });
    t.equal(report.state, 'complete', what);
    t.same(differences(await readLatest(await repo.open()), source), [], what);
  }
});

t.test('a change right after a run is noticed, even within one tick of the clock', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let round = 0; round < 5; round++) {
    writeFileSync(join(source, 'file'), randomBytes(300));
    utimesSync(join(source, 'file'), 1, 1);
    await repo.backup({ paths: [source] });
    t.same(differences(await readLatest(await repo.open()), source), []);
  }
});

t.test('a file that never stops changing is stored as some state of it, with a problem', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'steady'), 'steady');
  const files = ['log', 'large log'].map((name) => join(source, name));
  writeFileSync(files[1]!, randomBytes(200_000));
  const script = `const fs = require('fs'); const files = ${JSON.stringify(files)}; for (;;) for (const f of files) fs.appendFileSync(f, 'line\\n');`;
  const writer = spawn(process.execPath, ['-e', script]);
  t.teardown(() => void writer.kill('SIGKILL'));
  while (!existsSync(files[0]!)) await sleep(20);
  const blamed = new Set<string>();
  // On a busy machine the writer may sleep while one of them is read; not every time.
  for (let round = 0; round < 20 && blamed.size < files.length; round++) {
    const report = await repo.backup({ paths: [source] });
    t.same(
      [...new Set(report.problems.map(({ code }) => code))].filter((code) => code !== 'CHANGED'),
      [],
    );
    t.equal(report.state, report.problems.length > 0 ? 'partial' : 'complete');
    for (const { path } of report.problems) blamed.add(Buffer.from(path).toString());
  }
  writer.kill('SIGKILL');
  await once(writer, 'close');
  t.same([...blamed].sort(), files.sort());
  const tree = await readLatest(await repo.open());
  t.ok(tree.has(files[0]!) && tree.has(files[1]!) && tree.has(join(source, 'steady')));
  await repo.backup({ paths: [source] });
  t.same(differences(await readLatest(await repo.open()), source), [], 'the next run has its last state');
});

t.test('files that come and go while the walk runs harm nothing else', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  for (let d = 0; d < 20; d++) {
    mkdirSync(join(source, `d${d}`, 'sub'), { recursive: true });
    for (let f = 0; f < 20; f++) writeFileSync(join(source, `d${d}`, `keep-${f}`), randomBytes(500));
  }
  const script = `const fs = require('fs'); for (let n = 0; ; n++) { const d = ${JSON.stringify(source)} + '/d' + n % 20;
    fs.writeFileSync(d + '/comes-' + n, 'x'); fs.mkdirSync(d + '/dir-' + n); if (n > 40) { const o = n - 40, p = ${JSON.stringify(source)} + '/d' + o % 20;
    fs.unlinkSync(p + '/comes-' + o); fs.rmdirSync(p + '/dir-' + o); } }`;
  const churner = spawn(process.execPath, ['-e', script]);
  t.teardown(() => void churner.kill('SIGKILL'));
  for (let round = 0; round < 5; round++) {
    const report = await repo.backup({ paths: [source] });
    t.same(
      [...new Set(report.problems.map(({ code }) => code))].filter((code) => code !== 'ENOENT' && code !== 'CHANGED'),
      [],
    );
    const tree = await readLatest(await repo.open());
    t.equal([...tree.keys()].filter((path) => path.includes('/keep-')).length, 400);
  }
});

t.test('what may not be read is a problem of its own, and everything else is stored', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  mkdirSync(join(source, 'closed'));
  writeFileSync(join(source, 'closed', 'unseen'), 'x');
  writeFileSync(join(source, 'secret'), 'x');
  writeFileSync(join(source, 'large secret'), randomBytes(100_000));
  for (const name of ['closed', 'secret', 'large secret']) chmodSync(join(source, name), 0);
  const nobody = ROOT ? { uid: 65534, gid: 65534 } : {};
  if (ROOT) spawnSync('chown', ['-R', '65534:65534', folder]);
  for (let round = 0; round < 2; round++) {
    const report = await childReport(startChild({ repo, options: { paths: [source] } }, nobody));
    t.equal(report.state, 'partial');
    t.same(
      report.problems.map(({ path, code }) => `${relative(source, path)} ${code}`).sort(),
      ['closed EACCES', 'large secret EACCES', 'secret EACCES'],
      `round ${round}`,
    );
  }
  const repository = await repo.open();
  const snapshot = (await snapshotsOf(repository)).at(-1)!;
  t.equal(snapshot.body.problemCount, 3);
  t.same(
    snapshot.body.problems.map(({ code }) => code),
    ['EACCES', 'EACCES', 'EACCES'],
  );
  const tree = await readLatest(repository);
  for (const name of ['one', 'a/two', 'a/b/three', 'large', 'link']) t.ok(tree.has(join(source, name)), name);
  t.notOk(tree.has(join(source, 'secret')));

  t.test('and is stored by the first run that may', async (t) => {
    chmodSync(join(source, 'closed'), 0o700);
    chmodSync(join(source, 'secret'), 0o600);
    chmodSync(join(source, 'large secret'), 0o600);
    t.equal((await childReport(startChild({ repo, options: { paths: [source] } }, nobody))).state, 'complete');
    t.same(differences(await readLatest(await repo.open()), source), []);
  });
});

t.test('exclusion leaves out files and whole directories, and forgets nothing when it changes', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  mkdirSync(join(source, 'cache'));
  writeFileSync(join(source, 'cache', 'TAG'), '');
  writeFileSync(join(source, 'cache', 'thing'), 'x');
  const asked: string[] = [];
  const exclusion = {
    excludes: (path: Uint8Array, record: { isDirectory: boolean; sizeBytes: number }) => {
      asked.push(Buffer.from(path).toString());
      return (record.isDirectory && Buffer.from(path).toString().endsWith('/b')) || record.sizeBytes === 500_000;
    },
    keepsOnly: (_path: Uint8Array, names: readonly Uint8Array[]) =>
      names.filter((name) => Buffer.from(name).toString() === 'TAG').slice(0, 1),
  };
  const onlyTagged = {
    ...exclusion,
    keepsOnly: (path: Uint8Array, names: readonly Uint8Array[]) =>
      exclusion.keepsOnly(path, names).length === 0 ? undefined : exclusion.keepsOnly(path, names),
  };
  await repo.backup({ paths: [source], exclusion: onlyTagged });
  const below = async (): Promise<string[]> =>
    [...(await readLatest(await repo.open())).keys()]
      .filter((path) => path.startsWith(`${source}/`))
      .map((path) => path.slice(source.length + 1))
      .sort();
  const kept = ['a', 'a/two', 'cache', 'cache/TAG', 'link', 'one'];
  t.same(await below(), kept);
  t.notOk(
    asked.some((path) => path.endsWith('/three')),
    'what an excluded directory holds is not looked at',
  );
  await repo.backup({ paths: [source] });
  t.same(differences(await readLatest(await repo.open()), source), []);
  await repo.backup({ paths: [source], exclusion: onlyTagged });
  t.same(await below(), kept);
});

t.test('one file system: a mount point inside is kept as an empty directory', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  mkdirSync(join(source, 'mounted'));
  if (!ROOT || spawnSync('mount', ['-t', 'tmpfs', 'varve-test', join(source, 'mounted')]).status !== 0) {
    t.pass('a mount inside the source', { skip: 'mounting needs root' });
    return;
  }
  t.teardown(() => void spawnSync('umount', [join(source, 'mounted')]));
  writeFileSync(join(source, 'mounted', 'inside'), 'x');
  const report = await repo.backup({ paths: [source], oneFileSystem: true });
  t.equal(report.state, 'complete');
  const tree = await readLatest(await repo.open());
  t.ok(tree.has(join(source, 'mounted')));
  t.notOk(tree.has(join(source, 'mounted', 'inside')));
  await repo.backup({ paths: [source] });
  t.same(differences(await readLatest(await repo.open()), source), []);
  await repo.backup({ paths: [source], oneFileSystem: true });
  t.notOk((await readLatest(await repo.open())).has(join(source, 'mounted', 'inside')));
  await repo.backup({ paths: [join(source, 'mounted')], oneFileSystem: true });
  t.ok(
    (await readLatest(await repo.open())).has(join(source, 'mounted', 'inside')),
    'a mount point that is itself the source is stored',
  );
});

t.test('several sources: relative, nested, doubled, and one that does not exist', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  const paths = [
    relative(process.cwd(), join(source, 'a/b')),
    `${source}/a/../a/.//two`,
    join(source, 'a/b/three'),
    join(source, 'a/b'),
    Buffer.from(join(source, 'one')),
  ];
  const report = await repo.backup({ paths });
  t.equal(report.state, 'complete');
  t.equal(report.totalFiles, 3);
  const tree = await readLatest(await repo.open());
  for (const name of ['a/b', 'a/two', 'one']) t.same(differences(tree, join(source, name)), [], name);
  t.notOk(tree.has(join(source, 'large')), 'what lies beside a source is left out');

  const partial = await repo.backup({ paths: [join(source, 'nowhere'), join(source, 'one')] });
  t.equal(partial.state, 'partial');
  t.same(
    partial.problems.map(({ path, code }) => [Buffer.from(path).toString(), code]),
    [[join(source, 'nowhere'), 'ENOENT']],
  );
  t.ok((await readLatest(await repo.open())).has(join(source, 'one')));
  const before = (await snapshotsOf(await repo.open())).length;
  await t.rejects(repo.backup({ paths: [join(source, 'nowhere')] }), SourceError);
  await t.rejects(repo.backup({ paths: [''] }), SourceError);
  t.equal((await snapshotsOf(await repo.open())).length, before);
});

t.test('the change cache may be deleted, damaged in any byte, or held by another', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  for (let i = 0; i < 200; i++) writeFileSync(join(source, 'a', `small ${i}`), randomBytes(400));
  await sleep(SETTLED_MS);
  await repo.backup({ paths: [source] });
  const changes = join(repo.cacheDir, 'changes');
  const cacheFolder = join(changes, readdirSync(changes)[0]!);
  const data = async (): Promise<void> => {
    const names = await added(repo, async () => {
      t.equal((await repo.backup({ paths: [source] })).state, 'complete');
    });
    t.ok(
      names.every((name) => !name.startsWith('packs/') || lstatSync(join(repo.location, name)).size < 60_000),
      'only pages are new',
    );
    t.same(differences(await readLatest(await repo.open()), source), []);
  };
  rmSync(changes, { recursive: true });
  await data();
  // Everything into one table, so that damage meets rows and not only a log that LevelDB checks itself.
  const level = new Level(cacheFolder);
  await (level as unknown as { compactRange(start: string, end: string): Promise<void> }).compactRange('\u0000', '\uffff');
  await level.close();
  const files = readdirSync(cacheFolder).filter((name) => /ldb$|log$|MANIFEST/.test(name));
  t.ok(files.some((name) => name.endsWith('.ldb')));
  const sound = files.map((name) => [join(cacheFolder, name), readFileSync(join(cacheFolder, name))] as const);
  for (let round = 0; round < 4; round++) {
    for (const [file, content] of sound) {
      const bytes = Buffer.from(content);
      for (let at = round * 37 + 5; at < bytes.byteLength; at += 700) bytes[at]! ^= 1 << (round % 8);
      writeFileSync(file, bytes);
    }
    await data();
  }
  writeFileSync(join(cacheFolder, 'CURRENT'), 'nonsense');
  await data();
  rmSync(changes, { recursive: true });
  writeFileSync(changes, 'a file where the folder should be');
  await data();
  rmSync(changes);
  await data();
  const holder = new Level(cacheFolder);
  await holder.open();
  const notes: string[] = [];
  t.equal((await repo.backup({ paths: [source], onNote: (note) => notes.push(note) })).state, 'complete');
  t.match(notes, [/holds the change cache/]);
  await holder.close();
  t.same(differences(await readLatest(await repo.open()), source), []);
});

t.test(
  'two runs at once: each stream has a change cache of its own, and of one stream only the second does without',
  async (t) => {
    const folder = scratch(t);
    const repo = await makeRepository(folder);
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    for (const source of [one, other]) {
      mkdirSync(source);
      writeFileSync(join(source, 'file'), randomBytes(100_000));
    }
    const clock = { nowMs: Date.now(), stored: new Map<string, number>() };
    let begun = (): void => undefined;
    let goOn = (): void => undefined;
    const storing = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const until = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    /** Backs `source` up. @returns the notes */
    const notes = async (source: string, before: () => Promise<void> | void = () => undefined): Promise<string[]> => {
      const said: string[] = [];
      const options = { paths: [source], onNote: (note: string) => void said.push(note) };
      const { state } = await repo.backup(
        options,
        (store) => new ClockedStore(store, clock, (doing) => (doing === 'put' ? before() : undefined)),
      );
      t.equal(state, 'complete');
      return said;
    };
    const first = notes(one, () => {
      begun();
      return until;
    });
    await storing;
    t.same(await notes(other), [], 'another source');
    t.match(await notes(one), [/^another run of this stream holds the change cache/], 'the same source');
    goOn();
    t.same(await first, [], 'the first run notices nothing');
    t.same(await notes(one), [], 'nor does the next');
    t.same(differences(await readLatest(await repo.open()), one), []);
  },
);

t.test('the index cache may be deleted or garbage: nothing is stored twice', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  await repo.backup({ paths: [source] });
  const damages: Record<string, () => void> = {
    deleted: () => rmSync(repo.cacheDir, { recursive: true }),
    garbage: () => {
      for (const name of readdirSync(join(repo.cacheDir, 'index')))
        writeFileSync(join(repo.cacheDir, 'index', name), randomBytes(5000));
    },
    'without index objects too': () => {
      rmSync(repo.cacheDir, { recursive: true });
      rmSync(join(repo.location, 'index'), { recursive: true });
    },
    'with damaged index objects': () => {
      rmSync(repo.cacheDir, { recursive: true });
      for (const name of readdirSync(join(repo.location, 'index'))) {
        chmodSync(join(repo.location, 'index', name), 0o600);
        writeFileSync(join(repo.location, 'index', name), 'damaged');
      }
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    damage();
    const report = await repo.backup({ paths: [source], force: true });
    t.ok(report.newBytes < 20_000, `${what}: ${report.newBytes} new bytes`);
    t.same(differences(await readLatest(await repo.open()), source), [], what);
  }
});

t.test('chunks of a pack that is gone from the store are stored again, though the change cache knew the files', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  await sleep(SETTLED_MS);
  await repo.backup({ paths: [source] });
  for (const which of [(size: number) => size > 100_000, (size: number) => size <= 100_000, () => true]) {
    for (const name of objects(repo))
      if (name.startsWith('packs/') && which(lstatSync(join(repo.location, name)).size)) unlinkSync(join(repo.location, name));
    const report = await repo.backup({ paths: [source] });
    t.equal(report.state, 'complete');
    const repository = await repo.open();
    t.same(differences(await readLatest(repository), source), []);
    const last = (await snapshotsOf(repository)).at(-1)!;
    t.notOk(
      (await danglingPins(repository)).some((line) => line.startsWith(Buffer.from(last.id).toString('hex').slice(0, 8))),
      'it pins only what is there',
    );
  }
});

t.test('a dry run stores nothing, changes no cache, and counts what would be stored', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  let dry: BackupReport | undefined;
  t.same(
    await added(repo, async () => {
      dry = await repo.backup({ paths: [source], dryRun: true });
    }),
    [],
  );
  t.equal(dry!.snapshotId, undefined);
  t.equal(dry!.counts.filesNew, 4);
  const wet = await repo.backup({ paths: [source] });
  t.ok(Math.abs(wet.newBytes - dry!.newBytes) < 0.2 * wet.newBytes, `${dry!.newBytes} foretold, ${wet.newBytes} stored`);
  t.same(differences(await readLatest(await repo.open()), source), []);
  t.ok((await repo.backup({ paths: [source], dryRun: true })).newBytes < 20_000);
});

t.test('a higher level stores fewer bytes, and both read back', async (t) => {
  const folder = scratch(t);
  mkdirSync(join(folder, 'source'));
  // Real source text: what a made-up text saves at a higher level changes with its words.
  const text = readFileSync('node_modules/typescript/lib/lib.dom.d.ts');
  writeFileSync(join(folder, 'source', 'text'), text);
  const sizes: number[] = [];
  for (const level of [1, 19]) {
    mkdirSync(join(folder, `${level}`));
    const repo = await makeRepository(join(folder, `${level}`));
    sizes.push((await repo.backup({ paths: [join(folder, 'source')], level })).newBytes);
    t.same(differences(await readLatest(await repo.open()), join(folder, 'source')), []);
  }
  t.ok(sizes[1]! < 0.95 * sizes[0]!, sizes.join());
});

t.test('every snapshot of a history stays as it was', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  smallTree(source);
  const expected: (string | undefined)[] = [];
  for (let round = 0; round < 10; round++) {
    writeFileSync(join(source, 'one'), `round ${round}`);
    writeFileSync(join(source, 'a', `round ${round}`), randomBytes(2000));
    await repo.backup({ paths: [source] });
    expected.push(`round ${round}`);
  }
  const repository = await repo.open();
  const snapshots = await snapshotsOf(repository);
  t.ok(
    snapshots.some(({ envelope }) => envelope.pins.depth > 0),
    'some pins are differences',
  );
  const trees = await readSnapshots(repository, snapshots);
  for (const [round, tree] of trees.entries()) {
    const { entry } = tree.get(join(source, 'one'))!;
    t.ok(isFile(entry) && entry.content.kind === 'inline');
    if (isFile(entry) && entry.content.kind === 'inline') t.equal(Buffer.from(entry.content.bytes).toString(), expected[round]);
    t.equal([...tree.keys()].filter((path) => path.includes('/a/round ')).length, round + 1);
  }
});
