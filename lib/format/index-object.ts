/** Index objects (docs/format.md §8): copies of pack directories, as hints. Pure. */
import { concat, toHex, utf8, viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { CHUNK_ROW_BYTES, FRAME_ROW_BYTES, MAX_PACK_BYTES, MIN_PACK_BYTES, PACK_HEADER_BYTES } from './pack.js';
import { checkPreamble, Kind, preamble } from './preamble.js';

export const INDEX_HEADER_BYTES = 88;
export const MAX_INDEX_BYTES = 67_108_864;

export interface IndexHeader {
  readonly repository: Uint8Array;
  readonly writer: Uint8Array;
  readonly domain: Uint8Array;
  readonly session: Uint8Array;
}

/** One pack as an index object or a scan of packs describes it. */
export interface PackDirectory {
  readonly packId: Uint8Array;
  readonly packBytes: number;
  readonly header: Uint8Array;
  /** Directory plaintext without padding. */
  readonly directory: Uint8Array;
}

export function encodeIndexHeader(header: IndexHeader): Uint8Array {
  return concat(preamble(Kind.index), header.repository, header.writer, header.domain, header.session);
}

/** @throws CorruptError, NewerFormatError */
export function decodeIndexHeader(bytes: Uint8Array, object: string): IndexHeader {
  checkPreamble(bytes, Kind.index, object);
  if (bytes.byteLength < INDEX_HEADER_BYTES || bytes.byteLength > MAX_INDEX_BYTES)
    throw new CorruptError(object, 'has an impossible length');
  return {
    repository: bytes.slice(8, 40),
    writer: bytes.slice(40, 56),
    domain: bytes.slice(56, 72),
    session: bytes.slice(72, 88),
  };
}

export function indexAad(header: Uint8Array): Uint8Array {
  return concat(utf8('varve v1 index'), header);
}

/** In parts, directories among them as they are. */
export function encodeIndexBody(packs: readonly PackDirectory[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const count = new Uint8Array(4);
  viewOf(count).setUint32(0, packs.length, true);
  parts.push(count);
  for (const pack of packs) {
    const size = new Uint8Array(4);
    viewOf(size).setUint32(0, pack.packBytes, true);
    const length = new Uint8Array(4);
    viewOf(length).setUint32(0, pack.directory.byteLength, true);
    parts.push(pack.packId, size, pack.header, length, pack.directory);
  }
  return parts;
}

/** @throws CorruptError; directories themselves are checked by decodeDirectory */
export function decodeIndexBody(bytes: Uint8Array, object: string): PackDirectory[] {
  const bad = (): never => {
    throw new CorruptError(object, 'its contents do not fit their lengths');
  };
  if (bytes.byteLength < 4) bad();
  const view = viewOf(bytes);
  const count = view.getUint32(0, true);
  const packs: PackDirectory[] = [];
  const seen = new Set<string>();
  let at = 4;
  for (let i = 0; i < count; i++) {
    if (at + 40 + PACK_HEADER_BYTES > bytes.byteLength) bad();
    const packId = bytes.slice(at, at + 32);
    const packBytes = view.getUint32(at + 32, true);
    const header = bytes.slice(at + 36, at + 36 + PACK_HEADER_BYTES);
    const length = view.getUint32(at + 36 + PACK_HEADER_BYTES, true);
    at += 40 + PACK_HEADER_BYTES;
    if (length < 8 || length > bytes.byteLength - at || packBytes < MIN_PACK_BYTES || packBytes > MAX_PACK_BYTES) bad();
    if (length !== 8 + view.getUint32(at, true) * FRAME_ROW_BYTES + view.getUint32(at + 4, true) * CHUNK_ROW_BYTES) bad();
    seen.add(toHex(packId));
    packs.push({ packId, packBytes, header, directory: bytes.subarray(at, at + length) });
    at += length;
  }
  if (at !== bytes.byteLength) bad();
  // Or one object could describe a pack in a hundred thousand ways, and a reader would have to try them all.
  if (seen.size !== count) throw new CorruptError(object, 'lists a pack twice');
  return packs;
}
