/** A file's bytes, verified, handed on in order and no faster than they are taken. */

import { lossyUtf8 } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { type FileEntry, isFile } from '../format/tree.js';
import type { TreeSource } from '../repository/tree-reader.js';
import { readFileRange } from '../repository/tree-reader.js';
import { entryAt, type OpenTree } from './open-tree.js';

/** Takes bytes; the next come when it resolves. The bytes may be kept. */
export type Write = (bytes: Uint8Array) => Promise<void>;

const PIECE_BYTES = 1 << 20;

/** Writes the content of `file`. @throws CorruptError; what was written before is right */
export async function writeContentOf(source: TreeSource, file: FileEntry, write: Write, signal?: AbortSignal): Promise<void> {
  for (let offset = 0; offset < file.sizeBytes; ) {
    signal?.throwIfAborted();
    const piece = new Uint8Array(Math.min(PIECE_BYTES, file.sizeBytes - offset));
    offset += readFileRange(source, file, offset, piece);
    await write(piece);
  }
}

/** Writes the file at `path`; symlinks are not followed. @throws NotFoundError unless a file is there, CorruptError */
export async function dumpFile(tree: OpenTree, path: Uint8Array, write: Write, signal?: AbortSignal): Promise<void> {
  const { entry } = entryAt(tree, path);
  if (!isFile(entry))
    throw new NotFoundError(
      'file',
      lossyUtf8(path),
      `${lossyUtf8(path)} is not a regular file; a directory can be dumped as an archive`,
    );
  await writeContentOf(tree.source, entry, write, signal);
}
