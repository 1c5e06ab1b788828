/**
 * What of a plan hangs on which session stored a pack: packs of a run that is still under way, and index objects, which go when all packs of their session have gone. Pure;
 * the sessions are handed in, and only those of packs for which it matters.
 */
import { type Fate, type FateState, namedBy, ORPHAN_SEC, type PruneInput, type PrunePlan } from './prune-plan.js';

/** A pack's session, hex; undefined if it cannot be read. */
export type SessionOf = (number: number) => string | undefined;

const NEVER = Number.POSITIVE_INFINITY;

/** Whether the session of some pack matters to `spareRunning`. */
export function mayBeRunning(plan: PrunePlan): ((number: number) => boolean) | undefined {
  if (!plan.packs.some(({ state }) => state === 'orphan')) return undefined;
  return (number) => ['orphan', 'fresh'].includes(plan.packs[number]!.state);
}

/**
 * Packs that nothing needs and that are old enough to be announced, but whose run still stored something lately: a run may take longer than a pack is left
 * alone. They stay fresh as long as the youngest of their session.
 *
 * @param sessionOf - asked only for packs that nothing needs
 */
export function spareRunning(plan: PrunePlan, input: PruneInput, sessionOf: SessionOf): PrunePlan {
  const active = new Map<string, number>();
  plan.packs.forEach(({ state, sec }, number) => {
    if (state !== 'fresh') return;
    const session = sessionOf(number);
    if (session !== undefined) active.set(session, Math.max(sec, active.get(session) ?? 0));
  });
  if (active.size === 0 || !plan.packs.some(({ state }) => state === 'orphan')) return plan;
  const packs = plan.packs.map((fate, number) => {
    const sec = fate.state === 'orphan' ? active.get(sessionOf(number) ?? '') : undefined;
    return sec === undefined ? fate : { ...fate, state: 'fresh' as const, sec: Math.max(sec, input.nowSec) };
  });
  return { ...plan, packs };
}

/** Index objects that no manifest that stays names, and that are old enough: only for them must the packs' sessions be known. */
export function indexCandidates(plan: PrunePlan, input: PruneInput): ReadonlySet<string> {
  if (plan.blocked.length > 0 || input.only !== undefined) return new Set();
  const going = new Set(plan.manifestsToDelete);
  for (const { id, state } of plan.snapshots) if (state !== 'kept' && state !== 'fresh') going.add(id);
  const needed = new Set<string>();
  const sessions = new Set<string>();
  for (const [id, { indexes, session }] of input.manifests) {
    if (going.has(id)) continue;
    for (const index of indexes) needed.add(index);
    sessions.add(session);
  }
  const candidates = new Set<string>();
  for (const [id, { storedSec, session }] of input.indexes)
    if (!needed.has(id) && !sessions.has(session ?? '') && storedSec + ORPHAN_SEC <= input.nowSec) candidates.add(id);
  return candidates;
}

const stays = (state: FateState): boolean => state === 'kept' || state === 'fresh';

/**
 * The packs whose sessions matter for `candidates`, or undefined if none does. One that stays keeps the index objects of its session; one that goes matters only
 * for when an index object goes that an intent names already.
 */
export function packsOfIndexes(
  plan: PrunePlan,
  input: PruneInput,
  candidates: ReadonlySet<string>,
): ((number: number) => boolean) | undefined {
  if (candidates.size === 0) return undefined;
  const named = namedBy(input.intents, input.waitSec).indexes;
  const someNamed = [...candidates].some((id) => named.has(id));
  return (number) => {
    const { state } = plan.packs[number]!;
    return stays(state) || (someNamed && state !== 'ripe');
  };
}

/**
 * Adds index objects: one may be announced when all packs of its session are gone, ripe or announced, and deleted when all are gone or ripe.
 *
 * @param sessionOf - asked for those that `packsOfIndexes` wants; where one cannot be read nothing is known to be without packs
 */
export function withIndexes(
  plan: PrunePlan,
  input: PruneInput,
  candidates: ReadonlySet<string>,
  sessionOf: SessionOf,
): PrunePlan {
  const named = namedBy(input.intents, input.waitSec).indexes;
  const matters = packsOfIndexes(plan, input, candidates);
  const staying = new Set<string | undefined>();
  const announced = new Map<string | undefined, number>();
  if (matters !== undefined)
    plan.packs.forEach(({ state, goesSec }, number) => {
      if (!matters(number)) return;
      const session = sessionOf(number);
      if (stays(state)) staying.add(session);
      else announced.set(session, Math.max(goesSec ?? NEVER, announced.get(session) ?? 0));
    });
  const unknown = staying.has(undefined) || announced.has(undefined);
  const indexes = [...input.indexes].map(([id, { storedSec, session }]): Fate => {
    const matures = named.get(id);
    const sec = storedSec + ORPHAN_SEC;
    if (!candidates.has(id) || unknown || session === undefined || staying.has(session)) {
      const young = !candidates.has(id) && sec > input.nowSec;
      return { id, state: young ? 'fresh' : 'kept', sec: young ? sec : NEVER };
    }
    if (matures === undefined) return { id, state: 'orphan', sec };
    const goesSec = Math.max(matures, sec, announced.get(session) ?? 0);
    return { id, state: goesSec <= input.nowSec ? 'ripe' : 'announced', sec, goesSec };
  });
  return { ...plan, indexes };
}
