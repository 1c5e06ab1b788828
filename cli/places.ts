/** Where the program keeps what it may lose (caches) and what it should not (state), one folder for each repository. */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { idHex, makeFolders, type RepositoryId, tagCache } from '../lib/index.js';
import type { Globals } from './globals.js';

function base(own: string | undefined, xdg: string | undefined, fallback: string): string {
  if (own) return own;
  // The XDG specification says that a relative path is to be ignored.
  if (xdg?.startsWith('/')) return join(xdg, 'varve');
  return join(homedir(), fallback, 'varve');
}

/** Makes `folder` for this user alone. @returns why it cannot be used, or undefined */
function prepare(folder: string): string | undefined {
  try {
    makeFolders(folder);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A folder that goes away with the process. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'varve-cache-'));
  tagCache(folder);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The cache folder of a repository; a temporary one, with a warning, when it cannot be written. */
export function cacheFolder(globals: Globals, id: RepositoryId, warn: (message: string) => void): string {
  if (!globals.cache) return temporaryFolder();
  const { VARVE_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  const folder = join(base(globals.cacheDir ?? VARVE_CACHE_DIR, XDG_CACHE_HOME, '.cache'), idHex(id).slice(0, 32));
  const problem = prepare(folder);
  if (problem === undefined) {
    tagCache(folder);
    return folder;
  }
  warn(`the cache folder cannot be used (${problem}); using a temporary one, which makes every run start anew`);
  return temporaryFolder();
}

/** The folder for state, of all repositories. */
export function stateBase(): string {
  const { VARVE_STATE_DIR, XDG_STATE_HOME } = process.env;
  return base(VARVE_STATE_DIR, XDG_STATE_HOME, '.local/state');
}

/** The state folder of a repository; a temporary one when it cannot be written. */
export function stateFolder(id: RepositoryId, warn: (message: string) => void): string {
  const folder = join(stateBase(), idHex(id).slice(0, 32));
  const problem = prepare(folder);
  if (problem === undefined) return folder;
  warn(`the state folder cannot be used (${problem}); using a temporary one`);
  return mkdtempSync(join(tmpdir(), 'varve-state-'));
}
