/** The vault's clocks over random lives of a machine: whatever the wall clock does, nothing expires faster than time was seen to pass. */
import fc from 'fast-check';
import t from 'tap';
import { advance, BOOT_GAIN_MS, firstClock, JUMP_MS, lateClock, MAX_AHEAD_MS } from '../../lib/vault/clock.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 0, 1);

/** What happens to a machine: it runs a while, its clock is moved, it is off for a while and boots. */
const step = fc.oneof(
  fc.record({ kind: fc.constant('run' as const), ms: fc.integer({ min: 0, max: 30 * DAY }) }),
  fc.record({ kind: fc.constant('set' as const), ms: fc.integer({ min: -4000 * DAY, max: 4000 * DAY }) }),
  fc.record({ kind: fc.constant('boot' as const), ms: fc.integer({ min: 0, max: 60 * DAY }) }),
);

t.test(
  'the early clock never goes back, and never gains more than the machine ran and a day for each day it ran and booted',
  async (_t) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let [wallMs, uptimeMs, boots, ran] = [START, 0, 0, 0];
        let state = firstClock({ wallMs, uptimeMs, bootId: '0' });
        for (const { kind, ms } of steps) {
          if (kind === 'run') {
            wallMs += ms;
            uptimeMs += ms;
            ran += ms;
          } else if (kind === 'set') wallMs += ms;
          else {
            wallMs += ms;
            uptimeMs = 0;
            boots++;
          }
          const before = state.earlyMs;
          state = advance(state, { wallMs, uptimeMs, bootId: String(boots) });
          const { lateMs } = lateClock(state, wallMs);
          if (state.earlyMs < before) return false;
          if (state.earlyMs > before && state.earlyMs > wallMs) return false;
          if (lateMs < state.earlyMs || lateMs > state.earlyMs + MAX_AHEAD_MS) return false;
          if (state.earlyMs - START > ran + BOOT_GAIN_MS * Math.min(boots, 1 + ran / DAY)) return false;
        }
        return true;
      }),
      { numRuns: 2000 },
    );
  },
);

t.test('a clock that is right is followed to the millisecond, over restarts of the process too', async (t) => {
  let state = firstClock({ wallMs: START, uptimeMs: 5, bootId: 'a' });
  for (let hour = 1; hour <= 100; hour++)
    state = advance(state, { wallMs: START + hour * HOUR, uptimeMs: 5 + hour * HOUR, bootId: 'a' });
  t.equal(state.earlyMs, START + 100 * HOUR);
});

t.test('ten years forward expire nothing, and are told', async (t) => {
  const first = firstClock({ wallMs: START, uptimeMs: 0, bootId: 'a' });
  const wallMs = START + 3650 * DAY;
  const state = advance(first, { wallMs, uptimeMs: HOUR, bootId: 'a' });
  t.equal(state.earlyMs, START + HOUR);
  t.same(lateClock(state, wallMs), { lateMs: state.earlyMs + MAX_AHEAD_MS, jumped: true });
  const booted = advance(state, { wallMs: wallMs + HOUR, uptimeMs: 1000, bootId: 'b' });
  t.equal(booted.earlyMs, START + HOUR + 1000 + DAY, 'a boot gains a day at most');
  let again = booted;
  for (let i = 0; i < 50; i++) again = advance(again, { wallMs: wallMs + 2 * HOUR, uptimeMs: 1000, bootId: `c${i}` });
  t.equal(again.earlyMs, booted.earlyMs + 50_000, 'and fifty more boots only what the machine ran');
});

t.test('ten years back shorten nothing', async (t) => {
  const first = firstClock({ wallMs: START, uptimeMs: 0, bootId: 'a' });
  const state = advance(first, { wallMs: START - 3650 * DAY, uptimeMs: HOUR, bootId: 'a' });
  t.equal(state.earlyMs, START);
  t.equal(lateClock(state, START - 3650 * DAY).lateMs, START);
  t.ok(JUMP_MS <= MAX_AHEAD_MS);
});
