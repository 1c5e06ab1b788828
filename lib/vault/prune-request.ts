/** Pruning as a connection asks for it: one at a time, because what it says may be long and is held until it was read. The timer's own turns do not wait for it. */
import { BusyError } from '../errors.js';
import { type Outlet, sendJson } from './answering.js';
import type { Guard } from './guard.js';
import { type PruneStep, runPrune } from './prune.js';

const running = new WeakSet<Guard>();

/** Does a step of pruning and says what came of it. @throws BusyError while another connection's step is not finished */
export async function sendPruned(guard: Guard, outlet: Outlet, step: PruneStep): Promise<void> {
  if (running.has(guard)) throw new BusyError('prune', 'another connection is pruning; try again when it has finished');
  running.add(guard);
  const free = (): void => void running.delete(guard);
  try {
    const said = await runPrune(guard, step);
    if (outlet.stream.closed || outlet.stream.destroyed) return free();
    // Until it was read: its stream ends within a minute if it is not.
    outlet.stream.once('close', free);
    await sendJson(outlet, said);
  } catch (error) {
    free();
    throw error;
  }
}
