/**
 * The vault's two clocks. The early one decides what has expired: it advances only as fast as the machine has been seen to run, so a wall clock set forward expires
 * nothing. The late one says until when something new is kept: it is never behind the early one. A wrong clock costs space, never data. The core is pure.
 */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** What a boot may add beyond the time the machine is known to have run, and how long it must run until the next boot may. */
export const BOOT_GAIN_MS = DAY_MS;
/** A wall clock further ahead of the early clock than this is an incident … */
export const JUMP_MS = DAY_MS;
/** … and is believed up to here. */
export const MAX_AHEAD_MS = 30 * DAY_MS;

/** What the machine says: its wall clock, how long it has been up, and which boot this is. */
export interface Reading {
  readonly wallMs: number;
  readonly uptimeMs: number;
  readonly bootId: string;
}

/** What is remembered between readings, and over restarts. */
export interface ClockState {
  readonly earlyMs: number;
  readonly uptimeMs: number;
  readonly bootId: string;
  /** How long the machine was seen to run since a boot last added time of its own. */
  readonly ranMs: number;
}

/** The clock of a vault that has never run: it believes the wall. */
export function firstClock({ wallMs, uptimeMs, bootId }: Reading): ClockState {
  return { earlyMs: wallMs, uptimeMs, bootId, ranMs: BOOT_GAIN_MS };
}

/** The early clock at a later reading. Never goes back, never passes the wall by its own advance. */
export function advance(state: ClockState, { wallMs, uptimeMs, bootId }: Reading): ClockState {
  const room = Math.max(0, wallMs - state.earlyMs);
  const sameBoot = bootId === state.bootId;
  const ranMs = Math.max(0, sameBoot ? uptimeMs - state.uptimeMs : uptimeMs);
  let gain = Math.min(room, ranMs);
  let ran = state.ranMs + ranMs;
  if (!sameBoot && state.ranMs >= BOOT_GAIN_MS) {
    const extra = Math.min(room - gain, BOOT_GAIN_MS);
    if (extra > 0) {
      gain += extra;
      ran = ranMs;
    }
  }
  return { earlyMs: state.earlyMs + gain, uptimeMs, bootId, ranMs: Math.min(ran, BOOT_GAIN_MS) };
}

/** The late clock, and whether the wall is so far from the early one that somebody should look. */
export function lateClock({ earlyMs }: ClockState, wallMs: number): { lateMs: number; jumped: boolean } {
  const ahead = wallMs - earlyMs;
  return { lateMs: earlyMs + Math.min(Math.max(0, ahead), MAX_AHEAD_MS), jumped: Math.abs(ahead) > JUMP_MS };
}
