/** From the chunks of a window to tasks: finds the pack, frame and place of each, sorts, and gives each writer a stretch of packs. */
import { ABSENT, type ChunkIndex } from '../chunk-index/chunk-index.js';
import { CorruptError } from '../errors.js';
import { packName } from '../format/names.js';
import { CHUNK_ROW_BYTES, ChunkType, type Directory, decodeDirectory, MAX_PACK_BYTES } from '../format/pack.js';
import { native } from '../native.js';
import { type PackInfo, ROW, ROW_WORDS, WHOLE, type WriteTask } from './task.js';
import type { Window } from './window.js';

/** One task, and which row of the window each of its rows is. */
export interface PlannedTask {
  readonly task: WriteTask;
  readonly windowRows: Uint32Array;
}

export interface Plan {
  readonly tasks: readonly PlannedTask[];
  /** Rows of the window whose chunk no usable pack holds. */
  readonly unfound: readonly number[];
}

const KEPT_PACKS = 128;
/** What one more file costs, in bytes of content that could be written meanwhile. */
const ROW_COST_BYTES = 16_384;

/** Chunks of one pack by id. */
interface PackPlaces {
  readonly info: PackInfo;
  readonly directory: Directory;
  /** First six bytes of an id → its chunk, and with them, chunks that begin alike. */
  readonly byPrefix: Map<number, number | number[]>;
  readonly frameOf: Uint16Array;
}

export class Planner {
  readonly #index: ChunkIndex;
  readonly #chunkIdKey: Uint8Array;
  readonly #usable: Uint8Array;
  readonly #packs = new Map<number, PackPlaces>();

  constructor(index: ChunkIndex, chunkIdKey: Uint8Array, isPinned: (packId: Uint8Array) => boolean) {
    this.#index = index;
    this.#chunkIdKey = chunkIdKey;
    this.#usable = index.usable(isPinned);
  }

  plan(window: Window, writers: number): Plan {
    const { rows, ids, rowCount } = window;
    this.#idsOfWholeFiles(window);
    const packs = this.#index.find(ids.subarray(0, rowCount * 32), this.#usable);
    const unfound: number[] = [];
    const keys = new Float64Array(rowCount);
    const order: number[] = [];
    for (let row = 0; row < rowCount; row++) {
      if (packs[row] === ABSENT || !this.#place(packs[row]!, ids, row, rows)) {
        unfound.push(row);
        continue;
      }
      const at = row * ROW_WORDS;
      keys[row] = packs[row]! * 0x1_0000_0000 + rows[at + ROW.frame]! * 0x1_0000 + rows[at + ROW.chunk]!;
      order.push(row);
    }
    order.sort((a, b) => keys[a]! - keys[b]! || a - b);
    return { tasks: this.#split(window, order, writers), unfound };
  }

  #idsOfWholeFiles({ rows, ids, rowCount }: Window): void {
    const whole: number[] = [];
    for (let row = 0; row < rowCount; row++) if (rows[row * ROW_WORDS + ROW.flags] === WHOLE) whole.push(row);
    const digests = new Uint8Array(whole.length * 32);
    for (const [i, row] of whole.entries()) digests.set(ids.subarray(row * 32, row * 32 + 32), i * 32);
    const made = native().chunkIds(this.#chunkIdKey, ChunkType.data, digests);
    for (const [i, row] of whole.entries()) ids.set(made.subarray(i * 32, i * 32 + 32), row * 32);
  }

  #split(window: Window, order: readonly number[], writers: number): PlannedTask[] {
    let cost = 0;
    const costOf = (row: number): number => window.rows[row * ROW_WORDS + ROW.length]! + ROW_COST_BYTES;
    for (const row of order) cost += costOf(row);
    const tasks: PlannedTask[] = [];
    const shared = {
      directories: window.directories,
      descriptors: Int32Array.from(window.files, ({ fd }) => fd ?? -1),
      records: window.records.bytes.subarray(0, window.records.length),
      recordAt: Uint32Array.from([...window.recordAt, window.records.length]),
      fileDirectory: Uint32Array.from(window.fileDirectory),
      inlineData: window.inlineData.subarray(0, window.inlineBytes),
    };
    let from = 0;
    let inlineFrom = 0;
    for (let writer = 0; writer < writers; writer++) {
      const goal = cost / writers;
      let to = writer === writers - 1 ? order.length : from;
      for (let sum = 0; to < order.length && sum < goal; to++) sum += costOf(order[to]!);
      const inlineTo = Math.ceil((window.inlineFiles.length * (writer + 1)) / writers);
      const inlineFiles = Uint32Array.from(window.inlineFiles.slice(inlineFrom, inlineTo));
      if (to > from || inlineFiles.length > 0)
        tasks.push(this.#task(window, Uint32Array.from(order.slice(from, to)), { ...shared, inlineFiles }));
      from = to;
      inlineFrom = inlineTo;
    }
    return tasks;
  }

  #task(window: Window, windowRows: Uint32Array, rest: Omit<WriteTask, 'kind' | 'packs' | 'rows' | 'ids'>): PlannedTask {
    const rows = new Uint32Array(windowRows.length * ROW_WORDS);
    const ids = new Uint8Array(windowRows.length * 32);
    const packs: PackInfo[] = [];
    const idWords = new Uint32Array(ids.buffer);
    const windowIdWords = new Uint32Array(window.ids.buffer);
    for (let i = 0; i < windowRows.length; i++) {
      const row = windowRows[i]!;
      for (let w = 0; w < ROW_WORDS; w++) rows[i * ROW_WORDS + w] = window.rows[row * ROW_WORDS + w]!;
      for (let w = 0; w < 8; w++) idWords[i * 8 + w] = windowIdWords[row * 8 + w]!;
      const packIndex = rows[i * ROW_WORDS + ROW.pack]!;
      if (packs.at(-1)?.packIndex !== packIndex) packs.push(this.#pack(packIndex).info);
    }
    return { task: { kind: 'write', packs, rows, ids, ...rest }, windowRows };
  }

  /** Writes pack, frame and chunk into the row. False if the pack does not hold its id. */
  #place(packIndex: number, ids: Uint8Array, row: number, rows: Uint32Array): boolean {
    let places: PackPlaces;
    try {
      places = this.#pack(packIndex);
    } catch (error) {
      // A damaged piece of the index: the repository itself is asked about this chunk later.
      if (error instanceof CorruptError) return false;
      throw error;
    }
    const { directory, byPrefix, frameOf } = places;
    const found = byPrefix.get(prefixOf(ids, row * 32));
    if (found === undefined) return false;
    for (const chunk of typeof found === 'number' ? [found] : found) {
      if (!sameId(directory.chunkRows, chunk * CHUNK_ROW_BYTES, ids, row * 32)) continue;
      const at = row * ROW_WORDS;
      rows[at + ROW.pack] = packIndex;
      rows[at + ROW.frame] = frameOf[chunk]!;
      rows[at + ROW.chunk] = chunk - directory.frames[frameOf[chunk]!]!.firstChunk;
      return true;
    }
    return false;
  }

  #pack(packIndex: number): PackPlaces {
    const known = this.#packs.get(packIndex);
    if (known !== undefined) return known;
    const info = {
      packIndex,
      packId: this.#index.packId(packIndex),
      header: this.#index.header(packIndex),
      directory: this.#index.directory(packIndex),
    };
    const directory = decodeDirectory(info.directory, MAX_PACK_BYTES, packName(info.packId));
    const byPrefix = new Map<number, number | number[]>();
    const frameOf = new Uint16Array(directory.chunkCount);
    for (const [number, frame] of directory.frames.entries())
      frameOf.fill(number, frame.firstChunk, frame.firstChunk + frame.chunkCount);
    for (let chunk = 0; chunk < directory.chunkCount; chunk++) {
      const prefix = prefixOf(directory.chunkRows, chunk * CHUNK_ROW_BYTES);
      const others = byPrefix.get(prefix);
      if (typeof others === 'object') others.push(chunk);
      else byPrefix.set(prefix, others === undefined ? chunk : [others, chunk]);
    }
    const places = { info, directory, byPrefix, frameOf };
    if (this.#packs.size >= KEPT_PACKS) this.#packs.delete(this.#packs.keys().next().value as number);
    this.#packs.set(packIndex, places);
    return places;
  }
}

function prefixOf(bytes: Uint8Array, at: number): number {
  const low = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  return low + (bytes[at + 4]! | (bytes[at + 5]! << 8)) * 0x1_0000_0000;
}

function sameId(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < 32; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}
