/**
 * Making a repository: a key slot when there is a passphrase, the first ledger entries (genesis, writer-cert, policy, slots), and last the genesis object,
 * which makes it exist; so a repository that is there is whole. What fails or is killed half-way leaves no repository, and init can be run again.
 * Of two at once, one makes it.
 */
import { ObjectExistsError, RefusedError, RepositoryExistsError } from '../errors.js';
import type { Keyring } from '../format/key-slot.js';
import { GENESIS_NAME, isSlotName, parseEntryName } from '../format/names.js';
import { EntryType, type PolicyPayload } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import { addKey, type KeySlot } from '../repository/keys.js';
import { newRepository, openRepository, type RepositoryPlace } from '../repository/repository.js';
import { isGuardedStore, type Store } from '../store/store.js';
import { appendEntry } from './append.js';
import { whileAlone } from './init-claim.js';
import { writerCert } from './roles.js';
import { EVERYTHING } from './scope.js';
import { slotRecord } from './slots.js';

export interface InitOptions {
  /** Opens the first key slot. Without it the caller must keep the keyring, in a key file for instance. */
  readonly passphrase?: string;
  /** Label of the key slot; `user@host` says most. */
  readonly label: string;
  /** How long snapshots are kept at least. */
  readonly policy: PolicyPayload;
  readonly nowMs?: number;
  /** scrypt's cost; lowered by tests only. */
  readonly log2N?: number;
}

export interface Initialized {
  readonly place: RepositoryPlace;
  /** Every role: admin, reader and writer. */
  readonly keyring: Keyring;
  readonly slot?: KeySlot;
}

/**
 * Clears away what an interrupted init left: key slots and entries of a repository that never came to be.
 *
 * @throws RefusedError if there is more than that: then a genesis object was lost, and what is there may still be worth something
 */
async function clearRemains(store: Store): Promise<void> {
  for (const folder of ['packs/', 'index/', 'snapshots/']) {
    for await (const { name } of store.list(folder)) {
      throw new RefusedError(
        `${store.location} holds ${name} but no genesis object: it is what is left of a repository. Nothing was changed; choose another place`,
        { object: name },
      );
    }
  }
  const remains: string[] = [];
  for (const folder of ['keys/', 'ledger/']) for await (const { name } of store.list(folder)) remains.push(name);
  const foreign = remains.find((name) => !isSlotName(name) && parseEntryName(name) === undefined);
  if (foreign !== undefined)
    throw new RefusedError(
      `${store.location} holds ${foreign}, which is no part of a repository. Nothing was changed; choose another place`,
      { object: foreign },
    );
  for (const name of remains) await store.remove(name);
}

/**
 * Creates a repository in an empty store.
 *
 * @throws RepositoryExistsError, RefusedError, StoreError
 */
export async function initRepository(store: Store, options: InitOptions): Promise<Initialized> {
  const nowMs = options.nowMs ?? Date.now();
  if (options.passphrase === '') throw new RangeError('the passphrase must not be empty');
  // What is cleared away must not be another's work. A vault takes one genesis and refuses the next.
  if (!isGuardedStore(store)) return await whileAlone(store, () => makeRepository(store, options, nowMs));
  if ((await store.stat(GENESIS_NAME)) !== undefined) throw new RepositoryExistsError(store.location);
  return await makeRepository(store, options, nowMs);
}

async function makeRepository(store: Store, options: InitOptions, nowMs: number): Promise<Initialized> {
  await clearRemains(store);
  const { place, keyring, genesis } = newRepository(store, nowMs);
  // No content is read or written here, so there is nothing to cache.
  const repository = openRepository(place, keyring, '');
  const { log2N, label, passphrase } = options;
  const slot =
    passphrase === undefined
      ? undefined
      : await addKey(place, keyring, passphrase, { label, nowMs, ...(log2N === undefined ? {} : { log2N }) });
  const time = timeOfMs(nowMs);
  await appendEntry(repository, keyring.adminSeed, time, () => ({ type: EntryType.genesis }));
  // Whoever makes a repository speaks for every host in it.
  const cert = writerCert(repository, keyring.writer!, undefined, EVERYTHING);
  await appendEntry(repository, keyring.adminSeed, time, () => cert);
  await appendEntry(repository, keyring.adminSeed, time, () => ({ type: EntryType.policy, ...options.policy }));
  if (slot !== undefined) {
    const added = [await slotRecord(place, slot.id)];
    await appendEntry(repository, keyring.adminSeed, time, () => ({ type: EntryType.slots, added, removed: [] }));
  }
  await store.put(GENESIS_NAME, [genesis]).catch((error: unknown) => {
    throw error instanceof ObjectExistsError ? new RepositoryExistsError(store.location) : error;
  }); // commit point
  return { place, keyring, ...(slot === undefined ? {} : { slot }) };
}
