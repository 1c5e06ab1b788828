/**
 * Whether bytes are those that their object's name promises, and what a replacement of damaged ones is refused for. Names of packs, index objects and manifests are the
 * SHA-256 of their bytes, which is all that a store knows of them.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { RefusedError } from '../errors.js';
import { codeOf, READ_OBJECT } from './durable.js';
import { digestOfName } from './vault-protocol.js';

const PIECE_BYTES = 1 << 20;
/** What reading says of a file that is no object any more: its disk does not give it back, or something else lies there. */
const DAMAGE = new Set(['EIO', 'EUCLEAN', 'EBADMSG', 'ELOOP', 'ENXIO']);

/** The digest, hex, that `name` promises. @throws RefusedError if it promises none */
export function promisedDigest(name: string): string {
  const digest = digestOfName(name);
  if (digest !== undefined) return digest;
  throw new RefusedError(`${name} is not named by its content, so nothing may take its place`, { object: name });
}

/** SHA-256 of joined parts, hex. */
export function digestOf(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** @throws RefusedError unless the new bytes fit the name */
export function checkReplacement(name: string, digest: string): void {
  if (digest !== promisedDigest(name)) throw new RefusedError(`the new bytes for ${name} do not fit its name`, { object: name });
}

/** Whether the file at `path` can be read and has the digest. @throws an error of the system, ENOENT where there is none */
export async function fileFits(path: string, digest: string): Promise<boolean> {
  try {
    const file = await open(path, READ_OBJECT);
    try {
      if (!(await file.stat()).isFile()) return false;
      const hash = createHash('sha256');
      const piece = new Uint8Array(PIECE_BYTES);
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, PIECE_BYTES);
        if (bytesRead === 0) return hash.digest('hex') === digest;
        hash.update(piece.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    if (DAMAGE.has(codeOf(error) ?? '')) return false;
    throw error;
  }
}
