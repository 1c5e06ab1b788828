/**
 * Making a repository: the genesis object, a key slot when there is a passphrase, and the first ledger entries (genesis, writer-cert, policy), so
 * that a backup can follow at once. What fails half-way takes the genesis away again, and no repository is left behind.
 */
import { publicKeyOf } from '../crypto/sign.js';
import { ObjectExistsError, RepositoryExistsError } from '../errors.js';
import { EntryType, type PolicyPayload } from '../format/entry.js';
import type { Keyring } from '../format/key-slot.js';
import { GENESIS_NAME } from '../format/names.js';
import { timeOfMs } from '../format/time.js';
import { addKey, type KeySlot } from '../repository/keys.js';
import { createRepository, openRepository, type RepositoryPlace } from '../repository/repository.js';
import type { Store } from '../store/store.js';
import { appendEntry } from './ledger.js';

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
 * Creates a repository in an empty store.
 *
 * @throws RepositoryExistsError, StoreError
 */
export async function initRepository(store: Store, options: InitOptions): Promise<Initialized> {
  const nowMs = options.nowMs ?? Date.now();
  if (options.passphrase === '') throw new RangeError('the passphrase must not be empty');
  const { place, keyring } = await createRepository(store, nowMs).catch((error: unknown) => {
    if (error instanceof ObjectExistsError) throw new RepositoryExistsError(store.location);
    throw error;
  });
  try {
    // No content is read or written here, so there is nothing to cache.
    const repository = openRepository(place, keyring, '');
    const { log2N, label, passphrase } = options;
    const slot =
      passphrase === undefined
        ? undefined
        : await addKey(place, keyring, passphrase, { label, nowMs, ...(log2N === undefined ? {} : { log2N }) });
    const time = timeOfMs(nowMs);
    const writer = keyring.writer!;
    await appendEntry(repository, keyring.adminSeed, time, () => ({ type: EntryType.genesis }));
    await appendEntry(repository, keyring.adminSeed, time, () => ({
      type: EntryType.writerCert,
      publicKey: publicKeyOf(writer.seed),
      domain: writer.domain,
    }));
    await appendEntry(repository, keyring.adminSeed, time, () => ({ type: EntryType.policy, ...options.policy }));
    return { place, keyring, ...(slot === undefined ? {} : { slot }) };
  } catch (error) {
    await store.remove(GENESIS_NAME).catch(() => undefined);
    throw error;
  }
}
