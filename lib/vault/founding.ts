/**
 * What a repository begins with: key slots, entries, and at last the genesis, which an init brings through an admin connection; what comes later of the same kinds goes the
 * same way. Little of it is taken before there is a genesis to hold it against. Called by storing.ts only, which has asked for the right to it.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { RepositoryExistsError } from '../errors.js';
import { decodeGenesis, GENESIS_LABEL } from '../format/genesis.js';
import { decodeSlot } from '../format/key-slot.js';
import { Kind } from '../format/preamble.js';
import { asId } from '../id.js';
import { readLedger } from '../ledger/ledger.js';
import type { Acknowledged, ObjectRef } from '../store/vault-protocol.js';
import { type Caller, refuse } from './accept.js';
import type { Guard } from './guard.js';
import { shelve } from './shelve.js';
import { requireRoomForSlot } from './slot-rules.js';

/** What an init may bring before there is a genesis to hold it against. */
const INIT_ENTRIES = 16;
const INIT_SLOTS = 8;

/** Stores a ledger entry: through `commits`, or, before there is a repository, as it is, for the genesis to be held against. */
export async function putEntry(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  name: string,
  bytes: Uint8Array,
): Promise<Acknowledged> {
  if (guard.isFounding) {
    if (caller.role !== 'admin') guard.opened();
    if (entryCount(guard) >= INIT_ENTRIES || ref.sequence >= INIT_ENTRIES)
      refuse(name, 'comes before there is a repository, and there are enough of those');
    await guard.store.put(name, [bytes]);
    guard.catalog.addEntry(ref.id, ref.sequence, bytes.byteLength, Date.now());
    return {};
  }
  const answer = await guard.opened().commits.enter(caller, ref.id, ref.sequence, bytes);
  guard.options.onStored?.(guard.store.pathOf(name));
  if (guard.rolledBack !== undefined) await guard.compareHeads();
  return answer;
}

function entryCount(guard: Guard): number {
  let count = 0;
  for (const sizes of guard.catalog.entrySizes.values()) count += sizes.length;
  return count;
}

/** Stores a key slot. */
export async function putSlot(guard: Guard, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<void> {
  const { header } = decodeSlot(bytes, Kind.keySlot, name);
  if (toHex(header.id) !== ref.id) refuse(name, 'is not the slot that its name says');
  if (guard.isFounding && guard.catalog.shelves.slot.size >= INIT_SLOTS)
    refuse(name, 'comes before there is a repository, and there are enough of those');
  if (guard.commits !== undefined) requireRoomForSlot(guard, ref.id, name);
  await guard.store.put(name, [bytes]);
  shelve(guard, 'slot', ref, bytes.byteLength, undefined);
}

/** The commit point of an init: from here on there is a repository. */
export async function putGenesis(guard: Guard, name: string, bytes: Uint8Array): Promise<void> {
  if (!guard.isFounding) throw new RepositoryExistsError(guard.options.repository);
  const { genesis, signed, signature } = decodeGenesis(bytes);
  if (!verifySignature(genesis.admins[0]!, GENESIS_LABEL, signed, signature)) refuse(name, 'is not signed by its admin key');
  if (genesis.vault === null || toHex(genesis.vault) !== toHex(guard.vaultKey)) refuse(name, 'does not name this vault’s key');
  const place = { store: guard.store, id: asId('repository', sha256(bytes)), genesis };
  await readLedger(place, true);
  await guard.store.put(name, [bytes]);
  guard.options.onStored?.(guard.store.pathOf(name));
  await guard.openLedger(place);
}
