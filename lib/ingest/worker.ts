/**
 * Ingest worker thread: reads, cuts, digests, looks up, compresses, seals. Every task is synchronous; results and finished packs go back as messages.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { INLINE_MAX_BYTES, ROW_BYTES } from '../format/content.js';
import { ChunkType, PackClass } from '../format/pack.js';
import { native } from '../native.js';
import { PackWriter } from '../repository/pack-writer.js';
import { lookUp, lookUpKnown } from './lookup.js';
import type {
  BlockResult,
  BlockTask,
  FilesResult,
  FilesTask,
  KnownTask,
  Task,
  TaskResult,
  WorkerMessage,
  WorkerRequest,
  WorkerSetup,
} from './tasks.js';

const DATA_PACK_BYTES = 12 << 20;
// What looks incompressible is tried at the fastest level only.
const FRAMES = {
  small: { closeAt: 512 << 10 },
  piece: { closeAt: 256 << 10 },
  block: { closeAt: 128 << 10 },
  dense: { closeAt: 128 << 10, level: 1 },
};
const ROW = 96;

const setup = workerData as WorkerSetup;
const port = parentPort!;
const addon = native();
let tables = setup.tables;
let arena = new Uint8Array(0);
const packs = new PackWriter(
  setup.keys,
  { packClass: PackClass.data, level: setup.level, targetBytes: DATA_PACK_BYTES },
  FRAMES,
  () => Atomics.add(setup.counters, 0, 1),
);

const post = (message: WorkerMessage, transfer: ArrayBufferLike[] = []): void =>
  port.postMessage(message, transfer as ArrayBuffer[]);

function postPacks(finished: ReturnType<PackWriter['takeFinished']>): void {
  for (const pack of finished) post({ kind: 'pack', pack }, [pack.bytes.buffer]);
}

function arenaOf(length: number): Uint8Array {
  if (arena.byteLength < length) arena = new Uint8Array(length);
  return arena;
}

/** Stores the new ones of `pieces` ([offset, length] pairs in `data`) and returns the pack of each. */
function storePieces(data: Uint8Array, pieces: Uint32Array, ids: Uint8Array, stream: 'small' | 'piece' | 'block'): Uint32Array {
  const ordinal = packs.ordinal();
  const found = lookUp(tables, ids, ordinal);
  const fresh: number[] = [];
  for (let i = 0; i < found.isNew.length; i++) if (found.isNew[i] === 1) fresh.push(i);
  if (fresh.length === 0) return found.packs;
  const freshPieces = new Uint32Array(fresh.length * 2);
  for (let i = 0; i < fresh.length; i++) {
    freshPieces[i * 2] = pieces[fresh[i]! * 2]!;
    freshPieces[i * 2 + 1] = pieces[fresh[i]! * 2 + 1]!;
  }
  const dense = addon.looksIncompressible(data, freshPieces);
  for (let i = 0; i < fresh.length; i++) {
    const offset = freshPieces[i * 2]!;
    const id = ids.subarray(fresh[i]! * 32, fresh[i]! * 32 + 32);
    packs.add(dense[i] === 1 ? 'dense' : stream, id, ChunkType.data, data.subarray(offset, offset + freshPieces[i * 2 + 1]!));
  }
  return found.packs;
}

function readFiles(task: FilesTask): FilesResult {
  const data = arenaOf(task.arenaBytes);
  const rows = addon.readFiles(task.request, data);
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
  const count = rows.byteLength / ROW;
  const chunked: number[] = [];
  let inlineBytes = 0;
  for (let i = 0; i < count; i++) {
    const at = i * ROW;
    const length = view.getUint32(at + 12, true);
    if (view.getUint32(at, true) !== 0 || (view.getUint32(at + 4, true) & 1) !== 0) continue;
    if (length <= INLINE_MAX_BYTES) inlineBytes += length;
    else chunked.push(i);
  }
  const inline = new Uint8Array(inlineBytes);
  let to = 0;
  for (let i = 0; i < count; i++) {
    const at = i * ROW;
    const length = view.getUint32(at + 12, true);
    if (length > INLINE_MAX_BYTES || view.getUint32(at, true) !== 0 || (view.getUint32(at + 4, true) & 1) !== 0) continue;
    const offset = view.getUint32(at + 8, true);
    inline.set(data.subarray(offset, offset + length), to);
    to += length;
  }
  const digests = new Uint8Array(chunked.length * 32);
  const pieces = new Uint32Array(chunked.length * 2);
  chunked.forEach((file, i) => {
    digests.set(rows.subarray(file * ROW + 16, file * ROW + 48), i * 32);
    pieces[i * 2] = view.getUint32(file * ROW + 8, true);
    pieces[i * 2 + 1] = view.getUint32(file * ROW + 12, true);
  });
  const ids = addon.chunkIds(setup.chunkIdKey, ChunkType.data, digests);
  const stored = storePieces(data, pieces, ids, 'small');
  const packRefs = new Uint32Array(count);
  chunked.forEach((file, i) => {
    packRefs[file] = stored[i]!;
  });
  return { rows, packs: packRefs, inline };
}

function readBlock(task: BlockTask): BlockResult {
  let data: Uint8Array;
  let read = task.length;
  if (task.data === undefined) {
    data = arenaOf(task.length);
    read = addon.readAt(task.fd, data, 0, task.length, task.offset);
  } else data = task.data;
  const params = { min: 2 ** (task.avgBits - 2), max: 2 ** (task.avgBits + 2), avgBits: task.avgBits };
  const lengths = read === 0 ? new Uint32Array(0) : addon.cut(data, 0, read, setup.gear, params, task.last || read < task.length);
  const pieces = piecesOf(lengths);
  const consumed = lengths.length === 0 ? 0 : pieces.at(-2)! + pieces.at(-1)!;
  post({ kind: 'cut', task: task.task, consumed, read });
  const digests = addon.sha256Pieces(data, pieces);
  const isTurn = task.hash !== 0 && Atomics.load(task.turn, 0) === task.turnNumber;
  if (isTurn) hashBlock(task, data, consumed);
  const ids = addon.chunkIds(setup.chunkIdKey, ChunkType.data, digests);
  const stored = storePieces(data, pieces, ids, task.avgBits > 14 ? 'block' : 'piece');
  // Whoever has the blocks before is given the time it takes to store this one.
  if (task.hash !== 0 && !isTurn) hashBlock(task, data, consumed);
  return { rows: rowsOf(lengths, ids), packs: stored };
}

/** A block of a file that looks unchanged; undefined when not all of it is stored. */
function readKnown({ fd, offset, length, cuts }: KnownTask): BlockResult | undefined {
  const data = arenaOf(length);
  if (addon.readAt(fd, data, 0, length, offset) < length) return undefined;
  const ids = addon.chunkIds(setup.chunkIdKey, ChunkType.data, addon.sha256Pieces(data, piecesOf(cuts)));
  const stored = lookUpKnown(tables, ids);
  return stored && { rows: rowsOf(cuts, ids), packs: stored };
}

/** [offset, length] of pieces that follow one another. */
function piecesOf(lengths: Uint32Array): Uint32Array {
  const pieces = new Uint32Array(lengths.length * 2);
  let offset = 0;
  lengths.forEach((length, i) => {
    pieces[i * 2] = offset;
    pieces[i * 2 + 1] = length;
    offset += length;
  });
  return pieces;
}

/** Content rows of chunks. */
function rowsOf(lengths: Uint32Array, ids: Uint8Array): Uint8Array {
  const rows = new Uint8Array(lengths.length * ROW_BYTES);
  const view = new DataView(rows.buffer);
  lengths.forEach((length, i) => {
    view.setUint32(i * ROW_BYTES, length, true);
    rows.set(ids.subarray(i * 32, i * 32 + 32), i * ROW_BYTES + 8);
  });
  return rows;
}

/** Calls `add` when the turn of this block has come. Waits for blocks that were sent earlier only, so two threads never wait for each other. */
function inTurn({ turn, turnNumber }: BlockTask, add: () => void): void {
  for (let now = Atomics.load(turn, 0); now !== turnNumber; now = Atomics.load(turn, 0)) Atomics.wait(turn, 0, now);
  try {
    add();
  } finally {
    Atomics.store(turn, 0, turnNumber + 1);
    Atomics.notify(turn, 0);
  }
}

/** Adds a block to the digest of its file. */
function hashBlock(task: BlockTask, data: Uint8Array, length: number): void {
  inTurn(task, () => {
    if (task.zerosBefore > 0) addon.hashZeros(task.hash, task.zerosBefore);
    addon.hashUpdate(task.hash, data, 0, length);
  });
}

/** Reads a block; one that fails still passes its turn on, so that nobody waits for it. */
function readBlockInTurn(task: BlockTask): BlockResult {
  try {
    return readBlock(task);
  } catch (error) {
    if (task.hash !== 0 && Atomics.load(task.turn, 0) <= task.turnNumber) inTurn(task, () => undefined);
    throw error;
  }
}

function work(task: Task): TaskResult {
  switch (task.kind) {
    case 'files':
      return readFiles(task);
    case 'block':
      return readBlockInTurn(task);
    case 'known':
      return readKnown(task);
    case 'tables':
      tables = task.tables;
      return undefined;
    case 'flush':
      postPacks(packs.finish(task.padded));
      return undefined;
  }
}

port.on('message', (task: WorkerRequest) => {
  if (task.kind === 'spent') {
    packs.recycle(task.buffer);
    return;
  }
  try {
    const result = work(task);
    postPacks(packs.takeFinished());
    post({ kind: 'done', task: task.task, result });
  } catch (error) {
    // Only a failing read is the file's own trouble. Anything else may have left a claim without its chunk, and ends the run.
    const { message, code, syscall } = error as NodeJS.ErrnoException;
    post({ kind: 'failed', task: task.task, message, code: syscall === undefined ? undefined : code });
  }
});
post({ kind: 'ready' });
