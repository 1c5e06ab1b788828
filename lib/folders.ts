/** Making folders of our own: caches, state, repositories, targets. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

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
