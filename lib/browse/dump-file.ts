/** A file's bytes, verified, handed on in order and no faster than they are taken. */

import { lossyUtf8 } from '../bytes.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { ChunkType } from '../format/pack.js';
import { type FileEntry, isFile } from '../format/tree.js';
import { readPieces, type TreeSource } from '../repository/tree-reader.js';
import { Turns } from '../repository/turns.js';
import { entryAt, type OpenTree } from './open-tree.js';

/** Takes bytes; the next come when it resolves. The bytes may be kept. */
export type Write = (bytes: Uint8Array) => Promise<void>;

const PIECE_BYTES = 1 << 20;

/** Writes the content of `file`. @throws CorruptError, InterruptedError; what was written before is right */
export async function writeContentOf(source: TreeSource, file: FileEntry, write: Write, signal?: AbortSignal): Promise<void> {
  const turns = new Turns('dump', signal);
  turns.check();
  let left = file.sizeBytes;
  let buffer = new Uint8Array(Math.min(PIECE_BYTES, left));
  let filled = 0;
  for (const { id, inline, lengthBytes } of readPieces(source, file)) {
    const bytes = inline ?? (id === undefined ? undefined : source.chunks.read(id, ChunkType.data));
    if (bytes !== undefined && bytes.byteLength !== lengthBytes)
      throw new CorruptError(`chunk of ${lengthBytes} bytes`, `has ${bytes.byteLength}`);
    for (let at = 0; at < lengthBytes; ) {
      if (turns.isDue) await turns.take();
      const count = Math.min(lengthBytes - at, buffer.byteLength - filled);
      // A hole is what a fresh buffer holds.
      if (bytes !== undefined) buffer.set(bytes.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < buffer.byteLength) continue;
      await write(buffer);
      turns.check();
      left -= filled;
      buffer = new Uint8Array(Math.min(PIECE_BYTES, left));
      filled = 0;
    }
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
