/** Texts of the files in `.varve/`: the repository and its ledger as JSON, for scripts that look at a mount only. Pure; keys and secrets never appear. */
import { asUtf8, toHex } from '../bytes.js';
import { EntryType, type LedgerEntry } from '../format/entry.js';
import type { Timestamp } from '../format/time.js';
import type { OpenManifest } from './manifests.js';
import type { ShownSnapshot, SnapshotTable } from './snapshot-table.js';

const SCHEMA = 1;
const TYPE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(EntryType).map(([name, type]) => [type, name]));

/** RFC 3339 in UTC with nanoseconds. */
export function rfc3339(time: Timestamp): string {
  if (!(Math.abs(time.sec * 1000) <= 8.64e15)) return `${time.sec}s`;
  const second = new Date(time.sec * 1000).toISOString().replace(/\.\d+Z$/, '');
  return `${second}.${String(time.nsec).padStart(9, '0')}Z`;
}

/** A JSON member for bytes that should be text: `name`, and `name_b64` beside it when they are not UTF-8. */
function textMember(name: string, bytes: Uint8Array): Record<string, string> {
  const text = asUtf8(bytes);
  if (text !== undefined) return { [name]: text };
  return { [name]: Buffer.from(bytes).toString('utf8'), [`${name}_b64`]: Buffer.from(bytes).toString('base64') };
}

export function statusJson(repositoryId: Uint8Array, location: string, table: SnapshotTable): string {
  const shown = table.shown();
  const latest = table.latest();
  const body = {
    schema: SCHEMA,
    repository: toHex(repositoryId),
    location,
    snapshots: shown.length,
    complete: shown.filter(({ complete }) => complete).length,
    latest: latest === undefined ? null : { id: latest.hex, name: latest.name, time: rfc3339(latest.time) },
  };
  return `${JSON.stringify(body, undefined, 2)}\n`;
}

export function ledgerJsonLines(entries: readonly LedgerEntry[]): string {
  return entries.map((entry) => `${JSON.stringify(ledgerRecord(entry))}\n`).join('');
}

function ledgerRecord({ author, sequence, time, payload }: LedgerEntry): object {
  const common = {
    schema: SCHEMA,
    author: toHex(author),
    sequence,
    time: rfc3339(time),
    type: TYPE_NAMES.get(payload.type) ?? payload.type,
  };
  if (payload.type === EntryType.snapshot && 'manifest' in payload) {
    const { manifest, stream, state, retainUntilSec, slots } = payload;
    return {
      ...common,
      snapshot: toHex(manifest),
      stream: toHex(stream),
      state: state === 0 ? 'complete' : 'partial',
      retain_until: rfc3339({ sec: retainUntilSec, nsec: 0 }),
      slots,
    };
  }
  if (payload.type === EntryType.writerCert && 'publicKey' in payload)
    return { ...common, public_key: toHex(payload.publicKey), domain: toHex(payload.domain) };
  if (payload.type === EntryType.policy && 'minimumSec' in payload) {
    const { minimumSec, hourSec, daySec, weekSec, monthSec, yearSec } = payload;
    return { ...common, minimum: minimumSec, hour: hourSec, day: daySec, week: weekSec, month: monthSec, year: yearSec };
  }
  return common;
}

export function snapshotJson(snapshot: ShownSnapshot, { envelope, body }: OpenManifest, tags: readonly string[]): string {
  const record = {
    schema: SCHEMA,
    id: snapshot.hex,
    name: snapshot.name,
    received: rfc3339(snapshot.time),
    started: rfc3339(envelope.started),
    finished: rfc3339(envelope.finished),
    claimed: rfc3339(envelope.claimed),
    state: snapshot.complete ? 'complete' : 'partial',
    host: body.host,
    label: body.label,
    paths: body.paths.map((path) => textMember('path', path)),
    tags,
    files: body.root.totals.files,
    directories: body.root.totals.directories,
    bytes: body.root.totals.bytes,
    new_bytes: envelope.newBytes,
    packs: envelope.pinCount,
    problems: body.problems.map(({ path, code }) => ({ ...textMember('path', path), code })),
    problem_count: body.problemCount,
    program: body.program,
    notes: Object.fromEntries(body.notes),
  };
  return `${JSON.stringify(record, undefined, 2)}\n`;
}
