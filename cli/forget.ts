/** `varve forget`: announces that expired snapshots go. It refuses those that are still to be kept, and says until when and why. */
import type { Command } from 'commander';
import { forgetSnapshots, selectRecords } from '../lib/index.js';
import { bytesText, countText, localTime, rfc3339 } from './human.js';
import { type Run, withRepository } from './run.js';

export function configure(command: Command, run: Run): void {
  command
    .argument('<snapshot...>', 'id, latest, latest~N, @TIME')
    .addHelpText(
      'after',
      `
There is no way to forget a snapshot before its time: it ends with status 13 and says until when and why the snapshot stays. One that has expired is
announced in the ledger; varve prune deletes it after the policy's wait. Without forget, varve prune does the same for everything that has expired.

Examples:
  varve forget 3f9a21bc`,
    )
    .action((names: string[]) =>
      withRepository(run, async (repository) => {
        const ids = (await selectRecords(repository, names)).map(({ id }) => id);
        const report = await forgetSnapshots(repository, ids, { signal: run.signal });
        const goes = { sec: report.goesSec, nsec: 0 };
        run.out.record('forgotten', {
          snapshots: report.snapshots,
          packs: report.packs.length,
          pack_bytes: report.packBytes,
          ...(report.goesSec === 0 ? {} : { goes: rfc3339(goes) }),
        });
        if (report.entries.length === 0)
          run.out.info('All of them are announced already; varve prune deletes them when their wait is over.');
        else
          run.out.info(
            `Announced: ${countText(report.snapshots.length, 'snapshot')} and ${bytesText(report.packBytes)} that only they need. varve prune deletes them from ${localTime(goes)} on.`,
          );
      }),
    );
}
