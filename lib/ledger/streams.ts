/**
 * Streams: what one writer backs up of one host under one label. Lists them, with names as far as the keys in hand open them, and ends one, so that its newest snapshot
 * expires like the others and nobody waits for the next. A later snapshot brings it back.
 */
import { toHex } from '../bytes.js';
import { CorruptError, NewerFormatError, NotFoundError, RefusedError, RoleError, StoreError } from '../errors.js';
import { State } from '../format/manifest.js';
import { EntryType, payloadOf } from '../format/payload.js';
import { type Timestamp, timeOfMs } from '../format/time.js';
import type { Repository } from '../repository/repository.js';
import { appendEntry } from './append.js';
import { loadLedger } from './ledger.js';
import { adminInHand, type RoleOptions } from './roles.js';
import { openSnapshot, type SnapshotRecord, snapshotRecords, tagChanges } from './snapshots.js';
import { seriesOf } from './standing.js';
import { entryKey, type Ledger } from './state.js';

export interface StreamRecord {
  readonly author: Uint8Array;
  readonly stream: Uint8Array;
  /** What the writer's certificate calls it. */
  readonly writerName?: string;
  /** As its newest snapshot is shown; absent without the reader role, or when that does not open. */
  readonly host?: string;
  readonly label?: string;
  readonly foreign?: boolean;
  /** The last complete one, or the last of all when none is complete. */
  readonly newest: SnapshotRecord;
  /** Of the entry that ended it, unless a snapshot came since. */
  readonly retired?: { readonly time: Timestamp; readonly reason: string };
}

/** Every stream of which a snapshot is listed, by its newest one. */
export async function listStreams(repository: Repository, ledger: Ledger): Promise<StreamRecord[]> {
  const newest = new Map<string, SnapshotRecord>();
  for (const record of snapshotRecords(ledger)) {
    const series = seriesOf(record);
    if (record.payload.state === State.complete || newest.get(series)?.payload.state !== State.complete)
      newest.set(series, record);
  }
  const ends = endsOf(ledger);
  const order = new Map(ledger.entries.map((entry, i) => [entryKey(entry), i]));
  const changes = tagChanges(repository, ledger);
  const found: StreamRecord[] = [];
  for (const [series, record] of newest) {
    const end = ends.get(series);
    const isEnded = end !== undefined && end.at > (order.get(entryKey(record.entry)) ?? -1);
    const name = changes.scopes.nameOf(record.entry.author);
    found.push({
      author: record.entry.author,
      stream: record.payload.stream,
      ...(name === undefined ? {} : { writerName: name }),
      ...(await namesOf(repository, record, changes)),
      newest: record,
      ...(isEnded ? { retired: { time: end.time, reason: end.reason } } : {}),
    });
  }
  return found;
}

/** The last entry that ended each stream, and its place in merged order. */
function endsOf({ entries, times }: Ledger): Map<string, { at: number; time: Timestamp; reason: string }> {
  const ends = new Map<string, { at: number; time: Timestamp; reason: string }>();
  for (const [at, { payload }] of entries.entries()) {
    const end = payloadOf(payload, 'retireStream');
    if (end !== undefined) ends.set(`${toHex(end.author)}/${toHex(end.stream)}`, { at, time: times[at]!, reason: end.reason });
  }
  return ends;
}

async function namesOf(
  repository: Repository,
  record: SnapshotRecord,
  changes: ReturnType<typeof tagChanges>,
): Promise<Pick<StreamRecord, 'host' | 'label' | 'foreign'>> {
  if (repository.keyring.root === null) return {};
  try {
    const { body, foreign } = await openSnapshot(repository, record, changes);
    return { host: body.host, label: body.label, foreign };
  } catch (error) {
    const passed = [CorruptError, NewerFormatError, NotFoundError, RoleError, StoreError];
    if (passed.some((kind) => error instanceof kind)) return {};
    throw error;
  }
}

/** The stream that a person means: HOST/LABEL as `listStreams` has them, or the first digits of its id, at least 4. @throws NotFoundError if there is none, or several */
export function findStream(streams: readonly StreamRecord[], text: string): StreamRecord {
  const isPrefix = /^[0-9a-f]{4,32}$/i.test(text);
  const found = streams.filter(
    ({ host, label, stream }) =>
      (host !== undefined && `${host}/${label}` === text) || (isPrefix && toHex(stream).startsWith(text.toLowerCase())),
  );
  if (found.length === 1) return found[0]!;
  const list = found
    .map(({ stream, author }) => `${toHex(stream).slice(0, 8)} of writer ${toHex(author).slice(0, 8)}`)
    .join(', ');
  const message =
    found.length === 0
      ? `no stream ${text}; varve stream list shows them (give HOST/LABEL, or at least 4 digits of an id)`
      : `stream ${text} is ambiguous: ${list}; name the writer too, as in ${toHex(found[0]!.author).slice(0, 8)}/${toHex(found[0]!.stream).slice(0, 8)}`;
  throw new NotFoundError('stream', text, message);
}

/**
 * Ends a stream. `text` is as for `findStream`, or WRITER/STREAM in the first digits of both ids.
 *
 * @throws RoleError without an admin's key, NotFoundError, RefusedError for one that was ended already
 */
export async function retireStream(
  repository: Repository,
  text: string,
  reason: string,
  { nowMs = Date.now() }: RoleOptions = {},
): Promise<StreamRecord> {
  const ledger = await loadLedger(repository);
  const { seed } = adminInHand(repository, ledger, 'retiring a stream');
  const streams = await listStreams(repository, ledger);
  const both = /^([0-9a-f]{4,32})\/([0-9a-f]{4,32})$/i.exec(text);
  const ofWriter = streams.filter(
    ({ author, stream }) =>
      both !== null && toHex(author).startsWith(both[1]!.toLowerCase()) && toHex(stream).startsWith(both[2]!.toLowerCase()),
  );
  const target = ofWriter.length === 1 ? ofWriter[0]! : findStream(streams, text);
  const hex = toHex(target.stream);
  if (target.retired !== undefined)
    throw new RefusedError(`stream ${hex.slice(0, 8)} was retired already: ${target.retired.reason}`, { stream: hex });
  const { author, stream } = target;
  const { time } = await appendEntry(repository, seed, timeOfMs(nowMs), () => ({
    type: EntryType.retireStream,
    author,
    stream,
    reason,
  }));
  return { ...target, retired: { time, reason } };
}
