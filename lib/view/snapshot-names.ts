/** How snapshots, hosts and tags are called in a mount, and how a time that a person types finds a snapshot. Pure. */
import { createHash } from 'node:crypto';
import { utf8 } from '../bytes.js';
import type { Timestamp } from '../format/time.js';

const MAX_NAME_BYTES = 255;
const DAY_MS = 86_400_000;

/** `2026-11-22T01-20-27Z`: RFC 3339 in UTC, without colons and fractions. */
export function timeName(time: Timestamp): string {
  // Dates beyond what Date can hold come from a clock gone mad; they still need a name.
  const ms = time.sec * 1000;
  if (!(Math.abs(ms) <= 8.64e15)) return `${time.sec}s`;
  return `${new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(':', '-')}`;
}

/**
 * Names of snapshots in their order: the time of receipt, `-2` and so on for further ones of the same second, `-partial` at the end.
 */
export function snapshotNames(snapshots: readonly { readonly time: Timestamp; readonly complete: boolean }[]): string[] {
  const seen = new Map<string, number>();
  return snapshots.map(({ time, complete }) => {
    const name = timeName(time);
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return `${name}${count > 1 ? `-${count}` : ''}${complete ? '' : '-partial'}`;
  });
}

/** A host's or tag's name as a file name: what cannot stand in one, and `%`, is written as %XX. Different names stay different. */
export function fileNameOf(text: string): string {
  if (text === '') return '%';
  if (text === '.' || text === '..') return text.replaceAll('.', '%2E');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const escaped = text.replace(/[%/\x00-\x1f\x7f]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
  if (utf8(escaped).byteLength <= MAX_NAME_BYTES) return escaped;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  let head = escaped.slice(0, 200);
  while (utf8(head).byteLength > 230) head = [...head].slice(0, -1).join('');
  return `${head.replace(/%[0-9A-F]?$/, '')}%~${digest}`;
}

const TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt _](\d{2})(?:[:-]?(\d{2})(?:[:-]?(\d{2})(?:[.,](\d{1,9}))?)?)?(?:[Zz]|([+-])(\d{2})[:-]?(\d{2}))?)?$/;

/**
 * The last moment, in nanoseconds since 1970, that `text` can mean: an RFC 3339 time with or without its seconds, its zone (UTC then) or its colons; a
 * date, meaning its last moment; `now`; `today`; `yesterday`. Undefined when it is none of these.
 */
export function lastMomentOf(text: string, nowMs: number): bigint | undefined {
  const endOf = (startMs: number, lengthMs: number): bigint => BigInt(startMs + lengthMs) * 1_000_000n - 1n;
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  if (text === 'now') return BigInt(Math.floor(nowMs)) * 1_000_000n + 999_999n;
  if (text === 'today') return endOf(today, DAY_MS);
  if (text === 'yesterday') return endOf(today - DAY_MS, DAY_MS);
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, sign, zoneHour, zoneMinute] = match;
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const startMs = new Date(0).setUTCFullYear(y, mo - 1, d) + ((h * 60 + mi) * 60 + s) * 1000;
  const date = new Date(startMs - ((h * 60 + mi) * 60 + s) * 1000);
  if (date.getUTCMonth() !== mo - 1 || date.getUTCDate() !== d || h > 24 || mi > 59 || s > 60) return undefined;
  const zoneMs = (Number(zoneHour ?? 0) * 60 + Number(zoneMinute ?? 0)) * 60_000 * (sign === '-' ? -1 : 1);
  const utcMs = startMs - zoneMs;
  if (fraction !== undefined) return BigInt(utcMs) * 1_000_000n + BigInt(fraction.padEnd(9, '9'));
  return endOf(utcMs, second !== undefined ? 1000 : minute !== undefined ? 60_000 : hour !== undefined ? 3_600_000 : DAY_MS);
}
