/**
 * Which snapshots a person means: all that pass a filter, or the one that a name finds among them. Opens no more manifests than it must. A manifest that does not open
 * takes away no other snapshot: a selection passes over it, and whoever selects is told.
 */
import { toHex } from '../bytes.js';
import { CorruptError, NewerFormatError, NotFoundError, RoleError, StoreError, type VarveError } from '../errors.js';
import { State } from '../format/manifest.js';
import { GENESIS_NAME, manifestName } from '../format/names.js';
import { msOfTime } from '../format/time.js';
import type { Repository } from '../repository/repository.js';
import { type Ledger, type LedgerPlace, loadLedger } from './ledger.js';
import { requireReader } from './roles.js';
import {
  findSnapshot,
  letsAllPass,
  matchesFilter,
  matchesRecord,
  openSnapshot,
  relativeName,
  type Snapshot,
  type SnapshotFilter,
  type SnapshotRecord,
  snapshotRecords,
  tagChanges,
} from './snapshots.js';

/** A snapshot that may belong to a selection but does not open. */
export interface LeftOut {
  readonly record: SnapshotRecord;
  /** CORRUPT, NEWER_FORMAT, or ROLE when it was sealed to a reader key that is not in hand. */
  readonly error: VarveError;
}

export interface SelectOptions {
  readonly filter?: SnapshotFilter;
  /** Called for each snapshot that was passed over. It is no option to leave out: whoever asked for snapshots must hear that some are missing. */
  readonly onLeftOut: (leftOut: LeftOut) => void;
}

/** The snapshots that names mean (id prefix, `latest`, `latest~N`, `@TIME`), from the ledger alone: needs no key of content. @throws NotFoundError */
export async function selectRecords(place: LedgerPlace, names: readonly string[]): Promise<SnapshotRecord[]> {
  const records = timed(await loadLedger(place));
  return names.map((name) => findSnapshot(records, name));
}

/**
 * The snapshots that pass `filter`, in order.
 *
 * @throws RoleError without the reader role, BadSignatureError, RolledBackError, StoreError; CorruptError for a damaged ledger
 */
export async function selectSnapshots(repository: Repository, options: SelectOptions): Promise<Snapshot[]> {
  const { filter = {}, onLeftOut } = options;
  const opener = await openerOf(repository);
  const found: Snapshot[] = [];
  for (const record of snapshotRecords(opener.ledger)) {
    if (!matchesRecord(record, filter)) continue;
    const snapshot = await opener.tryOpen(record, onLeftOut);
    if (snapshot !== undefined && matchesFilter(snapshot, filter)) found.push(snapshot);
  }
  return found;
}

/**
 * The snapshot called `name` (an id prefix, `latest`, `latest~N`, `@TIME`). An id means one snapshot whatever the filter says; the other names mean one among those
 * that pass it, and with a filter those that do not open are passed over. Without a filter the ledger alone says which one it is, and nothing is ever left out.
 *
 * @throws NotFoundError; CorruptError, NewerFormatError or RoleError when the one that is meant does not open; as selectSnapshots
 */
export async function selectSnapshot(repository: Repository, name: string, options?: SelectOptions): Promise<Snapshot> {
  const { filter = {}, onLeftOut } = options ?? {};
  const opener = await openerOf(repository);
  const records = timed(opener.ledger);
  if (records.length === 0)
    throw new NotFoundError('snapshot', name, 'the repository holds no snapshots yet; take one with: varve backup PATH');
  const relative = relativeName(name);
  if (relative === undefined || onLeftOut === undefined || letsAllPass(filter))
    return await opener.open(findSnapshot(records, name));
  // From the newest on, and no further than the name reaches: what does not open further back changes nothing.
  const found: Snapshot[] = [];
  for (const record of records.reverse()) {
    if (record.payload.state !== State.complete || msOfTime(record.time) > relative.untilMs) continue;
    if (!matchesRecord(record, filter)) continue;
    const snapshot = await opener.tryOpen(record, onLeftOut);
    if (snapshot === undefined || !matchesFilter(snapshot, filter)) continue;
    found.push(snapshot);
    if (found.length > relative.back) break;
  }
  return findSnapshot(found.reverse(), name);
}

function timed(ledger: Ledger): (SnapshotRecord & Pick<Snapshot, 'time'>)[] {
  return snapshotRecords(ledger).map((record) => ({ ...record, time: record.received }));
}

/** Opens snapshots by one ledger. */
interface Opener {
  readonly ledger: Ledger;
  /** @throws CorruptError or NewerFormatError that names the manifest; RoleError; StoreError when the store does not answer any more */
  open(record: SnapshotRecord): Promise<Snapshot>;
  /** As open, but tells `onLeftOut` of what does not open. One that was pruned is left out without a word. @throws StoreError */
  tryOpen(record: SnapshotRecord, onLeftOut: SelectOptions['onLeftOut']): Promise<Snapshot | undefined>;
}

/** @throws RoleError without the reader role, and whatever loading the ledger throws */
async function openerOf(repository: Repository): Promise<Opener> {
  const ledger = await loadLedger(repository);
  if (repository.keyring.root === null) throw new RoleError('reader', 'reading snapshots');
  const changes = tagChanges(repository, ledger);
  const open = async (record: SnapshotRecord): Promise<Snapshot> => {
    try {
      return await openSnapshot(repository, record, changes);
    } catch (error) {
      throw await aboutManifest(repository, ledger, record, error);
    }
  };
  let listed: Set<string> | undefined;
  /** Whether a prune took it off the list since the ledger was loaded; a sweep says all that it deletes before it deletes anything. */
  const isGone = async ({ id }: SnapshotRecord): Promise<boolean> => {
    listed ??= new Set(snapshotRecords(await loadLedger(repository)).map((record) => toHex(record.id)));
    return !listed.has(toHex(id));
  };
  return {
    ledger,
    open,
    async tryOpen(record, onLeftOut) {
      try {
        return await open(record);
      } catch (error) {
        if (!(error instanceof CorruptError || error instanceof NewerFormatError || error instanceof RoleError)) throw error;
        if (error.cause instanceof NotFoundError && (record.overtaken || (await isGone(record)))) return undefined;
        onLeftOut({ record, error });
        return undefined;
      }
    },
  };
}

/** What `error` says of the snapshot's manifest; errors that are not about it come back as they are. */
async function aboutManifest(repository: Repository, ledger: Ledger, record: SnapshotRecord, error: unknown): Promise<unknown> {
  const name = manifestName(record.id);
  if (error instanceof NotFoundError) return new CorruptError(name, 'is missing', {}, error);
  if (error instanceof StoreError) {
    // One object that cannot be read is damage; a store that answers nothing is not.
    const answers = await repository.store.stat(GENESIS_NAME).catch(() => undefined);
    return answers === undefined ? error : new CorruptError(name, `cannot be read (${error.message})`, {}, error);
  }
  if (!(error instanceof CorruptError) || error.details.object === name) return error;
  // Its session's key does not open: perhaps because the reader key was rotated since.
  try {
    requireReader(repository, ledger, `reading snapshot ${toHex(record.id).slice(0, 8)}`);
  } catch (role) {
    return role;
  }
  return new CorruptError(name, error.message, {}, error);
}
