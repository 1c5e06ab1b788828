/**
 * Builds packs: gathers new chunks in frames, seals frames into a pack, hands out finished packs (docs/format.md §7). No I/O and no decision about what is new.
 * All frames that are open when a pack closes end with it, so a chunk's pack is known when the chunk is added.
 */
import { createHash, randomBytes } from 'node:crypto';
import { seal } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { packKey, type SealedKey, type SessionIds } from '../crypto/session.js';
import {
  CHUNK_ROW_BYTES,
  decodeDirectory,
  directoryAad,
  encodeDirectory,
  encodePackFooter,
  encodePackHeader,
  FRAME_AAD_CODEC_AT,
  FRAME_ROW_BYTES,
  frameAad,
  MAX_FRAME_CHUNKS,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  type PackClass,
  padmeBytes,
} from '../format/pack.js';
import { native } from '../native.js';

/** One session's keys, as a pack writer needs them; plain data. */
export interface PackWriterKeys extends SessionIds {
  readonly sessionKey: Uint8Array;
  readonly sealed: SealedKey;
  readonly indexKey: Uint8Array;
}

export interface PackWriterOptions {
  readonly packClass: PackClass;
  readonly level: number;
  readonly targetBytes: number;
}

/** A pack ready to be stored. */
export interface FinishedPack {
  readonly packId: Uint8Array;
  /** The number given to `begin`'s callers while it was open. */
  readonly ordinal: number;
  /** A view of a buffer that is this pack's alone, and may be recycled. */
  readonly bytes: Uint8Array;
  readonly header: Uint8Array;
  /** Directory plaintext without padding. */
  readonly directory: Uint8Array;
}

interface FrameStream {
  readonly level: number;
  readonly closeAt: number;
  readonly raw: Uint8Array;
  rawBytes: number;
  rows: Uint8Array;
  rowCount: number;
}

interface OpenPack {
  readonly ordinal: number;
  readonly header: Uint8Array;
  readonly headerDigest: Uint8Array;
  readonly key: Uint8Array;
  at: number;
  readonly frames: { offset: number; sealedBytes: number; rawBytes: number; codec: number; chunkCount: number }[];
  readonly rows: Uint8Array[];
  rowBytes: number;
}

const FRAME_SLACK_BYTES = 65_536;
/** Room behind a pack's target size for the frames that end with it. */
const PACK_SLACK_BYTES = 3 << 20;
const MAX_SPARE = 1;
/** What compresses to almost nothing could fill a pack with more frames, or a directory with more rows, than a pack may have. Far below those limits. */
const CROWDED_FRAMES = 16_384;
const CROWDED_ROW_BYTES = 16 << 20;

const isCrowded = (pack: OpenPack): boolean => pack.frames.length >= CROWDED_FRAMES || pack.rowBytes >= CROWDED_ROW_BYTES;

/** Which kinds of frames a writer keeps apart; each closes at its own size and may have a compression level of its own. */
export type FrameKinds = Readonly<Record<string, { readonly closeAt: number; readonly level?: number }>>;

export class PackWriter {
  readonly #keys: PackWriterKeys;
  readonly #options: PackWriterOptions;
  readonly #nextOrdinal: () => number;
  readonly #streams = new Map<string, FrameStream>();
  readonly #finished: FinishedPack[] = [];
  /** Buffers of packs that are stored, for those to come. */
  readonly #spare: ArrayBuffer[] = [];
  #pack: OpenPack | undefined;
  #buffer: Uint8Array | undefined;

  constructor(keys: PackWriterKeys, options: PackWriterOptions, frames: FrameKinds, nextOrdinal: () => number) {
    this.#keys = keys;
    this.#options = options;
    this.#nextOrdinal = nextOrdinal;
    for (const [name, { closeAt, level }] of Object.entries(frames)) {
      this.#streams.set(name, {
        closeAt,
        level: level ?? options.level,
        raw: new Uint8Array(closeAt + FRAME_SLACK_BYTES),
        rawBytes: 0,
        rows: new Uint8Array(64 * CHUNK_ROW_BYTES),
        rowCount: 0,
      });
    }
  }

  /** Number of the pack that the next chunk will stand in. */
  ordinal(): number {
    return (this.#pack ??= this.#begin()).ordinal;
  }

  /** Adds a new chunk to the frame stream called `stream`. */
  add(stream: string, id: Uint8Array, type: number, plaintext: Uint8Array): void {
    this.ordinal();
    const frame = this.#streams.get(stream)!;
    if (frame.rawBytes + plaintext.byteLength > frame.raw.byteLength) {
      this.#seal(frame);
      // A chunk larger than a frame's buffer is a frame of its own.
      if (plaintext.byteLength > frame.raw.byteLength) {
        const row = new Uint8Array(CHUNK_ROW_BYTES);
        writeRow(row, 0, id, type, plaintext.byteLength);
        this.#sealRaw(plaintext, plaintext.byteLength, row, 1, frame.level);
        return;
      }
    }
    if (frame.rows.byteLength < (frame.rowCount + 1) * CHUNK_ROW_BYTES) {
      const grown = new Uint8Array(frame.rows.byteLength * 2);
      grown.set(frame.rows);
      frame.rows = grown;
    }
    frame.raw.set(plaintext, frame.rawBytes);
    writeRow(frame.rows, frame.rowCount * CHUNK_ROW_BYTES, id, type, plaintext.byteLength);
    frame.rawBytes += plaintext.byteLength;
    frame.rowCount++;
    if (frame.rawBytes >= frame.closeAt || frame.rowCount === MAX_FRAME_CHUNKS) this.#seal(frame);
  }

  /** Packs finished since the last call. Closes the open pack when it has reached its size; call between chunks whose ordinal has been used. */
  takeFinished(): FinishedPack[] {
    if (this.#pack !== undefined && (this.#pack.at >= this.#options.targetBytes || isCrowded(this.#pack))) this.#close(false);
    return this.#finished.splice(0);
  }

  /** Takes back the buffer of a finished pack that nobody needs any more. Without this each pack takes fresh memory, and the old lies about until a collection. */
  recycle(buffer: ArrayBuffer): void {
    if (this.#spare.length < MAX_SPARE && buffer.byteLength >= this.#options.targetBytes + PACK_SLACK_BYTES)
      this.#spare.push(buffer);
  }

  /** Closes the open pack, padded if it is the session's last, and returns all that are finished. */
  finish(padded: boolean): FinishedPack[] {
    if (this.#pack !== undefined) this.#close(padded);
    return this.#finished.splice(0);
  }

  #begin(): OpenPack {
    const salt = new Uint8Array(randomBytes(32));
    const { packClass, targetBytes } = this.#options;
    const header = encodePackHeader({ ...this.#keys, ...this.#keys.sealed, packClass, salt });
    this.#buffer = new Uint8Array(this.#spare.pop() ?? new ArrayBuffer(targetBytes + PACK_SLACK_BYTES));
    this.#buffer.set(header);
    return {
      ordinal: this.#nextOrdinal(),
      header,
      headerDigest: sha256(header),
      key: packKey(this.#keys.sessionKey, salt),
      at: PACK_HEADER_BYTES,
      frames: [],
      rows: [],
      rowBytes: 0,
    };
  }

  #seal(frame: FrameStream): void {
    if (frame.rowCount === 0) return;
    this.#sealRaw(frame.raw, frame.rawBytes, frame.rows.slice(0, frame.rowCount * CHUNK_ROW_BYTES), frame.rowCount, frame.level);
    frame.rawBytes = 0;
    frame.rowCount = 0;
  }

  #sealRaw(raw: Uint8Array, rawBytes: number, rows: Uint8Array, chunkCount: number, level: number): void {
    const pack = this.#pack!;
    const number = pack.frames.length;
    const room = rawBytes + (rawBytes >> 7) + 1024;
    const buffer = this.#roomFor(pack.at, room);
    const aad = frameAad(pack.headerDigest, number, 0, rawBytes, rows);
    const [sealedBytes, codec] = native().sealFrame(
      raw,
      rawBytes,
      pack.key,
      number,
      aad,
      FRAME_AAD_CODEC_AT,
      level,
      buffer,
      pack.at,
    );
    pack.frames.push({ offset: pack.at, sealedBytes, rawBytes, codec, chunkCount });
    pack.rows.push(rows);
    pack.rowBytes += rows.byteLength;
    pack.at += sealedBytes;
  }

  /** The pack's buffer with `room` bytes behind `at`. */
  #roomFor(at: number, room: number): Uint8Array {
    const buffer = this.#buffer!;
    if (at + room <= buffer.byteLength) return buffer;
    const larger = new Uint8Array(at + room + PACK_SLACK_BYTES);
    larger.set(buffer.subarray(0, at));
    this.#buffer = larger;
    return larger;
  }

  #close(padded: boolean): void {
    for (const frame of this.#streams.values()) this.#seal(frame);
    const pack = this.#pack!;
    this.#pack = undefined;
    if (pack.frames.length === 0) return;
    const directory = encodeDirectory(pack.frames, pack.rows);
    decodeDirectory(directory, pack.at, 'pack being written', this.#options.packClass);
    const plain = padded ? padDirectory(directory, pack.at) : directory;
    const sealed = seal(this.#keys.indexKey, directoryAad(pack.header), plain);
    const footer = encodePackFooter(this.#keys.sealed, pack.at, sealed.byteLength);
    const length = pack.at + sealed.byteLength + footer.byteLength;
    const buffer = this.#roomFor(pack.at, length - pack.at);
    buffer.set(sealed, pack.at);
    buffer.set(footer, pack.at + sealed.byteLength);
    const bytes = buffer.subarray(0, length);
    this.#buffer = undefined;
    const packId = new Uint8Array(createHash('sha256').update(bytes).digest());
    this.#finished.push({ packId, ordinal: pack.ordinal, bytes, header: pack.header, directory });
  }
}

function writeRow(rows: Uint8Array, at: number, id: Uint8Array, type: number, length: number): void {
  rows.set(id, at);
  rows[at + 32] = type;
  rows[at + 33] = length;
  rows[at + 34] = length >>> 8;
  rows[at + 35] = length >>> 16;
  rows[at + 36] = length >>> 24;
}

/** The directory with zeros behind it, so that the pack's length is a Padmé length. */
function padDirectory(directory: Uint8Array, frameEnd: number): Uint8Array {
  const length = frameEnd + 40 + directory.byteLength + PACK_FOOTER_BYTES;
  const out = new Uint8Array(directory.byteLength + padmeBytes(length) - length);
  out.set(directory);
  return out;
}

/** Sum of the raw lengths of a directory's frames. */
export function rawBytesOf(directory: Uint8Array): number {
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  let sum = 0;
  for (let i = view.getUint32(0, true), at = 8; i > 0; i--, at += FRAME_ROW_BYTES) sum += view.getUint32(at + 8, true);
  return sum;
}
