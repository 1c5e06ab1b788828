/**
 * The ways in which something goes: a key slot that an admin removed in the ledger (slot-rules.ts), what an interrupted init left, and what pruning found to be of no use. Everything else is
 * refused.
 */
import { RefusedError } from '../errors.js';
import { nameOfRef, type ObjectRef, refOfName } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { ShelfKind } from './catalog.js';
import type { Guard } from './guard.js';
import { requireRemovableSlot } from './slot-rules.js';

/** Removes a key slot, or, before there is a repository, what an interrupted init left. */
export async function removeObject(guard: Guard, caller: Caller, ref: ObjectRef): Promise<void> {
  guard.require(caller, 'remove', ref.kind);
  const name = nameOfRef(ref);
  if (ref.kind !== 'slot' && !guard.isFounding) {
    guard.alerts.tell('refused-deletion', `an admin connection asked for the removal of ${name}`, caller.writer ?? caller.role);
    throw new RefusedError(`${name} is not to be removed: what a vault keeps goes by retention alone`, { object: name });
  }
  if (ref.kind === 'slot' && guard.commits !== undefined) await requireRemovableSlot(guard, ref.id, name);
  await guard.options.onRemove?.(guard.store.pathOf(name));
  await guard.store.remove(name);
  if (ref.kind === 'slot') guard.catalog.shelves.slot.remove(Buffer.from(ref.id, 'hex'));
  else if (ref.kind === 'entry') guard.catalog.removeEntry(ref.id, ref.sequence);
}

/** Deletes an object that pruning found to be of no use any more, and said so in the ledger. */
export async function discardPruned(guard: Guard, name: string): Promise<void> {
  const ref = refOfName(name);
  if (ref === undefined || !['pack', 'index', 'manifest', 'slot'].includes(ref.kind))
    throw new RefusedError(`${name} is nothing that pruning deletes`, { object: name });
  if (ref.kind === 'slot') await requireRemovableSlot(guard, ref.id, name);
  await guard.options.onRemove?.(guard.store.pathOf(name));
  await guard.store.remove(name);
  guard.catalog.shelves[ref.kind as ShelfKind].remove(Buffer.from(ref.id, 'hex'));
}
