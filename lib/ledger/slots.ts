/**
 * Key slots as the ledger knows them (docs/format.md §11, type 21): an admin says which were added and which were removed, and what each one's bytes are. A slot whose
 * last word is "removed" opens nothing for an honest program; its object stays for the policy's wait, so that a removal can be taken back.
 */
import { equalBytes, fromHex, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { CorruptError, NewerFormatError, NotFoundError, RefusedError, RoleError } from '../errors.js';
import { type Keyring, MAX_SLOT_BYTES } from '../format/key-slot.js';
import { isSlotName, slotName } from '../format/names.js';
import { EntryType, type PayloadOf, payloadOf, type SlotRecord } from '../format/payload.js';
import { Kind } from '../format/preamble.js';
import { timeOfMs } from '../format/time.js';
import { describeSlot } from '../repository/keyring.js';
import { addKey, type KeySlot, type SealOptions } from '../repository/keys.js';
import type { Repository, RepositoryPlace } from '../repository/repository.js';
import type { Store } from '../store/store.js';
import { appendEntry, requireAuthor } from './append.js';
import { loadLedger } from './ledger.js';
import { entryKey, type Ledger } from './state.js';

/** The last word of the ledger on a slot. */
export interface SlotWord {
  readonly listed: boolean;
  /** When the entry counts as received, seconds: the latest that its author, a vault and the store say. */
  readonly sinceSec: number;
  readonly label: string;
  /** SHA-256 of its object; undefined for one that was removed without ever being listed. */
  readonly digest: Uint8Array | undefined;
}

/** By slot id, hex. Undefined for a ledger that says nothing of slots at all: it is from before they stood in it. */
export function slotWords({ entries, times, chains, receipts }: Ledger): Map<string, SlotWord> | undefined {
  const stored = new Map(chains.map(({ author, storedMs }) => [toHex(author), storedMs]));
  let words: Map<string, SlotWord> | undefined;
  for (const [i, entry] of entries.entries()) {
    const payload = payloadOf(entry.payload, 'slots');
    if (payload === undefined) continue;
    words ??= new Map();
    const storedMs = stored.get(toHex(entry.author))?.[entry.sequence] ?? 0;
    const receivedSec = receipts.get(entryKey(entry))?.time.sec ?? storedMs / 1000;
    const sinceSec = Math.max(entry.time.sec, times[i]!.sec, receivedSec);
    for (const { id, label, digest } of payload.added) words.set(toHex(id), { listed: true, sinceSec, label, digest });
    for (const id of payload.removed) {
      const { label = '', digest } = words.get(toHex(id)) ?? {};
      words.set(toHex(id), { listed: false, sinceSec, label, digest });
    }
  }
  return words;
}

/** `listed`, or without a word in the ledger; `removed` and still there; `damaged`: not the bytes that the ledger lists; `missing`. */
/** Whether a slot stays listed after one more slots entry, or none was listed before. */
export function leavesSlot(ledger: Ledger, { added, removed }: PayloadOf<'slots'>): boolean {
  const listed = new Set([...(slotWords(ledger) ?? [])].flatMap(([id, word]) => (word.listed ? [id] : [])));
  if (listed.size === 0 || added.length > 0) return true;
  for (const id of removed) listed.delete(toHex(id));
  return listed.size > 0;
}

export type SlotState = 'listed' | 'unlisted' | 'removed' | 'damaged' | 'missing';

/** A slot as it is, and as the ledger has it. */
export interface ListedSlot {
  readonly id: string;
  readonly label: string;
  /** What its header says; undefined for one that cannot be read. */
  readonly createdSec: number | undefined;
  readonly state: SlotState;
  /** Since when the ledger says so, seconds. */
  readonly sinceSec: number | undefined;
}

interface StoredSlot {
  /** Undefined for one that cannot be decoded. */
  readonly slot: KeySlot | undefined;
  readonly digest: Uint8Array;
}

async function readSlot(store: Store, name: string): Promise<StoredSlot | undefined> {
  try {
    const info = await store.stat(name);
    if (info === undefined) return undefined;
    const bytes = info.sizeBytes > MAX_SLOT_BYTES ? new Uint8Array(0) : await store.get(name);
    const digest = sha256(bytes);
    try {
      const { id, label, createdSec } = describeSlot(bytes, Kind.keySlot, name);
      return { slot: slotName(id) === name ? { id: toHex(id), label, createdSec } : undefined, digest };
    } catch (error) {
      if (error instanceof CorruptError || error instanceof NewerFormatError) return { slot: undefined, digest };
      throw error;
    }
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

async function storedSlots(store: Store): Promise<Map<string, StoredSlot>> {
  const names: string[] = [];
  for await (const { name } of store.list('keys/')) if (isSlotName(name)) names.push(name);
  const found = new Map<string, StoredSlot>();
  for (const name of names.sort()) {
    const stored = await readSlot(store, name);
    if (stored !== undefined) found.set(name.slice('keys/'.length), stored);
  }
  return found;
}

function stateOf(stored: StoredSlot | undefined, word: SlotWord | undefined): SlotState {
  if (stored === undefined) return 'missing';
  if (word?.listed === false) return 'removed';
  if (stored.slot === undefined) return 'damaged';
  if (word === undefined) return 'unlisted';
  return word.digest !== undefined && equalBytes(word.digest, stored.digest) ? 'listed' : 'damaged';
}

/** Every slot that is there or should be, oldest first. Needs no key. In a ledger from before slots stood in it, all are `unlisted`. */
export async function listSlots({ store }: Pick<RepositoryPlace, 'store'>, ledger: Ledger): Promise<ListedSlot[]> {
  const words = slotWords(ledger);
  const stored = await storedSlots(store);
  const missing = [...(words ?? [])].flatMap(([id, { listed }]) => (listed && !stored.has(id) ? [id] : []));
  return [...stored.keys(), ...missing]
    .map((id): ListedSlot => {
      const word = words?.get(id);
      const { slot } = stored.get(id) ?? {};
      const label = slot?.label ?? word?.label ?? '';
      return { id, label, createdSec: slot?.createdSec, state: stateOf(stored.get(id), word), sinceSec: word?.sinceSec };
    })
    .sort((a, b) => (a.createdSec ?? 0) - (b.createdSec ?? 0) || (a.id < b.id ? -1 : 1));
}

/** The slot whose id starts with `prefix`. @throws NotFoundError if there is none, or several */
export function findSlot(slots: readonly ListedSlot[], prefix: string): ListedSlot {
  const found = slots.filter(({ id }) => prefix !== '' && id.startsWith(prefix.toLowerCase()));
  if (found.length > 1)
    throw new NotFoundError('key', prefix, `key ${prefix} is ambiguous: ${found.map(({ id }) => id).join(', ')}`);
  if (found.length === 0) throw new NotFoundError('key', prefix, `no key ${prefix}; varve key list shows them`);
  return found[0]!;
}

/** What may be said of slots in one entry. */
interface SlotChange {
  readonly added?: readonly SlotRecord[];
  /** Ids in hex. */
  readonly removed?: readonly string[];
}

/** The admin in hand. @throws RoleError without one that counts */
function adminSeed({ keyring, genesis }: Repository, ledger: Ledger, what: string): Uint8Array {
  if (keyring.adminSeed === null) throw new RoleError('admin', what);
  requireAuthor(genesis, ledger, authorOf(publicKeyOf(keyring.adminSeed)));
  return keyring.adminSeed;
}

/** Writes a change. The first of a ledger lists what was there before, too: an admin vouches for it from now on. */
async function writeChange(repository: Repository, ledger: Ledger, change: SlotChange, nowMs: number): Promise<void> {
  const { added = [], removed = [] } = change;
  const seed = adminSeed(repository, ledger, 'changing key slots');
  const said = new Set([...added.map(({ id }) => toHex(id)), ...removed]);
  const before = slotWords(ledger) === undefined ? await storedSlots(repository.store) : new Map<string, StoredSlot>();
  const adopted = [...before].flatMap(([id, { slot, digest }]) =>
    slot === undefined || said.has(id) ? [] : [{ id: fromHex(id), label: slot.label, digest }],
  );
  const payload = { type: EntryType.slots, added: [...adopted, ...added], removed: removed.map(fromHex) };
  await appendEntry(repository, seed, timeOfMs(nowMs), () => payload);
}

/** The record of a slot that is stored. @throws CorruptError when it is not what it must be */
export async function slotRecord({ store }: Pick<RepositoryPlace, 'store'>, id: string): Promise<SlotRecord> {
  const stored = await readSlot(store, `keys/${id}`);
  if (stored?.slot === undefined) throw new CorruptError(`keys/${id}`, stored === undefined ? 'is missing' : 'is damaged');
  return { id: fromHex(id), label: stored.slot.label, digest: stored.digest };
}

const nowOf = ({ nowMs }: { readonly nowMs?: number }): number => nowMs ?? Date.now();

/**
 * Stores a slot that `passphrase` opens, and then says so in the ledger. `replaces` are removed by the same entry.
 *
 * @throws RoleError without an admin's key, RangeError for an empty passphrase, NotFoundError for a slot to replace that is not there
 */
export async function addSlot(
  repository: Repository,
  keyring: Keyring,
  passphrase: string,
  { replaces = [], ...options }: SealOptions & { readonly replaces?: readonly string[] },
): Promise<KeySlot> {
  const ledger = await loadLedger(repository);
  adminSeed(repository, ledger, 'adding a passphrase');
  // What was there before is listed first: a vault takes few slots that are not.
  if (slotWords(ledger) === undefined && (await storedSlots(repository.store)).size > 0)
    await writeChange(repository, ledger, {}, nowOf(options));
  const slot = await addKey(repository, keyring, passphrase, options);
  const added = [await slotRecord(repository, slot.id)];
  await writeChange(repository, await loadLedger(repository), { added, removed: replaces }, nowOf(options));
  return slot;
}

/** Says in one entry that the slot `added`, which is stored, takes the place of `removed`. @throws RoleError, CorruptError */
export async function replaceSlot(
  repository: Repository,
  added: string,
  removed: string,
  options: { readonly nowMs?: number } = {},
): Promise<void> {
  const record = await slotRecord(repository, added);
  await writeChange(repository, await loadLedger(repository), { added: [record], removed: [removed] }, nowOf(options));
}

/**
 * Removes a slot: from now on it opens nothing. Its object is deleted by pruning when the policy's wait is over.
 *
 * @throws RefusedError for the last one that is sound, RoleError without an admin's key, NotFoundError
 */
export async function removeSlot(
  repository: Repository,
  prefix: string,
  options: { readonly nowMs?: number } = {},
): Promise<ListedSlot> {
  const ledger = await loadLedger(repository);
  adminSeed(repository, ledger, 'removing a passphrase');
  const slots = await listSlots(repository, ledger);
  const slot = findSlot(slots, prefix);
  if (slot.state === 'removed')
    throw new RefusedError(`key ${slot.id} was removed already; its object is deleted by varve prune when the wait is over`, {
      key: slot.id,
    });
  const sound = slotWords(ledger) === undefined ? 'unlisted' : 'listed';
  if (!slots.some(({ id, state }) => id !== slot.id && state === sound))
    throw new RefusedError(
      `key ${slot.id} is the only one: without it nobody could open the repository; add another first (varve key add)`,
      { key: slot.id },
    );
  await writeChange(repository, ledger, { removed: [slot.id] }, nowOf(options));
  return slot;
}

/** Takes a removal back, or lists a slot that is there without a word in the ledger. @throws RefusedError when there is nothing to do, CorruptError, RoleError, NotFoundError */
export async function restoreSlot(
  repository: Repository,
  prefix: string,
  options: { readonly nowMs?: number } = {},
): Promise<ListedSlot> {
  const ledger = await loadLedger(repository);
  adminSeed(repository, ledger, 'restoring a passphrase');
  const slot = findSlot(await listSlots(repository, ledger), prefix);
  if (slot.state === 'listed')
    throw new RefusedError(`key ${slot.id} is in force; there is nothing to restore`, { key: slot.id });
  const record = await slotRecord(repository, slot.id);
  const digest = slotWords(ledger)?.get(slot.id)?.digest;
  if (digest !== undefined && !equalBytes(digest, record.digest))
    throw new CorruptError(`keys/${slot.id}`, 'is not the slot that the ledger listed; it is not restored');
  await writeChange(repository, ledger, { added: [record] }, nowOf(options));
  return slot;
}
