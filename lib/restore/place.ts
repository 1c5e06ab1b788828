/** What errors are judged by: the file system of the target, whether it can be written to, and whether others are mounted in it. */
import { accessSync, constants, readFileSync, realpathSync } from 'node:fs';
import type { TargetPlace } from './journal.js';
import { existingOf } from './stat.js';

/** @param fd - the open target; undefined in a dry run that would make it */
export function placeOf(fd: number | undefined, targetPath: string): TargetPlace {
  if (fd === undefined) return { dev: 0n, isReadOnly: () => false, holdsMounts: false };
  return { dev: existingOf(fd).dev, isReadOnly: () => isReadOnly(fd), holdsMounts: holdsMounts(realpathSync(targetPath)) };
}

function isReadOnly(fd: number): boolean {
  try {
    accessSync(`/proc/self/fd/${fd}`, constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS';
  }
}

function holdsMounts(path: string): boolean {
  const beneath = path === '/' ? '/' : `${path}/`;
  try {
    // Fifth field: the mount point, with blanks and the like as octal numbers (proc(5)).
    return readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .some((line) => {
        const point = line
          .split(' ')[4]
          ?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
        return point?.startsWith(beneath) === true && point !== path;
      });
  } catch {
    return false;
  }
}
