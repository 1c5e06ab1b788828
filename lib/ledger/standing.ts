/**
 * How every snapshot stands by the ledger: when it was received, until when it is kept and why, who holds it, and whether it was pruned. Pure, and
 * without any content key, so that a writer, a vault and a pruner come to the same answer (docs/format.md §11, docs/security.md).
 */
import { EMPTY, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { payloadOf, type Receipt, type SnapshotPayload } from '../format/payload.js';
import { compareTimes, type Timestamp } from '../format/time.js';
import { asId, type SnapshotId } from '../id.js';
import type { Chain, Ledger } from './ledger.js';

export interface Hold {
  readonly author: Uint8Array;
  readonly sequence: number;
  readonly reason: string;
  readonly time: Timestamp;
}

export interface Standing {
  readonly id: SnapshotId;
  readonly entry: LedgerEntry;
  readonly payload: SnapshotPayload;
  /** The vault's time where a vault acknowledged it, else its author's. */
  readonly received: Timestamp;
  readonly receipt?: Receipt;
  /** The longest that anybody promised. */
  readonly retainUntilSec: number;
  /** Holds that were not released. */
  readonly holds: readonly Hold[];
  /** The newest complete one of its writer and stream: it never expires. */
  readonly newest: boolean;
  /** Its manifest was pruned, rightly. */
  readonly pruned: boolean;
}

/** Whether nothing keeps a snapshot at `nowSec`. */
export function hasExpired({ retainUntilSec, holds, newest }: Standing, nowSec: number): boolean {
  return !newest && holds.length === 0 && nowSec >= retainUntilSec;
}

/** Writer and stream: what slots and `newest` go by. */
export function seriesOf({ entry, payload }: Pick<Standing, 'entry' | 'payload'>): string {
  return `${toHex(entry.author)}/${toHex(payload.stream)}`;
}

const idsIn = function* (joined: Uint8Array): Iterable<string> {
  for (let at = 0; at < joined.byteLength; at += 32) yield toHex(joined.subarray(at, at + 32));
};

const place = (author: Uint8Array, sequence: number): string => `${toHex(author)}/${sequence}`;

/** Receipts of vaults by author and sequence, as far as they fit the entry that is there. The first one counts. */
export function receiptsOf(ledger: Ledger): Map<string, { receipt: Receipt; time: Timestamp }> {
  const chains = new Map<string, Chain>(ledger.chains.map((chain) => [toHex(chain.author), chain]));
  const found = new Map<string, { receipt: Receipt; time: Timestamp }>();
  for (const { payload, time } of ledger.entries) {
    for (const receipt of payloadOf(payload, 'receipt')?.receipts ?? []) {
      const hash = chains.get(toHex(receipt.author))?.hashes[receipt.sequence];
      const key = place(receipt.author, receipt.sequence);
      if (hash !== undefined && toHex(hash) === toHex(receipt.hash) && !found.has(key)) found.set(key, { receipt, time });
    }
  }
  return found;
}

/** Ids, hex, of the packs that an intent to prune names. */
export function intendedPacks(entries: readonly LedgerEntry[]): Set<string> {
  const packs = new Set<string>();
  for (const { payload } of entries) for (const id of idsIn(payloadOf(payload, 'pruneIntent')?.packs ?? EMPTY)) packs.add(id);
  return packs;
}

/** Every snapshot in merged order; of two entries for one manifest, the first. */
export function standings(ledger: Ledger): Standing[] {
  const receipts = receiptsOf(ledger);
  const extended = new Map<string, number>();
  const holds = new Map<string, { hold: Hold; snapshots: Uint8Array }>();
  const released = new Set<string>();
  for (const { author, sequence, time, payload } of ledger.entries) {
    const extend = payloadOf(payload, 'extend');
    if (extend !== undefined)
      for (const id of idsIn(extend.snapshots)) extended.set(id, Math.max(extend.untilSec, extended.get(id) ?? 0));
    const hold = payloadOf(payload, 'hold');
    if (hold !== undefined)
      holds.set(place(author, sequence), { hold: { author, sequence, time, reason: hold.reason }, snapshots: hold.snapshots });
    const release = payloadOf(payload, 'release');
    if (release !== undefined) released.add(place(release.author, release.sequence));
  }
  const held = new Map<string, Hold[]>();
  for (const [key, { hold, snapshots }] of holds)
    if (!released.has(key)) for (const id of idsIn(snapshots)) held.set(id, [...(held.get(id) ?? []), hold]);

  const result = new Map<string, Standing>();
  const newest = new Map<string, string>();
  for (const entry of ledger.entries) {
    const payload = payloadOf(entry.payload, 'snapshot');
    if (payload === undefined) continue;
    const hex = toHex(payload.manifest);
    if (result.has(hex)) continue;
    const acknowledged = receipts.get(place(entry.author, entry.sequence));
    const standing: Standing = {
      id: asId('snapshot', payload.manifest),
      entry,
      payload,
      received: acknowledged?.time ?? entry.time,
      ...(acknowledged === undefined ? {} : { receipt: acknowledged.receipt }),
      retainUntilSec: Math.max(payload.retainUntilSec, acknowledged?.receipt.retainUntilSec ?? 0, extended.get(hex) ?? 0),
      holds: held.get(hex) ?? [],
      newest: false,
      pruned: false,
    };
    result.set(hex, standing);
    if (payload.state === State.complete) newest.set(seriesOf(standing), hex);
  }
  for (const hex of newest.values()) result.set(hex, { ...result.get(hex)!, newest: true });
  for (const { time, payload } of ledger.entries) {
    const done = payloadOf(payload, 'pruneDone');
    if (done === undefined) continue;
    for (const hex of idsIn(done.snapshots)) {
      const standing = result.get(hex);
      // What says that a snapshot was pruned which was still to be kept is not believed: it stays listed, and its absence is noticed.
      if (standing === undefined) continue;
      const holds = standing.holds.filter((hold) => compareTimes(hold.time, time) <= 0);
      if (hasExpired({ ...standing, holds }, time.sec)) result.set(hex, { ...standing, pruned: true });
    }
  }
  return [...result.values()];
}
