/** Messages between the ingest's main thread and its workers: plain data. */
import type { FinishedPack, PackWriterKeys } from '../repository/pack-writer.js';
import type { LookupTables } from './lookup.js';

export interface WorkerSetup {
  readonly keys: PackWriterKeys;
  readonly chunkIdKey: Uint8Array;
  readonly gear: Uint32Array;
  readonly level: number;
  readonly tables: LookupTables;
  /** [0] next pack ordinal of the run. */
  readonly counters: Int32Array;
}

/** Reads small files whole. `request` as native readFiles takes it. */
export interface FilesTask {
  readonly kind: 'files';
  readonly task: number;
  readonly request: Uint8Array;
  readonly arenaBytes: number;
}

/** Reads, cuts and stores one block of a large file or of a stream. */
export interface BlockTask {
  readonly kind: 'block';
  readonly task: number;
  /** Where the bytes come from: an open file, or `data`. */
  readonly fd: number;
  readonly data: Uint8Array | undefined;
  readonly offset: number;
  readonly length: number;
  /** No bytes of this extent follow. */
  readonly last: boolean;
  readonly avgBits: number;
  /** Running digest of the whole file, 0 for none; this block's turn comes when turn[0] is `turnNumber`. */
  readonly hash: number;
  /** Bytes of hole between the block before and this one, which the digest takes as zeros. */
  readonly zerosBefore: number;
  readonly turn: Int32Array;
  readonly turnNumber: number;
}

/** Reads a block of a file that looks unchanged and looks its chunks up; stores nothing. */
export interface KnownTask {
  readonly kind: 'known';
  readonly task: number;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  /** Lengths of its chunks; their sum is `length`. */
  readonly cuts: Uint32Array;
}

export type Task =
  | FilesTask
  | BlockTask
  | KnownTask
  | { readonly kind: 'tables'; readonly task: number; readonly tables: LookupTables }
  | { readonly kind: 'flush'; readonly task: number; readonly padded: boolean };

/** What a worker is sent. */
export type WorkerRequest =
  | Task
  /** The buffer of a pack that it finished, and that is stored by now. */
  | { readonly kind: 'spent'; readonly buffer: ArrayBuffer };

export interface FilesResult {
  /** 96 bytes per file, as native readFiles returns. */
  readonly rows: Uint8Array;
  /** Pack reference per file; only files above the inline limit have one. */
  readonly packs: Uint32Array;
  /** Bytes of the files up to the inline limit, joined in order. */
  readonly inline: Uint8Array;
}

export interface BlockResult {
  /** 40-byte content rows. */
  readonly rows: Uint8Array;
  readonly packs: Uint32Array;
}

/** Undefined of a KnownTask with a chunk that is not stored. */
export type TaskResult = FilesResult | BlockResult | undefined;

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly task: number; readonly result: TaskResult }
  /** A block was cut: the next one may begin `consumed` bytes after its start. `read` < length means the source ended early. */
  | { readonly kind: 'cut'; readonly task: number; readonly consumed: number; readonly read: number }
  | { readonly kind: 'pack'; readonly pack: FinishedPack }
  | { readonly kind: 'failed'; readonly task: number; readonly message: string; readonly code: string | undefined };
