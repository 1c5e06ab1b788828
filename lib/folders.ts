/** Making folders of our own: caches, state, repositories, targets. */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Makes the folder `path` and what is missing above it, each for its owner alone. One that is there is left as it is.
 *
 * Not with Node's `recursive`, which never comes back where mkdir(2) says ENOENT below a folder that is there, as in /proc.
 *
 * @throws the system's error
 */
export function makeFolders(path: string): void {
  const above = dirname(path);
  if (above !== path && !isFolder(above)) makeFolders(above);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isFolder(path)) throw error;
  }
}

/** Marks a folder as a cache (bford.info/cachedir), so that backups, of this program and of others, can leave it out. One that cannot be marked works too. */
export function tagCache(folder: string): void {
  const text =
    'Signature: 8a477f597d28d172789f06886806bc55\n# A cache of varve: it can be deleted at any time. See https://bford.info/cachedir/\n';
  try {
    writeFileSync(join(folder, 'CACHEDIR.TAG'), text, { flag: 'wx', mode: 0o600 });
  } catch {
    // It is there already, or nothing can be written.
  }
}
