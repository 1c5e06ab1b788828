/**
 * Carries out tasks in the thread it lives in: reads each frame once and writes its chunks where they belong. Knows no trees and no policy.
 * A chunk that does not verify is never written; its row goes back to the planner.
 */
import { equalBytes } from '../bytes.js';
import { ChunkType } from '../format/pack.js';
import { native } from '../native.js';
import { ChunkReader, type ReadKeys } from '../repository/chunk-reader.js';
import { openRanges, type Ranges } from '../repository/ranges.js';
import type { BlockingPlace } from '../store/blocking.js';
import { DirectoryCache } from './directory-cache.js';
import { FrameRun } from './frame-run.js';
import {
  IN_PLACE,
  type PackInfo,
  RecordBuffer,
  ROW,
  ROW_WORDS,
  type Task,
  type TaskResult,
  type VerifyTask,
  WHOLE,
  type WriteTask,
} from './task.js';

/** Plain data, so that threads can be given it. */
export interface WriterStart {
  /** How objects are read. */
  readonly place: BlockingPlace;
  readonly keys: ReadKeys;
  readonly rootFd: number;
  readonly sparse: boolean;
  /** BigInt64: bytes written, files written. */
  readonly counters: SharedArrayBuffer;
  /** Int32: nonzero asks to stop. */
  readonly stop: SharedArrayBuffer;
}

const BLOCK_BYTES = 4096;
const ZEROS = new Uint8Array(BLOCK_BYTES);
const VERIFY_BYTES = 1 << 20;
/** Frames of so many bytes are opened and verified together. */
const AHEAD_BYTES = 1 << 20;

export class Writer {
  readonly #start: WriterStart;
  readonly #ranges: Ranges;
  readonly #reader: ChunkReader;
  readonly #frames = new FrameRun();
  #packs = new Map<number, PackInfo>();
  readonly #directories: DirectoryCache;
  readonly #request = new RecordBuffer();
  readonly #counters: BigInt64Array;
  readonly #stop: Int32Array;
  #arena: Uint8Array | undefined;

  constructor(start: WriterStart) {
    this.#start = start;
    this.#counters = new BigInt64Array(start.counters);
    this.#stop = new Int32Array(start.stop);
    this.#ranges = openRanges(() => start.place);
    this.#directories = new DirectoryCache(start.rootFd);
    const pack = (packIndex: number): PackInfo => this.#packs.get(packIndex)!;
    const places = {
      locate: () => [],
      packId: (i: number) => pack(i).packId,
      header: (i: number) => pack(i).header,
      directory: (i: number) => pack(i).directory,
    };
    this.#reader = new ChunkReader(places, this.#ranges, start.keys, { cacheBytes: 0, memory: this.#frames });
  }

  run(task: Task): TaskResult {
    const result: TaskResult = { unreadRows: [], failedFiles: [], refusedMetadata: [], wrongFiles: [] };
    if (task.kind === 'verify') this.#verify(task, result);
    else {
      this.#packs = new Map(task.packs.map((pack) => [pack.packIndex, pack]));
      this.#writeInline(task, result);
      this.#writeRows(task, result);
    }
    return result;
  }

  close(): void {
    this.#ranges.close();
    this.#directories.close();
  }

  #stopped(): boolean {
    return Atomics.load(this.#stop, 0) !== 0;
  }

  #writeInline(task: WriteTask, result: TaskResult): void {
    const { inlineFiles, recordAt, records, fileDirectory } = task;
    let files: number[] = [];
    const flush = (): void => {
      this.#flush(task, files, task.inlineData, result);
      files = [];
    };
    for (const file of inlineFiles) {
      if (files.length > 0 && fileDirectory[files[0]!] !== fileDirectory[file]) flush();
      if (this.#stopped()) return;
      const [start, end] = [recordAt[file]!, recordAt[file + 1]!];
      this.#request.copy(records, start, end, dataOffsetOf(records, end));
      files.push(file);
    }
    flush();
  }

  #writeRows(task: WriteTask, result: TaskResult): void {
    const { rows, ids, records, recordAt, fileDirectory } = task;
    // Files of one directory whose bytes lie in one frame are made in one call.
    let files: number[] = [];
    let frame: ArrayBufferLike | undefined;
    const flush = (): void => {
      if (files.length > 0) this.#flush(task, files, new Uint8Array(frame!), result);
      files = [];
    };
    let lastPack = -1;
    let lastFrame = -1;
    let ahead = 0;
    for (let row = 0, at = 0; at < rows.length; row++, at += ROW_WORDS) {
      if (this.#stopped()) return;
      const file = rows[at + ROW.file]!;
      const location = {
        packIndex: rows[at + ROW.pack]!,
        packId: ZEROS,
        frame: rows[at + ROW.frame]!,
        chunk: rows[at + ROW.chunk]!,
      };
      // Another frame may take the place of this one in memory.
      const sameFrame = location.packIndex === lastPack && location.frame === lastFrame;
      if (files.length > 0 && (!sameFrame || fileDirectory[files[0]!] !== fileDirectory[file])) flush();
      if (row === ahead) ahead = this.#readAhead(rows, row);
      lastPack = location.packIndex;
      lastFrame = location.frame;
      let bytes: Uint8Array | undefined;
      try {
        bytes = this.#reader.readAt(location, ids.subarray(row * 32, row * 32 + 32), ChunkType.data);
      } catch {
        // The planner reads it again, in other packs too, and says what is wrong with it.
      }
      if (bytes === undefined || bytes.byteLength !== rows[at + ROW.length]!) {
        result.unreadRows.push(row);
        continue;
      }
      if ((rows[at + ROW.flags]! & WHOLE) === 0) {
        this.#writePiece(task, file, rows, at, bytes, result);
        continue;
      }
      frame = bytes.buffer;
      files.push(file);
      this.#request.copy(records, recordAt[file]!, recordAt[file + 1]!, bytes.byteOffset);
    }
    flush();
  }

  /** Has the frames of the rows from `row` on opened together, as far as they are of one pack and small. @returns the first row behind them */
  #readAhead(rows: Uint32Array, row: number): number {
    const pack = rows[row * ROW_WORDS + ROW.pack]!;
    const frames: number[] = [];
    let bytes = 0;
    let next = row;
    for (let at = row * ROW_WORDS; at < rows.length && rows[at + ROW.pack] === pack; at += ROW_WORDS, next++) {
      const frame = rows[at + ROW.frame]!;
      if (frame === frames.at(-1)) continue;
      bytes += this.#reader.frameBytes(pack, frame);
      if (frames.length > 0 && bytes > AHEAD_BYTES) break;
      frames.push(frame);
    }
    this.#frames.clear();
    this.#reader.readAhead(pack, frames, next - row);
    return next;
  }

  /** Makes the files whose records stand in the request. */
  #flush(task: WriteTask, files: readonly number[], data: Uint8Array, result: TaskResult): void {
    if (files.length === 0) return;
    const request = this.#request.bytes.subarray(0, this.#request.length);
    this.#request.length = 0;
    const { path, identity } = task.directories[task.fileDirectory[files[0]!]!]!;
    try {
      const failed = native().writeFilesAt(this.#directories.open(path, identity), request, data);
      for (let i = 0; i < failed.length; i += 3) {
        const file = files[failed[i]!]!;
        if (failed[i + 1] === 0) result.failedFiles.push([file, failed[i + 2]!]);
        else result.refusedMetadata.push([file, failed[i + 1]!, failed[i + 2]!]);
      }
    } catch (error) {
      const errno = errnoOf(error);
      for (const file of files) result.failedFiles.push([file, errno]);
    }
    let bytes = 0;
    for (const file of files) bytes += dataBytesOf(task.records, task.recordAt[file + 1]!);
    Atomics.add(this.#counters, 0, BigInt(bytes));
    Atomics.add(this.#counters, 1, BigInt(files.length));
  }

  #writePiece(task: WriteTask, file: number, rows: Uint32Array, at: number, bytes: Uint8Array, result: TaskResult): void {
    const offset = rows[at + ROW.offsetLow]! + rows[at + ROW.offsetHigh]! * 0x1_0000_0000;
    try {
      const fd = task.descriptors[file]!;
      if (!this.#start.sparse) native().writeAt(fd, bytes, 0, bytes.byteLength, offset);
      else writeSparsely(fd, bytes, offset, (rows[at + ROW.flags]! & IN_PLACE) !== 0);
      Atomics.add(this.#counters, 0, BigInt(bytes.byteLength));
    } catch (error) {
      result.failedFiles.push([file, errnoOf(error)]);
    }
  }

  #verify(task: VerifyTask, result: TaskResult): void {
    this.#arena ??= new Uint8Array(VERIFY_BYTES);
    task.files.forEach((file, number) => {
      if (this.#stopped()) return;
      try {
        const digest = digestFile(
          this.#directories.open(task.directories[file.directory]!.path, task.directories[file.directory]!.identity),
          file.name,
          file.sizeBytes,
          this.#arena!,
        );
        if (digest === undefined || !equalBytes(digest, file.digest)) result.wrongFiles.push([number, 0]);
      } catch (error) {
        result.wrongFiles.push([number, errnoOf(error)]);
      }
    });
  }
}

/** SHA-256 of a file of `sizeBytes`, or undefined when it has another size. */
function digestFile(directoryFd: number, name: Uint8Array, sizeBytes: number, arena: Uint8Array): Uint8Array | undefined {
  const kernel = native();
  const fd = kernel.openAt(directoryFd, name);
  const hash = kernel.hashCreate();
  let digest: Uint8Array;
  let done = 0;
  try {
    for (;;) {
      const count = kernel.readAt(fd, arena, 0, arena.byteLength, done);
      kernel.hashUpdate(hash, arena, 0, count);
      done += count;
      if (count < arena.byteLength) break;
    }
  } finally {
    kernel.closeFd(fd);
    digest = kernel.hashFinal(hash);
  }
  return done === sizeBytes ? digest : undefined;
}

/** Writes `bytes` at `offset` but for whole blocks of zeros, which become holes; they are there already unless `inPlace`. */
export function writeSparsely(fd: number, bytes: Uint8Array, offset: number, inPlace: boolean): void {
  let start = 0;
  let wasZero = false;
  const put = (end: number): void => {
    if (end === start) return;
    if (!wasZero) native().writeAt(fd, bytes, start, end - start, offset + start);
    else if (inPlace) native().punchHole(fd, offset + start, end - start);
  };
  for (let at = 0; at < bytes.byteLength; ) {
    // Blocks are those of the file, so the first and the last may be cut.
    const end = Math.min(bytes.byteLength, at + BLOCK_BYTES - ((offset + at) % BLOCK_BYTES));
    const isZero = Buffer.compare(bytes.subarray(at, end), ZEROS.subarray(0, end - at)) === 0;
    if (isZero !== wasZero) {
      put(at);
      start = at;
      wasZero = isZero;
    }
    at = end;
  }
  put(bytes.byteLength);
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
const dataOffsetOf = (records: Uint8Array, end: number): number => word(records, end - 33);
const dataBytesOf = (records: Uint8Array, end: number): number => word(records, end - 29);

/** The errno of a system error. @throws what is none */
export function errnoOf(error: unknown): number {
  const { errno } = error as { errno?: number };
  if (typeof errno !== 'number' || errno === 0) throw error;
  return Math.abs(errno);
}
