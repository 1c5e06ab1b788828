/** Removes entries of the target, whole trees if need be, never through a symlink and never on another mount. */
import { native } from '../native.js';
import type { Run } from './run.js';
import { type Existing, stats, Type } from './stat.js';
import { openDirectory, type TargetDirectory } from './target-directory.js';

/** Entries of an open directory, in order of their names; may be gone through again. */
export function scanOpen(fd: number): Iterable<Existing> {
  // The trailing dot: the scan does not follow symlinks, and what /proc holds is one.
  const answer = native().scanDirectory(new Uint8Array(Buffer.from(`/proc/self/fd/${fd}/.`)));
  return { [Symbol.iterator]: () => stats(answer) };
}

/** Removes `name` in `directory` with all that is in it. @throws system errors; EXDEV or EBUSY where something is mounted */
export function removeEntry(run: Run, directory: TargetDirectory, name: Uint8Array, isDirectory: boolean): void {
  const fd = openDirectory(run, directory);
  if (isDirectory) removeBeneath(fd, name);
  native().unlinkAt(fd, name, isDirectory);
}

function removeBeneath(parentFd: number, name: Uint8Array): void {
  const fd = native().openDirBeneath(parentFd, name, true);
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
