/** Chunk ids (docs/format.md §6). Keys in, ids out. */
import { asId, type ChunkId } from '../id.js';
import { hmac, sha256 } from './kdf.js';

/** Id of a chunk whose plaintext has SHA-256 `digest`. */
export function chunkIdOfDigest(kId: Uint8Array, type: number, digest: Uint8Array): ChunkId {
  return asId('chunk', hmac(kId, Uint8Array.of(type), digest));
}

/** Id of a chunk. */
export function chunkId(kId: Uint8Array, type: number, plaintext: Uint8Array): ChunkId {
  return chunkIdOfDigest(kId, type, sha256(plaintext));
}
