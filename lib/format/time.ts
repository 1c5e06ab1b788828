/** Points in time as the format stores them: seconds since 1970 (may be negative) and nanoseconds. */
import type { CborReader, CborWriter } from './cbor.js';

export interface Timestamp {
  readonly sec: number;
  readonly nsec: number;
}

export function writeTime(out: CborWriter, time: Timestamp): void {
  out.array(2).int(time.sec).int(time.nsec);
}

export function readTime(from: CborReader): Timestamp {
  from.array(2);
  return { sec: from.int(), nsec: from.uint(999_999_999) };
}

/** The Timestamp of milliseconds since 1970. */
export function timeOfMs(ms: number): Timestamp {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}

/** Milliseconds since 1970. */
export function msOfTime(time: Timestamp): number {
  return time.sec * 1000 + time.nsec / 1e6;
}

export function compareTimes(a: Timestamp, b: Timestamp): number {
  return a.sec - b.sec || a.nsec - b.nsec;
}

/** The least time after `time`. */
export function nextTime({ sec, nsec }: Timestamp): Timestamp {
  return nsec === 999_999_999 ? { sec: sec + 1, nsec: 0 } : { sec, nsec: nsec + 1 };
}

/** RFC 3339 in UTC with nanoseconds. */
export function rfc3339(time: Timestamp): string {
  if (!(Math.abs(time.sec * 1000) <= 8.64e15)) return `${time.sec}s`;
  const second = new Date(time.sec * 1000).toISOString().replace(/\.\d+Z$/, '');
  return `${second}.${String(time.nsec).padStart(9, '0')}Z`;
}
