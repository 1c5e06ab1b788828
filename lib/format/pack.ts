/**
 * Pack headers, directories, footers and the associated data of frames (docs/format.md §7). Pure: sealing is elsewhere.
 */
import { concat, equalBytes, utf8, viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { checkPreamble, Kind, preamble } from './preamble.js';

export const PACK_HEADER_BYTES = 256;
export const PACK_FOOTER_BYTES = 128;
export const MAX_PACK_BYTES = 67_108_864;
/** Header, sealed directory (nonce, tag, counts) and footer. */
export const MIN_PACK_BYTES = 432;
export const MAX_FRAMES = 65_536;
/** Rows of a chunk index number frames, and chunks in a frame, with 16 bits each. */
export const MAX_FRAME_CHUNKS = 65_536;
export const MAX_FRAME_BYTES = 4_194_304;
export const MAX_CHUNK_BYTES = 2_097_152;
export const FRAME_ROW_BYTES = 20;
export const CHUNK_ROW_BYTES = 37;
export const TAG_BYTES = 16;

export const ChunkType = { data: 1, treePage: 2, listPage: 3, attribute: 4 } as const;
export type ChunkType = (typeof ChunkType)[keyof typeof ChunkType];

export const PackClass = { data: 1, metadata: 2 } as const;
export type PackClass = (typeof PackClass)[keyof typeof PackClass];

const Codec = { raw: 0, zstd: 1 } as const;

/** A session's sealed key as it stands in packs and manifests. */
export interface SealedSessionKey {
  readonly enc: Uint8Array;
  readonly ct: Uint8Array;
  readonly commitment: Uint8Array;
}

export interface PackHeader extends SealedSessionKey {
  readonly repository: Uint8Array;
  readonly writer: Uint8Array;
  readonly domain: Uint8Array;
  readonly session: Uint8Array;
  readonly packClass: PackClass;
  readonly salt: Uint8Array;
}

export interface Frame {
  /** From the start of the pack. */
  readonly offset: number;
  /** With the tag. */
  readonly sealedBytes: number;
  readonly rawBytes: number;
  readonly codec: number;
  readonly chunkCount: number;
  /** Index of its first chunk in the directory. */
  readonly firstChunk: number;
}

/** A decoded directory. Chunk rows stay as bytes: id 32, u8 type, u32 length. */
export interface Directory {
  readonly frames: readonly Frame[];
  readonly chunkRows: Uint8Array;
  readonly chunkCount: number;
}

export function encodePackHeader(header: PackHeader): Uint8Array {
  const out = concat(
    preamble(Kind.pack),
    header.repository,
    header.writer,
    header.domain,
    header.session,
    Uint8Array.of(header.packClass, 0, 0, 0, 0, 0, 0, 0),
    header.enc,
    header.ct,
    header.commitment,
    header.salt,
    new Uint8Array(16),
  );
  if (out.byteLength !== PACK_HEADER_BYTES) throw new RangeError('pack header field of a wrong length');
  return out;
}

/** @throws CorruptError, NewerFormatError */
function checkPackHeader(bytes: Uint8Array, object: string): PackClass {
  checkPreamble(bytes, Kind.pack, object);
  if (bytes.byteLength < PACK_HEADER_BYTES) throw new CorruptError(object, 'shorter than a pack header');
  const packClass = bytes[88];
  if (packClass !== PackClass.data && packClass !== PackClass.metadata)
    throw new CorruptError(object, `unknown pack class ${packClass}`);
  for (let i = 89; i < 96; i++) if (bytes[i] !== 0) throw new CorruptError(object, 'reserved bytes of the header are not zero');
  for (let i = 240; i < 256; i++) if (bytes[i] !== 0) throw new CorruptError(object, 'reserved bytes of the header are not zero');
  return packClass;
}

/** The session alone of a header that is otherwise right. @throws CorruptError, NewerFormatError */
export function sessionOfPackHeader(bytes: Uint8Array, object: string): Uint8Array {
  checkPackHeader(bytes, object);
  return bytes.subarray(72, 88);
}

/** @throws CorruptError, NewerFormatError */
export function decodePackHeader(bytes: Uint8Array, object: string): PackHeader {
  const packClass = checkPackHeader(bytes, object);
  const at = (offset: number, length: number): Uint8Array => bytes.slice(offset, offset + length);
  return {
    repository: at(8, 32),
    writer: at(40, 16),
    domain: at(56, 16),
    session: at(72, 16),
    packClass,
    enc: at(96, 32),
    ct: at(128, 48),
    commitment: at(176, 32),
    salt: at(208, 32),
  };
}

const FRAME_LABEL = utf8('varve v1 frame');
/** Where the codec byte stands in the associated data of a frame. */
export const FRAME_AAD_CODEC_AT = FRAME_LABEL.byteLength + 32 + 4;

/** Associated data of frame `number`, whose chunks are `rows` (37 bytes each). */
export function frameAad(
  headerDigest: Uint8Array,
  number: number,
  codec: number,
  rawBytes: number,
  rows: Uint8Array,
): Uint8Array {
  const count = rows.byteLength / CHUNK_ROW_BYTES;
  const out = new Uint8Array(FRAME_AAD_CODEC_AT + 9 + count * 5);
  const view = viewOf(out);
  out.set(FRAME_LABEL);
  out.set(headerDigest, FRAME_LABEL.byteLength);
  view.setUint32(FRAME_AAD_CODEC_AT - 4, number, true);
  out[FRAME_AAD_CODEC_AT] = codec;
  view.setUint32(FRAME_AAD_CODEC_AT + 1, rawBytes, true);
  view.setUint32(FRAME_AAD_CODEC_AT + 5, count, true);
  let to = FRAME_AAD_CODEC_AT + 9;
  for (let from = 32; from < rows.byteLength; from += CHUNK_ROW_BYTES) {
    for (let i = 0; i < 5; i++) out[to++] = rows[from + i]!;
  }
  return out;
}

/** The directory's plaintext, without padding. `rows`: the chunk rows of all frames in order. */
export function encodeDirectory(frames: readonly Omit<Frame, 'firstChunk'>[], rows: readonly Uint8Array[]): Uint8Array {
  let rowBytes = 0;
  for (const part of rows) rowBytes += part.byteLength;
  const out = new Uint8Array(8 + frames.length * FRAME_ROW_BYTES + rowBytes);
  const view = viewOf(out);
  view.setUint32(0, frames.length, true);
  view.setUint32(4, rowBytes / CHUNK_ROW_BYTES, true);
  let at = 8;
  for (const frame of frames) {
    view.setUint32(at, frame.offset, true);
    view.setUint32(at + 4, frame.sealedBytes, true);
    view.setUint32(at + 8, frame.rawBytes, true);
    view.setUint32(at + 12, frame.chunkCount, true);
    out[at + 16] = frame.codec;
    at += FRAME_ROW_BYTES;
  }
  for (const part of rows) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

/**
 * Decodes a directory and checks every sum and bound. `endBytes` is where its frames must have ended (the directory's own offset, or the pack's size
 * when that is all that is known); `packClass` is the header's, and left out where the directory comes from an index that has compared them. Its twin is
 * native/pack-directory.cc.
 *
 * @throws CorruptError
 */
export function decodeDirectory(bytes: Uint8Array, endBytes: number, object: string, packClass?: PackClass): Directory {
  const bad = (message: string): never => {
    throw new CorruptError(object, `directory: ${message}`);
  };
  if (bytes.byteLength < 8) bad('ends too early');
  const view = viewOf(bytes);
  const frameCount = view.getUint32(0, true);
  const chunkCount = view.getUint32(4, true);
  if (frameCount > MAX_FRAMES) bad('more frames than a pack may have');
  const rowsAt = 8 + frameCount * FRAME_ROW_BYTES;
  const end = rowsAt + chunkCount * CHUNK_ROW_BYTES;
  if (end > bytes.byteLength) bad('counts point past its end');
  for (let i = end; i < bytes.byteLength; i++) if (bytes[i] !== 0) bad('padding is not zero');
  const chunkRows = bytes.subarray(rowsAt, end);
  const rowView = viewOf(chunkRows);
  const frames: Frame[] = [];
  let previousEnd = PACK_HEADER_BYTES;
  let firstChunk = 0;
  for (let i = 0; i < frameCount; i++) {
    const at = 8 + i * FRAME_ROW_BYTES;
    const offset = view.getUint32(at, true);
    const sealedBytes = view.getUint32(at + 4, true);
    const rawBytes = view.getUint32(at + 8, true);
    const count = view.getUint32(at + 12, true);
    const codec = bytes[at + 16]!;
    if (bytes[at + 17] !== 0 || bytes[at + 18] !== 0 || bytes[at + 19] !== 0)
      bad(`frame ${i} has reserved bytes that are not zero`);
    if (offset < previousEnd || sealedBytes <= TAG_BYTES || offset + sealedBytes > endBytes) bad(`frame ${i} is out of place`);
    if (rawBytes === 0 || rawBytes > MAX_FRAME_BYTES || codec > Codec.zstd) bad(`frame ${i} has an impossible size or codec`);
    if (codec === Codec.raw && sealedBytes !== rawBytes + TAG_BYTES) bad(`frame ${i} is raw but of another length`);
    if (count === 0 || count > chunkCount - firstChunk) bad(`frame ${i} names more chunks than there are`);
    if (count > MAX_FRAME_CHUNKS) bad(`frame ${i} holds more chunks than a frame may have`);
    let sum = 0;
    for (let c = firstChunk; c < firstChunk + count; c++) {
      const length = rowView.getUint32(c * CHUNK_ROW_BYTES + 33, true);
      const type = chunkRows[c * CHUNK_ROW_BYTES + 32]!;
      if (length === 0 || length > MAX_CHUNK_BYTES || type < 1 || type > 4) bad(`chunk ${c} has an impossible length or type`);
      if (packClass !== undefined && (type === ChunkType.data) !== (packClass === PackClass.data))
        bad(`chunk ${c} is of another class than its pack`);
      sum += length;
    }
    if (sum !== rawBytes) bad(`the chunks of frame ${i} do not add up`);
    frames.push({ offset, sealedBytes, rawBytes, codec, chunkCount: count, firstChunk });
    previousEnd = offset + sealedBytes;
    firstChunk += count;
  }
  if (firstChunk !== chunkCount) bad('chunks that belong to no frame');
  return { frames, chunkRows, chunkCount };
}

/** The chunk rows of one frame. */
export function rowsOfFrame(directory: Directory, frame: Frame): Uint8Array {
  return directory.chunkRows.subarray(
    frame.firstChunk * CHUNK_ROW_BYTES,
    (frame.firstChunk + frame.chunkCount) * CHUNK_ROW_BYTES,
  );
}

const FOOTER_MAGIC = utf8('VARVEPCK');

export function encodePackFooter(key: SealedSessionKey, directoryOffset: number, directoryBytes: number): Uint8Array {
  const out = new Uint8Array(PACK_FOOTER_BYTES);
  out.set(key.enc, 0);
  out.set(key.ct, 32);
  viewOf(out).setBigUint64(80, BigInt(directoryOffset), true);
  viewOf(out).setUint32(88, directoryBytes, true);
  out.set(FOOTER_MAGIC, 120);
  return out;
}

/** Where the sealed directory stands, from the last 128 bytes of a pack of `packBytes`. @throws CorruptError */
export function decodePackFooter(
  footer: Uint8Array,
  packBytes: number,
  object: string,
): { enc: Uint8Array; ct: Uint8Array; offset: number; length: number } {
  const bad = (): never => {
    throw new CorruptError(object, 'its footer is damaged or missing');
  };
  if (footer.byteLength !== PACK_FOOTER_BYTES || !equalBytes(footer.subarray(120), FOOTER_MAGIC)) bad();
  for (let i = 92; i < 120; i++) if (footer[i] !== 0) bad();
  const offset = Number(viewOf(footer).getBigUint64(80, true));
  const length = viewOf(footer).getUint32(88, true);
  if (packBytes > MAX_PACK_BYTES || offset < PACK_HEADER_BYTES || offset + length !== packBytes - PACK_FOOTER_BYTES) bad();
  return { enc: footer.slice(0, 32), ct: footer.slice(32, 80), offset, length };
}

/** Associated data of a sealed directory. */
export function directoryAad(header: Uint8Array): Uint8Array {
  return concat(utf8('varve v1 directory'), header);
}

/** The Padmé length for `length` bytes: at most 12 % more, hiding all but the leading bits. */
export function padmeBytes(length: number): number {
  const e = Math.floor(Math.log2(length));
  const s = Math.floor(Math.log2(e)) + 1;
  const unit = 2 ** Math.max(0, e - s);
  return Math.ceil(length / unit) * unit;
}
