/** `varve hold add | release | list`: keeps snapshots until an admin lets go of them. */
import type { Command } from 'commander';
import { idHex, listHolds, type PlacedHold, placeHold, releaseHold, selectRecords, shortHex, utf8 } from '../lib/index.js';
import { countText, localTime, rfc3339, safeText } from './human.js';
import { type Run, withRepository } from './run.js';
import { tableLines } from './table.js';

export function configure(command: Command, run: Run): void {
  command.addHelpText(
    'after',
    `
A held snapshot is never pruned, whatever its time. Holds are entries of the ledger, by an admin's key; so are releases, and what was released stays a
day longer at least.

Examples:
  varve hold add 3f9a21bc latest --reason 'incident 4711'
  varve hold list
  varve hold release 5e0c77d1-12`,
  );
  command
    .command('add')
    .description('place a hold on snapshots')
    .argument('<snapshot...>', 'id, latest, latest~N, @TIME')
    .requiredOption('--reason <text>', 'why, for those who find it')
    .action((names: string[], { reason }: { reason: string }) =>
      withRepository(run, async (repository) => {
        const records = await selectRecords(repository, names);
        const holds = await placeHold(
          repository,
          records.map(({ id }) => id),
          { reason },
        );
        for (const hold of holds) {
          run.out.record('hold_added', describeHold(hold));
          run.out.info(
            `Hold ${hold.name} is on ${countText(hold.snapshots.length, 'snapshot')}: ${hold.snapshots.map(shortHex).join(', ')}.`,
          );
        }
      }),
    );
  command
    .command('release')
    .description('release a hold')
    .argument('<hold>', 'as hold list names it')
    .option('--reason <text>', 'why', '')
    .action((name: string, { reason }: { reason: string }) =>
      withRepository(run, async (repository) => {
        const hold = await releaseHold(repository, name, { reason });
        run.out.record('hold_released', describeHold(hold));
        run.out.info(`Released hold ${hold.name} on ${countText(hold.snapshots.length, 'snapshot')}.`);
      }),
    );
  command
    .command('list')
    .description('list holds')
    .option('--all', 'those that were released too')
    .action(({ all }: { all?: boolean }) =>
      withRepository(run, async (repository) => list(run, await listHolds(repository, { all: all === true }))),
    );
}

function describeHold({ name, snapshots, reason, time, released }: PlacedHold): Record<string, unknown> {
  return {
    hold: name,
    snapshots: snapshots.map(idHex),
    reason,
    time: rfc3339(time),
    ...(released === undefined ? {} : { released: rfc3339(released.time), release_reason: released.reason }),
  };
}

function list(run: Run, holds: readonly PlacedHold[]): void {
  for (const hold of holds) run.out.record('hold', describeHold(hold));
  if (holds.length === 0) run.out.info('No holds.');
  else {
    const rows = holds.map(({ name, time, snapshots, reason, released }) => [
      name,
      localTime(time),
      released === undefined ? '' : localTime(released.time),
      snapshots.slice(0, 4).map(shortHex).join(' ') + (snapshots.length > 4 ? ` and ${snapshots.length - 4} more` : ''),
      safeText(utf8(reason)),
    ]);
    for (const line of tableLines(['Hold', 'Placed', 'Released', 'Snapshots', 'Reason'], rows)) run.out.text(line);
  }
}
