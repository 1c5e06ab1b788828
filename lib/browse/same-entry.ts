/** Comparing entries of two snapshots: content and metadata apart. Content of files is compared by digest, or by how it is stored when there is none. Pure. */
import { equalBytes } from '../bytes.js';
import type { Content } from '../format/content.js';
import { type Entry, EntryKind, isDirectory, isFile, type Xattr } from '../format/tree.js';

/** Regular files and images are both files. */
function sort(entry: Entry): number {
  return entry.kind === EntryKind.image ? EntryKind.regular : entry.kind;
}

export function sameType(a: Entry, b: Entry): boolean {
  return sort(a) === sort(b);
}

/** Whether both hold the same content, leaving out what directories hold. Types must be the same. */
export function sameContent(a: Entry, b: Entry): boolean {
  if (isFile(a) && isFile(b)) {
    if (a.sizeBytes !== b.sizeBytes) return false;
    if (a.digest !== null && b.digest !== null) return equalBytes(a.digest, b.digest);
    return sameStorage(a.content, b.content);
  }
  if (a.kind === EntryKind.symlink && b.kind === EntryKind.symlink) return equalBytes(a.target, b.target);
  if ('major' in a && 'major' in b) return a.major === b.major && a.minor === b.minor;
  return true;
}

function sameStorage(a: Content, b: Content): boolean {
  if (a.kind === 'rows' && b.kind === 'rows') return a.depth === b.depth && equalBytes(a.rows, b.rows);
  return a.kind === 'inline' && b.kind === 'inline' ? equalBytes(a.bytes, b.bytes) : a.kind === b.kind;
}

function sameXattrs(a: readonly Xattr[], b: readonly Xattr[]): boolean {
  const same = (x: Xattr['value'], y: Xattr['value']): boolean => {
    if (x instanceof Uint8Array || y instanceof Uint8Array)
      return x instanceof Uint8Array && y instanceof Uint8Array && equalBytes(x, y);
    return x.lengthBytes === y.lengthBytes && equalBytes(x.id, y.id);
  };
  return a.length === b.length && a.every((xattr, i) => equalBytes(xattr.name, b[i]!.name) && same(xattr.value, b[i]!.value));
}

/** Whether mode, owner, time of modification, attributes and hard links are the same. */
export function sameMetadata(a: Entry, b: Entry): boolean {
  return (
    a.mode === b.mode &&
    a.owner.uid === b.owner.uid &&
    a.owner.gid === b.owner.gid &&
    a.owner.user === b.owner.user &&
    a.owner.group === b.owner.group &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    (a.link === null) === (b.link === null) &&
    sameXattrs(a.xattrs, b.xattrs)
  );
}

/** Whether both are directories with the very same tree. */
export function sameTree(a: Entry, b: Entry): boolean {
  return isDirectory(a) && isDirectory(b) && equalBytes(a.tree, b.tree);
}
