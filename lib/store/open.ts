/**
 * From what a person types as a repository's place to a store: a local directory, or a vault behind a unix socket or SSH. Other schemes are refused by name rather than
 * taken for odd paths.
 */
import { fileURLToPath } from 'node:url';
import { NoRepositoryError } from '../errors.js';
import { createDirectoryStore, openDirectoryStore } from './directory.js';
import type { Store } from './store.js';

export interface OpenStoreOptions {
  /** Make the directory if it is missing. */
  readonly create?: boolean;
  /** Called once, when nothing is left to do but to wait for the other end: what will be needed later can be loaded meanwhile. */
  readonly meanwhile?: () => void;
}

/**
 * Opens the store at `location`: a path, a `file://` URL, `vault:/path.sock`, or `ssh://user@host[:port]/path`.
 *
 * @throws NoRepositoryError if there is no directory, no vault answers, or for a scheme that this version does not handle
 * @throws StoreError if the directory cannot be created
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<Store> {
  if (/^(vault|ssh):/i.test(location)) return openVault(location, options.meanwhile);
  options.meanwhile?.();
  const path = pathFrom(location);
  return options.create === true ? createDirectoryStore(path) : openDirectoryStore(path);
}

/** Loads what is for vaults only now: most commands are for a directory. `ssh` is started before the rest is loaded, because it takes longer than that. */
async function openVault(location: string, meanwhile: (() => void) | undefined): Promise<Store> {
  const { openTransport, parseVaultPlace } = await import('./vault-transport.js');
  const place = parseVaultPlace(location);
  const begun = place.kind === 'ssh' ? await openTransport(place) : undefined;
  const { openVaultAt } = await import('./vault.js');
  return openVaultAt(place, begun, meanwhile);
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
