/** `varve tag`: changes the tags of snapshots. */
import type { Command } from 'commander';
import { idHex, type Snapshot, selectSnapshot, selectSnapshots, shortHex, tagSnapshots } from '../lib/index.js';
import { countText } from './human.js';
import { tellLeftOut } from './left-out.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, collect, type FilterOptions, filterOf } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

interface TagFlags extends FilterOptions {
  readonly add?: string[];
  readonly remove?: string[];
  readonly set?: string[];
}

const split = (lists: readonly string[]): string[] => lists.flatMap((list) => list.split(',')).filter((tag) => tag !== '');

export function configure(command: Command, run: Run): void {
  addFilterOptions(command.argument('[snapshot...]', 'id, latest, latest~N, @TIME; none: all that pass the filters'))
    .option('--add <tag,tag>', 'tags to add (repeatable)', collect)
    .option('--remove <tag,tag>', 'tags to remove (repeatable)', collect)
    .option('--set <tag,tag>', 'tags to have instead of all others; an empty text removes them all', collect)
    .addHelpText(
      'after',
      `
A snapshot's id does not change, and the ledger keeps what its tags were.

Examples:
  varve tag --add release latest
  varve tag --remove old --host web1 --until 2026-01-01`,
    )
    .action(async (names: string[], flags: TagFlags) => {
      const { add, remove, set } = flags;
      if (add === undefined && remove === undefined && set === undefined)
        throw new UsageError('nothing to change: give --add, --remove or --set');
      if (set !== undefined && (add !== undefined || remove !== undefined))
        throw new UsageError('--set replaces all tags; it does not go with --add or --remove');
      await withRepository(run, async (repository) => {
        const leftOut: string[] = [];
        const selected = { filter: filterOf(flags), onLeftOut: tellLeftOut(run, leftOut) };
        const snapshots: Snapshot[] = [];
        for (const name of names) snapshots.push(await selectSnapshot(repository, name, selected));
        if (names.length === 0) snapshots.push(...(await selectSnapshots(repository, selected)));
        const options = set === undefined ? { add: split(add ?? []), remove: split(remove ?? []) } : { set: split(set) };
        const changed = await tagSnapshots(repository, snapshots, options);
        for (const { id, tags } of changed) {
          run.out.record('tagged', { id: idHex(id), tags });
          run.out.info(`${shortHex(id)}  ${tags.join(', ') || 'no tags'}`);
        }
        run.out.record('summary', { changed: changed.length, left_out: leftOut });
        run.out.info(`${countText(changed.length, 'snapshot')} changed.`);
      });
    });
}
