/** Where the program keeps what it may lose (caches) and what it should not (state), one folder for each repository. Never in the working directory unless told so. */
import { accessSync, constants, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { idHex, makeFolders, makeTemporaryFolder, type RepositoryId, strangersIn, tagCache } from '../lib/index.js';
import type { Globals } from './globals.js';

/** The user's home; undefined when neither HOME nor the password database names an absolute path. */
function home(): string | undefined {
  const { HOME } = process.env;
  if (HOME?.startsWith('/')) return HOME;
  try {
    const { homedir } = userInfo();
    return homedir.startsWith('/') ? homedir : undefined;
  } catch {
    return undefined;
  }
}

function base(own: string | undefined, xdg: string | undefined, fallback: string): string | undefined {
  if (own) return own;
  // The XDG specification says that a relative path is to be ignored.
  if (xdg?.startsWith('/')) return join(xdg, 'varve');
  const folder = home();
  return folder === undefined ? undefined : join(folder, fallback, 'varve');
}

/** Makes `folder` for this user alone. @returns why it cannot be used, or undefined */
function prepare(folder: string): string | undefined {
  try {
    makeFolders(folder);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return strangersIn(folder) ?? strangersIn(dirname(folder), true);
  } catch (error) {
    return (error as Error).message;
  }
}

/** A folder that goes away with the process. */
function temporaryFolder(): string {
  const folder = makeTemporaryFolder('varve-cache-');
  tagCache(folder);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The cache folder of a repository; a temporary one, with a warning, when it cannot be used. */
export function cacheFolder(globals: Globals, id: RepositoryId, warn: (message: string) => void): string {
  if (!globals.cache) return temporaryFolder();
  const { VARVE_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  const all = base(globals.cacheDir ?? VARVE_CACHE_DIR, XDG_CACHE_HOME, '.cache');
  if (all === undefined) {
    warn(
      'this user has no home folder (HOME is not an absolute path), so caches are temporary and nothing is remembered of the repository; VARVE_CACHE_DIR and VARVE_STATE_DIR name folders for that',
    );
    return temporaryFolder();
  }
  const folder = join(all, idHex(id).slice(0, 32));
  const problem = prepare(folder);
  if (problem === undefined) {
    tagCache(folder);
    return folder;
  }
  warn(`the cache folder cannot be used (${problem}); using a temporary one, which makes every run start anew`);
  return temporaryFolder();
}

/** The folder for state, of all repositories; undefined when this user has no home. */
export function stateBase(): string | undefined {
  const { VARVE_STATE_DIR, XDG_STATE_HOME } = process.env;
  return base(VARVE_STATE_DIR, XDG_STATE_HOME, '.local/state');
}

/** The state folder of a repository; a temporary one when it cannot be used. */
export function stateFolder(id: RepositoryId, warn: (message: string) => void): string {
  const all = stateBase();
  if (all === undefined) return makeTemporaryFolder('varve-state-');
  const folder = join(all, idHex(id).slice(0, 32));
  const problem = prepare(folder);
  if (problem === undefined) return folder;
  warn(`the state folder cannot be used (${problem}); using a temporary one`);
  return makeTemporaryFolder('varve-state-');
}
