/**
 * Recomputes what the policy gives each snapshot and compares it with what its ledger entry says (docs/format.md §11). A run works with the ledger as it was
 * when it began, so what runs side by side did may be missing from its sums: shorter than every honest sum is an error, any other difference a warning. A run
 * takes the policy that it sees, whatever time an admin's clock gave it: a policy that was in force within a day is honest too, and worth a warning. When a run
 * began only its writer says: of policies, those of the last LONGEST_RUN count, or one who says 1970 could choose among all that ever were.
 */
import { toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { entryName } from '../format/names.js';
import { type PolicyPayload, payloadOf } from '../format/payload.js';
import { compareTimes, type Timestamp } from '../format/time.js';
import { asId } from '../id.js';
import type { SnapshotRecord } from '../ledger/snapshots.js';
import { standings } from '../ledger/standing.js';
import { termsOf } from '../retention/policy.js';
import { DEFAULT_POLICY, retain } from '../retention/slots.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

const DAY = 86_400;
const LONGEST_RUN = 30 * DAY;

const later = ({ sec, nsec }: Timestamp, by: number): Timestamp => ({ sec: sec + by, nsec });

type Retention = ReturnType<typeof retain>;

function policiesBetween(entries: readonly LedgerEntry[], from: Timestamp, to: Timestamp): PolicyPayload[] {
  let before: PolicyPayload = DEFAULT_POLICY;
  const during: PolicyPayload[] = [];
  for (const { time, payload } of entries) {
    const policy = payloadOf(payload, 'policy');
    if (policy === undefined) continue;
    if (compareTimes(time, from) <= 0) before = policy;
    else if (compareTimes(time, to) <= 0) during.push(policy);
  }
  return [before, ...during];
}

/** Of the times before `sec`, those that decide whether a slot is taken: all of its own day, one of every other day, none older than any slot. */
function thin(times: readonly number[], sec: number): number[] {
  const today = Math.floor(sec / DAY);
  const days = new Map<number, number>();
  const kept: number[] = [];
  for (const time of times) {
    const day = Math.floor(time / DAY);
    if (day === today) kept.push(time);
    else if (Math.abs(today - day) < 400) days.set(day, time);
  }
  return [...kept, ...days.values()];
}

/** Recomputes retention from one ledger. */
export class RetentionCheck {
  readonly #ledger: ReadableLedger;
  readonly #streams = new Map<string, SnapshotRecord[]>();

  constructor(ledger: ReadableLedger) {
    this.#ledger = ledger;
    for (const record of standings(ledger)) {
      const stream = streamOf(record);
      const records = this.#streams.get(stream);
      if (records === undefined) this.#streams.set(stream, [record]);
      else records.push(record);
    }
  }

  /** Checks one snapshot's retention. `started`: when its run began, as its manifest says. */
  check(record: SnapshotRecord, started: Timestamp, findings: Findings): void {
    const { entry, payload } = record;
    // Sums over a broken chain would be wrong ones.
    if (this.#ledger.broken.size > 0) return;
    const complete = payload.state === State.complete;
    const own = this.#streams
      .get(streamOf(record))!
      .filter(
        (other) =>
          other.payload.state === State.complete &&
          other.payload.class === payload.class &&
          other.entry.sequence < entry.sequence,
      );
    const seen = own.filter((other) => compareTimes(other.entry.time, started) <= 0);
    const { sec } = entry.time;
    const sums = (from: Timestamp, to: Timestamp): Retention[] =>
      policiesBetween(this.#ledger.entries, from, to).flatMap((policy) =>
        [own, seen].map((earlier) => {
          const times = earlier.map((other) => other.received.sec);
          const chosen = termsOf(policy).classes.find(({ name }) => name === payload.class);
          return retain(policy, chosen, sec, complete, thin(times, sec));
        }),
      );
    const isPromised = ({ slots, retainUntilSec }: Retention): boolean =>
      slots === payload.slots && retainUntilSec === payload.retainUntilSec;
    const earliest = later(entry.time, -LONGEST_RUN);
    const from = compareTimes(started, earliest) < 0 ? earliest : started;
    const results = sums(from, entry.time);
    if (results.some(isPromised)) return;
    const name = entryName(asId('author', entry.author), entry.sequence);
    if (sums(later(from, -DAY), later(entry.time, DAY)).some(isPromised)) {
      findings.warning(name, 'keeps its snapshot as a policy says that was in force within a day of it: do the clocks differ?');
      return;
    }
    const least = Math.min(...results.map(({ retainUntilSec }) => retainUntilSec));
    const affected = { snapshot: toHex(record.id), path: '/' };
    if (payload.retainUntilSec < least)
      findings.error(name, 'CORRUPT', 'keeps its snapshot for less time than the policy says', affected);
    else findings.warning(name, 'keeps its snapshot for another time than the policy says');
  }
}

function streamOf({ entry, payload }: SnapshotRecord): string {
  return toHex(entry.author) + toHex(payload.stream);
}
