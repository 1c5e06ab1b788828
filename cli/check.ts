/** `varve check`: looks for damage, in the structure and as much of the data as is asked for, and says which files each finding touches. */
import type { Command } from 'commander';
import { type CheckOptions, type CheckReport, check, type Subset } from '../lib/index.js';
import { Exit } from './exit.js';
import { bytesText, countText, durationText, parseBytes } from './human.js';
import { Progress } from './progress.js';
import { type Run, withRepository } from './run.js';
import { UsageError } from './usage-error.js';

const SHOWN_PATHS = 10;
/** What each phase of a check counts. */
const NOUNS = { objects: 'objects', trees: 'snapshots', data: 'packs' } as const;

export function configure(command: Command, run: Run): void {
  command
    .option('--read-data', 'read and verify all data too')
    .option('--read-data-subset <part>', 'a part of it: 2/7 (the second of seven), 5%, or 10G')
    .addHelpText(
      'after',
      `
Without options: every signature, every directory of every pack and every tree is verified, but file content is not read.

Examples:
  varve check
  varve check --read-data
  varve check --read-data-subset 1/7        another part each day of the week`,
    )
    .action(async (options: { readData?: boolean; readDataSubset?: string }) => {
      if (options.readData === true && options.readDataSubset !== undefined)
        throw new UsageError('give --read-data or --read-data-subset, not both');
      const subset = options.readDataSubset === undefined ? undefined : parseSubset(options.readDataSubset);
      await withRepository(run, async (repository) => {
        const progress = new Progress(run.out, 'checking');
        const startedMs = performance.now();
        const checkOptions: CheckOptions = {
          readData: options.readData === true || subset !== undefined,
          ...(subset === undefined ? {} : { subset }),
          signal: run.signal,
          onProgress: ({ phase, done, total, bytes }) =>
            progress.update({ files: done, totalFiles: total, bytes, noun: NOUNS[phase] }),
        };
        let report: CheckReport;
        try {
          report = await check(repository, checkOptions);
        } finally {
          progress.stop();
        }
        print(run, report, (performance.now() - startedMs) / 1000);
        if (report.errorCount > 0)
          run.status = report.errors.some(({ code }) => code === 'ROLLED_BACK') ? Exit.rolledBack : Exit.integrity;
      });
    });
}

/** `n/t`, `x%` or a size. @throws UsageError */
function parseSubset(text: string): Subset {
  const nth = /^(\d+)\/(\d+)$/.exec(text);
  if (nth !== null) {
    const [n, of] = [Number(nth[1]), Number(nth[2])];
    if (n < 1 || n > of) throw new UsageError(`${text}: the first number must be from 1 to the second`);
    return { kind: 'nth', n, of };
  }
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent === null) return { kind: 'bytes', bytes: parseBytes(text) };
  if (Number(percent[1]) <= 0 || Number(percent[1]) > 100) throw new UsageError(`${text}: must be above 0 % and at most 100 %`);
  return { kind: 'percent', percent: Number(percent[1]) };
}

function print(run: Run, report: CheckReport, seconds: number): void {
  const { out } = run;
  for (const error of report.errors) {
    out.record('error', {
      object: error.object,
      error: error.code,
      message: error.message,
      affects: error.affects,
      affected: error.affectedCount,
      advice: error.advice,
    });
    out.text(`${error.object}: ${error.message}`);
    const shown = error.affects.slice(0, SHOWN_PATHS);
    for (const { snapshot, path } of shown) out.text(`    affects ${snapshot.slice(0, 8)}:`, Buffer.from(path));
    if (error.affectedCount > shown.length) out.text(`    and ${error.affectedCount - shown.length} more (--json lists them)`);
    if (error.advice !== '') out.text(`    ${error.advice}`);
  }
  for (const { object, message } of report.warnings) out.warn(`${object}: ${message}`, { object });
  const { counts } = report;
  out.record('summary', {
    errors: report.errorCount,
    warnings: report.warningCount,
    snapshots: counts.snapshots,
    packs: counts.packs,
    pack_bytes: counts.packBytes,
    chunks: counts.chunks,
    tree_pages: counts.treePages,
    read_bytes: counts.readBytes,
    rebuilt_index: report.rebuiltIndex,
    seconds: Math.round(seconds * 1000) / 1000,
  });
  const read = counts.readBytes === 0 ? 'no data read' : `${bytesText(counts.readBytes)} read`;
  out.info(
    `${countText(counts.snapshots, 'snapshot')}, ${countText(counts.packs, 'pack')} of ${bytesText(counts.packBytes)}, ${countText(counts.treePages, 'tree page')}; ${read}, in ${durationText(seconds)}`,
  );
  if (report.errorCount > 0) out.text(`${countText(report.errorCount, 'error')} found.`);
  else out.info('No errors found.');
}
