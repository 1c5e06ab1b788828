/** Who may speak about retention: the key in hand must be an admin's (for pruning a vault's too), and its chain must still count. */
import { toHex } from '../bytes.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { RefusedError, RoleError } from '../errors.js';
import type { Keyring } from '../format/key-slot.js';
import type { AuthorRole } from '../ledger/authority.js';
import type { Ledger, LedgerPlace } from '../ledger/ledger.js';

/** What the verbs of retention need of a repository: the ledger and the store, and no key of content. */
export interface RetentionPlace extends LedgerPlace {
  readonly keyring?: Pick<Keyring, 'adminSeed'>;
  /** Folder for this repository's caches; absent, nothing is remembered from one plan to the next. */
  readonly cacheDir?: string;
}

export interface RetentionOptions {
  /** Ed25519 seed that signs; the keyring's admin seed by default. A vault gives its own. */
  readonly seed?: Uint8Array;
  readonly nowMs?: () => number;
}

/** The time, milliseconds since 1970. */
export const nowOf = ({ nowMs }: RetentionOptions): number => (nowMs ?? Date.now)();

/**
 * The seed that signs.
 *
 * @param what - what is to be done, as the error says it
 * @throws RoleError without such a key, RefusedError when it was retired or rotated: what it says would count for nothing
 */
export function signerOf(
  place: RetentionPlace,
  ledger: Ledger,
  options: RetentionOptions,
  what: string,
  roles: readonly AuthorRole[] = ['admin'],
): Uint8Array {
  const seed = options.seed ?? place.keyring?.adminSeed;
  if (seed === undefined || seed === null) throw new RoleError('admin', what);
  const author = toHex(authorOf(publicKeyOf(seed)));
  const chain = ledger.chains.find((one) => toHex(one.author) === author);
  // The chain of a vault or an admin that was just certified is still empty, and not among the chains then.
  if (chain !== undefined && !roles.includes(chain.role)) throw new RoleError('admin', what);
  if (chain !== undefined && chain.entries.length >= chain.limit)
    throw new RefusedError(`${what} is refused: the key in hand was retired or replaced, so nothing it says counts any more`, {
      author,
    });
  return seed;
}
