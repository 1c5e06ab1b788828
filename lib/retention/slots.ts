/**
 * Which slots a new snapshot takes, and until when it is kept (docs/format.md §11). Pure. The first complete snapshot of an hour, day, week, month or
 * year gets that slot's duration; later ones can displace nothing, so what was kept stays kept.
 */
import { type Durations, MAX_SECOND, type PolicyPayload, type PolicyTerms, type RetentionClass } from '../format/payload.js';

export const Slot = { hour: 1, day: 2, week: 4, month: 8, year: 16 } as const;

const DAY = 86_400;

/** The policy of a ledger that has none: hour 2 days, day 14 days, week 8 weeks, month 12 months, at least 24 hours. */
export const DEFAULT_POLICY: PolicyPayload = {
  minimumSec: DAY,
  hourSec: 2 * DAY,
  daySec: 14 * DAY,
  weekSec: 56 * DAY,
  monthSec: 366 * DAY,
  yearSec: 0,
};

/** What a new repository's policy says besides: bounds that nobody meets by accident, and that a stolen key does. */
export const NEW_TERMS: PolicyTerms = {
  waitSec: 3 * DAY,
  longestSec: 400 * DAY,
  autoPrune: false,
  dailyBytes: 2 ** 40,
  dailySnapshots: 1000,
  classes: [],
  extensionSec: 30 * DAY,
};

/** The policy of a new repository. */
export const NEW_POLICY: PolicyPayload = { ...DEFAULT_POLICY, terms: NEW_TERMS };

/** Number of the slot of each kind that contains `sec` (UTC; weeks begin on Monday). */
function slotNumbers(sec: number): Record<keyof typeof Slot, number> {
  const date = new Date(sec * 1000);
  const day = Math.floor(sec / DAY);
  return {
    hour: Math.floor(sec / 3600),
    day,
    week: Math.floor((day + 3) / 7), // 1970-01-01 was a Thursday
    month: date.getUTCFullYear() * 12 + date.getUTCMonth(),
    year: date.getUTCFullYear(),
  };
}

/**
 * Slots taken by a snapshot received at `sec`, given when the complete snapshots of its series and class before it were received, and the second until
 * which it is kept. A partial snapshot takes no slot and gets the minimum. Nobody may promise more than the policy's longest.
 *
 * @param chosen - its class; undefined for the default one
 */
export function retain(
  policy: PolicyPayload,
  chosen: RetentionClass | undefined,
  sec: number,
  complete: boolean,
  earlierSec: readonly number[],
): { slots: number; retainUntilSec: number } {
  const own: Durations = chosen ?? policy;
  const longest = policy.terms?.longestSec ?? 0;
  const mine = slotNumbers(sec);
  const durations = { hour: own.hourSec, day: own.daySec, week: own.weekSec, month: own.monthSec, year: own.yearSec };
  let slots = 0;
  let duration = own.minimumSec;
  if (complete) {
    let free = (Object.keys(Slot) as (keyof typeof Slot)[]).filter((kind) => durations[kind] > 0);
    // From the last: of ten thousand in one hour, one look is enough.
    for (let i = earlierSec.length - 1; i >= 0 && free.length > 0; i--) {
      const numbers = slotNumbers(earlierSec[i]!);
      free = free.filter((kind) => numbers[kind] !== mine[kind]);
    }
    for (const kind of free) {
      slots |= Slot[kind];
      duration = Math.max(duration, durations[kind]);
    }
  }
  if (longest > 0) duration = Math.min(duration, longest);
  // No entry can say more: one that did would change nothing, and the snapshot would not be kept at all.
  return { slots, retainUntilSec: Math.min(Math.max(0, Math.ceil(sec)) + duration, MAX_SECOND) };
}
