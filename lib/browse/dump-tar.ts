/**
 * A directory of a snapshot as a tar stream: everything but sockets, with hard links, owners, nanoseconds and attributes. Holes become zeros: the format
 * has no portable way to say them.
 */
import { utf8 } from '../bytes.js';
import { linkKey } from '../format/link-key.js';
import { ChunkType } from '../format/pack.js';
import { type Entry, EntryKind, isDirectory, isFile } from '../format/tree.js';
import { namesOfPath } from '../repository/tree-path.js';
import { Turns } from '../repository/turns.js';
import { type Write, writeContentOf } from './dump-file.js';
import { listTree } from './list-tree.js';
import { entryAt, type OpenTree } from './open-tree.js';
import { encodeTarHeader, paddingOf, TAR_END, type TarMember } from './tar-header.js';

export interface DumpTarOptions {
  readonly signal?: AbortSignal;
  /** Called for what a tar archive cannot hold. */
  readonly onSkipped?: (path: Uint8Array, reason: string) => void;
}

const TYPES = { 1: '0', 8: '0', 2: '5', 3: '2', 4: '6', 6: '3', 7: '4' } as const;

/** Writes the archive of what is at and below `path`, with names relative to it. @throws NotFoundError, CorruptError */
export async function dumpTar(tree: OpenTree, path: Uint8Array, write: Write, options: DumpTarOptions = {}): Promise<void> {
  const start = entryAt(tree, path);
  const links = new Map<string, Uint8Array>();
  const turns = new Turns('dump', options.signal);
  const put = async (name: Uint8Array, entry: Entry): Promise<void> => {
    turns.check();
    if (turns.isDue) await turns.take();
    if (entry.kind === EntryKind.socket) {
      options.onSkipped?.(name, 'a tar archive holds no sockets');
      return;
    }
    const key = linkKey(entry);
    const first = key === undefined ? undefined : links.get(key);
    if (key !== undefined && first === undefined) links.set(key, name);
    const base = memberOf(tree, name, entry);
    if (first !== undefined) {
      await write(encodeTarHeader({ ...base, type: '1', sizeBytes: 0, linkName: first }));
      return;
    }
    await write(encodeTarHeader(base));
    if (!isFile(entry)) return;
    await writeContentOf(tree.source, entry, write, options.signal);
    await write(paddingOf(entry.sizeBytes));
  };
  if (isDirectory(start.entry)) {
    await put(utf8('./'), start.entry);
    const skip = start.path.byteLength === 1 ? 1 : start.path.byteLength + 1;
    for (const { path: at, entry } of listTree(tree, { path, recursive: true })) {
      const name = at.subarray(skip);
      await put(isDirectory(entry) ? Uint8Array.of(...name, 0x2f) : name, entry);
    }
  } else await put(namesOfPath(start.path).at(-1)!, start.entry);
  await write(TAR_END);
}

function memberOf(tree: OpenTree, name: Uint8Array, entry: Entry): TarMember {
  return {
    name,
    type: TYPES[entry.kind as keyof typeof TYPES],
    mode: entry.mode,
    uid: entry.owner.uid,
    gid: entry.owner.gid,
    user: entry.owner.user ?? '',
    group: entry.owner.group ?? '',
    sizeBytes: isFile(entry) ? entry.sizeBytes : 0,
    mtimeSec: entry.mtimeSec,
    mtimeNsec: entry.mtimeNsec,
    ...(entry.kind === EntryKind.symlink ? { linkName: entry.target } : {}),
    ...('major' in entry ? { major: entry.major, minor: entry.minor } : {}),
    xattrs: entry.xattrs.map((xattr) => ({
      name: xattr.name,
      value: xattr.value instanceof Uint8Array ? xattr.value : tree.source.chunks.read(xattr.value.id, ChunkType.attribute),
    })),
  };
}
