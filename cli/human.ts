/** Sizes, times, modes and names, the way people read and type them. Pure. */
import { asUtf8, lossyUtf8, printable, printableBytes, type Timestamp } from '../lib/index.js';
import { UsageError } from './usage-error.js';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1.50 MiB`: three digits and a binary unit. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `1:02:03` or `4:05`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** `40 seconds`, `24 minutes`, `3 hours`, `12 days`. */
export function ageText(seconds: number): string {
  if (seconds < 120) return countText(Math.max(0, Math.round(seconds)), 'second');
  if (seconds < 7200) return countText(Math.round(seconds / 60), 'minute');
  if (seconds < 172_800) return countText(Math.round(seconds / 3600), 'hour');
  return countText(Math.round(seconds / 86_400), 'day');
}

/** `1 file`, `2 files`. */
export function countText(count: number, noun: string, plural = `${noun}s`): string {
  // toLocaleString would load ICU's tables for this: 30 ms.
  return `${String(count).replace(/\B(?=(\d{3})+$)/g, ',')} ${count === 1 ? noun : plural}`;
}

/** `2026-03-01 02:00:00` in the local time zone. */
export function localTime(time: Timestamp): string {
  const date = new Date(time.sec * 1000);
  if (Number.isNaN(date.getTime())) return `@${time.sec}`;
  const two = (value: number): string => String(value).padStart(2, '0');
  return (
    `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  );
}

/** RFC 3339 in UTC with nanoseconds: `2026-03-01T02:00:00.000000000Z`. Beyond the years 0000–9999: `@` and the seconds. */
export function rfc3339(time: Timestamp): string {
  const date = new Date(time.sec * 1000);
  const text = Number.isNaN(date.getTime()) ? '' : date.toISOString();
  if (text.length !== 24) return `@${time.sec}.${String(time.nsec).padStart(9, '0')}`;
  return `${text.slice(0, 19)}.${String(time.nsec).padStart(9, '0')}Z`;
}

/** `drwxr-xr-x` from the type's letter and 0…07777. */
export function modeText(letter: string, mode: number): string {
  let text = letter;
  for (let shift = 6; shift >= 0; shift -= 3) {
    const bits = (mode >> shift) & 7;
    const special = (mode >> (9 + shift / 3)) & 1;
    const run = bits & 1;
    const mark = shift === 0 ? 't' : 's';
    text += `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${special ? (run ? mark : mark.toUpperCase()) : run ? 'x' : '-'}`;
  }
  return text;
}

/** A name, or a text that others wrote, with everything visible that could steer a terminal: `\x1b`, and bytes that are not UTF-8 as `\xff`. */
export function safeText(text: string | Uint8Array): string {
  return typeof text === 'string' ? printable(text) : printableBytes(text);
}

/** `{ [key]: text }`, with `key_b64` beside it when the bytes are not UTF-8. */
export function jsonName<K extends string>(key: K, bytes: Uint8Array): Record<string, string> {
  const text = asUtf8(bytes);
  if (text !== undefined) return { [key]: text };
  return { [key]: lossyUtf8(bytes), [`${key}_b64`]: Buffer.from(bytes).toString('base64') };
}

/** Bytes of `10`, `10k`, `1.5M`, `2GiB`. @throws UsageError */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null) throw new UsageError(`${text} is not a size; write it as 500k, 10M or 2G`);
  return Math.round(Number(match[1]) * 1024 ** ' kmgtp'.indexOf(match[2] === '' ? ' ' : match[2]!.toLowerCase()));
}

/** Milliseconds of a time that a person gives: RFC 3339, `2026-03-01`, `2026-03-01 02:00:00` (local when no zone is given), or an age such as `7d`. @throws UsageError */
export function parseTime(text: string, nowMs: number): number {
  const age = /^(\d+)([smhdwy])$/.exec(text.trim());
  if (age !== null) {
    const seconds = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_557_600 }[age[2] as 's'];
    return nowMs - Number(age[1]) * seconds * 1000;
  }
  const local = /^(\d{4}-\d{2}-\d{2})$/.test(text) ? `${text}T00:00:00` : text.replace(/^(\d{4}-\d{2}-\d{2}) /, '$1T');
  // The spelling of names in a mount, which holds no colons.
  const colons = local.replace(
    /^(\d{4}-\d{2}-\d{2}T\d{2})-(\d{2})(?:-(\d{2}))?(?=$|[.Z+-])/,
    (_, day: string, m: string, s?: string) => `${day}:${m}${s === undefined ? '' : `:${s}`}`,
  );
  const ms = /^\d{4}-\d{2}-\d{2}T/.test(colons) ? Date.parse(colons) : Number.NaN;
  if (Number.isNaN(ms))
    throw new UsageError(`${text} is not a time; write it as 2026-03-01, 2026-03-01T02:00Z or an age such as 7d`);
  return ms;
}

/** As parseTime, the last millisecond that is meant: a time without a fraction, or without seconds, means all of that second or minute. */
export function parseTimeEnd(text: string, nowMs: number): number {
  const clock = /^\d{4}-\d{2}-\d{2}[T ]\d{2}[:-]\d{2}([:-]\d{2}(?![:\d])(\.\d+)?)?/.exec(text.trim());
  const lengthMs = clock === null ? 1 : clock[1] === undefined ? 60_000 : clock[2] === undefined ? 1000 : 1;
  return parseTime(text, nowMs) + lengthMs - 1;
}

const UNIT_SECONDS = { h: 3600, d: 86_400, w: 604_800 } as const;

/**
 * Seconds of `24h`, `2d`, `8w`, `12m` (months: 12 are 366 days), `7y` (years of 366 days), or `0`. @throws UsageError
 */
export function parseDuration(text: string): number {
  const match = /^(\d+)([hdwmy])$/.exec(text.trim());
  if (match === null && text.trim() !== '0')
    throw new UsageError(`${text} is not a duration; write it as 24h, 2d, 8w, 12m (months), 7y, or 0 for none`);
  const count = Number(match?.[1] ?? 0);
  // Months and years at their longest, so that nothing ends a day before a person would expect it to.
  if (match?.[2] === 'm') return Math.ceil((count * 366) / 12) * UNIT_SECONDS.d;
  if (match?.[2] === 'y') return count * 366 * UNIT_SECONDS.d;
  const seconds = count * UNIT_SECONDS[(match?.[2] ?? 'h') as 'h'];
  if (!Number.isSafeInteger(seconds)) throw new UsageError(`${text} is longer than anything lasts`);
  return seconds;
}

/** `2d`, `36h`, `366d`: a duration as `policy set` takes it; `0` for none. */
export function policyDuration(seconds: number): string {
  if (seconds === 0) return '0';
  for (const [unit, length] of [
    ['w', UNIT_SECONDS.w],
    ['d', UNIT_SECONDS.d],
    ['h', UNIT_SECONDS.h],
  ] as const)
    if (seconds % length === 0 && (unit !== 'w' || (seconds >= 4 * UNIT_SECONDS.w && seconds <= 52 * UNIT_SECONDS.w)))
      return `${seconds / length}${unit}`;
  return `${seconds}s`;
}
