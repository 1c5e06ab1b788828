/**
 * When a key slot's object may be deleted: when an admin removed it in the ledger, the policy's wait has passed since that entry was received, and the ledger lists another
 * slot that is there. A plain prune and a vault go by the same rule.
 */
import { equalBytes } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { NotFoundError } from '../errors.js';
import { type SlotWord, slotWords } from '../ledger/slots.js';
import type { Ledger } from '../ledger/state.js';
import type { Store } from '../store/store.js';
import { currentPolicy, termsOf } from './policy.js';
import { GRACE_SEC } from './prune-plan.js';

/** How long a removed slot stays: the policy's wait, and a day at least. */
export function slotWaitSec({ entries }: Pick<Ledger, 'entries'>): number {
  return Math.max(termsOf(currentPolicy(entries)).waitSec, GRACE_SEC);
}

/** Why the object of a slot must stay at `nowSec`; undefined when it may be deleted. Whether another slot is there is for `isAnotherThere`. */
export function whySlotStays(word: SlotWord | undefined, waitSec: number, nowSec: number): string | undefined {
  if (word === undefined) return 'the ledger says nothing of it';
  if (word.listed) return 'the ledger lists it: an admin removes it there first (varve key remove)';
  if (nowSec < word.sinceSec + waitSec)
    return `it was removed less than ${Math.round(waitSec / 3600)} hours ago, and that can still be taken back`;
  return undefined;
}

/** Whether the ledger lists a slot that is in the store as the ledger has it. */
export async function isAnotherThere(store: Store, words: ReadonlyMap<string, SlotWord>): Promise<boolean> {
  for (const [id, { listed, digest }] of words) {
    if (!listed || digest === undefined) continue;
    try {
      if (equalBytes(sha256(await store.get(`keys/${id}`)), digest)) return true;
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }
  return false;
}

/** Deletes the objects of slots that were removed long enough ago. @returns their ids, hex */
export async function sweepSlots(store: Store, ledger: Ledger, nowSec: number): Promise<string[]> {
  const words = slotWords(ledger);
  if (words === undefined) return [];
  const waitSec = slotWaitSec(ledger);
  const there: string[] = [];
  for await (const { name } of store.list('keys/')) {
    const id = name.slice('keys/'.length);
    if (whySlotStays(words.get(id), waitSec, nowSec) === undefined) there.push(id);
  }
  if (there.length === 0 || !(await isAnotherThere(store, words))) return [];
  for (const id of there.sort()) await store.remove(`keys/${id}`);
  return there;
}
