/**
 * Pruning as the vault does it: by the early clock, signed with its own key, while nothing else changes the ledger. What may go is worked out by lib/retention; here
 * stands only how the vault's memory keeps up with it.
 */
import { join } from 'node:path';
import { NoRepositoryError } from '../errors.js';
import { currentPolicy, termsOf } from '../retention/policy.js';
import { announcePrune, planPrune, sweepPrune } from '../retention/prune.js';
import type { ObjectInfo, Store } from '../store/store.js';
import { refOfName } from '../store/vault-protocol.js';
import type { Commits } from './commits.js';
import type { Guard } from './guard.js';
import { discardPruned } from './removing.js';

/** Reasons that a plan tells; there may be one for each snapshot. */
const BLOCKED_SHOWN = 100;

export type PruneStep = 'plan' | 'announce' | 'sweep';

/** One step of pruning; what it says is plain data, ids in hex. @throws NoRepositoryError, RefusedError, CorruptError, StoreError */
export async function runPrune(guard: Guard, step: PruneStep): Promise<unknown> {
  const { chains, commits, clock, rolledBack } = guard;
  if (chains === undefined || commits === undefined)
    throw new NoRepositoryError(guard.options.repository, 'there is no repository behind this vault yet');
  if (rolledBack !== undefined) throw rolledBack;
  return await commits.serial(async () => {
    const place = { ...chains.place, store: pruneStore(guard, commits), cacheDir: join(guard.options.stateDir, 'cache') };
    const options = { seed: guard.seed, nowMs: () => clock.now().earlyMs, signal: guard.signal };
    if (step === 'plan') {
      const { packs, snapshots, indexes, blocked } = await planPrune(place, options);
      return {
        packs: counts(packs),
        snapshots: counts(snapshots),
        indexes: counts(indexes),
        blocked: blocked.slice(0, BLOCKED_SHOWN),
      };
    }
    const { entries, ...said } = step === 'announce' ? await announcePrune(place, options) : await sweepPrune(place, options);
    return { ...said, entries: entries.length };
  });
}

/** What the timer does: sweep, and announce when the policy lets it. */
export async function pruneByItself(guard: Guard): Promise<void> {
  const { chains, commits, rolledBack } = guard;
  if (chains === undefined || commits?.certified !== true || rolledBack !== undefined) return;
  await runPrune(guard, 'sweep');
  if (termsOf(currentPolicy(chains.ledger().entries)).autoPrune) await runPrune(guard, 'announce');
}

function counts(fates: readonly { state: string }[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { state } of fates) found[state] = (found[state] ?? 0) + 1;
  return found;
}

/** The directory as pruning sees it: what it writes and deletes goes through the guard. */
function pruneStore(guard: Guard, commits: Commits): Store {
  const { store } = guard;
  return {
    location: store.location,
    get: (name, range) => store.get(name, range),
    stat: (name) => store.stat(name),
    list: (prefix): AsyncIterable<ObjectInfo> => store.list(prefix),
    async put(name, parts) {
      const ref = refOfName(name);
      if (ref?.kind !== 'entry') throw new RangeError(`pruning stores no ${name}`);
      await commits.adopt(ref.sequence, Buffer.concat(parts as Uint8Array[]));
    },
    remove: (name) => discardPruned(guard, name),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
