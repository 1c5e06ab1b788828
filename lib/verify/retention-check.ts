/**
 * Recomputes what the policy gives each snapshot and compares it with what its ledger entry says (docs/format.md §11). A run works with the ledger as it was
 * when it began, so what runs side by side did may be missing from its sums: shorter than every honest sum is an error, any other difference a warning.
 */
import { equalBytes, toHex } from '../bytes.js';
import { EntryType, type LedgerEntry, type PolicyPayload } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { entryName } from '../format/names.js';
import { compareTimes, type Timestamp } from '../format/time.js';
import { asId } from '../id.js';
import { type SnapshotRecord, snapshotRecords } from '../ledger/snapshots.js';
import { DEFAULT_POLICY, retain } from '../retention/slots.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

function policiesBetween(entries: readonly LedgerEntry[], from: Timestamp, to: Timestamp): PolicyPayload[] {
  let before: PolicyPayload = DEFAULT_POLICY;
  const during: PolicyPayload[] = [];
  for (const { time, payload } of entries) {
    if (payload.type !== EntryType.policy || !('minimumSec' in payload)) continue;
    if (compareTimes(time, from) <= 0) before = payload;
    else if (compareTimes(time, to) <= 0) during.push(payload);
  }
  return [before, ...during];
}

/** Checks one snapshot's retention. `started`: when its run began. */
export function checkRetention(ledger: ReadableLedger, record: SnapshotRecord, started: Timestamp, findings: Findings): void {
  const { entry, payload } = record;
  // Sums over a broken chain would be wrong ones.
  if (ledger.broken.size > 0) return;
  const own = snapshotRecords(ledger).filter(
    (other) =>
      equalBytes(other.entry.author, entry.author) &&
      equalBytes(other.payload.stream, payload.stream) &&
      other.payload.state === State.complete &&
      other.entry.sequence < entry.sequence,
  );
  const complete = payload.state === State.complete;
  const seen = own.filter((other) => compareTimes(other.entry.time, started) <= 0);
  const results = policiesBetween(ledger.entries, started, entry.time).flatMap((policy) =>
    [own, seen].map((earlier) =>
      retain(
        policy,
        entry.time.sec,
        complete,
        earlier.map((other) => other.entry.time.sec),
      ),
    ),
  );
  if (results.some(({ slots, retainUntilSec }) => slots === payload.slots && retainUntilSec === payload.retainUntilSec)) return;
  const name = entryName(asId('author', entry.author), entry.sequence);
  const least = Math.min(...results.map(({ retainUntilSec }) => retainUntilSec));
  const affected = { snapshot: toHex(record.id), path: '/' };
  if (payload.retainUntilSec < least)
    findings.error(name, 'CORRUPT', 'keeps its snapshot for less time than the policy says', affected);
  else findings.warning(name, 'keeps its snapshot for another time than the policy says');
}
