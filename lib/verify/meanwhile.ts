/**
 * What others did to the repository while it was checked: what they pruned, rightly, is not missing. A prune says in the ledger what it deletes before it deletes
 * anything, so the ledger is read once more after something was not found. What a listed snapshot needs is never taken for pruned.
 */
import { equalBytes, fromHex, toHex } from '../bytes.js';
import { NotFoundError, StoreError, VarveError } from '../errors.js';
import { indexName, manifestName, packNameOf } from '../format/names.js';
import { hexesOf } from '../id.js';
import { type SnapshotRecord, snapshotRecords } from '../ledger/snapshots.js';
import { standings } from '../ledger/standing.js';
import type { Repository } from '../repository/repository.js';
import { type ReadableLedger, walkLedger } from './ledger-walk.js';
import { type Listing, listEntries } from './listing.js';
import { ManifestReader } from './manifests.js';
import { checkPruned, type Pruned } from './prune-check.js';
import { type CheckError, Findings } from './report.js';

/** Whether an error is about something that was pruned rightly. */
export type IsGone = (error: Pick<CheckError, 'object' | 'code'>) => boolean;

/** The ledger at a second look, and what it says was pruned. */
export interface Later {
  readonly now: ReadableLedger;
  readonly pruned: Pruned;
}

/** Whether all that was read in `before` is there in `now`. */
function continues(now: ReadableLedger, before: ReadableLedger): boolean {
  const found = new Map(now.read.map(({ author, hashes }) => [toHex(author), hashes]));
  return before.read.every(({ author, hashes }) => {
    const later = found.get(toHex(author));
    return hashes.every((hash, i) => hash === undefined || (later?.[i] !== undefined && equalBytes(later[i], hash)));
  });
}

/**
 * The ledger as it is now. What is wrong with what came since `before`, the next check says. Entries are only ever added: a store that shows fewer, or others, or cannot
 * be listed any more, is not believed, and the ledger stays as it was.
 */
export async function lookAgain(repository: Repository, before: ReadableLedger): Promise<Later> {
  const unreported = new Findings();
  let now = before;
  try {
    const entries = await listEntries(repository.store, unreported);
    const known = before.read.reduce((sum, { hashes }) => sum + hashes.length, 0);
    const read = entries.size > known ? await walkLedger(repository, { entries }, unreported) : before;
    if (continues(read, before)) now = read;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
  return { now, pruned: checkPruned(now, unreported) };
}

/**
 * Takes out of `gone`, by store name, what a listed snapshot needs: the manifests that its pins build on, as far as they can be read, and its packs.
 *
 * @param seen - manifests, hex, whose bases were taken out before
 * @returns false if its packs are not known
 */
async function spare(
  reader: ManifestReader,
  { id, overtaken }: SnapshotRecord,
  gone: Set<string>,
  seen: Set<string>,
): Promise<boolean> {
  try {
    const envelope = await reader.envelope(id);
    for (let { pins } = envelope; 'base' in pins && !seen.has(toHex(pins.base)); { pins } = await reader.envelope(pins.base)) {
      seen.add(toHex(pins.base));
      gone.delete(manifestName(pins.base));
    }
    for (const hex of hexesOf(await reader.pins(id, envelope))) gone.delete(packNameOf(hex));
    return true;
  } catch (error) {
    if (error instanceof VarveError) return overtaken && error instanceof NotFoundError;
    throw error;
  }
}

/** Tells, by the ledger as it is now, what was pruned from damage. */
export async function findGone(
  repository: Repository,
  listing: Pick<Listing, 'manifests'>,
  { now, pruned }: Later,
): Promise<IsGone> {
  const packs = [...pruned.packs].map(packNameOf);
  const manifests = [...pruned.snapshots].map((hex) => manifestName(fromHex(hex)));
  const gone = new Set([...packs, ...manifests]);
  const reader = new ManifestReader(repository, listing);
  const seen = new Set<string>();
  let isKnown = true;
  for (const record of snapshotRecords(now)) isKnown = (await spare(reader, record, gone, seen)) && isKnown;
  // Any pack may be one that a damaged snapshot needs.
  if (!isKnown) for (const name of packs) gone.delete(name);
  for (const hex of pruned.indexes) gone.add(indexName(fromHex(hex)));
  const overtaken = new Set(standings(now).flatMap((one) => (one.overtaken ? [manifestName(one.id)] : [])));
  return ({ object, code }) => gone.has(object) || (code === 'NOT_FOUND' && overtaken.has(object));
}
