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
  const header = new Uint8Array(256).fill(pack.packId[0]!);
  header[88] = 1;
  return { packId: pack.packId, header, directory };
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

/** A segment file read as its layout says, without any check: rows in order, and whether the filter lets an id through. */
export function plainSegment(file: Uint8Array): {
  rows: { id: string; pack: number; frame: number; chunk: number }[];
  mayHold: (id: Uint8Array) => boolean;
} {
  const view = viewOf(file);
  const at = (offset: number): number => Number(view.getBigUint64(offset, true));
  const rows = [];
  for (let page = 0; page < view.getUint32(28, true); page++) {
    const start = at(40) + page * 4096;
    for (let row = 0; row < Math.min(170, view.getUint32(start + 4080, true)); row++) {
      const from = start + row * 24;
      rows.push({
        id: toHex(file.subarray(from, from + 16)),
        pack: view.getUint32(from + 16, true),
        frame: view.getUint16(from + 20, true),
        chunk: view.getUint16(from + 22, true),
      });
    }
  }
  const mayHold = (id: Uint8Array): boolean => {
    const block = Number((viewOf(id).getBigUint64(0) * view.getBigUint64(56, true)) >> 64n);
    let rest = viewOf(id).getBigUint64(8);
    for (let k = 0; k < 7; k++, rest >>= 9n) {
      const bit = Number(rest & 511n);
      if (((file[at(48) + block * 64 + (bit >> 3)]! >> (bit & 7)) & 1) === 0) return false;
    }
    return true;
  };
  return { rows, mayHold };
}
