/** Retention: what was kept stays kept, whatever comes later; and the slots are those of the calendar. */
import fc from 'fast-check';
import t from 'tap';
import { MAX_SECOND } from '../../lib/format/payload.js';
import { DEFAULT_POLICY, retain, Slot } from '../../lib/retention/slots.js';

const DAY = 86_400;
const sec = (text: string): number => Date.parse(text) / 1000;

interface Taken {
  readonly sec: number;
  readonly complete: boolean;
  readonly slots: number;
  readonly retainUntilSec: number;
}

/** What a stream's runs are given, one after another, as a backup gives it. */
function history(runs: readonly { readonly sec: number; readonly complete: boolean }[], policy = DEFAULT_POLICY): Taken[] {
  const taken: Taken[] = [];
  for (const run of runs) {
    const earlier = taken.filter(({ complete }) => complete).map((before) => before.sec);
    taken.push({ ...run, ...retain(policy, undefined, run.sec, run.complete, earlier) });
  }
  return taken;
}

const anyRun = fc.record({
  sec: fc.integer({ min: sec('2023-12-20T00:00:00Z'), max: sec('2026-02-10T00:00:00Z') }),
  complete: fc.boolean(),
});
const anyPolicy = fc.record({
  minimumSec: fc.integer({ min: 0, max: 40 * DAY }),
  hourSec: fc.integer({ min: 0, max: 5 * DAY }),
  daySec: fc.integer({ min: 0, max: 30 * DAY }),
  weekSec: fc.integer({ min: 0, max: 90 * DAY }),
  monthSec: fc.integer({ min: 0, max: 500 * DAY }),
  yearSec: fc.integer({ min: 0, max: 5000 * DAY }),
});

t.test('everything that a history keeps is kept when more is added, at every moment', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.array(anyRun, { maxLength: 40 }),
        fc.array(anyRun, { maxLength: 40 }),
        anyPolicy,
        (before, later, policy) => {
          const alone = history(before, policy);
          const together = history([...before, ...later], policy);
          return alone.every((one, i) => together[i]!.retainUntilSec === one.retainUntilSec && together[i]!.slots === one.slots);
        },
      ),
      { numRuns: 300 },
    ),
  );
});

t.test('of every slot exactly the first complete snapshot takes it, and the longest of its slots decides', async (t) => {
  const numbers: Record<keyof typeof Slot, (at: number) => string> = {
    hour: (at) => new Date(at * 1000).toISOString().slice(0, 13),
    day: (at) => new Date(at * 1000).toISOString().slice(0, 10),
    week: (at) => {
      const date = new Date(at * 1000);
      date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
      return date.toISOString().slice(0, 10);
    },
    month: (at) => new Date(at * 1000).toISOString().slice(0, 7),
    year: (at) => new Date(at * 1000).toISOString().slice(0, 4),
  };
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(anyRun, { maxLength: 60 }), anyPolicy, (runs, policy) => {
        const durations = {
          hour: policy.hourSec,
          day: policy.daySec,
          week: policy.weekSec,
          month: policy.monthSec,
          year: policy.yearSec,
        };
        const seen = new Set<string>();
        for (const one of history(runs, policy)) {
          let kept = policy.minimumSec;
          for (const kind of Object.keys(Slot) as (keyof typeof Slot)[]) {
            const slot = `${kind} ${numbers[kind](one.sec)}`;
            const first = one.complete && durations[kind] > 0 && !seen.has(slot);
            if (((one.slots & Slot[kind]) !== 0) !== first) throw new Error(`${slot}: ${one.slots}`);
            if (first) kept = Math.max(kept, durations[kind]);
            if (one.complete) seen.add(slot);
          }
          if (one.retainUntilSec !== one.sec + kept)
            throw new Error(`${one.sec}: kept until ${one.retainUntilSec}, not ${one.sec + kept}`);
        }
      }),
      { numRuns: 300 },
    ),
  );
});

t.test('the default: at least a day, hours for 2 days, days for 14, weeks for 8, months for 12 months, years not', async (t) => {
  const first = sec('2026-03-03T10:00:00Z');
  const [one, soon, hour, day, week, month] = history(
    [
      '2026-03-03T10:00:00Z',
      '2026-03-03T10:59:59Z',
      '2026-03-03T11:00:00Z',
      '2026-03-04T00:00:00Z',
      '2026-03-09T00:00:00Z',
      '2026-04-01T00:00:00Z',
    ].map((text) => ({
      sec: sec(text),
      complete: true,
    })),
  ) as [Taken, Taken, Taken, Taken, Taken, Taken];
  t.equal(one.retainUntilSec, first + 366 * DAY);
  t.equal(one.slots, Slot.hour | Slot.day | Slot.week | Slot.month);
  t.same([soon.slots, soon.retainUntilSec - soon.sec], [0, DAY]);
  t.same([hour.slots, hour.retainUntilSec - hour.sec], [Slot.hour, 2 * DAY]);
  t.same([day.slots, day.retainUntilSec - day.sec], [Slot.hour | Slot.day, 14 * DAY]);
  t.same([week.slots, week.retainUntilSec - week.sec], [Slot.hour | Slot.day | Slot.week, 56 * DAY], 'a week begins on Monday');
  t.ok(month.slots & Slot.month);
});

t.test('a partial snapshot takes no slot, has the minimum, and leaves the slot to the next complete one', async (t) => {
  const at = sec('2026-03-03T10:00:00Z');
  const [partial, complete] = history([
    { sec: at, complete: false },
    { sec: at + 60, complete: true },
  ]) as [Taken, Taken];
  t.same([partial.slots, partial.retainUntilSec], [0, at + DAY]);
  t.ok(complete.slots & Slot.month);
});

t.test('slots before 1970 and far ahead are slots too', async (t) => {
  for (const at of [-1, -DAY * 400, 0, sec('9999-12-31T23:59:59Z')]) {
    const { slots, retainUntilSec } = retain(DEFAULT_POLICY, undefined, at, true, []);
    t.equal(slots, Slot.hour | Slot.day | Slot.week | Slot.month);
    t.equal(retainUntilSec, Math.min(Math.max(0, at) + 366 * DAY, MAX_SECOND), 'never beyond what an entry can say');
    t.equal(retain(DEFAULT_POLICY, undefined, at, true, [at]).slots, 0);
  }
});
