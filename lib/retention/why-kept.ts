/** Why a snapshot is kept, and until when, as data and in words. Pure. */
import { toHex } from '../bytes.js';
import { shortHex } from '../id.js';
import type { Hold, Standing } from '../ledger/standing.js';
import { Slot } from './slots.js';

/** What people call a hold: the beginning of its author's id, and its number in that author's chain. */
export function holdName({ author, sequence }: Pick<Hold, 'author' | 'sequence'>): string {
  return `${shortHex(author)}-${sequence}`;
}

/** Names of the retention slots whose bits are set. */
export function slotNames(bits: number): string[] {
  return Object.entries(Slot)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name);
}

const utc = (sec: number): string => {
  const date = new Date(sec * 1000);
  return Number.isNaN(date.getTime()) ? `second ${sec}` : `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
};

/** `2026-03-01 02:00 UTC, as the first of its day and week (class db)`. */
function promiseText({ retainUntilSec, payload, receipt }: Pick<Standing, 'retainUntilSec' | 'payload' | 'receipt'>): string {
  const names = slotNames(payload.slots | (receipt?.slots ?? 0));
  const longer = retainUntilSec > Math.max(payload.retainUntilSec, receipt?.retainUntilSec ?? 0);
  const why = longer ? 'extended' : names.length === 0 ? 'the minimum' : `the first of its ${names.join(', ')}`;
  return `${utc(retainUntilSec)} (${why}${payload.class === undefined ? '' : `, class ${payload.class}`})`;
}

/** What keeps a snapshot at `nowSec`, one item each; nothing when it has expired. */
export function whyKept(standing: Standing, nowSec: number): string[] {
  const reasons: string[] = [];
  if (standing.retainUntilSec > nowSec) reasons.push(`it is kept until ${promiseText(standing)}`);
  for (const hold of standing.holds)
    reasons.push(`hold ${holdName(hold)} is on it${hold.reason === '' ? '' : ` (${hold.reason})`}`);
  if (standing.newest) reasons.push('it is the newest complete snapshot of its stream, which never expires');
  return reasons;
}

/** What a person can do about it. */
export function adviceToForget(standing: Standing, nowSec: number): string {
  const { holds, newest, retainUntilSec } = standing;
  const steps = [
    ...holds.map((hold) => `release the hold (varve hold release ${holdName(hold)})`),
    ...(newest ? ['take a newer snapshot of the same stream'] : []),
    ...(retainUntilSec > nowSec ? [`wait until ${utc(retainUntilSec)}: no key shortens what was promised`] : []),
  ];
  return `${steps.join('; ')}; then: varve forget ${toHex(standing.id).slice(0, 8)}`;
}
