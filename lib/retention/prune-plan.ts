/**
 * What may be deleted, what may be announced, and why everything else stays (docs/security.md, Retention). Pure: the state of a repository in, a fate for every
 * snapshot, pack and index object out. Whoever deletes works it out again from what the ledger and the store say at that time.
 */
import { toHex } from '../bytes.js';
import type { PruneList } from '../format/payload.js';
import { hexesOf } from '../id.js';
import type { Standing } from '../ledger/standing.js';
import type { PackTable } from './pack-table.js';
import { type PinNode, packLocks } from './pin-locks.js';

const HOUR = 3600;
/** Nothing is deleted in the first day after the last lock on it ended, and no intent is carried out on the day it was made, whatever the policy says. */
export const GRACE_SEC = 24 * HOUR;
/** What no snapshot names may belong to a run that is under way: it is left alone for so long. */
export const ORPHAN_SEC = 72 * HOUR;

export interface StoredManifest {
  readonly storedSec: number;
  readonly session: string;
  /** Index objects that its session stored, hex. */
  readonly indexes: readonly string[];
  /** Undefined when it is damaged. */
  readonly pins: PinNode | undefined;
}

/** An intent to prune, as the ledger has it. */
export interface Intent extends PruneList {
  readonly author: Uint8Array;
  readonly sequence: number;
  /** Since when it has stood: the latest of what its author, the vault and the store say. */
  readonly sinceSec: number;
}

export interface PruneInput {
  readonly nowSec: number;
  /** The policy's wait. */
  readonly waitSec: number;
  /** All that the ledger lists, pruned or not. */
  readonly snapshots: readonly Standing[];
  /** Those behind the end of a retired author's chain. */
  readonly disowned: readonly Standing[];
  /** Manifests in the store, by hex id; likewise the next two. */
  readonly manifests: ReadonlyMap<string, StoredManifest>;
  readonly packs: PackTable;
  /** By pack number. */
  readonly packBytes: Float64Array;
  readonly packStoredSec: Float64Array;
  readonly indexes: ReadonlyMap<string, { readonly storedSec: number; readonly session: string | undefined }>;
  readonly intents: readonly Intent[];
  /** Announce these snapshots only, and what they alone need. */
  readonly only?: ReadonlySet<string>;
}

/**
 * `kept`: something needs it. `fresh`: nothing does, but a run may be about to. `expired`: nothing has needed it since a snapshot that did; `orphan`: nothing
 * ever did: both can be announced. `announced`: an intent names it, the time has not come. `ripe`: may be deleted.
 */
export type FateState = 'kept' | 'fresh' | 'expired' | 'orphan' | 'announced' | 'ripe';

export interface Fate {
  readonly id: string;
  readonly state: FateState;
  /** Kept: until when, Infinity for no end. Fresh: until when it is left alone. Expired: since when nothing needs it. */
  readonly sec: number;
  /** The snapshot that keeps or kept a pack longest, hex; of a manifest, what builds on it. */
  readonly by?: string;
  /** When it may be deleted as things are, for what an intent names; Infinity if something that needs it is not announced. */
  readonly goesSec?: number;
}

export interface PackFate extends Fate {
  readonly bytes: number;
}

/** Filled in step by step: there are a hundred thousand of them. */
type Draft<T> = { -readonly [K in keyof T]: T[K] };

export interface SnapshotFate extends Fate {
  /** Undefined for a manifest that no ledger entry names. */
  readonly standing: Standing | undefined;
  /** Taken off the list already. */
  readonly pruned: boolean;
  readonly inStore: boolean;
}

export interface PrunePlan {
  readonly nowSec: number;
  readonly waitSec: number;
  /** Why nothing may be pruned at all: what is needed to know what is needed is missing or damaged. */
  readonly blocked: readonly string[];
  readonly snapshots: readonly SnapshotFate[];
  readonly packs: readonly PackFate[];
  readonly indexes: readonly Fate[];
  /** Manifests to delete, hex, those that build on others first; a manifest that others build on stays though its snapshot goes. */
  readonly manifestsToDelete: readonly string[];
}

/** When the first intent that names something comes of age, by hex id. */
interface Named {
  readonly packs: Map<string, number>;
  readonly snapshots: Map<string, number>;
  readonly indexes: Map<string, number>;
}

/** When `intent` may be carried out, seconds. */
export function maturesSec(intent: Pick<Intent, 'sinceSec'>, waitSec: number): number {
  return intent.sinceSec + Math.max(waitSec, GRACE_SEC);
}

export function namedBy(intents: readonly Intent[], waitSec: number): Named {
  const named: Named = { packs: new Map(), snapshots: new Map(), indexes: new Map() };
  for (const intent of intents) {
    const matures = maturesSec(intent, waitSec);
    for (const kind of ['packs', 'snapshots', 'indexes'] as const)
      for (const hex of hexesOf(intent[kind]))
        named[kind].set(hex, Math.min(matures, named[kind].get(hex) ?? Number.POSITIVE_INFINITY));
  }
  return named;
}

const NEVER = Number.POSITIVE_INFINITY;

/** The fates of snapshots and manifests: when each is free, and when it may go. */
function snapshotFates(input: PruneInput, named: Named): SnapshotFate[] {
  const { nowSec, manifests, only } = input;
  const fates: SnapshotFate[] = [];
  const seen = new Set<string>();
  const base = new Set<string>();
  for (const { pins } of manifests.values()) if (pins?.base !== undefined) base.add(pins.base);
  // Of several words on one manifest, the longest promise holds.
  const freeSecs = new Map<string, number>();
  for (const { id, freeSec } of [...input.snapshots, ...input.disowned])
    freeSecs.set(toHex(id), Math.max(freeSecs.get(toHex(id)) ?? 0, freeSec));
  for (const [standing, own] of [
    ...input.snapshots.map((standing) => [standing, true] as const),
    ...input.disowned.map((standing) => [standing, false] as const),
  ]) {
    const id = toHex(standing.id);
    const inStore = manifests.has(id);
    // What is gone needs nothing, whoever speaks for it since.
    if (seen.has(id) || (!inStore && (standing.pruned || standing.overtaken || !own))) continue;
    seen.add(id);
    const { pruned } = standing;
    const freeSec = pruned ? standing.freeSec : freeSecs.get(id)!;
    const matures = named.snapshots.get(id);
    const common = { id, standing, pruned, inStore };
    const asked = only === undefined || only.has(id);
    if (freeSec > nowSec || (matures === undefined && !asked))
      fates.push({ ...common, state: 'kept', sec: freeSec > nowSec ? freeSec : NEVER });
    else if (matures === undefined) fates.push({ ...common, state: 'expired', sec: freeSec });
    else {
      const goesSec = Math.max(freeSec + GRACE_SEC, matures);
      fates.push({ ...common, state: goesSec <= nowSec ? 'ripe' : 'announced', sec: freeSec, goesSec });
    }
  }
  for (const [id, { storedSec }] of manifests) {
    if (seen.has(id)) continue;
    const sec = storedSec + ORPHAN_SEC;
    const matures = named.snapshots.get(id);
    const common = { id, standing: undefined, pruned: false, inStore: true };
    if (sec > nowSec) fates.push({ ...common, state: 'fresh', sec });
    else if (matures !== undefined)
      fates.push({ ...common, state: matures <= nowSec ? 'ripe' : 'announced', sec, goesSec: matures });
    else if (base.has(id) || only !== undefined) fates.push({ ...common, state: 'kept', sec: NEVER });
    else fates.push({ ...common, state: 'orphan', sec });
  }
  return fates;
}

/** Manifests that may go and on which nothing builds that stays; what builds on others comes first. */
function deletableManifests(fates: readonly SnapshotFate[], manifests: PruneInput['manifests']): string[] {
  const ripe = new Set(fates.filter(({ state, inStore }) => state === 'ripe' && inStore).map(({ id }) => id));
  const deepestFirst = [...manifests].sort(([, a], [, b]) => (b.pins?.depth ?? 0) - (a.pins?.depth ?? 0));
  const needed = new Set<string>();
  const gone: string[] = [];
  for (const [id, { pins }] of deepestFirst) {
    if (ripe.has(id) && !needed.has(id)) gone.push(id);
    else if (pins?.base !== undefined) needed.add(pins.base);
  }
  return gone;
}

/** Plans with regard to snapshots and packs; prune-sessions.ts adds what hangs on the sessions of packs. */
export function planPacks(input: PruneInput): PrunePlan {
  const { nowSec, waitSec, manifests, packs: table } = input;
  const named = namedBy(input.intents, waitSec);
  const snapshots = snapshotFates(input, named);
  const byId = new Map(snapshots.map((fate) => [fate.id, fate]));

  const readable = new Map<string, PinNode>();
  for (const [id, { pins }] of manifests) if (pins !== undefined) readable.set(id, pins);
  const until = new Float64Array(readable.size);
  const goes = new Float64Array(readable.size);
  const ids = [...readable.keys()];
  ids.forEach((id, i) => {
    const { state, sec, goesSec, standing } = byId.get(id)!;
    // A manifest without an entry pins only while a run may be committing it.
    until[i] = standing === undefined && state !== 'fresh' ? -1 : sec;
    goes[i] = standing === undefined ? (state === 'fresh' ? sec : -1) : (goesSec ?? NEVER);
  });
  const { locks, broken } = packLocks(table.count, readable, until, goes);
  const [held, leaves] = locks as [(typeof locks)[0], (typeof locks)[0]];

  const blocked: string[] = [];
  for (const { id, standing, state, sec, inStore, pruned } of snapshots) {
    if (standing === undefined || (state !== 'kept' && sec + GRACE_SEC <= nowSec)) continue;
    if (!inStore) blocked.push(`snapshots/${id} is missing`);
    else if (!readable.has(id)) blocked.push(`snapshots/${id} is damaged`);
    else if (broken.has(id) && !pruned) blocked.push(`the pins of snapshots/${id} do not resolve`);
  }

  const packs: PackFate[] = [];
  for (let number = 0; number < table.count; number++) {
    const id = table.hex(number);
    const matures = named.packs.get(id);
    const untilSec = held.weight[number]!;
    const by = held.by[number]!;
    const oldSec = input.packStoredSec[number]! + ORPHAN_SEC;
    const fate: Draft<PackFate> = { id, bytes: input.packBytes[number]!, state: 'kept', sec: NEVER };
    if (by >= 0) fate.by = ids[by]!;
    packs.push(fate);
    if (blocked.length > 0) continue;
    if (untilSec > nowSec) fate.sec = untilSec;
    else if (matures !== undefined) {
      fate.goesSec = Math.max(leaves.weight[number]!, matures, oldSec);
      fate.state = fate.goesSec <= nowSec ? 'ripe' : 'announced';
      fate.sec = Math.max(0, untilSec);
    } else if (by >= 0) {
      fate.state = 'expired';
      fate.sec = untilSec;
    } else if (oldSec > nowSec || input.only === undefined) {
      fate.state = oldSec > nowSec ? 'fresh' : 'orphan';
      fate.sec = oldSec;
    }
  }
  return {
    nowSec,
    waitSec,
    blocked,
    snapshots,
    packs,
    indexes: [],
    manifestsToDelete: blocked.length > 0 ? [] : deletableManifests(snapshots, manifests),
  };
}
