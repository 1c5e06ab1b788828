/**
 * Pruning in two steps that lie days apart: what has expired is announced in the ledger, and what has been announced for long enough is deleted. Each step
 * works out anew what may go (prune-plan.ts) and believes nobody; a sweep that was killed anywhere is finished by the next one. Needs no key of content.
 */
import { fromHex, toHex } from '../bytes.js';
import { CorruptError, InterruptedError } from '../errors.js';
import { IDS_PER_ENTRY, type LedgerEntry } from '../format/entry.js';
import { indexName, manifestName, packName } from '../format/names.js';
import { EntryType, type PruneList } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import { hexesOf } from '../id.js';
import { appendEntry } from '../ledger/append.js';
import { loadLedger } from '../ledger/ledger.js';
import { joinSorted } from '../ledger/pins.js';
import { isGuardedStore } from '../store/store.js';
import { type Intent, maturesSec, type PrunePlan } from './prune-plan.js';
import { type DoneIds, type PruneState, type ReadOptions, readPruneState } from './prune-state.js';
import { nowOf, type RetentionOptions, type RetentionPlace, signerOf } from './signer.js';
import { sweepSlots } from './slot-sweep.js';

export interface PruneOptions extends RetentionOptions, ReadOptions {}

/** Ids in hex. */
export interface PruneIds {
  readonly packs: readonly string[];
  readonly snapshots: readonly string[];
  readonly indexes: readonly string[];
}

export interface AnnounceReport extends PruneIds {
  readonly packBytes: number;
  /** When what was announced may be deleted at the earliest, seconds since 1970; 0 if nothing was. */
  readonly goesSec: number;
  readonly entries: readonly LedgerEntry[];
}

export interface SweepReport extends PruneIds {
  readonly packBytes: number;
  /** Manifests deleted: of the snapshots taken off the list, now or before, unless another manifest builds on them. */
  readonly manifests: readonly string[];
  /** Key slots that were removed in the ledger, and whose objects were deleted now; ids in hex. */
  readonly slots: readonly string[];
  readonly entries: readonly LedgerEntry[];
}

const KINDS = ['snapshots', 'packs', 'indexes'] as const;
const DELETES_AT_ONCE = 4;
const NONE: PruneIds = { packs: [], snapshots: [], indexes: [] };

/** What may go and what stays, and why; changes nothing and needs no key. @throws CorruptError, RolledBackError, StoreError, InterruptedError */
export async function planPrune(place: RetentionPlace, options: PruneOptions = {}): Promise<PrunePlan> {
  return (await readPruneState(place, nowOf(options) / 1000, options)).plan;
}

/** @throws CorruptError if it is not known what is needed */
function mustKnow({ plan }: PruneState): void {
  if (plan.blocked.length > 0)
    throw new CorruptError(
      'repository',
      `${plan.blocked.slice(0, 3).join('; ')}${plan.blocked.length > 3 ? `; and ${plan.blocked.length - 3} more` : ''}: nothing is pruned while it is unknown what kept snapshots need. Run varve check; fetch what is missing from a second copy`,
    );
}

/** Lists of at most IDS_PER_ENTRY ids in all: snapshots first, so that no pack comes of age before what it belongs to. */
function split(ids: PruneIds): PruneList[] {
  const lists: PruneList[] = [];
  let room = 0;
  let current: Record<(typeof KINDS)[number], Uint8Array[]> | undefined;
  const parts: Record<(typeof KINDS)[number], Uint8Array[]>[] = [];
  for (const kind of KINDS)
    for (const hex of [...ids[kind]].sort()) {
      if (room === 0 || current === undefined) {
        current = { packs: [], snapshots: [], indexes: [] };
        parts.push(current);
        room = IDS_PER_ENTRY;
      }
      current[kind].push(fromHex(hex));
      room--;
    }
  for (const { packs, snapshots, indexes } of parts)
    lists.push({ packs: joinSorted(packs), snapshots: joinSorted(snapshots), indexes: joinSorted(indexes) });
  return lists;
}

/** What is to be announced by the plan: everything expired or orphaned that no intent names yet. */
function announceable(plan: PrunePlan): PruneIds {
  const wanted = ({ state }: { state: string }): boolean => state === 'expired' || state === 'orphan';
  const ids = (fates: readonly { id: string; state: string }[]): string[] => fates.filter(wanted).map(({ id }) => id);
  return { packs: ids(plan.packs), snapshots: ids(plan.snapshots), indexes: ids(plan.indexes) };
}

/**
 * Announces what has expired: writes intents to prune it. From now on no new snapshot uses it; it is deleted by a later sweep.
 *
 * @throws RoleError without an admin's or vault's key, RefusedError when it was retired
 * @throws CorruptError if a manifest that is needed is missing or damaged, RolledBackError, StoreError
 */
export async function announcePrune(place: RetentionPlace, options: PruneOptions = {}): Promise<AnnounceReport> {
  const state = await readPruneState(place, nowOf(options) / 1000, options);
  const seed = signerOf(place, state.ledger, options, 'pruning', ['admin', 'vault']);
  mustKnow(state);
  const ids = announceable(state.plan);
  const entries: LedgerEntry[] = [];
  for (const list of split(ids)) {
    const payload = { type: EntryType.pruneIntent, ...list };
    entries.push(await appendEntry(place, seed, timeOfMs(nowOf(options)), () => payload));
  }
  const going = new Set(ids.packs);
  const packBytes = state.plan.packs.reduce((sum, { id, bytes }) => sum + (going.has(id) ? bytes : 0), 0);
  const last = entries.at(-1);
  const goesSec = last === undefined ? 0 : maturesSec({ sinceSec: last.time.sec }, state.plan.waitSec);
  return { ...ids, packBytes, goesSec, entries };
}

interface Deletion extends PruneIds {
  /** Those that build on others first. */
  readonly manifests: readonly string[];
}

/** What the plan lets go now. */
function deletable(plan: PrunePlan): Deletion {
  const ripe = (fates: readonly { id: string; state: string }[]): string[] =>
    fates.filter(({ state }) => state === 'ripe').map(({ id }) => id);
  return {
    packs: ripe(plan.packs),
    snapshots: ripe(plan.snapshots),
    indexes: ripe(plan.indexes),
    manifests: plan.manifestsToDelete,
  };
}

/** The prune-done entries that are still to be written, each with the intent that it carries out. */
function accounts(todo: Deletion, done: DoneIds, intents: readonly Intent[]): { intent: Intent; list: PruneList }[] {
  const left = Object.fromEntries(
    KINDS.map((kind) => [kind, new Set(todo[kind].filter((hex) => !done[kind].has(hex)))]),
  ) as Record<(typeof KINDS)[number], Set<string>>;
  const found: { intent: Intent; list: PruneList }[] = [];
  for (const intent of [...intents].sort((a, b) => a.sinceSec - b.sinceSec)) {
    const mine = { packs: [] as string[], snapshots: [] as string[], indexes: [] as string[] };
    for (const kind of KINDS) for (const hex of hexesOf(intent[kind])) if (left[kind].delete(hex)) mine[kind].push(hex);
    for (const list of split(mine)) found.push({ intent, list });
  }
  return found;
}

/** What is in both. */
function intersect(a: Deletion, b: Deletion): Deletion {
  const both = (kind: keyof Deletion): string[] => {
    const other = new Set(b[kind]);
    return a[kind].filter((hex) => other.has(hex));
  };
  return { packs: both('packs'), snapshots: both('snapshots'), indexes: both('indexes'), manifests: both('manifests') };
}

/**
 * Deletes what was announced long enough ago and is still needed by nothing: says so in the ledger, then deletes manifests, packs, index objects.
 *
 * @throws RoleError without an admin's or vault's key, RefusedError when it was retired
 * @throws CorruptError if a manifest that is needed is missing or damaged, RolledBackError, StoreError, InterruptedError
 */
export async function sweepPrune(place: RetentionPlace, options: PruneOptions = {}): Promise<SweepReport> {
  // What a vault keeps only the vault deletes: it works all of it out itself.
  if (isGuardedStore(place.store)) return { ...((await place.store.prune('sweep')) as SweepReport), entries: [] };
  let state = await readPruneState(place, nowOf(options) / 1000, options);
  const seed = signerOf(place, state.ledger, options, 'pruning', ['admin', 'vault']);
  const slots = await sweepSlots(place.store, state.ledger, nowOf(options) / 1000);
  mustKnow(state);
  let todo = deletable(state.plan);
  const isEmpty = Object.values(todo).every((ids) => ids.length === 0);
  // Reading takes a while; what the ledger says must be as new as can be.
  if (!isEmpty && (await loadLedger(place)).entries.length !== state.ledger.entries.length) {
    state = await readPruneState(place, nowOf(options) / 1000, options);
    mustKnow(state);
    todo = deletable(state.plan);
  }
  const entries: LedgerEntry[] = [];
  for (const { intent, list } of accounts(todo, state.done, state.input.intents)) {
    const payload = { type: EntryType.pruneDone, author: intent.author, sequence: intent.sequence, ...list };
    entries.push(await appendEntry(place, seed, timeOfMs(nowOf(options)), () => payload));
  }
  if (entries.length > 0) {
    // Somebody may have placed a hold while this was worked out. Whoever comes after this look finds that the ledger says deleted.
    const now = await loadLedger(place);
    if (now.entries.length !== state.ledger.entries.length + entries.length) {
      const again = await readPruneState(place, nowOf(options) / 1000, options);
      mustKnow(again);
      todo = intersect(todo, deletable(again.plan));
    }
  }
  await remove(place, todo, options.signal);
  const going = new Set(todo.packs);
  const packBytes = state.plan.packs.reduce((sum, { id, bytes }) => sum + (going.has(id) ? bytes : 0), 0);
  const taken = new Set(state.input.snapshots.filter(({ pruned }) => !pruned).map(({ id }) => toHex(id)));
  return { ...NONE, ...todo, snapshots: todo.snapshots.filter((hex) => taken.has(hex)), packBytes, slots, entries };
}

async function remove({ store }: RetentionPlace, todo: Deletion, signal: AbortSignal | undefined): Promise<void> {
  const stop = (): void => {
    if (signal?.aborted === true) throw new InterruptedError('prune');
  };
  // One after another: what builds on a manifest goes before it.
  for (const hex of todo.manifests) {
    stop();
    await store.remove(manifestName(fromHex(hex)));
  }
  for (const names of [todo.packs.map((hex) => packName(fromHex(hex))), todo.indexes.map((hex) => indexName(fromHex(hex)))])
    for (let at = 0; at < names.length; at += DELETES_AT_ONCE) {
      stop();
      await Promise.all(names.slice(at, at + DELETES_AT_ONCE).map((name) => store.remove(name)));
    }
}
