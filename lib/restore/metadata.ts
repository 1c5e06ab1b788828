/**
 * Owner, attributes, times and mode of one restored entry, in that order: set-id bits only on what already has its owner, and the mode last, because it says that the
 * entry is whole. Always through a descriptor of the entry itself; its name may be somebody else's by now.
 */
import { CorruptError } from '../errors.js';
import { ChunkType } from '../format/pack.js';
import { type Entry, EntryKind, type Xattr } from '../format/tree.js';
import type { Run } from './run.js';
import { type Attributes, Step } from './task.js';

/** Attributes that go with a file's record; longer ones are read when the file is finished. */
const MAX_RECORD_ATTRIBUTES_BYTES = 4096;

/** Steps that an entry needs besides its attributes. */
export function stepsOf(run: Run, entry: Entry): number {
  return (run.owners(entry.owner).change ? Step.owner : 0) | (entry.kind === EntryKind.symlink ? 0 : Step.mode) | Step.times;
}

/** The attributes of `entry` when all stand in it and are short, else undefined. */
export function shortAttributes(entry: Entry): Attributes | undefined {
  const short: [Uint8Array, Uint8Array][] = [];
  let bytes = 0;
  for (const { name, value } of entry.xattrs) {
    if (!(value instanceof Uint8Array)) return undefined;
    bytes += name.byteLength + value.byteLength;
    short.push([name, value]);
  }
  return bytes > MAX_RECORD_ATTRIBUTES_BYTES ? undefined : short;
}

/** Sets all metadata of `entry` on `fd`, which is the entry at `path`; what fails is listed. `more`: further steps, to take away what it does not have. */
export function setMetadata(run: Run, fd: number, path: string, entry: Entry, more = 0): void {
  const { uid, gid, modeMask } = run.owners(entry.owner);
  try {
    const attributes: [Uint8Array, Uint8Array][] = [];
    for (const xattr of entry.xattrs) {
      const value = attributeValue(run, path, xattr);
      if (value !== undefined) attributes.push([xattr.name, value]);
    }
    const { mtimeSec, mtimeNsec } = entry;
    const what = stepsOf(run, entry) | more;
    const failed = run.native.setMetadataFd(fd, what, uid, gid, entry.mode & modeMask, mtimeSec, mtimeNsec, attributes);
    for (let i = 0; i < failed.length; i += 2) refused(run, path, attributes, failed[i]!, failed[i + 1]!);
  } catch (error) {
    run.journal.failure(path, error);
  }
}

const STEPS: Readonly<Record<number, string>> = {
  [Step.owner]: 'its owner',
  [Step.mode]: 'its mode',
  [Step.times]: 'its times',
  [Step.clear]: 'attributes that the snapshot does not have',
};

/** Lists one step that the system refused. */
export function refused(run: Run, path: string, attributes: Attributes, step: number, errno: number): void {
  const isAttribute = (step & 0xff) === Step.xattrs;
  run.journal.metadata(path, isAttribute ? attributes[step >>> 8]![0] : STEPS[step]!, errno);
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
