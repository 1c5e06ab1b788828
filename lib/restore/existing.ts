/**
 * What stands in the target already: whether it stays, goes, or is mended in place. A file is only ever mended when it has one name and an
 * owner who may see the new bytes; through a second name they would show, or be written, outside the target.
 */
import { equalBytes, utf8 } from '../bytes.js';
import { ChunkType, MAX_CHUNK_BYTES } from '../format/pack.js';
import { type Entry, type FileEntry, isFile } from '../format/tree.js';
import { native } from '../native.js';
import { type Piece, readPieces, type TreeSource } from '../repository/tree-reader.js';
import { removeEntry } from './remove.js';
import type { Run } from './run.js';
import { isSelected } from './selection.js';
import { type Existing, Type } from './stat.js';
import { isUnfinished, mayReplace } from './target.js';
import { existingIn, openDirectory, type TargetDirectory } from './target-directory.js';

/** `new`: nothing stands there now. `keep`: leave it. `mend`: a regular file to compare. `refused`: listed as a problem. */
export type Judgement = { readonly kind: 'new' | 'refused' } | { readonly kind: 'keep' | 'mend'; readonly existing: Existing };

/** Type of what stands in the target for each kind of entry. */
export const KIND_OF: readonly number[] = [
  0,
  Type.regular,
  Type.directory,
  Type.symlink,
  Type.fifo,
  Type.socket,
  Type.charDevice,
  Type.blockDevice,
  Type.regular,
];

/** Judges what stands in the place of `entry`, which is not a directory, and removes it when it has to go. @throws system errors */
export function judgeExisting(run: Run, directory: TargetDirectory, entry: Entry, path: string): Judgement {
  const existing = existingIn(run, directory, entry.name);
  if (existing === undefined) return { kind: 'new' };
  if (existing === 'taken') {
    run.journal.taken(path);
    return { kind: 'refused' };
  }
  return judge(run, directory, entry, path, existing);
}

/** As judgeExisting, of what is known to stand there. */
export function judge(run: Run, directory: TargetDirectory, entry: Entry, path: string, existing: Existing): Judgement {
  if (!mayReplace(run, existing, entry)) return { kind: 'keep', existing };
  const sameTime = existing.mtimeSec === entry.mtimeSec && existing.mtimeNsec === entry.mtimeNsec;
  const sameKind = existing.type === KIND_OF[entry.kind];
  const looksRight = sameKind && sameTime && (!isFile(entry) || existing.sizeBytes === entry.sizeBytes);
  if (run.overwrite === 'if-changed' && looksRight && !isUnfinished(existing, entry)) return { kind: 'keep', existing };
  if (sameKind && isFile(entry) && mayMend(run, existing, entry)) return { kind: 'mend', existing };
  // What cannot be made again is not removed first.
  if (isDevice(entry) && !run.privileged) {
    run.journal.device(path);
    return { kind: 'refused' };
  }
  return clearPlace(run, directory, entry.name, existing, path) ? { kind: 'new' } : { kind: 'refused' };
}

const ACCESS_ACL = utf8('system.posix_acl_access');

export const isDevice = (entry: Entry): boolean => 'major' in entry;

function mayMend(run: Run, existing: Existing, entry: FileEntry): boolean {
  if (existing.nlink !== 1) return false;
  // Who could write to it may still do so, through a map of it that outlives every change of its mode.
  if ((entry.mode & 0o6000) !== 0 && isWiderThan(run, existing, entry)) return false;
  const self = process.geteuid?.() ?? 0;
  return existing.uid === self || (run.privileged && existing.uid === run.owners(entry.owner).uid);
}

/** Whether others can read or write what stands there who will have no such right to what is restored. */
function isWiderThan(run: Run, existing: Existing, entry: FileEntry): boolean {
  if ((existing.mode & 0o077 & ~entry.mode) !== 0) return true;
  const { gid, change } = run.owners(entry.owner);
  return change && existing.gid !== gid && (existing.mode & 0o070) !== 0;
}

/** Whether the new bytes of `entry` may be written into the open file `fd`: others may have it open already, and read it for as long as they like. */
export function mayFill(run: Run, fd: number, existing: Existing, entry: FileEntry): boolean {
  if (isWiderThan(run, existing, entry)) return false;
  const acl = run.native.attributeOfFd(fd, ACCESS_ACL);
  return (
    acl === undefined ||
    entry.xattrs.some(({ name, value }) => equalBytes(name, ACCESS_ACL) && value instanceof Uint8Array && equalBytes(value, acl))
  );
}

/** Removes what stands there. False, with a problem listed, for a directory that holds something and may not be deleted. */
export function clearPlace(run: Run, directory: TargetDirectory, name: Uint8Array, existing: Existing, path: string): boolean {
  const isDirectory = existing.type === Type.directory;
  if (run.options.dryRun === true) return true;
  try {
    if (isDirectory && run.options.delete === true && isSelected(run.selection, path, true))
      removeEntry(run, directory, name, true);
    else run.native.unlinkAt(openDirectory(run, directory), name, isDirectory);
    if (isDirectory) run.directories.forget(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!isDirectory || (code !== 'ENOTEMPTY' && code !== 'EEXIST')) throw error;
    run.journal.problem(
      path,
      'KIND',
      'a directory that is not empty stands in its place; --delete would remove it, unless something in it is excluded',
    );
    return false;
  }
}

let arena: Uint8Array | undefined;

/** Pieces of `file` that the open file `fd` does not hold yet: other bytes, or data where a hole should be. */
export function* differingPieces(source: TreeSource, file: FileEntry, fd: number): Generator<{ piece: Piece; differs: boolean }> {
  arena ??= new Uint8Array(MAX_CHUNK_BYTES);
  const kernel = native();
  for (const piece of readPieces(source, file)) {
    const { offset, lengthBytes, id, inline } = piece;
    if (id === undefined && inline === undefined) {
      yield { piece, differs: !isHole(fd, offset, offset + lengthBytes, arena) };
      continue;
    }
    const count = kernel.readAt(fd, arena, 0, lengthBytes, offset);
    let same = count === lengthBytes;
    if (same && inline !== undefined) same = equalBytes(arena.subarray(0, count), inline);
    else if (same) {
      const digest = kernel.sha256Pieces(arena, Uint32Array.of(0, count));
      same = equalBytes(kernel.chunkIds(source.chunkIdKey, ChunkType.data, digest), id!);
    }
    yield { piece, differs: !same };
  }
}

const BLOCK_BYTES = 4096;

/** Whether [from, to) holds no data but zeros in the blocks that it shares with its neighbours. */
function isHole(fd: number, from: number, to: number, buffer: Uint8Array): boolean {
  const firstBlockEnd = from + ((BLOCK_BYTES - (from % BLOCK_BYTES)) % BLOCK_BYTES);
  const lastBlockStart = to - (to % BLOCK_BYTES);
  for (let at = from; ; ) {
    const data = native().nextData(fd, at, to);
    if (data === undefined) return true;
    const [start, end] = data;
    if (end > firstBlockEnd && start < lastBlockStart) return false;
    const count = native().readAt(fd, buffer, 0, Math.min(end - start, BLOCK_BYTES), start);
    for (let i = 0; i < count; i++) if (buffer[i] !== 0) return false;
    at = start + Math.min(end - start, BLOCK_BYTES);
  }
}
