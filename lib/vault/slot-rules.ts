/**
 * Which key slots a vault takes and gives up. A connection alone moves none: a slot goes when an admin said so in the ledger and the policy's wait has passed since,
 * never the last one, and only a few may lie here without a word in the ledger.
 */
import { fromHex } from '../bytes.js';
import { RefusedError } from '../errors.js';
import { slotWords } from '../ledger/slots.js';
import { isAnotherThere, slotWaitSec, whySlotStays } from '../retention/slot-sweep.js';
import { refuse } from './accept.js';
import type { Guard } from './guard.js';

/** So many slots may be here of which the ledger says nothing: one is, between its object and its entry. */
const UNLISTED = 8;
const DAY_SEC = 86_400;

/** @throws RefusedError when there are enough slots without a word in the ledger */
export function requireRoomForSlot(guard: Guard, id: string, name: string): void {
  const words = slotWords(guard.opened().chains.ledger());
  if (words?.has(id) === true) return;
  const { slot } = guard.catalog.shelves;
  let unlisted = 0;
  for (let row = 0; row < slot.end; row++)
    if (slot.has(row) && words?.has(Buffer.from(slot.idOf(row)).toString('hex')) !== true) unlisted++;
  if (unlisted >= UNLISTED && slot.find(fromHex(id)) === undefined)
    refuse(name, `comes while ${unlisted} key slots wait for an admin's entry that lists them`);
}

/** Lets the object of a slot go, or tells why not. @throws RefusedError */
export async function requireRemovableSlot(guard: Guard, id: string, name: string): Promise<void> {
  const why = await whyKept(guard, id);
  if (why === undefined) return;
  guard.alerts.tell('slot-change', `the removal of ${name} was asked for: ${why}`);
  throw new RefusedError(`${name} is not to be removed: ${why}`, { object: name });
}

async function whyKept(guard: Guard, id: string): Promise<string | undefined> {
  const ledger = guard.opened().chains.ledger();
  const words = slotWords(ledger) ?? new Map();
  const nowSec = guard.clock.now().earlyMs / 1000;
  const word = words.get(id);
  const { slot } = guard.catalog.shelves;
  const row = slot.find(fromHex(id));
  if (row === undefined) return undefined;
  if (word !== undefined) {
    const why = whySlotStays(word, slotWaitSec(ledger), nowSec);
    if (why !== undefined) return why;
  } else if (slot.storedMsOf(row) === 0 || nowSec < slot.storedMsOf(row) / 1000 + DAY_SEC)
    return 'it came less than a day ago, and an admin may be about to list it';
  // What the ledger does not know may be all that opens a repository from before slots stood in it.
  if (!(await isAnotherThere(guard.store, words))) return 'the ledger lists no other slot that is here';
  return undefined;
}
