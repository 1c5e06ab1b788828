/** The verb `unmount`: takes a mount of ours off a directory, from any process, and waits until it is gone. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MountError } from '../errors.js';
import { detach, SUBTYPE } from './attach.js';
import { isMounted, mountAt } from './mount-table.js';

const GONE_TRIES = 200;
const GONE_PAUSE_MS = 50;

/**
 * Unmounts `path`.
 *
 * @param options.lazy - take it out of the tree although it is in use; it ends when the last user lets go
 * @throws MountError if nothing of ours is mounted there, or it is in use
 */
export async function unmount(path: string, options: { readonly lazy?: boolean } = {}): Promise<void> {
  // The directory itself may answer nothing any more (ENOTCONN), so only what stands above it is resolved.
  const absolute = resolve(path);
  const mountpoint = join(await realpath(dirname(absolute)).catch(() => dirname(absolute)), basename(absolute));
  const found = mountAt(mountpoint) ?? mountAt(await realpath(absolute).catch(() => absolute));
  if (found === undefined || found.fsType !== `fuse.${SUBTYPE}`) {
    throw new MountError(
      path,
      found === undefined
        ? 'nothing is mounted there'
        : `a file system of type ${found.fsType} is mounted there, not a varve mount`,
    );
  }
  await detach(found.mountpoint, { lazy: options.lazy ?? false });
  for (let attempt = 0; isMounted(found.mountpoint, found.device); attempt++) {
    if (attempt === GONE_TRIES) throw new MountError(path, 'is still mounted after ten seconds');
    await sleep(GONE_PAUSE_MS);
  }
}
