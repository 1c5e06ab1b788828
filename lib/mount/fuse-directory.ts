/**
 * Fills a READDIR or READDIRPLUS reply from a FileSystem. Offsets the kernel sees: 1 after `.`, 2 after `..`, then the FileSystem's own
 * positions plus 2, so that telldir and seekdir work and a listing can go on in another thread. Pure but for the FileSystem it asks.
 */
import { native } from '../native.js';
import type { DirectoryEntry, FileSystem } from './driver.js';
import { direntBytes, ENTRY_OUT_BYTES, encodeDirent, encodeEntry, type Frame, ROOT_NODE, UNKNOWN_INO } from './fuse-protocol.js';

const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);
const DIRECTORY_MODE = 0o040000;
/** `.` and `..` come before the FileSystem's position 0. */
const DOTS = 2;
/** Room that an entry with a short name takes: what a batch is sized by, so that little is asked for in vain. */
const TYPICAL_NAME_BYTES = 12;
const MAX_BATCH = 1024;
/** For writeDirents: where it stands in the reply and in the records. */
const progress = new Uint32Array(2) as Uint32Array & { 0: number; 1: number };

/** Where the kernel wants to go on, and how much it takes. */
export interface DirectoryRequest {
  readonly nodeId: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly plus: boolean;
}

/** Writes records at `out[at…]` until `sizeBytes` are full or the directory ends. Returns the end of what was written; `at` itself means the end. */
export function fillDirectory(fs: FileSystem, request: DirectoryRequest, out: Frame, at: number): number {
  const end = at + request.sizeBytes;
  let offset = request.offset;
  if (offset < DOTS) {
    const ino = fs.getattr(request.nodeId)?.ino ?? UNKNOWN_INO;
    if (offset === 0) {
      const next = putDot(request.plus, out, at, end, ino, 1, DOT);
      if (next === at) return at;
      at = next;
      offset = 1;
    }
    const parent = request.nodeId === ROOT_NODE ? ino : UNKNOWN_INO;
    const next = putDot(request.plus, out, at, end, parent, 2, DOT_DOT);
    if (next === at) return at;
    at = next;
    offset = DOTS;
  }
  let position = offset - DOTS;
  const typical = direntBytes(TYPICAL_NAME_BYTES, request.plus);
  for (;;) {
    const room = end - at;
    if (room < direntBytes(1, request.plus)) return at;
    const limit = Math.min(MAX_BATCH, Math.max(1, Math.floor(room / typical)));
    const listing = fs.readdirRecords?.(request.nodeId, position, limit);
    if (listing !== undefined) {
      const { records, count } = listing;
      progress[0] = at;
      progress[1] = 0;
      native().writeDirents(records, position + DOTS, request.plus, out.bytes, end, progress);
      at = progress[0];
      if (progress[1] < records.byteLength || listing.end || count === 0) return at;
      position += count;
      continue;
    }
    let batch = fs.readdir(request.nodeId, position, limit);
    // Positions that do not count entries: only the last of a batch has a known position, so take them one at a time.
    if (batch.next !== position + batch.entries.length && batch.entries.length > 1)
      batch = fs.readdir(request.nodeId, position, 1);
    let after = position;
    for (const entry of batch.entries) {
      after = batch.entries.length === 1 ? batch.next : after + 1;
      const next = putEntry(request.plus, out, at, end, after + DOTS, entry);
      if (next === at) return at;
      at = next;
    }
    if (batch.end || batch.next === position) return at;
    position = batch.next;
  }
}

function putEntry(plus: boolean, out: Frame, at: number, end: number, off: number, entry: DirectoryEntry): number {
  const next = at + direntBytes(entry.name.length, plus);
  if (next > end) return at;
  const a = entry.attributes;
  if (plus) encodeEntry(out.view, at, a);
  encodeDirent(out, plus ? at + ENTRY_OUT_BYTES : at, a.ino, off, a.mode, entry.name);
  return next;
}

/** `.` and `..` carry no entry of their own: nodeId 0 tells the kernel to link nothing. */
function putDot(plus: boolean, out: Frame, at: number, end: number, ino: bigint, off: number, name: Uint8Array): number {
  const next = at + direntBytes(name.length, plus);
  if (next > end) return at;
  if (plus) out.bytes.fill(0, at, at + ENTRY_OUT_BYTES);
  encodeDirent(out, plus ? at + ENTRY_OUT_BYTES : at, ino, off, DIRECTORY_MODE, name);
  return next;
}
