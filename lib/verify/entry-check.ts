/**
 * Entries held against the entries and manifests that they name (docs/format.md §11, §14): receipts, releases, and snapshots that another entry names too. What names
 * something that is not there is often all that is left to say that a storage took the end of a chain away.
 */
import { equalBytes, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { entryName } from '../format/names.js';
import { payloadOf, type Receipt, RotatedRole } from '../format/payload.js';
import { asId } from '../id.js';
import { type Identity, isReaderRotation } from '../ledger/authority.js';
import { entryKey } from '../ledger/state.js';
import { checkClocks } from './clock-check.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

/** Checks all of them. @returns how many receipts there are */
export function checkEntries(place: Identity, ledger: ReadableLedger, findings: Findings): number {
  checkRotations(place, ledger, findings);
  checkClocks(ledger, findings);
  checkClaims(ledger, findings);
  checkReleases(ledger, findings);
  return checkReceipts(ledger, findings);
}

const nameOf = ({ author, sequence }: Pick<LedgerEntry, 'author' | 'sequence'>): string =>
  entryName(asId('author', author), sequence);

/** A manifest stands in one entry. */
function checkClaims(ledger: ReadableLedger, findings: Findings): void {
  const named = new Set<string>();
  for (const entry of ledger.entries) {
    const payload = payloadOf(entry.payload, 'snapshot');
    if (payload === undefined) continue;
    const hex = toHex(payload.manifest);
    const what = `snapshots/${hex}`;
    if (ledger.falseClaims?.has(entryKey(entry)) === true)
      findings.error(nameOf(entry), 'CORRUPT', `names ${what}, which is of another author, stream or state`);
    else if (named.has(hex)) findings.warning(nameOf(entry), `names ${what} once more, which changes nothing`);
    else named.add(hex);
  }
}

/** A reader key that nobody vouches for is followed by nobody. */
function checkRotations(place: Identity, { entries }: ReadableLedger, findings: Findings): void {
  for (const entry of entries) {
    const rotation = payloadOf(entry.payload, 'keyRotate');
    if (rotation?.role === RotatedRole.reader && !isReaderRotation(place, rotation))
      findings.error(nameOf(entry), 'CORRUPT', 'rotates the reader key without the signature of a reader, and changes nothing');
  }
}

/** A hold is there before it is released. */
function checkReleases({ entries }: ReadableLedger, findings: Findings): void {
  const holds = new Set<string>();
  for (const entry of entries) {
    if (payloadOf(entry.payload, 'hold') !== undefined) holds.add(entryKey(entry));
    const release = payloadOf(entry.payload, 'release');
    if (release !== undefined && !holds.has(entryKey(release)))
      findings.warning(nameOf(entry), `releases ${nameOf(release)}, where no hold stands before it`);
  }
}

/** What vaults acknowledged is there. */
function checkReceipts(ledger: ReadableLedger, findings: Findings): number {
  let count = 0;
  // What an admin accepted as lost, was: receipts from before may speak of it.
  const accepted = ledger.entries.findLastIndex(({ payload }) => payloadOf(payload, 'acceptFork') !== undefined);
  for (const [at, { payload }] of ledger.entries.entries()) {
    for (const receipt of payloadOf(payload, 'receipt')?.receipts ?? []) {
      count++;
      const problem = problemWith(receipt, ledger);
      if (problem === undefined) continue;
      if (at < accepted) findings.warning(nameOf(receipt), `${problem}, which an admin accepted`);
      else findings.error(nameOf(receipt), 'ROLLED_BACK', problem);
    }
  }
  return count;
}

function problemWith({ author, sequence, hash }: Receipt, { read }: ReadableLedger): string | undefined {
  const hashes = read.find((chain) => toHex(chain.author) === toHex(author))?.hashes ?? [];
  if (sequence >= hashes.length) return 'is missing, but a vault acknowledged it';
  const there = hashes[sequence];
  return there !== undefined && !equalBytes(there, hash) ? 'is not the entry that a vault acknowledged' : undefined;
}
