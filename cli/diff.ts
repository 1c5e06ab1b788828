/** `varve diff A B`: what changed between two snapshots. */
import type { Command } from 'commander';
import { type Change, diffSnapshots, type Entry, idHex, openTrees, selectSnapshot } from '../lib/index.js';
import { describeEntry, kindLetter, sizeOf } from './entry-text.js';
import { bytesText, countText, jsonName } from './human.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf, parseSnapshotPath } from './snapshot-arguments.js';

export function configure(command: Command, run: Run): void {
  addFilterOptions(
    command.argument('<a[:path]>', 'the earlier snapshot, or a part of it').argument('<b[:path]>', 'the later one'),
  )
    .option('--metadata', 'also what changed in mode, owner, times or attributes alone (U)')
    .addHelpText(
      'after',
      `
  +  added     -  removed     M  content changed     T  became another type     U  metadata changed

Examples:
  varve diff latest~1 latest
  varve diff @2026-03-01:/etc latest:/etc --metadata`,
    )
    .action((a: string, b: string, options: FilterOptions & { metadata?: boolean }) => diff(run, a, b, options));
}

class Totals {
  readonly counts = { '+': 0, '-': 0, M: 0, T: 0, U: 0 };
  addedBytes = 0;
  removedBytes = 0;

  add({ kind, before, after }: Change): void {
    this.counts[kind]++;
    if (kind === 'U') return;
    this.removedBytes += size(before);
    this.addedBytes += size(after);
  }
}

const size = (entry: Entry | undefined): number => (entry === undefined || !('sizeBytes' in entry) ? 0 : sizeOf(entry));

async function diff(run: Run, a: string, b: string, options: FilterOptions & { metadata?: boolean }): Promise<void> {
  const { out } = run;
  const [left, right] = [parseSnapshotPath(a), parseSnapshotPath(b)];
  const selected = { filter: filterOf(options), onLeftOut: tellLeftOut(run) };
  await withRepository(run, async (repository) => {
    const before = await selectSnapshot(repository, left.snapshot, selected);
    const after = await selectSnapshot(repository, right.snapshot, selected);
    const opened = await openTrees(repository, [before, after], { onDamaged: tellDamaged(run) });
    const totals = new Totals();
    try {
      const changes = diffSnapshots(opened.trees[0]!, opened.trees[1]!, {
        metadata: options.metadata === true,
        signal: run.signal,
        ...(left.path === undefined ? {} : { beforePath: left.path }),
        ...(right.path === undefined ? {} : { afterPath: right.path }),
      });
      for await (const change of changes) {
        run.signal.throwIfAborted();
        totals.add(change);
        print(run, change);
        await out.breathe();
      }
    } finally {
      await opened.close();
    }
    const { '+': added, '-': removed, M: modified, T: types, U: metadata } = totals.counts;
    const { addedBytes, removedBytes } = totals;
    out.record('summary', {
      before: idHex(before.id),
      after: idHex(after.id),
      added,
      removed,
      modified,
      types,
      metadata,
      added_bytes: addedBytes,
      removed_bytes: removedBytes,
    });
    out.info(
      `${countText(added, 'entry', 'entries')} added (${bytesText(addedBytes)}), ${removed} removed (${bytesText(removedBytes)}), ${modified} modified, ${types} of another type${options.metadata === true ? `, ${metadata} with other metadata` : ''}`,
    );
  });
}

function print(run: Run, { kind, path, before, after }: Change): void {
  if (run.out.json) {
    const entries = {
      ...(before === undefined ? {} : { before: describeEntry(path, before) }),
      ...(after === undefined ? {} : { after: describeEntry(path, after) }),
    };
    run.out.record('change', { modifier: kind, ...jsonName('path', path), ...entries });
  } else run.out.text(`${kind}    `, path, kindLetter(after ?? before!) === 'd' ? '/' : '');
}
