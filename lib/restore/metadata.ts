/** Owner, attributes, mode and times of one restored entry, in that order: set-id bits only on what already has its owner. */
import { CorruptError } from '../errors.js';
import { ChunkType } from '../format/pack.js';
import { type Entry, EntryKind, type Xattr } from '../format/tree.js';
import type { Run } from './run.js';
import { Step } from './task.js';

/** Steps that an entry needs besides its attributes. */
export function stepsOf(run: Run, entry: Entry): number {
  return (run.owners(entry.owner).change ? Step.owner : 0) | (entry.kind === EntryKind.symlink ? 0 : Step.mode) | Step.times;
}

/** Sets all metadata of `entry` at `path`, in the directory at `directoryPath`; what fails is listed. */
export function setMetadata(run: Run, directoryPath: string, path: string, entry: Entry): void {
  const { uid, gid, modeMask } = run.owners(entry.owner);
  try {
    const xattrs: [Uint8Array, Uint8Array][] = [];
    for (const xattr of entry.xattrs) {
      const value = attributeValue(run, path, xattr);
      if (value !== undefined) xattrs.push([xattr.name, value]);
    }
    const what = stepsOf(run, entry) | (xattrs.length > 0 ? Step.xattrs : 0);
    const directoryFd = run.directories.open(directoryPath);
    const failed = run.native.setMetadataAt(
      directoryFd,
      entry.name,
      what,
      uid,
      gid,
      entry.mode & modeMask,
      entry.mtimeSec,
      entry.mtimeNsec,
      xattrs,
    );
    for (let i = 0; i < failed.length; i += 2) {
      const step = failed[i]! & 0xff;
      if (step === Step.xattrs) run.journal.attribute(path, xattrs[failed[i]! >>> 8]![0], failed[i + 1]!);
      else
        run.journal.errno(
          path,
          failed[i + 1]!,
          step === Step.owner ? 'set the owner' : step === Step.mode ? 'set the mode' : 'set the times',
        );
    }
  } catch (error) {
    run.journal.failure(path, error);
  }
}

function attributeValue(run: Run, path: string, xattr: Xattr): Uint8Array | undefined {
  if (xattr.value instanceof Uint8Array) return xattr.value;
  try {
    const value = run.source.chunks.read(xattr.value.id, ChunkType.attribute);
    if (value.byteLength !== xattr.value.lengthBytes)
      throw new CorruptError('attribute value', `has ${value.byteLength} bytes, not ${xattr.value.lengthBytes}`);
    return value;
  } catch (error) {
    run.journal.failure(path, error);
    return undefined;
  }
}
