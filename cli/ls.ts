/** `varve ls SNAP[:PATH]`: the files of a snapshot, without mounting it. */
import type { Command } from 'commander';
import { listTree, openTrees, selectSnapshot } from '../lib/index.js';
import { describeEntry, longLine } from './entry-text.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
import { argumentBytes } from './raw-arguments.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf, parseSnapshotPath } from './snapshot-arguments.js';
import { describeSnapshot } from './snapshots.js';

interface LsOptions extends FilterOptions {
  readonly long?: boolean;
  readonly recursive: boolean;
}

export function configure(command: Command, run: Run): void {
  addFilterOptions(command)
    .argument('<snapshot[:path]>', 'id, latest, latest~N or @TIME; with a path, what is at or below it')
    .argument('[path]', 'as after the colon')
    .option('-l, --long', 'mode, owner, size and time too')
    .option('--no-recursive', 'do not go into directories')
    .addHelpText(
      'after',
      `
Examples:
  varve ls latest
  varve ls -l --no-recursive latest:/etc
  varve ls --json @2026-03-01:/home | jq -r 'select(.size > 1e9).path'`,
    )
    .action((snapshot: string, path: string | undefined, options: LsOptions) => ls(run, snapshot, path, options));
}

async function ls(run: Run, argument: string, second: string | undefined, options: LsOptions): Promise<void> {
  const { out } = run;
  const { snapshot: name, path = second === undefined ? undefined : argumentBytes(second) } = parseSnapshotPath(argument);
  const selected = { filter: filterOf(options), onLeftOut: tellLeftOut(run) };
  await withRepository(run, async (repository) => {
    const snapshot = await selectSnapshot(repository, name, selected);
    const opened = await openTrees(repository, [snapshot], { onDamaged: tellDamaged(run) });
    try {
      out.record('snapshot', describeSnapshot(snapshot));
      for await (const located of listTree(opened.trees[0]!, {
        recursive: options.recursive,
        ...(path === undefined ? {} : { path }),
      })) {
        run.signal.throwIfAborted();
        if (out.json) out.record('node', describeEntry(located.path, located.entry));
        else out.text(...(options.long === true ? longLine(located.path, located.entry) : [located.path]));
        await out.breathe();
      }
    } finally {
      await opened.close();
    }
  });
}
