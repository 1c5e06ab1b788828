/**
 * The verb behind `varve ledger verify`: every signature and chain, what this machine remembers, the vault's receipts, and the retention of every snapshot,
 * recomputed. Needs no content key, so that everybody can do it.
 */
import { manifestName } from '../format/names.js';
import { readEnvelope, snapshotRecords } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import { checkEntries } from './entry-check.js';
import { walkLedger } from './ledger-walk.js';
import { listEntries } from './listing.js';
import { findGone, lookAgain } from './meanwhile.js';
import { checkMemory } from './memory-check.js';
import { type CheckError, type CheckWarning, Findings } from './report.js';
import { RetentionCheck } from './retention-check.js';

export interface LedgerReport {
  readonly errors: readonly CheckError[];
  readonly errorCount: number;
  readonly warnings: readonly CheckWarning[];
  readonly warningCount: number;
  readonly counts: { readonly chains: number; readonly entries: number; readonly receipts: number; readonly snapshots: number };
}

/** Verifies the whole ledger. @throws StoreError if it cannot be listed */
export async function verifyLedger(repository: Repository): Promise<LedgerReport> {
  const findings = new Findings();
  const before = await repository.heads?.recall();
  const ledger = await walkLedger(repository, { entries: await listEntries(repository.store, findings) }, findings);
  await checkMemory(repository, before, ledger, findings);
  const receipts = checkEntries(repository, ledger, findings);
  const retention = new RetentionCheck(ledger);
  const records = snapshotRecords(ledger);
  for (const record of records) {
    try {
      retention.check(record, (await readEnvelope(repository, record.id)).envelope.started, findings);
    } catch (error) {
      findings.thrown(error, manifestName(record.id));
    }
  }
  if (findings.errorCount > 0) {
    const later = await lookAgain(repository, ledger);
    findings.takeBack(await findGone(repository, { manifests: new Map() }, later));
  }
  const { errors, errorCount, warnings, warningCount } = findings;
  const counts = {
    chains: ledger.chains.length,
    entries: ledger.chains.reduce((sum, { entries }) => sum + entries.length, 0),
    receipts,
    snapshots: records.length,
  };
  return { errors, errorCount, warnings, warningCount, counts };
}
