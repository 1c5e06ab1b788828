/** What a reader makes of a ledger, as plain data that can be compared with another reader's. */
import { toHex } from '../../lib/bytes.js';
import type { Genesis } from '../../lib/format/genesis.js';
import { rfc3339, type Timestamp } from '../../lib/format/time.js';
import type { RepositoryId } from '../../lib/id.js';
import type { Authority } from '../../lib/ledger/authority.js';
import { readerKeyInForce } from '../../lib/ledger/reader-key.js';
import { disowned, type Standing, standings, wrongPrunes } from '../../lib/ledger/standing.js';
import { entryKey, type Ledger } from '../../lib/ledger/state.js';
import { currentPolicy } from '../../lib/retention/policy.js';

type Place = { readonly id: RepositoryId; readonly genesis: Genesis };

const timeText = (time: Timestamp): string => (Number.isSafeInteger(time.sec) ? rfc3339(time) : String(time.sec));

export function whoCounts(authorities: readonly Authority[]): string[] {
  return authorities.map(
    ({ author, role, roles, limit, receiptLimit, disowned: gone, retired }) =>
      `${toHex(author).slice(0, 8)} ${role} ${[...roles].sort().join('+')} ${limit} ${receiptLimit} ${gone ?? false} ${retired?.count}`,
  );
}

/** How snapshots stand, without what only their authors' clocks say. */
export function standingText({
  id,
  entry,
  received,
  receipt,
  retainUntilSec,
  holds,
  newest,
  freeSec,
  pruned,
  overtaken,
}: Standing): string {
  const held = holds.map(({ author, sequence }) => entryKey({ author, sequence })).join();
  const given = receipt === undefined ? '' : `${receipt.retainUntilSec}/${receipt.slots}`;
  return `${toHex(id).slice(0, 8)} ${entryKey(entry)} ${timeText(received)} ${given} ${retainUntilSec} ${freeSec} [${held}] ${newest} ${pruned} ${overtaken}`;
}

/** Everything that is shown, chosen or kept by a ledger. */
export function verdict(place: Place, ledger: Ledger, nowSec: number): Record<string, unknown> {
  return {
    chains: ledger.chains.map(
      ({ author, limit, entries, voids }) =>
        `${toHex(author).slice(0, 8)} ${limit} ${entries.length} ${[...voids].map(([at, why]) => `${at}: ${why}`).join('; ')}`,
    ),
    order: ledger.entries.map((entry, at) => `${entryKey(entry)} ${timeText(ledger.times[at]!)}`),
    receipts: [...ledger.receipts]
      .map(([key, { receipt, time }]) => `${key} ${timeText(time)} ${receipt.retainUntilSec} ${receipt.slots}`)
      .sort(),
    standings: standings(ledger, nowSec).map(standingText),
    disowned: disowned(ledger).map(standingText),
    wrongPrunes: wrongPrunes(ledger, nowSec).map(({ entry, snapshot }) => `${entryKey(entry)} ${snapshot.slice(0, 8)}`),
    policy: JSON.stringify(currentPolicy(ledger.entries)),
    readerKey: toHex(readerKeyInForce(place, ledger)),
  };
}

/** The first difference between two verdicts, in words. */
export function difference(a: Record<string, unknown>, b: Record<string, unknown>): string | undefined {
  for (const key of Object.keys(a)) {
    const [left, right] = [a[key], b[key]];
    if (JSON.stringify(left) === JSON.stringify(right)) continue;
    if (!Array.isArray(left) || !Array.isArray(right)) return `${key}: ${JSON.stringify(left)} ≠ ${JSON.stringify(right)}`;
    const at = left.findIndex((item, i) => item !== right[i]);
    return `${key}[${at < 0 ? left.length : at}]: ${left[at < 0 ? left.length : at]} ≠ ${right[at < 0 ? left.length : at]}`;
  }
  return undefined;
}
