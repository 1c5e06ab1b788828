/**
 * Plain twins of the chunk index: packs with pack directories as docs/format.md gives them, a CRC-32C of one bit at a time, and an index
 * that is a Map. Slow and readable; tests compare the real ones with them.
 */
import { toHex, viewOf } from '../../lib/bytes.js';
import type { IndexSource, PackDirectory } from '../../lib/chunk-index/segment-file.js';

export interface PlainPack {
  packId: Uint8Array;
  /** Chunk ids of 32 bytes, by frame. */
  frames: Uint8Array[][];
}

/** The pack as an index object lists it; every chunk is 1000 bytes long. */
export function packDirectory(pack: PlainPack): PackDirectory {
  const chunks = pack.frames.flat();
  const directory = new Uint8Array(8 + 20 * pack.frames.length + 37 * chunks.length);
  const view = viewOf(directory);
  view.setUint32(0, pack.frames.length, true);
  view.setUint32(4, chunks.length, true);
  let offset = 256;
  for (const [f, ids] of pack.frames.entries()) {
    const at = 8 + 20 * f;
    view.setUint32(at, offset, true);
    view.setUint32(at + 4, 500, true);
    view.setUint32(at + 8, 1000 * ids.length, true);
    view.setUint32(at + 12, ids.length, true);
    directory[at + 16] = 1;
    offset += 500;
  }
  for (const [c, id] of chunks.entries()) {
    const at = 8 + 20 * pack.frames.length + 37 * c;
    directory.set(id, at);
    directory[at + 32] = 1;
    view.setUint32(at + 33, 1000, true);
  }
  return { packId: pack.packId, header: new Uint8Array(256).fill(pack.packId[0]!), directory };
}

export function source(name: string, packs: readonly PlainPack[]): IndexSource {
  return { name, packs: packs.map(packDirectory) };
}

/** Chunk id in hex → places as 'pack frame chunk'. */
export class PlainIndex {
  readonly #places = new Map<string, Set<string>>();

  add(packs: readonly PlainPack[]): void {
    for (const { packId, frames } of packs) {
      for (const [frame, ids] of frames.entries()) {
        for (const [chunk, id] of ids.entries()) {
          const places = this.#places.get(toHex(id)) ?? new Set();
          this.#places.set(toHex(id), places.add(`${toHex(packId)} ${frame} ${chunk}`));
        }
      }
    }
  }

  locate(id: Uint8Array): string[] {
    return [...(this.#places.get(toHex(id)) ?? [])].sort();
  }
}

/** CRC-32C, reflected, polynomial 0x82f63b78. */
export function plainCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
