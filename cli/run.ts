/** What every command has at hand while it runs: options, output, the signal to stop, and the repository once it is asked for. */
import {
  type Keyring,
  keyFileLabel,
  keyFileNeedsPassphrase,
  locateRepository,
  openRepository,
  openStore,
  type Repository,
  type RepositoryPlace,
  type Store,
  unlockWithKeyFile,
  unlockWithPassphrase,
} from '../lib/index.js';
import { type Globals, repositoryPlace } from './globals.js';
import { readKeyFile } from './key-file.js';
import { recallSlot, rememberSlot } from './last-slot.js';
import type { Output } from './output.js';
import { cacheFolder, stateBase } from './places.js';
import { openWithPassphrase } from './secrets.js';

export interface Run {
  readonly globals: Globals;
  readonly out: Output;
  readonly signal: AbortSignal;
  /** Status to end with when nothing throws. */
  status: number;
}

export interface Opened {
  readonly repository: Repository;
  /** The slot that the passphrase opened; undefined with a key file. */
  readonly slotId: string | undefined;
  readonly way: KeyInHand;
}

/** Where the keys in hand came from, so that they can be put back changed. */
export type KeyInHand =
  | { readonly kind: 'slot'; readonly id: string; readonly passphrase: string }
  | { readonly kind: 'file'; readonly path: string; readonly label: string; readonly passphrase: string | undefined };

/** Runs `work` over the store that the options name. */
export async function withStore<T>(
  run: Run,
  options: { readonly create?: boolean; readonly meanwhile?: () => void },
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(repositoryPlace(run.globals), options);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The key file to open with, if there is one. A passphrase named on the command line goes before a key file of the environment. */
export function chosenKeyFile({ keyFile, passwordFile, passwordCommand }: Globals): string | undefined {
  if (keyFile !== undefined || passwordFile !== undefined || passwordCommand !== undefined) return keyFile;
  return process.env.VARVE_KEY_FILE || undefined;
}

/** Unlocks a located repository with the key file or passphrase given, or asked for. @throws WrongKeyError, UsageError */
export async function unlock(run: Run, place: RepositoryPlace): Promise<Opened> {
  const { globals, out } = run;
  const warn = (message: string): void => out.warn(message);
  const path = chosenKeyFile(globals);
  const [cacheDir, stateDir] = [cacheFolder(globals, place.id, warn), stateBase()];
  const open = (keyring: Keyring): Promise<Repository> =>
    openRepository(place, keyring, cacheDir, {
      stateDir: stateDir ?? null,
      onStateUnusable: ({ message }) => out.warn(`${message}; a rollback of the repository goes unnoticed meanwhile`),
    });
  if (path !== undefined) {
    const text = readKeyFile(path, warn);
    const label = await keyFileLabel(text, path);
    const openFile = async (passphrase?: string): Promise<Opened> => ({
      repository: await open(await unlockWithKeyFile(place, text, path, passphrase)),
      slotId: undefined,
      way: { kind: 'file', path, label, passphrase },
    });
    return (await keyFileNeedsPassphrase(text, path)) ? await openWithPassphrase(run, path, openFile) : await openFile();
  }
  const { keySlot } = globals;
  const lastSlot = recallSlot(place.id);
  return await openWithPassphrase(run, place.store.location, async (passphrase) => {
    const { keyring, slotId, unlisted } = await unlockWithPassphrase(place, passphrase, {
      onNote: warn,
      ...(lastSlot === undefined ? {} : { first: lastSlot }),
      ...(keySlot === undefined ? {} : { only: keySlot }),
    });
    if (slotId !== lastSlot) rememberSlot(place.id, slotId);
    if (unlisted)
      warn(
        `key slot ${slotId} is not in the ledger: an interrupted varve key add left it, or somebody else put it there. An admin lists it with varve key restore ${slotId}, or removes it with varve key remove ${slotId}`,
      );
    return { repository: await open(keyring), slotId, way: { kind: 'slot', id: slotId, passphrase } };
  });
}

/** Opens the repository that the options name, runs `work`, and closes it. @param meanwhile - called once while its other end is waited for */
export async function withRepository<T>(
  run: Run,
  work: (repository: Repository, opened: Opened) => Promise<T>,
  meanwhile?: () => void,
): Promise<T> {
  return await withStore(run, meanwhile === undefined ? {} : { meanwhile }, async (store) => {
    const opened = await unlock(run, await locateRepository(store));
    return await work(opened.repository, opened);
  });
}
