/**
 * Times of authors held against when their entries were received (docs/format.md §11). They decide nothing where a vault acknowledged the entry, and little where the store
 * dates it: whoever reads them should know that a clock was wrong, or that somebody lied.
 */
import { toHex } from '../bytes.js';
import { entryName } from '../format/names.js';
import { msOfTime } from '../format/time.js';
import { CLOCK_SLACK_MS, entryKey } from '../ledger/state.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

/** So many are named of each chain; one warning counts the rest. */
const NAMED = 3;

/** Warns of entries whose authors' clocks were more than a day off. A vault's own are its own affair. */
export function checkClocks({ chains, receipts }: ReadableLedger, findings: Findings): void {
  for (const { author, role, entries, limit, storedMs } of chains) {
    if (role === 'vault') continue;
    let found = 0;
    for (const entry of entries) {
      if (entry.sequence >= limit) break;
      const why = wrongClock(msOfTime(entry.time), receipts.get(entryKey(entry))?.time, storedMs?.[entry.sequence]);
      if (why === undefined || ++found > NAMED) continue;
      findings.warning(entryName(author, entry.sequence), why);
    }
    if (found > NAMED)
      findings.warning(`ledger/${toHex(author)}`, `has ${found - NAMED} more entries whose times are more than a day wrong`);
  }
}

function wrongClock(saidMs: number, received: Parameters<typeof msOfTime>[0] | undefined, storedMs = 0): string | undefined {
  if (received !== undefined)
    return Math.abs(saidMs - msOfTime(received)) > CLOCK_SLACK_MS
      ? 'is dated more than a day before or after the vault received it, so only the time of the vault counts: is its author’s clock right?'
      : undefined;
  return storedMs > 0 && saidMs > storedMs + CLOCK_SLACK_MS
    ? 'is dated more than a day after it was stored, so it counts as received when it was stored: is its author’s clock right?'
    : undefined;
}
