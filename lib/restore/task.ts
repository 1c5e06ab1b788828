/**
 * What the planning thread gives to a writing thread, and gets back: typed arrays, because a window holds tens of thousands of files. The
 * record of a file is the one that native().writeFilesAt takes.
 */
import { viewOf } from '../bytes.js';
import type { Identity } from './stat.js';

/** Numbers of a row: a chunk, and where in which file it goes. Rows of a task are in order of pack, frame, chunk. */
export const ROW = { file: 0, pack: 1, frame: 2, chunk: 3, offsetLow: 4, offsetHigh: 5, length: 6, flags: 7 } as const;
export const ROW_WORDS = 8;

/** The chunk is the whole file, which is created with it. Otherwise the file exists and the chunk is a piece of it. */
export const WHOLE = 1;
/** The file held other bytes before: zeros must be written or punched, not skipped. */
export const IN_PLACE = 2;

/** Steps of metadata, as native().setMetadataFd and writeFilesAt number them. */
export const Step = { owner: 1, mode: 2, times: 4, xattrs: 8, strip: 16, clear: 32 } as const;

/**
 * Modes of what is not whole yet: its owner's alone, with a bit that means nothing for a file and little for such a directory. The mode is set last, so that a
 * later run knows what an interrupted one has left.
 */
export const UNFINISHED_FILE = 0o1600;
export const UNFINISHED_DIRECTORY = 0o1700;

export interface PackInfo {
  readonly packIndex: number;
  readonly packId: Uint8Array;
  readonly header: Uint8Array;
  readonly directory: Uint8Array;
}

export interface TaskDirectory {
  /** Below the target, in Latin-1. */
  readonly path: string;
  /** Which one it must be, where that could change. */
  readonly identity: Identity | undefined;
}

export interface WriteTask {
  readonly kind: 'write';
  /** Packs of the rows. */
  readonly packs: readonly PackInfo[];
  readonly rows: Uint32Array;
  /** Chunk id of each row. */
  readonly ids: Uint8Array;
  readonly directories: readonly TaskDirectory[];
  /** Open descriptor of each file whose content comes in pieces, else -1. */
  readonly descriptors: Int32Array;
  /** Record of each file, and where it begins (one more at the end). */
  readonly records: Uint8Array;
  readonly recordAt: Uint32Array;
  /** Directory of each file. */
  readonly fileDirectory: Uint32Array;
  /** Files whose bytes stand in `inlineData`: [from, to) in `inlineFiles`. */
  readonly inlineFiles: Uint32Array;
  readonly inlineData: Uint8Array;
}

export interface VerifyTask {
  readonly kind: 'verify';
  readonly directories: readonly TaskDirectory[];
  readonly files: readonly {
    readonly directory: number;
    readonly name: Uint8Array;
    readonly sizeBytes: number;
    readonly digest: Uint8Array;
  }[];
}

export type Task = WriteTask | VerifyTask;

export interface TaskResult {
  /** Rows, by their number in the task, whose chunk could not be read: the planner tries other packs. */
  readonly unreadRows: number[];
  /** Files that the system refused to write: [file, errno]. */
  readonly failedFiles: [number, number][];
  /** Metadata that the system refused for files that are there: [file, step, errno]. */
  readonly refusedMetadata: [number, number, number][];
  /** Files that did not verify: [file, errno, or 0 for wrong bytes]. */
  readonly wrongFiles: [number, number][];
}

const RECORD_HEAD_BYTES = 6;
const RECORD_TAIL_BYTES = 33;

export type Attributes = readonly (readonly [Uint8Array, Uint8Array])[];

export interface RecordFields {
  readonly name: Uint8Array;
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly what: number;
  readonly attributes: Attributes;
}

const attributesBytes = (attributes: Attributes): number =>
  attributes.reduce((sum, [name, value]) => sum + 6 + name.byteLength + value.byteLength, 0);

/** Writes a record at `at` and returns its end. */
function writeRecord(into: Uint8Array, view: DataView, at: number, fields: RecordFields): number {
  view.setUint16(at, fields.name.byteLength, true);
  view.setUint32(at + 2, attributesBytes(fields.attributes), true);
  into.set(fields.name, at + RECORD_HEAD_BYTES);
  let tail = at + RECORD_HEAD_BYTES + fields.name.byteLength;
  for (const [name, value] of fields.attributes) {
    view.setUint16(tail, name.byteLength, true);
    view.setUint32(tail + 2, value.byteLength, true);
    into.set(name, tail + 6);
    into.set(value, tail + 6 + name.byteLength);
    tail += 6 + name.byteLength + value.byteLength;
  }
  view.setUint32(tail, fields.dataOffset, true);
  view.setUint32(tail + 4, fields.dataBytes, true);
  view.setUint32(tail + 8, fields.uid, true);
  view.setUint32(tail + 12, fields.gid, true);
  view.setUint32(tail + 16, fields.mode, true);
  view.setUint32(tail + 20, fields.mtimeSec >>> 0, true);
  view.setInt32(tail + 24, Math.floor(fields.mtimeSec / 0x1_0000_0000), true);
  view.setUint32(tail + 28, fields.mtimeNsec, true);
  into[tail + 32] = fields.what;
  return tail + RECORD_TAIL_BYTES;
}

/** A buffer for records that grows. */
export class RecordBuffer {
  bytes = new Uint8Array(1 << 16);
  view = viewOf(this.bytes);
  length = 0;

  add(fields: RecordFields): void {
    this.#reserve(RECORD_HEAD_BYTES + fields.name.byteLength + attributesBytes(fields.attributes) + RECORD_TAIL_BYTES);
    this.length = writeRecord(this.bytes, this.view, this.length, fields);
  }

  /** Copies a record of another buffer, with its data at `dataOffset`. */
  copy(from: Uint8Array, start: number, end: number, dataOffset: number): void {
    this.#reserve(end - start);
    this.bytes.set(from.subarray(start, end), this.length);
    this.length += end - start;
    this.view.setUint32(this.length - RECORD_TAIL_BYTES, dataOffset, true);
  }

  #reserve(more: number): void {
    if (this.length + more <= this.bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(this.bytes.byteLength * 2, this.length + more));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
    this.view = viewOf(larger);
  }
}
