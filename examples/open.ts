/** How the other examples open a repository: place, passphrase and cache folder in, Repository out. */
import { locateRepository, openRepository, openStore, type Repository, unlockWithPassphrase } from '../lib/index.js';

export async function open(location: string, passphrase: string, cacheDir: string): Promise<Repository> {
  const place = await locateRepository(await openStore(location));
  const { keyring } = await unlockWithPassphrase(place, passphrase);
  return await openRepository(place, keyring, cacheDir);
}
