/** Ledger entries as plain data for people and programs: `.varve/ledger.jsonl` of a mount and `varve ledger show --json`. Pure. */
import { toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import {
  CertifiedRole,
  CheckLevel,
  CopyDirection,
  DrillPhase,
  EntryType,
  type Payload,
  RotatedRole,
  Verdict,
} from '../format/payload.js';
import { rfc3339 } from '../format/time.js';

const NAMES = new Map<number, string>(
  Object.entries(EntryType).map(([name, type]) => [type, name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)]),
);

/** `writer-cert`, `snapshot`, …; `type 99` for one that this program does not know. */
function entryTypeName(type: number): string {
  return NAMES.get(type) ?? `type ${type}`;
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Fields that hold joined 32-byte ids where they are bytes. */
const JOINED = new Set(['packs', 'snapshots', 'indexes', 'bad']);

/** Fields that are seconds since 1970, not durations. */
const TIMES = new Set(['coversSec', 'startedSec']);

/** Fields that are numbers in the format and words for people: by type, and field. */
const WORDS: Readonly<Record<number, Readonly<Record<string, Readonly<Record<string, number>>>>>> = {
  [EntryType.check]: { level: CheckLevel },
  [EntryType.drill]: { phase: DrillPhase, verdict: Verdict },
  [EntryType.copy]: { direction: CopyDirection, level: CheckLevel },
};

/** `role_name`, beside the number that programs read before there were names. */
const ROLES: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  [EntryType.cert]: CertifiedRole,
  [EntryType.keyRotate]: RotatedRole,
};

const wordFor = (words: Readonly<Record<string, number>>, value: unknown): string | undefined =>
  Object.entries(words).find(([, number]) => number === value)?.[0];

function plain(name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) {
    if (!JOINED.has(name)) return toHex(value);
    return Array.from({ length: value.byteLength / 32 }, (_, i) => toHex(value.subarray(i * 32, i * 32 + 32)));
  }
  if (Array.isArray(value)) return value.map((item) => plain('', item));
  if (typeof value === 'object' && value !== null) return fields(value);
  return value;
}

function fields(value: object): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    if (name === 'type' || name === 'sealed' || name === 'reserved') continue;
    if (/untilSec$/i.test(name)) record[snake(name.slice(0, -3))] = item === 0 ? null : rfc3339({ sec: item as number, nsec: 0 });
    else if (TIMES.has(name)) record[snake(name.slice(0, -3))] = rfc3339({ sec: item as number, nsec: 0 });
    else record[snake(name.replace(/Sec$/, 'Seconds'))] = plain(name, item);
  }
  return record;
}

/** Author, sequence, time, type, and everything that the payload says in clear; ids in hex. */
export function entryRecord({ author, sequence, time, payload }: LedgerEntry): Record<string, unknown> {
  const { manifest, state, ...rest } = fields(payload) as { manifest?: unknown; state?: number };
  return {
    entry_author: toHex(author),
    entry_sequence: sequence,
    time: rfc3339(time),
    type: entryTypeName(payload.type),
    ...(manifest === undefined ? {} : { snapshot: manifest, state: state === 0 ? 'complete' : 'partial' }),
    ...rest,
    ...named(payload),
  };
}

/** Words in the place of numbers. */
function named(payload: Payload): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [field, words] of Object.entries(WORDS[payload.type] ?? {})) {
    const word = wordFor(words, (payload as unknown as Record<string, unknown>)[field]);
    if (word !== undefined) found[field] = word;
  }
  const role = wordFor(ROLES[payload.type] ?? {}, (payload as { readonly role?: unknown }).role);
  return role === undefined ? found : { ...found, role_name: role };
}
