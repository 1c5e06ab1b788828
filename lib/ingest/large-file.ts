/**
 * Reads a large or sparse file block by block through the worker threads: while one block is compressed the next is already cut. Holes are found, not read.
 * A file that looks unchanged is compared first, with the cuts it had.
 */
import type { Content } from '../format/content.js';
import { native } from '../native.js';
import { BLOCK_BYTES, BlockSequence, dataLengths } from './block-sequence.js';
import type { PackUses } from './cache-rows.js';
import type { Run } from './run.js';
import { readStat, type ScanRecord, ScanType } from './scan-record.js';

const MAX_HASHED_HOLES = 1 << 30;
/** What is read at once behind a file's end: files below /proc/sys refuse 4 MiB (KMALLOC_MAX_SIZE) with ENOMEM. */
const HIDDEN_BLOCK_BYTES = 1 << 20;

/** What became of a file's bytes. */
export interface Ingested {
  readonly sizeBytes: number;
  readonly digest: Uint8Array | null;
  readonly content: Content;
  /** By the change cache's pack numbers. */
  readonly packs: PackUses;
  /** It changed between the first byte and the last. */
  readonly changed: boolean;
}

/** Bits of the average chunk for a file of `sizeBytes` (docs/format.md §6, Chunking). Chosen by the bytes that later snapshots add: bench/notes.md. */
function averageBits(sizeBytes: number): number {
  if (sizeBytes < 1 << 20) return 14;
  if (sizeBytes < 16 << 20) return 13;
  return sizeBytes < 2 ** 32 ? 15 : 18;
}

/** Data extents of a file as [start, end). */
function extentsOf(fd: number, record: ScanRecord): [number, number][] {
  if (!record.sparse) return record.sizeBytes === 0 ? [] : [[0, record.sizeBytes]];
  const extents: [number, number][] = [];
  for (let at = 0; at < record.sizeBytes; ) {
    const extent = native().nextData(fd, at, record.sizeBytes);
    if (extent === undefined) break;
    extents.push(extent);
    at = extent[1];
  }
  return extents;
}

/** What a file became when it was last read. */
export interface Former {
  readonly sizeBytes: number;
  readonly digest: Uint8Array | null;
  readonly content: Content;
}

/**
 * Reads the file at `path`. With `former`, its chunks are compared first, cut as they were: when they are the same in the same order, so is the whole, by
 * their keyed digests, and the former digest stands; only otherwise is the file cut, stored and digested as a whole.
 *
 * @throws the system's error
 */
export async function ingestFile(
  run: Run,
  path: Uint8Array,
  former: Former | undefined,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  const fd = native().openSource(path);
  try {
    const before = readStat(native().statFd(fd));
    if (before.type !== ScanType.regular) throw Object.assign(new Error('is no longer a regular file'), { code: 'ESTALE' });
    const cuts = former === undefined ? undefined : formerCuts(run, path, former);
    if (former !== undefined && cuts !== undefined && before.sizeBytes === former.sizeBytes) {
      let readBytes = 0;
      const counted = (bytes: number): void => {
        readBytes += bytes;
        onBytes(bytes);
      };
      const same = await compare(run, fd, before, former, cuts, signal, counted);
      if (same !== undefined) return same;
      onBytes(-readBytes);
    }
    return await store(run, fd, before, path, signal, onBytes);
  } finally {
    native().closeFd(fd);
  }
}

/** Lengths of the chunks that the file was cut into; undefined when that is not known, or there is no digest to keep. */
function formerCuts(run: Run, path: Uint8Array, { digest, content }: Former): Uint32Array | undefined {
  if (digest === null || content.kind !== 'rows') return undefined;
  return content.depth === 0 ? Uint32Array.from(dataLengths(content.rows)) : run.cache.cuts(path);
}

/** Reads the file once and looks its chunks up. Undefined as soon as it is seen not to be what it was; nothing is stored then. */
async function compare(
  run: Run,
  fd: number,
  before: ScanRecord,
  former: Former,
  cuts: Uint32Array,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested | undefined> {
  const sequence = new BlockSequence(run, false);
  try {
    let at = 0;
    let next = 0;
    for (const [start, end] of extentsOf(fd, before)) {
      if (start > at) sequence.hole(start - at);
      at = start;
      while (at < end && !sequence.differs) {
        signal?.throwIfAborted();
        const first = next;
        let length = 0;
        while (next < cuts.length && length + cuts[next]! <= Math.min(BLOCK_BYTES, end - at)) length += cuts[next++]!;
        if (length === 0) return undefined;
        await sequence.known(fd, at, length, cuts.slice(first, next));
        at += length;
        onBytes(length);
      }
    }
    if (at < before.sizeBytes) sequence.hole(before.sizeBytes - at);
    const { content } = await sequence.finish();
    if (sequence.differs || next < cuts.length || !sameRows(content, former.content)) return undefined;
    return ingested(fd, before, sequence, content, former.digest);
  } finally {
    await sequence.abandon();
  }
}

function sameRows(a: Content, b: Content): boolean {
  return a.kind === 'rows' && b.kind === 'rows' && a.depth === b.depth && Buffer.compare(a.rows, b.rows) === 0;
}

/** Reads the file once, cuts it, stores what is new, and digests it. */
async function store(
  run: Run,
  fd: number,
  before: ScanRecord,
  path: Uint8Array,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  const extents = extentsOf(fd, before);
  const holes = before.sizeBytes - extents.reduce((sum, [start, end]) => sum + end - start, 0);
  const sequence = new BlockSequence(run, holes <= MAX_HASHED_HOLES);
  try {
    const avgBits = averageBits(before.sizeBytes);
    let at = 0;
    for (const [start, end] of extents) {
      if (start > at) sequence.hole(start - at);
      at = start;
      while (at < end && !sequence.early) {
        signal?.throwIfAborted();
        const length = Math.min(BLOCK_BYTES, end - at);
        const consumed = await sequence.block({ fd, data: undefined }, at, length, at + length >= end, avgBits);
        at += consumed;
        onBytes(consumed);
      }
      if (sequence.early) break;
    }
    if (!sequence.early && at < before.sizeBytes) {
      sequence.hole(before.sizeBytes - at);
      at = before.sizeBytes;
    }
    if (!sequence.early && holdsMore(fd, before)) {
      while (!sequence.early) {
        signal?.throwIfAborted();
        const consumed = await sequence.block({ fd, data: undefined }, at, HIDDEN_BLOCK_BYTES, false, avgBits);
        at += consumed;
        onBytes(consumed);
      }
    }
    const { content, digest } = await sequence.finish();
    const file = ingested(fd, before, sequence, content, digest);
    const { cuts } = sequence;
    if (!file.changed && cuts !== undefined && content.kind === 'rows' && content.depth > 0) run.cache.putCuts(path, cuts);
    return file;
  } catch (error) {
    await sequence.abandon();
    throw error;
  }
}

/** Whether there is something to read behind what the file says is its end: files of /proc say 0. One that grows meanwhile is another matter. */
function holdsMore(fd: number, before: ScanRecord): boolean {
  try {
    if (native().readAt(fd, new Uint8Array(1), 0, 1, before.sizeBytes) === 0) return false;
  } catch (error) {
    // Not everything that says where it ends can be asked for what lies behind.
    if (before.sizeBytes > 0) return false;
    throw error;
  }
  return readStat(native().statFd(fd)).sizeBytes === before.sizeBytes;
}

function ingested(
  fd: number,
  before: ScanRecord,
  sequence: BlockSequence,
  content: Content,
  digest: Uint8Array | null,
): Ingested {
  // Not by what was read: some files hold less than they say, or more, unchanged.
  const changed = !readStat(native().statFd(fd)).sameState(before);
  return { sizeBytes: sequence.sizeBytes, digest, content, packs: sequence.uses(), changed };
}
