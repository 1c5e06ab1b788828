/** Pruning as the vault does it: the early clock, its own key, when nothing else changes the ledger. */
import { VarveError } from '../errors.js';
import type { Guard } from './guard.js';

/** One step of pruning; what it says is plain data. */
export async function runPrune(_guard: Guard, _step: 'plan' | 'announce' | 'sweep'): Promise<unknown> {
  throw new VarveError('FAILED', 'this vault does not prune yet');
}
