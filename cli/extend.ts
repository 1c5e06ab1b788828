/** `varve extend`: keeps snapshots longer than was promised when they were taken. */
import type { Command } from 'commander';
import { extendSnapshots, idHex, selectRecords, shortHex } from '../lib/index.js';
import { countText, localTime, parseDuration, parseTime, rfc3339 } from './human.js';
import { type Run, withRepository } from './run.js';
import { UsageError } from './usage-error.js';

export function configure(command: Command, run: Run): void {
  command
    .argument('<snapshot...>', 'id, latest, latest~N, @TIME')
    .option('--until <time>', 'keep them until then, e.g. 2030-01-01')
    .option('--for <duration>', 'keep them so long from now: 24h, 8w, 12m (months), 1y')
    .option('--reason <text>', 'why', '')
    .addHelpText(
      'after',
      `
Nothing takes an extension back. To keep a snapshot until further notice instead: varve hold add.

Examples:
  varve extend latest --for 7y --reason 'annual accounts'
  varve extend 3f9a21bc --until 2030-01-01`,
    )
    .action((names: string[], options: { until?: string; for?: string; reason: string }) => {
      if ((options.until === undefined) === (options.for === undefined))
        throw new UsageError('give either --until TIME or --for DURATION');
      const nowMs = Date.now();
      const untilSec = Math.ceil(
        options.until === undefined ? nowMs / 1000 + parseDuration(options.for!) : parseTime(options.until, nowMs) / 1000,
      );
      if (untilSec <= Math.ceil(nowMs / 1000)) throw new UsageError(`${options.until ?? options.for}: that is not in the future`);
      return withRepository(run, async (repository) => {
        const ids = (await selectRecords(repository, names)).map(({ id }) => id);
        const longer = await extendSnapshots(repository, ids, { untilSec, reason: options.reason });
        for (const { id, retainUntilSec } of longer) {
          const time = { sec: retainUntilSec, nsec: 0 };
          run.out.record('extended', { id: idHex(id), retain_until: rfc3339(time) });
          run.out.info(`${shortHex(id)}  kept until ${localTime(time)}`);
        }
        run.out.record('summary', { extended: longer.length, unchanged: ids.length - longer.length });
        if (longer.length < ids.length)
          run.out.info(`${countText(ids.length - longer.length, 'snapshot')} kept as long or longer already.`);
      });
    });
}
