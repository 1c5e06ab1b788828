/** `delete`: removes from restored directories what the snapshot knows not to be there. What it cannot know of stays, and is named. */
import { compareBytes } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { readDirectory } from '../repository/tree-reader.js';
import { removeEntry, scanOpen } from './remove.js';
import type { Run } from './run.js';
import { isSelected } from './selection.js';
import { type Existing, Type } from './stat.js';
import { bytesOf, openDirectory, pathIn, type TargetDirectory } from './target-directory.js';

const ELSEWHERE = 'kept: another file system is mounted there, and nothing is deleted on it';

/** Removes what stands in `directory` and not in the snapshot's tree. Both are in order of names. */
export function deleteExtras(run: Run, directory: TargetDirectory, tree: Uint8Array): void {
  try {
    deleteUnnamed(run, directory, tree);
  } catch (error) {
    // A damaged page is listed by the walk that comes to it next; what its directory holds stays.
    if (!(error instanceof CorruptError)) run.journal.failure(directory.path, error, directory);
  }
}

function deleteUnnamed(run: Run, directory: TargetDirectory, tree: Uint8Array): void {
  const { journal, selection } = run;
  const wanted = readDirectory(run.source, tree)[Symbol.iterator]();
  let next = wanted.next();
  let elsewhere: boolean | undefined;
  for (const existing of directory.listing?.all ?? scanOpen(openDirectory(run, directory))) {
    while (!next.done && compareBytes(next.value.name, existing.name) < 0) next = wanted.next();
    if (!next.done && compareBytes(next.value.name, existing.name) === 0) continue;
    const path = pathIn(directory, existing.name);
    const isDirectory = existing.type === Type.directory;
    if (!isSelected(selection, path, isDirectory)) continue;
    elsewhere ??= isElsewhere(run, directory.path);
    if (elsewhere) {
      journal.note(directory.path, ELSEWHERE);
      return;
    }
    if (selection.isUnknown(path)) {
      journal.note(path, 'kept: the snapshot could not read it, and does not know whether it was there');
      continue;
    }
    deleteOne(run, directory, existing, path);
  }
}

function deleteOne(run: Run, directory: TargetDirectory, existing: Existing, path: string): void {
  const isDirectory = existing.type === Type.directory;
  const { journal } = run;
  try {
    if (run.options.dryRun === true) {
      if (isDirectory && isElsewhere(run, path)) {
        journal.note(path, ELSEWHERE);
        return;
      }
    } else removeEntry(run, directory, existing.name, isDirectory);
    journal.deleted++;
    journal.item('deleted', path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EXDEV' || code === 'EBUSY') journal.note(path, ELSEWHERE);
    else journal.failure(path, error, directory);
  }
}

/** Whether the directory at `path` is not on the mount that the target itself is on. */
function isElsewhere(run: Run, path: string): boolean {
  if (path === '') return false;
  try {
    run.native.closeFd(run.native.openDirBeneath(run.targetFd, bytesOf(path), true));
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EXDEV') return true;
    throw error;
  }
}
