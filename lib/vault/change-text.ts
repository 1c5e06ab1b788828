/**
 * What an admin's entry changes, in words for whoever watches over the vault: old and new values of a policy, whose key was certified, whose chain ends where. Pure. What
 * decides how long something is kept stands first, so that nothing that follows can push it out of sight.
 */
import { toHex } from '../bytes.js';
import { authorOf } from '../crypto/sign.js';
import type { LedgerEntry } from '../format/entry.js';
import {
  CertifiedRole,
  type Durations,
  type PayloadOf,
  type PolicyPayload,
  payloadOf,
  type RetentionClass,
  RotatedRole,
} from '../format/payload.js';
import { termsOf } from '../retention/policy.js';
import type { AlertCode } from './alerts.js';

const SLOTS = ['minimum', 'hour', 'day', 'week', 'month', 'year'] as const;
const UNITS = [
  ['days', 86_400],
  ['hours', 3600],
  ['minutes', 60],
] as const;
const REASON_LENGTH = 200;
const CLASS_LENGTH = 60;
const ADDED_LENGTH = 400;

/** `14 days`, `36 hours`, `90 seconds`: exact, in the largest unit that is. */
function spanText(sec: number): string {
  if (sec === 0) return '0';
  const unit = UNITS.find(([, size]) => sec % size === 0);
  return unit === undefined ? `${sec} seconds` : `${sec / unit[1]} ${unit[0]}`;
}

const limitText = (value: number, show: (value: number) => string): string => (value === 0 ? 'no limit' : show(value));

/** What a policy says of every snapshot, by name. */
function termLines(policy: PolicyPayload): Map<string, string> {
  const { waitSec, longestSec, autoPrune, dailyBytes, dailySnapshots, extensionSec = 0 } = termsOf(policy);
  return new Map([
    ...durationLines(policy),
    ['wait', spanText(waitSec)],
    ['longest', limitText(longestSec, spanText)],
    ['auto-prune', autoPrune ? 'on' : 'off'],
    ['daily-bytes', limitText(dailyBytes, String)],
    ['daily-snapshots', limitText(dailySnapshots, String)],
    ['extension', spanText(extensionSec)],
  ]);
}

const durationLines = (of: Durations): [string, string][] => SLOTS.map((slot) => [slot, spanText(of[`${slot}Sec`])]);

function classLines(one: RetentionClass): Map<string, string> {
  return new Map([
    ...durationLines(one),
    ['expect', limitText(one.expectSec, spanText)],
    ...(['hosts', 'labels', 'tags'] as const).map((kind): [string, string] => [kind, one[kind].join('|') || 'any']),
  ]);
}

function differences(old: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): string[] {
  return [...now].flatMap(([name, value]) => (old.get(name) === value ? [] : [`${name} ${old.get(name) ?? 'none'} → ${value}`]));
}

/** What differs between two policies: `day 14 days → 1 days; class db removed`. */
export function policyChangeText(before: PolicyPayload, after: PolicyPayload): string {
  const changed = differences(termLines(before), termLines(after));
  const [old, now] = [before, after].map((policy) => new Map(termsOf(policy).classes.map((one) => [one.name, one])));
  for (const [name, one] of old!) if (!now!.has(name)) changed.push(`class ${short(name)} removed (${joined(classLines(one))})`);
  // What there was comes before what is new: a long addition must not push it out of sight.
  for (const [name, one] of now!) {
    const was = old!.get(name);
    const inside = was === undefined ? [] : differences(classLines(was), classLines(one));
    if (inside.length > 0) changed.push(`class ${short(name)}: ${inside.join(', ')}`);
  }
  for (const [name, one] of now!)
    if (!old!.has(name)) changed.push(`class ${short(name)} added (${short(joined(classLines(one)), ADDED_LENGTH)})`);
  // The first class that matches is that of a snapshot.
  const common = (a: Map<string, unknown>, b: Map<string, unknown>): string =>
    [...a.keys()].filter((name) => b.has(name)).join('\n');
  if (common(old!, now!) !== common(now!, old!)) changed.push('the order of classes');
  return changed.length === 0 ? 'nothing that this version knows' : changed.join('; ');
}

const short = (text: string, most = CLASS_LENGTH): string => (text.length > most ? `${text.slice(0, most)}…` : text);

const joined = (lines: ReadonlyMap<string, string>): string => [...lines].map(([name, value]) => `${name} ${value}`).join(', ');

/** What somebody should hear of an entry; undefined for one that is no news. `before`: the policy until then. */
export function newsOf(
  { author, sequence, payload }: LedgerEntry,
  before: PolicyPayload,
  after: PolicyPayload,
): { readonly code: AlertCode; readonly text: string } | undefined {
  const where = `entry ${sequence} of ${toHex(author)}`;
  const key = (role: string, publicKey: Uint8Array): string =>
    `${role} ${toHex(authorOf(publicKey))} (public key ${toHex(publicKey)})`;
  if (payloadOf(payload, 'policy') !== undefined)
    return { code: 'policy-change', text: `${where} changes the retention policy: ${policyChangeText(before, after)}` };
  const writer = payloadOf(payload, 'writerCert');
  if (writer !== undefined)
    return {
      code: 'key-added',
      text: `${where} certifies ${key('writer', writer.publicKey)}${nameText(writer.name)} for domain ${toHex(writer.domain)}`,
    };
  const cert = payloadOf(payload, 'cert');
  if (cert !== undefined)
    return { code: 'key-added', text: `${where} certifies ${key(roleText(cert.role), cert.publicKey)}${nameText(cert.name)}` };
  const rotated = payloadOf(payload, 'keyRotate');
  if (rotated !== undefined) return { code: 'key-added', text: `${where} replaces the ${rotationText(rotated)}` };
  const retired = payloadOf(payload, 'retire');
  if (retired !== undefined)
    return {
      code: 'key-retired',
      text: `${where} retires ${toHex(retired.author)}: its chain ends at ${retired.count} entries, and what it signs later does not count; reason given: ${short(retired.reason, REASON_LENGTH)}`,
    };
  const released = payloadOf(payload, 'release');
  if (released !== undefined)
    return {
      code: 'hold-released',
      text: `${where} releases the hold in entry ${released.sequence} of ${toHex(released.author)}; reason given: ${short(released.reason, REASON_LENGTH)}`,
    };
  const slots = payloadOf(payload, 'slots');
  if (slots !== undefined) return { code: 'slot-change', text: `${where} ${slotsText(slots)}` };
  const stream = payloadOf(payload, 'retireStream');
  if (stream !== undefined)
    return {
      code: 'stream-retired',
      text: `${where} ends stream ${toHex(stream.stream)} of ${toHex(stream.author)}: its newest snapshot expires when its promise ends; reason given: ${short(stream.reason, REASON_LENGTH)}`,
    };
  return undefined;
}

const roleText = (role: number): string =>
  role === CertifiedRole.vault ? 'vault' : role === CertifiedRole.auditor ? 'auditor' : 'admin';

const nameText = (name = ''): string => (name === '' ? '' : ` called ${short(name)}`);

function slotsText({ added, removed }: PayloadOf<'slots'>): string {
  const news = added.map(({ id, label }) => `adds key slot ${toHex(id)} (${short(label)})`);
  // What takes something away comes first: a long list of additions must not push it out of sight.
  return [...removed.map((id) => `removes key slot ${toHex(id)}`), ...news].join(', ');
}

function rotationText({ role, publicKey }: { readonly role: number; readonly publicKey: Uint8Array }): string {
  if (role === RotatedRole.reader) return `reader key: new sessions are sealed to public key ${toHex(publicKey)}`;
  return `admin key that signs it by admin ${toHex(authorOf(publicKey))} (public key ${toHex(publicKey)})`;
}
