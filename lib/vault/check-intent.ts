/**
 * Whether an admin's announcement of a prune may be kept. New runs use nothing that an intent names, so one that names what is kept would have every host store
 * everything anew: the vault works out by itself what may go.
 */
import { RefusedError } from '../errors.js';
import type { PruneList } from '../format/payload.js';
import { hexesOf } from '../id.js';
import type { PrunePlan } from '../retention/prune-plan.js';
import type { AlertCode } from './alerts.js';

/** What may go at a second, by what is stored. @throws CorruptError, StoreError */
export type PlanAt = (nowSec: number) => Promise<Pick<PrunePlan, 'packs' | 'snapshots' | 'indexes'>>;

/** Clocks differ: what has expired within a day is announced in good faith. */
const SLACK_SEC = 86_400;
/** Somebody hears of an announcement of more than this share of what is stored. */
const LARGE_SHARE = 0.5;

interface IntentContext {
  lateMs(): number;
  readonly planAt: PlanAt;
  tell(code: AlertCode, detail: string): void;
}

/** @throws RefusedError unless everything in it that is there may go, and something does */
export async function checkIntent(object: string, intent: PruneList, { lateMs, planAt, tell }: IntentContext): Promise<void> {
  const plan = await planAt(lateMs() / 1000 + SLACK_SEC);
  let going = 0;
  let stored = 0;
  const kept: string[] = [];
  for (const kind of ['snapshots', 'packs', 'indexes'] as const) {
    const states = new Map(plan[kind].map(({ id, state }) => [id, state]));
    stored += states.size;
    for (const hex of hexesOf(intent[kind])) {
      const state = states.get(hex);
      if (state === 'kept' || state === 'fresh') kept.push(`${kind.slice(0, -1)} ${hex.slice(0, 8)}`);
      else if (state !== undefined) going++;
    }
  }
  if (kept.length === 0 && going > 0) {
    if (going > stored * LARGE_SHARE)
      tell('prune-intent', `${object} announces the pruning of ${going} of the ${stored} objects that are stored`);
    return;
  }
  const share = `${kept.length} of the ${kept.length + going} objects that it names`;
  throw new RefusedError(
    kept.length === 0
      ? `${object} announces the pruning of nothing that is stored; the vault does not keep it`
      : `${object} announces the pruning of what is kept (${share}, ${kept[0]} among them); the vault does not keep it. Is the admin's clock right?`,
    { object, kept: kept.length, going },
  );
}
