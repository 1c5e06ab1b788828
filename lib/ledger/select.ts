/** Which snapshots a person means: all that pass a filter, or the one that a name finds among them. Opens no more manifests than it must. */
import { toHex } from '../bytes.js';
import { CorruptError, NotFoundError, RoleError } from '../errors.js';
import type { Repository } from '../repository/repository.js';
import { type Ledger, type LedgerPlace, loadLedger } from './ledger.js';
import { requireReader } from './roles.js';
import {
  findSnapshot,
  matchesFilter,
  openSnapshot,
  type Snapshot,
  type SnapshotFilter,
  type SnapshotRecord,
  snapshotRecords,
  type TagChanges,
  tagChanges,
} from './snapshots.js';

/** Whether `filter` lets everything pass. */
function isOpen(filter: SnapshotFilter): boolean {
  return Object.values(filter).every((value) => value === undefined || (Array.isArray(value) && value.length === 0));
}

/** Opens a snapshot; one that does not open because the reader key was rotated since is said to be so. @throws RoleError, CorruptError */
async function openOne(repository: Repository, ledger: Ledger, record: SnapshotRecord, changes: TagChanges): Promise<Snapshot> {
  try {
    return await openSnapshot(repository, record, changes);
  } catch (error) {
    if (error instanceof CorruptError) requireReader(repository, ledger, `reading snapshot ${toHex(record.id).slice(0, 8)}`);
    throw error;
  }
}

/** The snapshots that names mean (id prefix, `latest`, `latest~N`, `@TIME`), from the ledger alone: needs no key of content. @throws NotFoundError */
export async function selectRecords(place: LedgerPlace, names: readonly string[]): Promise<SnapshotRecord[]> {
  const records = snapshotRecords(await loadLedger(place)).map((record) => ({ ...record, time: record.received }));
  return names.map((name) => findSnapshot(records, name));
}

/** The snapshots that pass `filter`, in order. @throws RoleError, CorruptError, BadSignatureError */
export async function selectSnapshots(repository: Repository, filter: SnapshotFilter = {}, ledger?: Ledger): Promise<Snapshot[]> {
  const loaded = ledger ?? (await loadLedger(repository));
  if (repository.keyring.root === null) throw new RoleError('reader', 'reading snapshots');
  const changes = tagChanges(repository, loaded);
  const found: Snapshot[] = [];
  for (const record of snapshotRecords(loaded)) {
    const snapshot = await openOne(repository, loaded, record, changes);
    if (matchesFilter(snapshot, filter)) found.push(snapshot);
  }
  return found;
}

/**
 * The snapshot called `name` (an id prefix, `latest`, `latest~N`, `@TIME`) among those that pass `filter`.
 *
 * @throws NotFoundError, RoleError, CorruptError, BadSignatureError
 */
export async function selectSnapshot(repository: Repository, name: string, filter: SnapshotFilter = {}): Promise<Snapshot> {
  const ledger = await loadLedger(repository);
  if (repository.keyring.root === null) throw new RoleError('reader', 'reading snapshots');
  const records = snapshotRecords(ledger).map((record) => ({ ...record, time: record.received }));
  if (records.length === 0)
    throw new NotFoundError('snapshot', name, 'the repository holds no snapshots yet; take one with: varve backup PATH');
  // An id names one snapshot whatever the filters say.
  if (isOpen(filter) || /^[0-9a-f]+$/.test(name))
    return await openOne(repository, ledger, findSnapshot(records, name), tagChanges(repository, ledger));
  return findSnapshot(await selectSnapshots(repository, filter, ledger), name);
}
