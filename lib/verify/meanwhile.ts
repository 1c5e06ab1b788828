/**
 * What others did to the repository while it was checked: what they pruned, rightly, is not missing. A prune says in the ledger what it deletes before it deletes
 * anything, so the ledger is read once more after something was not found. What a listed snapshot needs is never taken for pruned.
 */
import { fromHex } from '../bytes.js';
import { VarveError } from '../errors.js';
import { indexName, manifestName, packNameOf } from '../format/names.js';
import { hexesOf } from '../id.js';
import { snapshotRecords } from '../ledger/snapshots.js';
import { standings } from '../ledger/standing.js';
import type { Repository } from '../repository/repository.js';
import { type ReadableLedger, walkLedger } from './ledger-walk.js';
import { type Listing, listEntries } from './listing.js';
import { ManifestReader } from './manifests.js';
import { checkPruned, type Pruned } from './prune-check.js';
import { type CheckError, Findings } from './report.js';

/** Whether an error is about something that was pruned rightly. */
export type IsGone = (error: Pick<CheckError, 'object' | 'code'>) => boolean;

/** The ledger as it is now, and what it says was pruned. What is wrong with what came since `before`, the next check says. */
export async function lookAgain(
  repository: Repository,
  before: ReadableLedger,
): Promise<{ now: ReadableLedger; pruned: Pruned }> {
  const unreported = new Findings();
  const entries = await listEntries(repository.store, unreported);
  const known = before.read.reduce((sum, { hashes }) => sum + hashes.length, 0);
  const now = entries.size === known ? before : await walkLedger(repository, { entries }, unreported);
  return { now, pruned: checkPruned(now, unreported) };
}

/** Joined pack ids; none of a manifest that cannot be read. */
async function pinsOf(reader: ManifestReader, id: Uint8Array): Promise<Uint8Array> {
  try {
    return await reader.pins(id, await reader.envelope(id));
  } catch (error) {
    if (error instanceof VarveError) return new Uint8Array(0);
    throw error;
  }
}

/** Tells, by the ledger as it is now, what was pruned from damage. */
export async function findGone(
  repository: Repository,
  listing: Pick<Listing, 'manifests'>,
  before: ReadableLedger,
): Promise<IsGone> {
  const { now, pruned } = await lookAgain(repository, before);
  const gone = new Set([...pruned.packs].map(packNameOf));
  const reader = new ManifestReader(repository, listing);
  for (const { id } of snapshotRecords(now)) {
    for (const hex of hexesOf(await pinsOf(reader, id))) gone.delete(packNameOf(hex));
  }
  for (const hex of pruned.indexes) gone.add(indexName(fromHex(hex)));
  for (const hex of pruned.snapshots) gone.add(manifestName(fromHex(hex)));
  const overtaken = new Set(standings(now).flatMap((one) => (one.overtaken ? [manifestName(one.id)] : [])));
  return ({ object, code }) => gone.has(object) || (code === 'NOT_FOUND' && overtaken.has(object));
}
