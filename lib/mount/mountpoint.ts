/**
 * What must be true of a directory before anything is mounted on it. A mount whose server died is taken off first; a living one of ours
 * is refused.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MountError } from '../errors.js';
import { detach, SUBTYPE } from './attach.js';
import { mountAt } from './mount-table.js';

/** More dead mounts than this on top of each other are not ours to clear. */
const MAX_STALE = 8;

/**
 * Makes sure that `path` is a directory to mount on: a mount whose server died is lazily unmounted first.
 *
 * @returns the path without symlinks
 * @throws MountError when it is not a directory, or shows a living mount of ours already
 */
export async function prepareMountpoint(path: string, onLog: (message: string) => void): Promise<string> {
  for (let stale = 0; ; stale++) {
    let found: string;
    let info: Awaited<ReturnType<typeof stat>>;
    try {
      found = await realpath(path);
      info = await stat(found);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOTCONN' && stale < MAX_STALE) {
        onLog(`${path}: the server of the mount there is dead; unmounting it`);
        await detach(await realpathOfDead(path), { lazy: true });
        continue;
      }
      throw new MountError(path, `cannot be mounted on: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
    if (!info.isDirectory()) throw new MountError(path, 'is not a directory; choose or make an empty directory');
    if (mountAt(found)?.fsType === `fuse.${SUBTYPE}`)
      throw new MountError(path, 'is mounted already; unmount it first, or choose another directory');
    return found;
  }
}

/** realpath(3) looks at what it resolves, which a dead mount refuses: resolve the folder above it and keep the last name. */
async function realpathOfDead(path: string): Promise<string> {
  const absolute = resolve(path);
  return join(await realpath(dirname(absolute)), basename(absolute));
}
