/**
 * The directories being restored into. They are made when something in them is, ours alone until all beneath them is done; what stands
 * in their place is judged here. Metadata comes last, deepest first.
 */
import { randomBytes } from 'node:crypto';
import { utf8 } from '../bytes.js';
import type { Entry } from '../format/tree.js';
import { deleteExtras } from './delete.js';
import { Listing } from './listing.js';
import { setMetadata } from './metadata.js';
import type { Run } from './run.js';
import { type Existing, exchanged, existingOf, Type } from './stat.js';
import { existingIn, isOpenToOthers, openDirectory, type TargetDirectory } from './target-directory.js';
import { Step, UNFINISHED_DIRECTORY, UNFINISHED_FILE } from './task.js';

/** Makes `directory` and those above it exist. False, once listed as a problem, when that cannot be. */
export function ensureDirectory(run: Run, directory: TargetDirectory): boolean {
  if (directory.state === 'pending') {
    directory.state = 'failed';
    if (ensureDirectory(run, directory.parent!)) {
      try {
        if (run.journal.isWritable(directory.parent!) && makeOrTake(run, directory)) directory.state = 'ready';
      } catch (error) {
        run.journal.failure(directory.path, error, directory.parent);
      }
    }
    if (directory.state === 'ready') {
      run.journal.directories++;
      run.journal.item('directory', directory.path);
      if (run.options.delete === true && !directory.fresh) deleteExtras(run, directory, directory.entry!.tree);
    }
  }
  return directory.state === 'ready';
}

function makeOrTake(run: Run, directory: TargetDirectory): boolean {
  const parent = directory.parent!;
  const entry = directory.entry!;
  const { name } = entry;
  const dryRun = run.options.dryRun === true;
  directory.fresh = directory.ours = true;
  if (parent.fresh && dryRun) return true;
  if (!parent.fresh) {
    const existing = existingIn(run, parent, name);
    if (existing === 'taken') {
      run.journal.taken(directory.path);
      return false;
    }
    if (existing?.type === Type.directory) return take(run, directory, existing);
    if (existing !== undefined) {
      if (!mayReplace(run, existing, entry)) {
        const stays = run.overwrite === 'never' ? 'nothing may be overwritten' : 'that is newer';
        run.journal.problem(directory.path, 'KIND', `the snapshot has a directory where something else stands, and ${stays}`);
        return false;
      }
      if (!dryRun) run.native.unlinkAt(openDirectory(run, parent), name, false);
    }
    if (dryRun) return true;
  }
  run.native.mkdirAt(openDirectory(run, parent), name, UNFINISHED_DIRECTORY);
  if (!parent.fresh || parent.exposed) adopt(run, directory);
  return true;
}

/** Whether `overwrite` lets `entry` take the place of what stands there. */
export function mayReplace(run: Run, existing: Existing, entry: Entry): boolean {
  if (isUnfinished(existing, entry)) return true;
  if (run.overwrite === 'never') return false;
  if (run.overwrite !== 'if-newer') return true;
  return existing.mtimeSec < entry.mtimeSec || (existing.mtimeSec === entry.mtimeSec && existing.mtimeNsec < entry.mtimeNsec);
}

/** Whether an interrupted run has left it. */
export function isUnfinished(existing: Existing, entry: Entry): boolean {
  const mode = existing.mode & 0o7777;
  if (existing.type === Type.regular) return mode === UNFINISHED_FILE && entry.mode !== UNFINISHED_FILE;
  return existing.type === Type.directory && mode === UNFINISHED_DIRECTORY;
}

function take(run: Run, directory: TargetDirectory, existing: Existing): boolean {
  const entry = directory.entry!;
  directory.fresh = false;
  directory.ours = (directory.asked && mayReplace(run, existing, entry)) || isUnfinished(existing, entry);
  directory.identity = existing;
  directory.dev = existing.dev;
  directory.exposed ||= isOpenToOthers(existing);
  if (run.options.dryRun !== true && !run.privileged && directory.ours && (existing.mode & 0o700) !== 0o700) {
    // One's own directory that was already given its final, narrower mode by an earlier run.
    const fd = run.native.openPathAt(openDirectory(run, directory.parent!), entry.name);
    try {
      run.native.setMetadataFd(fd, Step.mode, 0, 0, (existing.mode & 0o7777) | 0o700, 0, 0, []);
    } finally {
      run.native.closeFd(fd);
    }
  }
  directory.listing = new Listing(() => openDirectory(run, directory));
  return true;
}

/** Takes the directory that was just made, and no other that somebody has put in its place meanwhile. */
function adopt(run: Run, directory: TargetDirectory): void {
  run.directories.forget(directory.path);
  const fd = run.directories.open(directory.path);
  const made = existingOf(fd);
  if (directory.exposed && ((made.mode & 0o777) !== 0o700 || made.uid !== makersUid(run, fd, made))) throw exchanged();
  directory.identity = made;
  // It has inherited the default ACL of the directory that it is in, and would hand it on.
  run.native.setMetadataFd(fd, Step.clear, 0, 0, 0, 0, 0, []);
}

/** Whose becomes what this process makes here: not always its own, on a file system that maps owners. */
export function makersUid(run: Run, directoryFd: number, made: Existing): number {
  const own = process.geteuid?.() ?? made.uid;
  if (made.uid === own) return own;
  const name = utf8(`.varve-${randomBytes(8).toString('hex')}`);
  const fd = run.native.createAt(directoryFd, name, 0o600);
  try {
    return existingOf(fd).uid;
  } finally {
    run.native.closeFd(fd);
    run.native.unlinkAt(directoryFd, name, false);
  }
}

/** Gives a finished directory its owner, attributes, mode and times. */
export function finishDirectory(run: Run, directory: TargetDirectory): void {
  const { entry } = directory;
  if (directory.state !== 'ready' || entry === undefined || !directory.ours || run.options.dryRun === true) return;
  try {
    setMetadata(run, openDirectory(run, directory), directory.path, entry, directory.fresh ? 0 : Step.clear);
  } catch (error) {
    run.journal.failure(directory.path, error, directory);
  }
}
