/**
 * Reads chunks: range-reads their frame, authenticates, decompresses, recomputes the id. Never returns an unverified byte. Blocking, for any thread;
 * decoded frames are kept up to a limit in bytes, so that neighbours cost nothing.
 */
import { compareBytes, concat, toHex } from '../bytes.js';
import type { ChunkIndex, Location } from '../chunk-index/chunk-index.js';
import { sha256 } from '../crypto/kdf.js';
import { packKey } from '../crypto/session.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { packName } from '../format/names.js';
import {
  CHUNK_ROW_BYTES,
  type Directory,
  decodeDirectory,
  decodePackHeader,
  type Frame,
  frameAad,
  MAX_PACK_BYTES,
  rowsOfFrame,
} from '../format/pack.js';
import { native } from '../native.js';
import type { Ranges } from './ranges.js';

/** A place to read chunks of one snapshot from. */
export interface ChunkSource {
  /**
   * Plaintext of chunk `id`, a view that must not be written to.
   *
   * @throws CorruptError if no pinned pack holds it, or all that do are damaged
   */
  read(id: Uint8Array, type: number): Uint8Array;
  /** The chunk read last was used up to its end: who reads on reads another. A hint, for what is kept. */
  spent?(): void;
}

/** Keys that reading needs, all as hex → 32 bytes; plain data, so that worker threads can be given it. */
export interface ReadKeys {
  readonly sessions: ReadonlyMap<string, Uint8Array>;
  /** Chunk-id key of each domain. */
  readonly chunkIds: ReadonlyMap<string, Uint8Array>;
}

/** ReadKeys, or anything else that answers by hex. */
export interface KeyLookup {
  readonly sessions: Pick<ReadonlyMap<string, Uint8Array>, 'get'>;
  readonly chunkIds: Pick<ReadonlyMap<string, Uint8Array>, 'get'>;
}

/** Which frame, and how large it is. */
export interface FramePlace {
  /**
   * SHA-256 over what is believed of the pack: its id, header and directory. An index object may lie about a pack that others describe rightly; what was
   * verified of a frame by one description says nothing about its chunks by another.
   */
  readonly packId: Uint8Array;
  readonly frame: number;
  readonly rawBytes: number;
  readonly chunkCount: number;
}

/** A place for decoded frames, shared between readers perhaps. */
export interface FrameMemory {
  /**
   * The frame's plaintext, decoded by `decode` unless it is there, and a byte for each chunk, nonzero once its id was recomputed. Good until the next call.
   */
  frame(place: FramePlace, decode: (into: Uint8Array) => void): { readonly raw: Uint8Array; readonly verified: Uint8Array };
  /** The frame returned last was read to its end, so that others are worth more from now on. */
  spent?(): void;
}

export interface ChunkReaderOptions {
  readonly cacheBytes: number;
  /** Keeps decoded frames in place of this reader's own cache; then what `read` returns is good until the next `read` only. */
  readonly memory?: FrameMemory;
  /** Called when a session's key is not in `keys`. May block; undefined: there is none. */
  readonly missingSession?: (session: Uint8Array, header: Uint8Array) => Uint8Array | undefined;
}

/** The chunks of a frame: their rows, and where each starts. */
interface Layout {
  readonly rows: Uint8Array;
  readonly starts: Uint32Array;
}

interface OpenPack {
  readonly name: string;
  /** As FramePlace has it. */
  readonly described: Uint8Array;
  readonly layouts: Map<number, Layout>;
  readonly directory: Directory;
  readonly key: Uint8Array;
  readonly chunkIdKey: Uint8Array;
  readonly headerDigest: Uint8Array;
}

interface OpenFrame {
  readonly raw: Uint8Array;
  readonly rows: Uint8Array;
  /** Start of each chunk in `raw`. */
  readonly starts: Uint32Array;
  /** 1 where the chunk's id was recomputed. */
  readonly verified: Uint8Array;
}

const MAX_OPEN_PACKS = 256;

/** What a reader asks of an index. */
export type ReadIndex = Pick<ChunkIndex, 'locate' | 'header' | 'packId' | 'directory'>;

export class ChunkReader {
  readonly #index: ReadIndex;
  readonly #ranges: Ranges;
  readonly #keys: KeyLookup;
  readonly #options: ChunkReaderOptions;
  readonly #packs = new Map<number, OpenPack>();
  readonly #frames = new Map<number, OpenFrame>();
  #frameBytes = 0;
  /** Whether the chunk read last is the last of its frame. */
  #atFrameEnd = false;
  /** Sealed frames are read into this. */
  #sealed: Uint8Array = new Uint8Array(0);

  constructor(index: ReadIndex, ranges: Ranges, keys: KeyLookup, options: ChunkReaderOptions) {
    this.#index = index;
    this.#ranges = ranges;
    this.#keys = keys;
    this.#options = options;
  }

  /** A source that resolves ids only inside the packs for which `isPinned` holds. */
  within(isPinned: (packId: Uint8Array) => boolean): ChunkSource {
    return {
      read: (id, type) => this.#readPinned(id, type, isPinned),
      spent: () => {
        if (this.#atFrameEnd) this.#options.memory?.spent?.();
        this.#atFrameEnd = false;
      },
    };
  }

  #readPinned(id: Uint8Array, type: number, isPinned: (packId: Uint8Array) => boolean): Uint8Array {
    let failure: unknown;
    for (const location of this.#index.locate(id)) {
      if (!isPinned(location.packId)) continue;
      try {
        const bytes = this.readAt(location, id, type);
        if (bytes !== undefined) return bytes;
      } catch (error) {
        if (error instanceof NotFoundError) failure = new CorruptError(packName(location.packId), 'is missing', {}, error);
        else failure = error;
      }
    }
    throw failure ?? new CorruptError(`chunk ${toHex(id)}`, 'no pack that the snapshot pins holds it');
  }

  /** The chunk at `location` if it is `id` of `type`, else undefined (the index was wrong). @throws CorruptError, NotFoundError, StoreError */
  readAt(location: Location, id: Uint8Array, type: number): Uint8Array | undefined {
    const pack = this.#pack(location.packIndex);
    const frame = this.#frame(location.packIndex, pack, location.frame);
    const at = location.chunk * CHUNK_ROW_BYTES;
    if (frame === undefined || at >= frame.rows.byteLength) return undefined;
    const row = frame.rows.subarray(at, at + CHUNK_ROW_BYTES);
    if (row[32] !== type || compareBytes(row.subarray(0, 32), id) !== 0) return undefined;
    const bytes = frame.raw.subarray(frame.starts[location.chunk]!, frame.starts[location.chunk + 1]!);
    if (frame.verified[location.chunk] === 0) {
      if (native().verifyRows(pack.chunkIdKey, bytes, row) !== -1) {
        throw new CorruptError(pack.name, `chunk ${toHex(id)} in frame ${location.frame} is not what its id says`);
      }
      frame.verified[location.chunk] = 1;
    }
    this.#atFrameEnd = at + CHUNK_ROW_BYTES === frame.rows.byteLength;
    return bytes;
  }

  /**
   * Opens frames of a pack whose chunks are about to be read, `wanted` of them, and verifies all of them together, which takes half the time of one by one.
   * `memory` must keep them all, one behind the other. What does not open or verify is left for `readAt` to find.
   */
  readAhead(packIndex: number, frames: readonly number[], wanted: number): void {
    try {
      const pack = this.#pack(packIndex);
      const opened = frames.flatMap((number) => this.#frame(packIndex, pack, number) ?? []);
      if (wanted * 2 < opened.reduce((count, { verified }) => count + verified.byteLength, 0)) return;
      const { buffer, byteOffset } = opened[0]!.raw;
      let end = byteOffset;
      for (const { raw } of opened) {
        if (raw.buffer !== buffer || raw.byteOffset !== end) return;
        end += raw.byteLength;
      }
      const rows = concat(...opened.map((frame) => frame.rows));
      if (native().verifyRows(pack.chunkIdKey, new Uint8Array(buffer, byteOffset, end - byteOffset), rows) === -1)
        for (const { verified } of opened) verified.fill(1);
    } catch {
      // Found again, and told, by whoever reads the chunk.
    }
  }

  /** Bytes of a frame's plaintext; 0 when there is no such frame, or its pack does not open. */
  frameBytes(packIndex: number, frame: number): number {
    try {
      return this.#pack(packIndex).directory.frames[frame]?.rawBytes ?? 0;
    } catch {
      return 0;
    }
  }

  #pack(packIndex: number): OpenPack {
    const known = this.#packs.get(packIndex);
    if (known !== undefined) return known;
    const header = this.#index.header(packIndex);
    const packId = this.#index.packId(packIndex);
    const name = packName(packId);
    const fields = decodePackHeader(header, name);
    const session = this.#keys.sessions.get(toHex(fields.session)) ?? this.#options.missingSession?.(fields.session, header);
    const chunkIdKey = this.#keys.chunkIds.get(toHex(fields.domain));
    if (session === undefined || chunkIdKey === undefined) throw new CorruptError(name, 'no key in hand opens it');
    const directory = this.#index.directory(packIndex);
    const pack: OpenPack = {
      name,
      described: sha256(packId, header, directory),
      layouts: new Map(),
      directory: decodeDirectory(directory, MAX_PACK_BYTES, name, fields.packClass),
      key: packKey(session, fields.salt),
      chunkIdKey,
      headerDigest: sha256(header),
    };
    if (this.#packs.size >= MAX_OPEN_PACKS) this.#packs.delete(this.#packs.keys().next().value as number);
    this.#packs.set(packIndex, pack);
    return pack;
  }

  #frame(packIndex: number, pack: OpenPack, number: number): OpenFrame | undefined {
    const frame = pack.directory.frames[number];
    if (frame === undefined) return undefined;
    const layout = layoutOf(pack, number, frame);
    const { memory } = this.#options;
    if (memory !== undefined) {
      const place = { packId: pack.described, frame: number, rawBytes: frame.rawBytes, chunkCount: frame.chunkCount };
      const { raw, verified } = memory.frame(place, (into) => this.#decode(pack, number, frame, layout.rows, into));
      return { ...layout, raw, verified };
    }
    const cacheKey = packIndex * 65536 + number;
    const known = this.#frames.get(cacheKey);
    if (known !== undefined) {
      this.#frames.delete(cacheKey);
      this.#frames.set(cacheKey, known);
      return known;
    }
    const raw = new Uint8Array(frame.rawBytes);
    this.#decode(pack, number, frame, layout.rows, raw);
    const opened = { ...layout, raw, verified: new Uint8Array(frame.chunkCount) };
    this.#frames.set(cacheKey, opened);
    this.#frameBytes += raw.byteLength;
    for (const [key, old] of this.#frames) {
      if (this.#frameBytes <= this.#options.cacheBytes || key === cacheKey) break;
      this.#frames.delete(key);
      this.#frameBytes -= old.raw.byteLength;
    }
    return opened;
  }

  /** Reads, authenticates and decompresses a frame. @throws CorruptError, NotFoundError, StoreError */
  #decode(pack: OpenPack, number: number, frame: Frame, rows: Uint8Array, into: Uint8Array): void {
    if (this.#sealed.byteLength < frame.sealedBytes)
      this.#sealed = new Uint8Array(Math.max(frame.sealedBytes, 2 * this.#sealed.byteLength));
    const sealed = this.#sealed.subarray(0, frame.sealedBytes);
    this.#ranges.readInto(pack.name, frame.offset, sealed);
    const aad = frameAad(pack.headerDigest, number, frame.codec, frame.rawBytes, rows);
    try {
      native().openFrame(sealed, pack.key, number, aad, frame.codec, into, frame.rawBytes);
    } catch (cause) {
      throw new CorruptError(
        pack.name,
        `frame ${number} at byte ${frame.offset} does not verify`,
        { frame: number, offset: frame.offset },
        cause,
      );
    }
  }
}

function layoutOf(pack: OpenPack, number: number, frame: Frame): Layout {
  let layout = pack.layouts.get(number);
  if (layout === undefined) {
    const rows = rowsOfFrame(pack.directory, frame);
    const starts = new Uint32Array(frame.chunkCount + 1);
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    for (let i = 0; i < frame.chunkCount; i++) starts[i + 1] = starts[i]! + view.getUint32(i * CHUNK_ROW_BYTES + 33, true);
    layout = { rows, starts };
    pack.layouts.set(number, layout);
  }
  return layout;
}
