/** Holds: what an admin puts on snapshots to keep them until an admin takes it off again; and extensions, which nothing takes back. */
import { EMPTY, fromHex, toHex } from '../bytes.js';
import { NotFoundError, RefusedError } from '../errors.js';
import { IDS_PER_ENTRY } from '../format/entry.js';
import { manifestName } from '../format/names.js';
import { EntryType, MAX_SECOND, payloadOf } from '../format/payload.js';
import { compareTimes, type Timestamp, timeOfMs } from '../format/time.js';
import { appendEntry } from '../ledger/append.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { joinSorted } from '../ledger/pins.js';
import { type Standing, standings } from '../ledger/standing.js';
import { nowOf, type RetentionOptions, type RetentionPlace, signerOf } from './signer.js';
import { holdName } from './why-kept.js';

export interface PlacedHold {
  /** As `hold list` shows it and `hold release` takes it. */
  readonly name: string;
  readonly author: Uint8Array;
  readonly sequence: number;
  readonly reason: string;
  readonly time: Timestamp;
  /** Ids of the snapshots, in their order. */
  readonly snapshots: readonly Uint8Array[];
  readonly released?: { readonly time: Timestamp; readonly reason: string };
}

/** Batches of ids that fit an entry, each sorted and without doubles. */
function batches(ids: readonly Uint8Array[]): Uint8Array[] {
  const unique = [...new Set(ids.map(toHex))].sort();
  const joined: Uint8Array[] = [];
  for (let at = 0; at < unique.length; at += IDS_PER_ENTRY)
    joined.push(joinSorted(unique.slice(at, at + IDS_PER_ENTRY).map(fromHex)));
  return joined;
}

/** @throws NotFoundError for an id that is no snapshot's, RefusedError for one that was pruned */
async function mustBeThere({ store }: RetentionPlace, ledger: Ledger, ids: readonly Uint8Array[]): Promise<Standing[]> {
  const known = new Map(standings(ledger).map((standing) => [toHex(standing.id), standing]));
  const found: Standing[] = [];
  for (const id of ids) {
    const standing = known.get(toHex(id));
    if (standing === undefined) throw new NotFoundError('snapshot', toHex(id));
    if (standing.pruned || (standing.overtaken && (await store.stat(manifestName(id))) === undefined))
      throw new RefusedError(`snapshot ${toHex(id).slice(0, 8)} was pruned; nothing brings it back`, { snapshot: toHex(id) });
    found.push(standing);
  }
  return found;
}

/** How often prune-done entries name each snapshot, by hex id. */
function timesPruned(ledger: Ledger): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { payload } of ledger.entries)
    for (const id of split(payloadOf(payload, 'pruneDone')?.snapshots ?? EMPTY))
      counts.set(toHex(id), (counts.get(toHex(id)) ?? 0) + 1);
  return counts;
}

/**
 * After a hold or extension stands: that no prune came between. A sweep looks at the ledger after it has said what it deletes, and this after the hold stands: one of the
 * two sees the other.
 *
 * @throws RefusedError, as mustBeThere
 */
async function mustBeInTime(place: RetentionPlace, before: Ledger, ids: readonly Uint8Array[]): Promise<Standing[]> {
  const ledger = await loadLedger(place);
  const found = await mustBeThere(place, ledger, ids);
  const [then, now] = [timesPruned(before), timesPruned(ledger)];
  for (const { id, overtaken } of found) {
    const hex = toHex(id);
    if (overtaken && (now.get(hex) ?? 0) > (then.get(hex) ?? 0))
      throw new RefusedError(
        `snapshot ${hex.slice(0, 8)} was pruned at this very moment. Look in a while whether it is still there (varve snapshots), and say it again if it is`,
        { snapshot: hex },
      );
  }
  return found;
}

/**
 * Places a hold on snapshots.
 *
 * @returns the hold; several if they do not fit one entry
 * @throws RoleError without an admin's or vault's key, RefusedError when it was retired, or if a snapshot is pruned already, even at this moment
 * @throws NotFoundError
 */
export async function placeHold(
  place: RetentionPlace,
  snapshots: readonly Uint8Array[],
  options: RetentionOptions & { readonly reason: string },
): Promise<PlacedHold[]> {
  const ledger = await loadLedger(place);
  const seed = signerOf(place, ledger, options, 'placing a hold', ['admin', 'vault']);
  await mustBeThere(place, ledger, snapshots);
  const placed: PlacedHold[] = [];
  for (const joined of batches(snapshots)) {
    const payload = { type: EntryType.hold, snapshots: joined, reason: options.reason };
    const { author, sequence, time } = await appendEntry(place, seed, timeOfMs(nowOf(options)), () => payload);
    placed.push({
      name: holdName({ author, sequence }),
      author,
      sequence,
      reason: options.reason,
      time,
      snapshots: split(joined),
    });
  }
  await mustBeInTime(place, ledger, snapshots);
  return placed;
}

function split(joined: Uint8Array): Uint8Array[] {
  return Array.from({ length: joined.byteLength / 32 }, (_, i) => joined.slice(i * 32, i * 32 + 32));
}

function holdsOf(ledger: Ledger): PlacedHold[] {
  const holds = new Map<string, PlacedHold>();
  for (const { author, sequence, time, payload } of ledger.entries) {
    const hold = payloadOf(payload, 'hold');
    if (hold !== undefined)
      holds.set(`${toHex(author)}/${sequence}`, {
        name: holdName({ author, sequence }),
        author,
        sequence,
        time,
        reason: hold.reason,
        snapshots: split(hold.snapshots),
      });
    const release = payloadOf(payload, 'release');
    const key = release === undefined ? '' : `${toHex(release.author)}/${release.sequence}`;
    const released = holds.get(key);
    if (released !== undefined && released.released === undefined)
      holds.set(key, { ...released, released: { time, reason: release!.reason } });
  }
  return [...holds.values()];
}

/** All holds in the order in which they were placed; released ones only with `all`. Needs no key. */
export async function listHolds(place: RetentionPlace, options: { readonly all?: boolean } = {}): Promise<PlacedHold[]> {
  const holds = holdsOf(await loadLedger(place));
  return options.all === true ? holds : holds.filter(({ released }) => released === undefined);
}

/**
 * Releases a hold. What it kept has then expired at this moment at the earliest, and stays another day at least.
 *
 * @param name - as listHolds names it, or the beginning of it
 * @throws RoleError without an admin's key, RefusedError when that was retired
 * @throws NotFoundError if there is no such hold, or if it was released before
 */
export async function releaseHold(
  place: RetentionPlace,
  name: string,
  options: RetentionOptions & { readonly reason?: string } = {},
): Promise<PlacedHold> {
  const ledger = await loadLedger(place);
  const seed = signerOf(place, ledger, options, 'releasing a hold');
  const found = holdsOf(ledger).filter((hold) => hold.name === name);
  if (found.length > 1) throw new NotFoundError('hold', name, `${name} is the name of ${found.length} holds`);
  const hold = found[0];
  if (hold === undefined) throw new NotFoundError('hold', name, `no hold ${name}; see: varve hold list`);
  if (hold.released !== undefined) throw new NotFoundError('hold', name, `hold ${name} was released before`);
  const { author, sequence } = hold;
  const reason = options.reason ?? '';
  // A release that seemed older than its hold would not count: the clock that placed it may be ahead of this one.
  const now = timeOfMs(nowOf(options));
  const time = compareTimes(now, hold.time) > 0 ? now : { sec: Math.min(hold.time.sec + 1, MAX_SECOND), nsec: 999_999_999 };
  const entry = await appendEntry(place, seed, time, () => ({ type: EntryType.release, author, sequence, reason }));
  return { ...hold, released: { time: entry.time, reason } };
}

/**
 * Keeps snapshots until `untilSec` at least. Nothing takes an extension back.
 *
 * @returns the snapshots that are kept longer than before; nothing is written for the others
 * @throws RoleError without an admin's key, RefusedError when it was retired, or if a snapshot is pruned already
 * @throws NotFoundError
 */
export async function extendSnapshots(
  place: RetentionPlace,
  snapshots: readonly Uint8Array[],
  options: RetentionOptions & { readonly untilSec: number; readonly reason?: string },
): Promise<Standing[]> {
  const { untilSec } = options;
  if (!Number.isSafeInteger(untilSec) || untilSec < 0) throw new RangeError(`not a second to keep a snapshot until: ${untilSec}`);
  const ledger = await loadLedger(place);
  const seed = signerOf(place, ledger, options, 'extending retention');
  const longer = (await mustBeThere(place, ledger, snapshots)).filter(({ retainUntilSec }) => retainUntilSec < untilSec);
  for (const joined of batches(longer.map(({ id }) => id))) {
    const payload = { type: EntryType.extend, snapshots: joined, untilSec, reason: options.reason ?? '' };
    await appendEntry(place, seed, timeOfMs(nowOf(options)), () => payload);
  }
  if (longer.length === 0) return [];
  return await mustBeInTime(
    place,
    ledger,
    longer.map(({ id }) => id),
  );
}
