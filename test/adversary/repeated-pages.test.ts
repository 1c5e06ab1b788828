/**
 * Trees whose pages hold one page many times over, with totals that are right, too small, too large or beyond counting: a dozen pages mean more paths than anybody can
 * walk. Every verb ends, says what is wrong, and gives the snapshots beside it in full.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { diffSnapshots } from '../../lib/browse/diff-snapshots.js';
import { dumpTar } from '../../lib/browse/dump-tar.js';
import { findPaths, type Unreadable } from '../../lib/browse/find-paths.js';
import { listTree } from '../../lib/browse/list-tree.js';
import { type OpenTree, openTrees } from '../../lib/browse/open-tree.js';
import { repositoryStats } from '../../lib/browse/repository-stats.js';
import { toHex, utf8 } from '../../lib/bytes.js';
import { encodeRows } from '../../lib/format/content.js';
import { ChunkType } from '../../lib/format/pack.js';
import { selectSnapshots } from '../../lib/ledger/select.js';
import { restore } from '../../lib/restore/restore.js';
import { check } from '../../lib/verify/check.js';
import { scratch } from '../helpers/backup-repository.js';
import { damagedRepository } from '../helpers/damaged-repository.js';
import { directoryEntry, HostileWriter, inlineEntry, rowsEntry, sameRows, type Tree } from '../helpers/hostile-trees.js';
import { strictly } from '../helpers/strictly.js';
import { openView, snapshotNodes } from '../helpers/view.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
const { repository } = repo;
const honest = (await check(repository)).counts.treePages;
const writer = await HostileWriter.of(repository);
const leaf = writer.leaf([inlineEntry('file', 'x')]);
const small = { files: 1, directories: 0, bytes: 1 };
const most = { files: 2 ** 53 - 1, directories: 0, bytes: 0 };

/** A snapshot whose `/bomb` is `tree`. */
const commit = (tree: Tree, host?: string): Promise<string> =>
  writer.commit(writer.leaf([directoryEntry('bomb', tree)]), host === undefined ? {} : { body: { host } });

const bombs: readonly (readonly [string, Tree, number])[] = [
  ['totals that are right', writer.repeated(7, 24, leaf), 0],
  ['totals beyond counting', writer.repeated(12, 24, leaf), 1],
  ['totals that are too small', writer.repeated(12, 24, leaf, () => small), 1],
  ['totals as large as can be', writer.repeated(12, 24, leaf, () => most), 1],
];
const committed: string[] = [];
for (const [, tree] of bombs) committed.push(await commit(tree));

/** All trees, the honest ones first. */
async function opened(t: { teardown(end: () => Promise<void>): void }): Promise<readonly OpenTree[]> {
  const trees = await openTrees(repository, await selectSnapshots(repository, strictly));
  t.teardown(() => trees.close());
  const isHostile = ({ snapshot }: OpenTree): boolean => snapshot.body.host !== 'h';
  return [...trees.trees.filter((tree) => !isHostile(tree)), ...trees.trees.filter(isHostile)];
}

t.test('check walks a page once, whatever holds it and whatever its totals say', async (t) => {
  const report = await check(repository);
  for (const [i, [name, , errors]] of bombs.entries())
    t.equal(report.errors.filter(({ object }) => object === `snapshots/${committed[i]}`).length, errors, name);
  t.equal(report.errorCount, 3);
  t.ok(report.counts.treePages < honest + 60, `${report.counts.treePages} pages`);
});

t.test('find gives all that honest snapshots hold, and names the others', async (t) => {
  const trees = await opened(t);
  const told: Unreadable[] = [];
  const found = await findPaths(trees, {
    wanted: (_, entry) => /^(later|file|small-)/.test(Buffer.from(entry.name).toString()),
    onUnreadable: (one) => told.push(one),
  });
  t.equal(found.filter(({ snapshots }) => snapshots.every(({ body }) => body.host === 'h')).length, 25);
  t.same(new Set(told.map(({ snapshot }) => toHex(snapshot.id))), new Set(committed));
  t.ok(told.length < 100, `${told.length}`);
});

t.test('a listing ends where a directory holds more than it claims', async (t) => {
  const trees = await opened(t);
  const tree = trees.find(({ snapshot }) => toHex(snapshot.id) === committed[2])!;
  const listed: string[] = [];
  t.throws(
    () => {
      for (const { path } of listTree(tree, { recursive: true })) listed.push(Buffer.from(path).toString());
    },
    { code: 'CORRUPT', message: /holds more than its totals say/ },
  );
  t.same(listed, ['/bomb', '/bomb/d0000']);
  await t.rejects(
    dumpTar(tree, utf8('/'), async () => undefined),
    { code: 'CORRUPT', message: /holds more than its totals say/ },
  );
  const stats = await repositoryStats(repository, [tree.snapshot]);
  t.ok(Number.isFinite(stats.restoreBytes));
});

t.test('a restore makes no more than a directory claims', async (t) => {
  const target = join(scratch(t), 'out');
  const snapshots = await selectSnapshots(repository, strictly);
  const snapshot = snapshots.find(({ id }) => toHex(id) === committed[2])!;
  const report = await restore(repository, snapshot, { targetPath: target, threads: 1 });
  t.ok(report.problems.length > 0 && report.problems.every(({ code }) => code === 'CORRUPT'));
  t.ok(readdirSync(target, { recursive: true }).length < 5);
});

t.test('two trees that differ only where nothing is asked for are compared once for each pair of pages', async (t) => {
  const other = writer.repeated(7, 24, writer.leaf([inlineEntry('file', 'x', 1_600_000_000)]));
  const hex = await commit(other);
  const trees = await opened(t);
  const [a, b] = [committed[0], hex].map((id) => trees.find(({ snapshot }) => toHex(snapshot.id) === id)!) as [
    OpenTree,
    OpenTree,
  ];
  const changes: unknown[] = [];
  for await (const change of diffSnapshots(a, b)) changes.push(change);
  t.same(changes, []);
});

t.test('an endless listing, comparison, search and dump end at a signal', async (t) => {
  const trees = await opened(t);
  const tree = trees.find(({ snapshot }) => toHex(snapshot.id) === committed[0])!;
  const signal = (): AbortSignal => AbortSignal.timeout(200);
  const interrupted = { code: 'INTERRUPTED' };
  await t.rejects(async () => {
    for await (const _ of diffSnapshots(trees[0]!, tree, { signal: signal() }));
  }, interrupted);
  await t.rejects(findPaths([tree], { wanted: () => false, onUnreadable: () => undefined, signal: signal() }), interrupted);
  await t.rejects(
    dumpTar(tree, utf8('/'), async () => undefined, { signal: signal() }),
    interrupted,
  );
  await t.rejects(restore(repository, tree.snapshot, { targetPath: join(scratch(t), 'o'), signal: signal() }), interrupted);
});

t.test('list pages that name one page again and again are read once, and a length that is none is damage', async (t) => {
  const data = writer.chunk(ChunkType.data, utf8('!'));
  let rows = sameRows(64, 1, data);
  let length = 64;
  for (let depth = 1; depth < 4; depth++) {
    rows = sameRows(64, length, writer.list(rows));
    length *= 64;
  }
  const top = writer.list(rows);
  const lost = writer.list(sameRows(64, 1, new Uint8Array(32).fill(7)));
  const above = writer.list(sameRows(64, 64, lost));
  const files = [
    rowsEntry('deep', 4, length * 64, encodeRows(sameRows(64, length, top))),
    rowsEntry('longer', 4, 2 ** 50, encodeRows(sameRows(1, 2 ** 50, top))),
    rowsEntry('lost', 2, 64 ** 3, encodeRows(sameRows(64, 64 ** 2, above))),
  ];
  const hex = await writer.commit(writer.leaf(files));
  const report = await check(repository);
  const mine = report.errors.flatMap(({ affects, message }) =>
    affects.filter(({ snapshot }) => snapshot === hex).map(({ path }) => `${path}: ${message.replace(/^list page \w+: /, '')}`),
  );
  t.same(mine.sort(), ['/longer: does not add up to the row above it', '/lost: needs chunks that stand in none of its packs']);
});

t.test('many snapshots that share a hostile tree cost what one does', async (t) => {
  const before = (await check(repository)).counts.treePages;
  for (let i = 0; i < 20; i++) await commit(bombs[1 + (i % 3)]![1], `host-${i}`);
  const report = await check(repository);
  t.ok(report.counts.treePages <= before + 60, `${before} and ${report.counts.treePages} pages`);
  const found = await findPaths(await opened(t), {
    wanted: (_, entry) => Buffer.from(entry.name).toString() === 'later',
    onUnreadable: () => undefined,
  });
  t.equal(found.length, 1);
});

t.test('a mount lists a hostile directory as any other, and goes no deeper than a tree may be', async (t) => {
  const view = await openView(t, repository);
  for (const node of snapshotNodes(view)) {
    let at = node;
    for (let depth = 0; depth < 20; depth++) {
      const [first] = view.readdir(at, 0, 100).entries;
      if (first === undefined) break;
      at = first.attributes.nodeId;
      if ((view.getattr(at)!.mode & 0o170000) !== 0o040000) break;
    }
  }
  t.pass();
});
