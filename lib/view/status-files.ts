/** Texts of the files in `.varve/`: the repository and its ledger as JSON, for scripts that look at a mount only. Pure; keys and secrets never appear. */
import { asUtf8, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { rfc3339 } from '../format/time.js';
import { entryRecord } from '../ledger/entry-record.js';
import { printableJson } from '../printable.js';
import type { OpenManifest } from './manifests.js';
import type { ShownSnapshot, SnapshotTable } from './snapshot-table.js';

const SCHEMA = 1;

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
  return `${printableJson(body, 2)}\n`;
}

export function ledgerJsonLines(entries: readonly LedgerEntry[]): string {
  return entries.map((entry) => `${printableJson({ schema: SCHEMA, ...entryRecord(entry) })}\n`).join('');
}

export function snapshotJson(
  snapshot: ShownSnapshot,
  { envelope, body, claimedHost, foreign, writerName }: OpenManifest,
  tags: readonly string[],
): string {
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
    claimed_host: claimedHost,
    label: body.label,
    foreign,
    writer: toHex(envelope.writer),
    writer_name: writerName ?? null,
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
  return `${printableJson(record, 2)}\n`;
}
