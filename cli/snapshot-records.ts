/** Snapshots as somebody sees them who may not read: from the ledger alone, without hosts, paths and tags. */
import {
  findSnapshot,
  idHex,
  loadLedger,
  type Repository,
  RoleError,
  type SnapshotFilter,
  type SnapshotRecord,
  shortHex,
  snapshotRecords,
  toHex,
} from '../lib/index.js';
import { countText, localTime, rfc3339 } from './human.js';
import type { Run } from './run.js';
import { tableLines } from './table.js';

/** The records that `names` and `filter` mean. @throws RoleError for a filter that only a reader can apply, NotFoundError */
export async function selectRecords(
  repository: Repository,
  names: readonly string[],
  filter: SnapshotFilter,
  latest: string | undefined,
): Promise<SnapshotRecord[]> {
  const { hosts, tags, paths, sinceMs, untilMs, state } = filter;
  if (latest !== undefined || [hosts, tags, paths].some((list) => list !== undefined && list.length > 0))
    throw new RoleError('reader', 'choosing snapshots by host, tags or paths');
  const all = await snapshotRecords(await loadLedger(repository));
  const ms = ({ received }: SnapshotRecord): number => received.sec * 1000 + received.nsec / 1e6;
  const some = all.filter(
    (record) =>
      (sinceMs === undefined || ms(record) >= sinceMs) &&
      (untilMs === undefined || ms(record) <= untilMs) &&
      (state === undefined || stateOf(record) === state),
  );
  if (names.length === 0) return some;
  const timed = some.map((record) => ({ ...record, time: record.received }));
  return Promise.all(names.map((name) => findSnapshot(timed, name)));
}

const stateOf = ({ payload }: SnapshotRecord): 'complete' | 'partial' => (payload.state === 0 ? 'complete' : 'partial');

const keptText = ({ retainUntilSec, holds, newest }: SnapshotRecord): string => {
  if (holds.length > 0) return 'held';
  const until = localTime({ sec: retainUntilSec, nsec: 0 });
  return newest ? `${until}, and as the newest` : until;
};

/** Prints them as a table, or as JSON. */
export function printRecords(run: Run, records: readonly SnapshotRecord[]): void {
  for (const record of records)
    run.out.record('snapshot', {
      id: idHex(record.id),
      short_id: shortHex(record.id),
      time: rfc3339(record.received),
      state: stateOf(record),
      retain_until: rfc3339({ sec: record.retainUntilSec, nsec: 0 }),
      held: record.holds.length > 0,
      newest: record.newest,
      writer: toHex(record.entry.author),
    });
  if (records.length === 0) {
    run.out.info('No snapshots.');
    return;
  }
  const rows = records.map((record) => [
    shortHex(record.id),
    localTime(record.received),
    stateOf(record),
    toHex(record.entry.author).slice(0, 8),
    keptText(record),
  ]);
  for (const line of tableLines(['ID', 'Time', 'State', 'Writer', 'Kept until'], rows)) run.out.text(line);
  run.out.info(`${countText(records.length, 'snapshot')}; hosts, paths and tags take a key with the reader role`);
}
