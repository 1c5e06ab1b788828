/**
 * Trees whose pages hold one page many times over, with totals that are right, too small, too large or beyond counting: a dozen pages mean more paths than anybody can
 * walk. Every verb ends, says what is wrong, and gives the snapshots beside it in full.
 */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { encodeRows } from '../../lib/format/content.js';
import { ChunkType } from '../../lib/format/pack.js';
import { check } from '../../lib/verify/check.js';
import { damagedRepository } from '../helpers/damaged-repository.js';
import {
  directoryEntry,
  HostileWriter,
  inlineEntry,
  rowsEntry,
  sameRows,
  type Tree,
  totalsOf,
} from '../helpers/hostile-trees.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
const { repository } = repo;
const honest = (await check(repository)).counts.treePages;
const small = { files: 1, directories: 0, bytes: 1 };

t.test('check walks a page once, whatever holds it and whatever its totals say', async (t) => {
  const writer = await HostileWriter.of(repository);
  const leaf = writer.leaf([inlineEntry('file', 'x')]);
  const bombs: Record<string, Tree> = {
    'right totals': writer.repeated(7, 64, leaf),
    'totals beyond counting': writer.repeated(12, 64, leaf),
    'totals too small': writer.repeated(12, 64, leaf, () => small),
    'totals of nothing': writer.repeated(13, 64, leaf, () => ({ files: 0, directories: 0, bytes: 0 })),
  };
  for (const [name, tree] of Object.entries(bombs)) {
    const hex = await writer.commit(writer.leaf([directoryEntry('bomb', tree)]));
    const report = await check(repository);
    t.comment(name, report.errorCount);
    const mine = report.errors.filter(({ object }) => object === `snapshots/${hex}`);
    t.equal(mine.length, name === 'right totals' ? 0 : 1, name);
    t.ok(report.counts.treePages < honest + 80, `${name}: ${report.counts.treePages} pages`);
  }
});
