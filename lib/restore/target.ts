/**
 * The directories being restored into. They are made when something in them is, 0700 and ours until all beneath them is done; what stands
 * in their place is judged here. Metadata comes last, deepest first.
 */
import { compareBytes } from '../bytes.js';
import { CorruptError } from '../errors.js';
import type { DirectoryEntry, Entry } from '../format/tree.js';
import { readDirectory } from '../repository/tree-reader.js';
import { setMetadata } from './metadata.js';
import type { Matcher } from './options.js';
import { removeEntry, scanOpen } from './remove.js';
import type { Run } from './run.js';
import { existingAt, Type } from './stat.js';
import { Step } from './task.js';

export interface TargetDirectory {
  readonly parent: TargetDirectory | undefined;
  /** Relative to the target, Latin-1; '' is the target. */
  readonly path: string;
  /** Undefined for the target itself, whose own metadata is left alone. */
  readonly entry: DirectoryEntry | undefined;
  state: 'pending' | 'ready' | 'failed';
  /** Made by this run: nothing can be in it that this run did not put there. */
  fresh: boolean;
  /** Whether its metadata is this run's to set. */
  ours: boolean;
}

const textOf = (name: Uint8Array): string => Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
export const pathIn = (directory: TargetDirectory, name: Uint8Array): string =>
  directory.path === '' ? textOf(name) : `${directory.path}/${textOf(name)}`;

export function childDirectory(parent: TargetDirectory, entry: DirectoryEntry): TargetDirectory {
  return { parent, path: pathIn(parent, entry.name), entry, state: 'pending', fresh: false, ours: false };
}

/** Makes `directory` and those above it exist. False, once listed as a problem, when that cannot be. */
export function ensureDirectory(run: Run, directory: TargetDirectory): boolean {
  if (directory.state === 'pending') {
    directory.state = 'failed';
    if (ensureDirectory(run, directory.parent!)) {
      try {
        if (makeOrTake(run, directory)) directory.state = 'ready';
      } catch (error) {
        run.journal.failure(directory.path, error);
      }
    }
    if (directory.state === 'ready') {
      run.journal.directories++;
      if (run.options.delete === true && !directory.fresh) deleteExtras(run, directory, directory.entry!.tree);
    }
  }
  return directory.state === 'ready';
}

function makeOrTake(run: Run, directory: TargetDirectory): boolean {
  const parent = directory.parent!;
  const { name } = directory.entry!;
  const dryRun = run.options.dryRun === true;
  directory.fresh = directory.ours = true;
  if (parent.fresh && dryRun) return true;
  const parentFd = run.directories.open(parent.path);
  if (!parent.fresh) {
    const existing = existingAt(parentFd, name);
    if (existing?.type === Type.directory) {
      directory.fresh = false;
      directory.ours = run.overwrite !== 'never';
      // One's own directory that was already given its final, narrower mode by an earlier run.
      if (!dryRun && !run.privileged && directory.ours && (existing.mode & 0o700) !== 0o700) {
        run.native.setMetadataAt(parentFd, name, Step.mode, 0, 0, (existing.mode & 0o7777) | 0o700, 0, 0, []);
      }
      return true;
    }
    if (existing !== undefined) {
      if (run.overwrite === 'never') {
        run.journal.problem(
          directory.path,
          'KIND',
          'the snapshot has a directory where something else stands, and nothing may be overwritten',
        );
        return false;
      }
      if (!dryRun) run.native.unlinkAt(parentFd, name, false);
    }
    if (dryRun) return true;
  }
  run.native.mkdirAt(parentFd, name, 0o700);
  return true;
}

/** Removes what stands in `directory` and not in the snapshot's tree. Both are in order of names. */
export function deleteExtras(run: Run, directory: TargetDirectory, tree: Uint8Array | readonly Entry[]): void {
  try {
    deleteUnnamed(run, directory, tree);
  } catch (error) {
    // A damaged page is listed by the walk that comes to it next; what its directory holds stays.
    if (!(error instanceof CorruptError)) run.journal.failure(directory.path, error);
  }
}

function deleteUnnamed(run: Run, directory: TargetDirectory, tree: Uint8Array | readonly Entry[]): void {
  const wanted = tree instanceof Uint8Array ? readDirectory(run.source, tree)[Symbol.iterator]() : tree[Symbol.iterator]();
  const fd = run.directories.open(directory.path);
  let next = wanted.next();
  for (const existing of scanOpen(fd)) {
    while (!next.done && compareBytes(next.value.name, existing.name) < 0) next = wanted.next();
    if (!next.done && compareBytes(next.value.name, existing.name) === 0) continue;
    const path = pathIn(directory, existing.name);
    const isDirectory = existing.type === Type.directory;
    if (!isSelected(run.options.include, run.options.exclude, path, isDirectory)) continue;
    try {
      if (run.options.dryRun !== true) removeEntry(run, directory.path, existing.name, isDirectory);
      run.journal.deleted++;
    } catch (error) {
      run.journal.failure(path, error);
    }
  }
}

/** Whether a path that the snapshot does not have would have been restored if it had. */
function isSelected(include: Matcher | undefined, exclude: Matcher | undefined, path: string, isDirectory: boolean): boolean {
  const parts = path.split('/');
  let included = include === undefined;
  for (let i = 1; i <= parts.length; i++) {
    const prefix = bytesOf(`/${parts.slice(0, i).join('/')}`);
    const directory = i < parts.length || isDirectory;
    if (exclude?.(prefix, directory) === 'yes') return false;
    included ||= include?.(prefix, directory) === 'yes';
  }
  // Something beneath may be excluded: then the directory stays.
  return included && !(isDirectory && exclude?.(bytesOf(`/${path}`), true) === 'maybe-below');
}

/** Gives a finished directory its owner, attributes, mode and times. */
export function finishDirectory(run: Run, directory: TargetDirectory): void {
  if (directory.state !== 'ready' || directory.entry === undefined || !directory.ours || run.options.dryRun === true) return;
  setMetadata(run, directory.parent!.path, directory.path, directory.entry);
}
