/** Removes entries of the target, whole trees if need be, never through a symlink. */
import { native } from '../native.js';
import type { Run } from './run.js';
import { type Existing, stats, Type } from './stat.js';

/** Entries of an open directory, in order of their names. */
export function scanOpen(fd: number): Iterable<Existing> {
  // The trailing dot: the scan does not follow symlinks, and what /proc holds is one.
  return stats(native().scanDirectory(new Uint8Array(Buffer.from(`/proc/self/fd/${fd}/.`))));
}

/** Removes `name` in the directory at `path` with all that is in it. @throws system errors */
export function removeEntry(run: Run, path: string, name: Uint8Array, isDirectory: boolean): void {
  const fd = run.directories.open(path);
  if (isDirectory) removeBeneath(fd, name);
  native().unlinkAt(fd, name, isDirectory);
}

function removeBeneath(parentFd: number, name: Uint8Array): void {
  const fd = native().openDirBeneath(parentFd, name);
  try {
    for (const child of scanOpen(fd)) {
      const isDirectory = child.type === Type.directory;
      if (isDirectory) removeBeneath(fd, child.name);
      native().unlinkAt(fd, child.name, isDirectory);
    }
  } finally {
    native().closeFd(fd);
  }
}
