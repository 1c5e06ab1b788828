/**
 * Entries made: signed, checked, and put behind the last of their author's chain (docs/format.md §11). Signs nothing with a key that the ledger has ended, and nothing
 * behind a chain that is not the one this machine remembers.
 */
import { concat, equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../crypto/sign.js';
import { ObjectExistsError, RoleError, RolledBackError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, encodeEntry, type LedgerEntry } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { entryName } from '../format/names.js';
import type { Payload } from '../format/payload.js';
import type { Timestamp } from '../format/time.js';
import { type AuthorId, asId } from '../id.js';
import type { RepositoryPlace } from '../repository/repository.js';
import type { Authority } from './authority.js';
import { authoritiesOf, type Chain, type Ledger, type LedgerPlace, lastSeen, listChains, readLedger } from './ledger.js';

/** What an author may still say, by a ledger. @throws RoleError naming what ended it, or that no admin certified it */
export function requireAuthor(genesis: Genesis, ledger: Ledger, author: Uint8Array): Authority {
  const hex = toHex(author);
  const own = authoritiesOf(genesis, ledger).find((one) => equalBytes(one.author, author));
  if (own === undefined)
    throw new RoleError('writer', 'writing', `no admin of this repository certified the key in hand (${hex.slice(0, 8)})`);
  if (own.retired !== undefined)
    throw new RoleError(
      own.role,
      'writing',
      `the key in hand (${own.role} ${hex.slice(0, 8)}) was revoked by an admin${own.retired.reason === '' ? '' : `: ${own.retired.reason}`}; nothing it writes counts any more`,
    );
  if (own.limit !== Number.POSITIVE_INFINITY)
    throw new RoleError(
      own.role,
      'writing',
      `the key in hand (${own.role} ${hex.slice(0, 8)}) was replaced by a rotation; use the key file or passphrase that holds its successor (varve key list)`,
    );
  return own;
}

/** SHA-256 of the last of an author's first `count` entries; zeros for none. */
async function headAt({ store }: RepositoryPlace, author: AuthorId, count: number): Promise<Uint8Array> {
  return count === 0 ? new Uint8Array(32) : sha256(await store.get(entryName(author, count - 1)));
}

/** @throws RoleError if the ledger as it was last loaded, and then as it is now, says that `author` may not write */
async function mustCount(repository: LedgerPlace, author: Uint8Array): Promise<void> {
  const ledger = lastSeen.get(repository);
  if (ledger === undefined) return;
  try {
    requireAuthor(repository.genesis, ledger, author);
  } catch (error) {
    if (!(error instanceof RoleError)) throw error;
    // A certificate may be younger than what was loaded.
    const now = await readLedger(repository);
    requireAuthor(repository.genesis, now, author);
    lastSeen.set(repository, now);
  }
}

/** The object of `entry`, signed with its author's key and decoded again before anybody stores it. */
export function signEntry(entry: LedgerEntry, seed: Uint8Array): { name: string; bytes: Uint8Array; decoded: LedgerEntry } {
  const name = entryName(asId('author', entry.author), entry.sequence);
  const signed = encodeEntry(entry);
  const bytes = concat(signed, sign(seed, ENTRY_LABEL, signed));
  return { name, bytes, decoded: decodeEntry(bytes, name).entry };
}

/**
 * Appends one entry to the chain of `seed`'s key. A race with another run of the same author is retried behind the other's entry; `payload` may depend on
 * the sequence number.
 *
 * @throws RoleError, StoreError, CorruptError
 */
export async function appendEntry(
  repository: LedgerPlace,
  seed: Uint8Array | null | undefined,
  time: Timestamp,
  makePayload: (sequence: number) => Payload,
): Promise<LedgerEntry> {
  if (seed === null || seed === undefined) throw new RoleError('writer', 'writing to the ledger');
  const author = authorOf(publicKeyOf(seed));
  await mustCount(repository, author);
  for (let attempt = 0; ; attempt++) {
    const before = await repository.heads?.recall(true);
    const { count } = (await listChains(repository, `ledger/${toHex(author)}/`)).get(toHex(author)) ?? { count: 0 };
    const previous = await headAt(repository, author, count);
    const remembered = before?.chains[toHex(author)];
    if (remembered !== undefined) {
      const last = count === remembered.count ? previous : await headAt(repository, author, Math.min(count, remembered.count));
      if (count < remembered.count || toHex(last) !== remembered.head)
        throw new RolledBackError(repository.store.location, [
          `ledger/${toHex(author)}, the chain of the key in hand, had ${remembered.count} entries and has ${count}${count < remembered.count ? '' : ', others'}`,
        ]);
    }
    const entry: LedgerEntry = {
      repository: repository.id,
      author,
      sequence: count,
      previous,
      time,
      payload: makePayload(count),
    };
    const { name, bytes } = signEntry(entry, seed);
    try {
      await repository.store.put(name, [bytes]); // commit point
      await repository.heads?.grown([{ author, count: count + 1, head: sha256(bytes), time }]);
      return entry;
    } catch (error) {
      // Another run of this author took the number first: stand behind it.
      if (!(error instanceof ObjectExistsError) || attempt >= 1000) throw error;
    }
  }
}

/**
 * After an entry stands: that its author's chain was not ended before it. An admin may have revoked or rotated the key after `before` was loaded.
 *
 * @throws RoleError if the entry counts for nothing
 */
export async function mustHaveCounted(repository: LedgerPlace, before: Ledger, entry: LedgerEntry): Promise<void> {
  // A store that fails now takes nothing back.
  const now = await grown(repository, before).catch(() => undefined);
  if (now === undefined) return;
  const own = authoritiesOf(repository.genesis, now).find(({ author }) => equalBytes(author, entry.author));
  if (own === undefined || entry.sequence >= own.limit) requireAuthor(repository.genesis, now, entry.author);
}

/** The ledger, if an admin said something since `before`: nobody else ends a chain. */
async function grown(repository: LedgerPlace, before: Ledger): Promise<Ledger | undefined> {
  const listed = await listChains(repository);
  const isSame = ({ author, entries }: Chain): boolean => listed.get(toHex(author))?.count === entries.length;
  return before.chains.filter(({ role }) => role === 'admin').every(isSame) ? undefined : await readLedger(repository);
}
