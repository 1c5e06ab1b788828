/** `varve ledger show | verify | accept-fork`: who did what in the repository, whether that holds together, and the way back after a rollback on purpose. */
import type { Command } from 'commander';
import {
  acceptFork,
  type CheckError,
  entryRecord,
  listAuthors,
  loadLedger,
  type Repository,
  rememberedDifferences,
  toHex,
  verifyLedger,
} from '../lib/index.js';
import { Exit } from './exit.js';
import { countText, localTime, parseTime } from './human.js';
import { entryText } from './ledger-text.js';
import { type Run, withRepository } from './run.js';
import { collect } from './snapshot-arguments.js';
import { tableLines } from './table.js';
import { UsageError } from './usage-error.js';

interface ShowFlags {
  readonly type?: string[];
  readonly author?: string[];
  readonly since?: string;
}

export function configure(command: Command, run: Run): void {
  command.addHelpText(
    'after',
    `
The ledger holds a signed chain of entries for every admin, vault and writer. This machine remembers the end of each chain that it saw
(in ~/.local/state/varve, or VARVE_STATE_DIR): a repository from which a remembered entry is gone, or in which it is another, is refused with
exit status 14 by every command, until an admin accepts what is there.

Examples:
  varve ledger show --since 7d --type snapshot,policy
  varve ledger verify
  varve ledger accept-fork --reason 'disk failed on 3 March, restored from the copy of 1 March'`,
  );
  command
    .command('show')
    .description('show entries, oldest first')
    .option('--type <type,type>', 'only these types, as they are shown (repeatable)', collect)
    .option('--author <author>', 'only of this author: the first digits of its id (repeatable)', collect)
    .option('--since <time>', 'only from this time on: 2026-03-01, or an age such as 7d')
    .action((flags: ShowFlags) => withRepository(run, (repository) => show(run, repository, flags)));
  command
    .command('verify')
    .description('verify every signature, chain and receipt, and recompute the retention of every snapshot')
    .action(() => withRepository(run, (repository) => verify(run, repository)));
  command
    .command('accept-fork')
    .description('as an admin: what is there now is right, whatever was seen before')
    .requiredOption('--reason <text>', 'what happened, for those who read the ledger')
    .option('-n, --dry-run', 'only say what is missing or different')
    .option('--anyway', 'even if this machine misses nothing, for the sake of others that do')
    .action((flags: { reason: string; dryRun?: boolean; anyway?: boolean }) =>
      withRepository(run, (repository) => accept(run, repository, flags)),
    );
}

async function show(run: Run, repository: Repository, { type, author, since }: ShowFlags): Promise<void> {
  const sinceMs = since === undefined ? undefined : parseTime(since, Date.now());
  const types = type?.flatMap((list) => list.split(','));
  for (const prefix of author ?? [])
    if (!/^[0-9a-f]{1,32}$/i.test(prefix)) throw new UsageError(`${prefix} is not the beginning of an author id (hex digits)`);
  const ledger = await loadLedger(repository);
  const roles = new Map((await listAuthors(repository, ledger)).map((one) => [toHex(one.author), one.role]));
  const rows: string[][] = [];
  for (const entry of ledger.entries) {
    const record = await entryRecord(entry);
    const hex = toHex(entry.author);
    if (types !== undefined && !types.includes(record.type as string)) continue;
    if (author !== undefined && !author.some((prefix) => hex.startsWith(prefix.toLowerCase()))) continue;
    if (sinceMs !== undefined && entry.time.sec * 1000 + entry.time.nsec / 1e6 < sinceMs) continue;
    const role = roles.get(hex) ?? 'unknown';
    run.out.record('entry', { ...record, author_role: role });
    rows.push([localTime(entry.time), `${role} ${hex.slice(0, 8)}`, record.type as string, entryText(record)]);
  }
  for (const line of tableLines(['Time', 'Author', 'Type', 'What'], rows)) run.out.text(line);
  run.out.info(countText(rows.length, 'entry', 'entries'));
}

async function verify(run: Run, repository: Repository): Promise<void> {
  const { out } = run;
  const { errors, errorCount, warnings, counts } = await verifyLedger(repository);
  for (const { object, code, message, advice } of errors) {
    out.record('error', { object, error: code, message, advice });
    out.text(`${object}: ${message}`);
    if (advice !== '') out.text(`    ${advice}`);
  }
  for (const { object, message } of warnings) out.warn(`${object}: ${message}`, { object });
  out.record('summary', { errors: errorCount, warnings: warnings.length, ...counts });
  out.info(
    `${countText(counts.chains, 'chain')} of ${countText(counts.entries, 'entry', 'entries')}, ${countText(counts.receipts, 'receipt')}, ${countText(counts.snapshots, 'snapshot')}`,
  );
  if (errorCount > 0) out.text(`${countText(errorCount, 'error')} found.`);
  else out.info('No errors found.');
  if (errorCount > 0) run.status = statusOfErrors(errors);
}

function statusOfErrors(errors: readonly CheckError[]): number {
  return errors.some(({ code }) => code === 'ROLLED_BACK' || code === 'BAD_SIGNATURE') ? Exit.rolledBack : Exit.integrity;
}

async function accept(
  run: Run,
  repository: Repository,
  { reason, dryRun, anyway }: { reason: string; dryRun?: boolean; anyway?: boolean },
): Promise<void> {
  const { out } = run;
  if (reason.trim() === '') throw new UsageError('--reason is empty; say what happened');
  const differences =
    dryRun === true ? await rememberedDifferences(repository) : await acceptFork(repository, { reason, anyway: anyway === true });
  for (const difference of differences) {
    out.record('difference', { message: difference });
    out.text(difference);
  }
  out.record('summary', { differences: differences.length, accepted: dryRun !== true });
  if (dryRun === true) out.info(`${countText(differences.length, 'difference')}; nothing was written.`);
  else out.info('Accepted: this machine goes on from what is there, and so does every other when it sees the entry.');
}
