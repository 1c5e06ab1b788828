/**
 * Extended attributes of an entry: those that were stored, as they were (ACLs raw, as system.posix_acl_access), and virtual ones in `user.varve.` that
 * answer without reading data. Virtual ones can always be got; they are listed only on request, so that copying tools do not carry them off.
 */
import { asUtf8, EMPTY, toHex, utf8 } from '../bytes.js';
import { ChunkType } from '../format/pack.js';
import { isFile } from '../format/tree.js';
import type { Located } from './snapshot-tree.js';

const VIRTUAL = ['user.varve.sha256', 'user.varve.snapshot', 'user.varve.state'] as const;
/** Time of the oldest snapshot from which on it is unchanged. It takes looking into others, so file-system.ts answers it. */
export const FIRST_SEEN = 'user.varve.first-seen';

export function listEntryXattrs(located: Located, withVirtual: boolean): Uint8Array[] {
  const stored = located.entry.xattrs.map(({ name }) => name);
  if (!withVirtual) return stored;
  return [...stored, ...VIRTUAL.map(utf8).filter((name) => virtualXattr(located, name) !== undefined), utf8(FIRST_SEEN)];
}

/** A value, or undefined. @throws CorruptError when it is long and its chunk does not verify */
export function entryXattr(located: Located, name: Uint8Array): Uint8Array | undefined {
  const stored = located.entry.xattrs.find((xattr) => Buffer.compare(xattr.name, name) === 0);
  if (stored === undefined) return virtualXattr(located, name);
  if (stored.value instanceof Uint8Array) return stored.value;
  return stored.value.lengthBytes === 0 ? EMPTY : located.source.chunks.read(stored.value.id, ChunkType.attribute);
}

function virtualXattr({ entry, snapshot }: Located, name: Uint8Array): Uint8Array | undefined {
  switch (asUtf8(name)) {
    case VIRTUAL[0]:
      return isFile(entry) && entry.digest !== null ? utf8(toHex(entry.digest)) : undefined;
    case VIRTUAL[1]:
      return utf8(snapshot.hex);
    case VIRTUAL[2]:
      return utf8(snapshot.complete ? 'complete' : 'partial');
    default:
      return undefined;
  }
}
