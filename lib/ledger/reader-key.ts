/**
 * Which public key sessions are sealed to (docs/format.md §11): that of the last rotation of the reader key. A rotation counts by the signature of a holder of the root
 * secret, so no retirement of the admin who wrote it takes it back, and one that is written again changes nothing. Pure.
 */
import { toHex } from '../bytes.js';
import { payloadOf } from '../format/payload.js';
import { compareTimes, type Timestamp } from '../format/time.js';
import { type Identity, isReaderRotation } from './authority.js';
import { boundedTime, entryKey, type Ledger } from './state.js';

interface Rotation {
  readonly publicKey: Uint8Array;
  readonly time: Timestamp;
}

/** Public keys that the reader key was rotated to, oldest first, each once. */
export function readerRotations(
  place: Identity,
  ledger: Pick<Ledger, 'chains' | 'entries' | 'times' | 'receipts'>,
): Uint8Array[] {
  const all: Rotation[] = [];
  for (const [at, { payload }] of ledger.entries.entries()) {
    const rotation = payloadOf(payload, 'keyRotate');
    if (isReaderRotation(place, rotation)) all.push({ publicKey: rotation!.publicKey, time: ledger.times[at]! });
  }
  if (place.genesis.readerSigner !== undefined) all.push(...behindEnds(place, ledger));
  const keys = new Map<string, Uint8Array>();
  for (const { publicKey } of all.sort((a, b) => compareTimes(a.time, b.time)))
    if (!keys.has(toHex(publicKey))) keys.set(toHex(publicKey), publicKey);
  return [...keys.values()];
}

/** Signed rotations in chains of admins that ended before them. */
function behindEnds(place: Identity, { chains, receipts }: Pick<Ledger, 'chains' | 'receipts'>): Rotation[] {
  return chains.flatMap(({ entries, limit, voids, dropped, storedMs }) =>
    entries.flatMap((entry) => {
      const rotation = payloadOf(entry.payload, 'keyRotate');
      const counts = entry.sequence < limit && dropped?.has(entry.sequence) !== true;
      if (counts || voids.has(entry.sequence) || !isReaderRotation(place, rotation)) return [];
      const time = receipts.get(entryKey(entry))?.time ?? boundedTime(entry, storedMs?.[entry.sequence]);
      return [{ publicKey: rotation!.publicKey, time }];
    }),
  );
}

/** The public key that a session must be sealed to: the last rotation's, else the genesis's. */
export function readerKeyInForce(place: Identity, ledger: Pick<Ledger, 'chains' | 'entries' | 'times' | 'receipts'>): Uint8Array {
  return readerRotations(place, ledger).at(-1) ?? place.genesis.readerKey;
}
