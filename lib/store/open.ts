/**
 * From what a person types as a repository's place to a store: a local directory, or a vault behind a unix socket or SSH. Other schemes are refused by name rather than
 * taken for odd paths.
 */
import { fileURLToPath } from 'node:url';
import { NoRepositoryError } from '../errors.js';
import { createDirectoryStore, openDirectoryStore } from './directory.js';
import type { Store } from './store.js';

/**
 * Opens the store at `location`: a path, a `file://` URL, `vault:/path.sock`, or `ssh://user@host[:port]/path`.
 *
 * @param options.create - make the directory if it is missing
 * @throws NoRepositoryError if there is no directory, no vault answers, or for a scheme that this version does not handle
 * @throws StoreError if the directory cannot be created
 */
export async function openStore(location: string, options: { readonly create?: boolean } = {}): Promise<Store> {
  // Loaded when it is needed: most commands are for a directory.
  if (/^(vault|ssh):/i.test(location)) return (await import('./vault.js')).openVaultStore(location);
  const path = pathFrom(location);
  return options.create === true ? createDirectoryStore(path) : openDirectoryStore(path);
}

function pathFrom(location: string): string {
  if (location === '') throw new NoRepositoryError(location, 'no repository given; name one with -r or VARVE_REPOSITORY');
  // two letters at least, so that nothing of one letter is ever taken for a scheme
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined) return location;
  if (scheme === 'file') {
    try {
      return fileURLToPath(location);
    } catch (cause) {
      throw new NoRepositoryError(location, `${location} is not a file URL of this machine: ${(cause as Error).message}`, cause);
    }
  }
  throw new NoRepositoryError(
    location,
    `this version handles local directories, vault: and ssh:, not ${scheme}: locations; for a directory of that name write ./${location}`,
  );
}
