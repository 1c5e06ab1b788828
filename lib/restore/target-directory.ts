/** A directory being restored into: what is known of it, and how it is opened again. */
import { compareBytes } from '../bytes.js';
import type { DirectoryEntry } from '../format/tree.js';
import { findEntry } from '../repository/tree-reader.js';
import type { Listing } from './listing.js';
import type { Run } from './run.js';
import { type Existing, existingAt, type Identity } from './stat.js';

export interface TargetDirectory {
  readonly parent: TargetDirectory | undefined;
  /** Relative to the target, Latin-1; '' is the target. */
  readonly path: string;
  /** Undefined for a target into which a single file goes. */
  readonly entry: DirectoryEntry | undefined;
  /** Whether the directory itself was asked for, and not only something in it. */
  readonly asked: boolean;
  state: 'pending' | 'ready' | 'failed';
  /** Made by this run: nothing can be in it that this run did not put there. */
  fresh: boolean;
  /** Whether its metadata is this run's to set. */
  ours: boolean;
  /** Whether somebody else may put another directory in its place: who may write to one above it, or owns that. */
  exposed: boolean;
  /** Which directory it is; undefined until it is known, and where nobody can exchange it. */
  identity: Identity | undefined;
  /** The file system that it is on. */
  dev: bigint;
  /** What stood in it when it was taken; undefined for a fresh one. */
  listing: Listing | undefined;
}

const textOf = (name: Uint8Array): string => Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
export const pathIn = (directory: TargetDirectory, name: Uint8Array): string =>
  directory.path === '' ? textOf(name) : `${directory.path}/${textOf(name)}`;

export function childDirectory(parent: TargetDirectory, entry: DirectoryEntry, asked: boolean): TargetDirectory {
  return {
    parent,
    path: pathIn(parent, entry.name),
    entry,
    asked,
    state: 'pending',
    fresh: false,
    ours: false,
    exposed: parent.exposed,
    identity: undefined,
    dev: parent.dev,
    listing: undefined,
  };
}

/** Descriptor of `directory`, the very one that was made or taken. @throws system errors; ESTALE when another stands in its place */
export function openDirectory(run: Run, directory: TargetDirectory): number {
  return run.directories.open(directory.path, directory.exposed ? directory.identity : undefined);
}

/** Whether others than this process's user may put things into the directory, or take them out. An ACL that lets them shows in the group's bits. */
export function isOpenToOthers({ uid, mode }: Existing): boolean {
  return uid !== process.geteuid?.() || (mode & 0o022) !== 0;
}

/**
 * What stands under `name` in `directory`; to be asked in the order of names. 'taken': another entry of this restore, which the target takes to have the same name.
 *
 * @throws system errors
 */
export function existingIn(run: Run, directory: TargetDirectory, name: Uint8Array): Existing | 'taken' | undefined {
  if (directory.fresh) return undefined;
  if (directory.listing === undefined) return existingAt(openDirectory(run, directory), name);
  const { entry } = directory;
  return directory.listing.find(
    name,
    (other) => compareBytes(other, name) !== 0 && entry !== undefined && findEntry(run.source, entry.tree, other) !== undefined,
  );
}
