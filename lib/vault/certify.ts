/** How an existing repository gets a vault: an admin certifies the key that the vault shows, in a ledger entry. */
import { toHex } from '../bytes.js';
import { RefusedError, RoleError } from '../errors.js';
import { CertifiedRole, EntryType } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import { appendEntry } from '../ledger/append.js';
import { authoritiesOf, loadLedger } from '../ledger/ledger.js';
import type { Repository } from '../repository/repository.js';
import { isGuardedStore } from '../store/store.js';

/**
 * Certifies the vault behind the repository's store, unless it is already.
 *
 * @param expected - its public key in hex, as the vault's operator knows it; undefined: whatever it shows
 * @returns the vault's public key in hex, and whether there was anything to do
 * @throws RoleError without an admin's key; RefusedError when there is no vault, or another one than expected
 */
export async function certifyVault(
  repository: Repository,
  expected?: string,
  nowMs = Date.now(),
): Promise<{ publicKey: string; added: boolean }> {
  const { store, keyring, genesis } = repository;
  if (keyring.adminSeed === null) throw new RoleError('admin', 'certifying a vault');
  if (!isGuardedStore(store))
    throw new RefusedError(`${store.location} is not behind a vault; connect through its admin connection`);
  const publicKey = toHex(store.vaultKey);
  if (expected !== undefined && expected.toLowerCase() !== publicKey)
    throw new RefusedError(
      `the vault at ${store.location} has the key ${publicKey}, not the one expected; nothing was certified`,
    );
  const ledger = await loadLedger(repository);
  if (authoritiesOf(genesis, ledger).some((one) => one.roles.has('vault') && toHex(one.publicKey) === publicKey))
    return { publicKey, added: false };
  await appendEntry(repository, keyring.adminSeed, timeOfMs(nowMs), () => ({
    type: EntryType.cert,
    role: CertifiedRole.vault,
    publicKey: store.vaultKey,
  }));
  return { publicKey, added: true };
}
