/** Making folders of our own: caches, state, repositories, targets; and whether others have a hand in one. */
import { mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { VarveError } from './errors.js';

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

/**
 * Why others could change what is in `path`, which is there: it belongs to another user (root may have anything), or they may write to it. Undefined when they cannot.
 *
 * @param isAbove - it is only the way to a folder that is looked at by itself: then one such as /tmp is no danger, where everybody may make names but nobody takes those of others away
 */
export function strangersIn(path: string, isAbove = false): string | undefined {
  const uid = process.geteuid?.();
  if (uid === undefined) return undefined;
  const info = statSync(path);
  if (info.uid !== uid && info.uid !== 0) return `${path} belongs to another user (uid ${info.uid})`;
  if (isAbove && (info.mode & 0o1000) !== 0) return undefined;
  // A group of the same number is the user's own, as most systems make them.
  const others = info.gid === uid ? 0o002 : 0o022;
  if ((info.mode & others) !== 0)
    return `others may write to ${path} (mode ${(info.mode & 0o7777).toString(8).padStart(4, '0')}); chmod go-w makes it yours`;
  return undefined;
}

/** Where the system keeps temporary files. A relative TMPDIR would mean another place with every working directory. */
export function temporaryPlace(): string {
  const place = tmpdir();
  return place.startsWith('/') ? place : '/tmp';
}

/** Makes a temporary folder for this user alone. @throws VarveError that names TMPDIR when that is the reason */
export function makeTemporaryFolder(prefix: string): string {
  const place = temporaryPlace();
  try {
    return mkdtempSync(join(place, prefix));
  } catch (cause) {
    throw new VarveError(
      'FAILED',
      `no temporary folder can be made in ${place} (${(cause as NodeJS.ErrnoException).code}); set TMPDIR to a folder that can be written to`,
      { folder: place },
      cause,
    );
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
