/**
 * Much in one answer: pages of what is stored, runs of ledger entries, and how long each chain is. Names and sizes come from the catalog, never from a walk through the
 * directory.
 */
import { viewOf } from '../bytes.js';
import { ENTRIES_BYTES, nameOfRef, type ObjectKind, RowsWriter } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Answer } from './answering.js';
import type { Guard } from './guard.js';
import { isChosen, isShown } from './object-domain.js';

/** An entry is a file of its own: more than so much would keep others waiting. */
const ENTRIES_PIECE_BYTES = 64 << 10;
const HEAD_BYTES = 24;
/** Rows that one request looks at: a connection that is shown few of many gets short pages. */
const ROWS_LOOKED_AT = 16_384;

/** A page of a listing, and where the next begins. */
export async function listObjects(
  guard: Guard,
  caller: Caller,
  kind: ObjectKind,
  from: number,
  author: string | undefined,
): Promise<{ page: Uint8Array; next: number | undefined }> {
  guard.require(caller, 'list', kind);
  if (kind === 'genesis') return { page: new Uint8Array(0), next: undefined };
  const page = new RowsWriter(kind);
  if (kind === 'entry') {
    let number = 0;
    for (const [id, sizes] of guard.catalog.entrySizes) {
      if (author !== undefined && id !== author) continue;
      if (number + sizes.length <= from) {
        number += sizes.length;
        continue;
      }
      const idBytes = Buffer.from(id, 'hex');
      for (let sequence = Math.max(0, from - number); sequence < sizes.length; sequence++) {
        if (page.isFull) return { page: page.finish(), next: number + sequence };
        // A gap is damage, and stays visible as one.
        if (sizes[sequence] !== undefined)
          page.add(idBytes, sequence, sizes[sequence]!, guard.catalog.entryTimes.get(id)?.[sequence] ?? 0);
      }
      number += sizes.length;
    }
    return { page: page.finish(), next: undefined };
  }
  const shelf = guard.catalog.shelves[kind];
  const choosy = isChosen(caller, kind);
  let row = from;
  const end = Math.min(shelf.end, from + ROWS_LOOKED_AT);
  for (; row < end && !page.isFull; row++) {
    if (!shelf.has(row) || (choosy && !(await isShown(guard, caller, kind, row)))) continue;
    page.add(shelf.idOf(row), 0, shelf.sizeOf(row), shelf.storedMsOf(row));
  }
  return { page: page.finish(), next: row < shelf.end ? row : undefined };
}

/** Entries of a chain from `sequence` on, as many as fit: u32 length ‖ bytes, repeated. Read as they are sent. */
export function readEntries(guard: Guard, caller: Caller, author: string, sequence: number): Answer {
  guard.require(caller, 'read', 'entry');
  const sizes = guard.catalog.entrySizes.get(author) ?? [];
  let end = sequence;
  let sizeBytes = 0;
  for (; end < sizes.length && sizes[end] !== undefined && sizeBytes < ENTRIES_BYTES; end++) sizeBytes += 4 + sizes[end]!;
  let at = sequence;
  /** Bytes of the entry at `at` that were produced, its length counted. */
  let done = 0;
  const part = async (room: number): Promise<Uint8Array> => {
    const size = sizes[at]!;
    if (done < 4) {
      const length = new Uint8Array(4);
      viewOf(length).setUint32(0, size, true);
      return length.subarray(done, done + room);
    }
    const name = nameOfRef({ kind: 'entry', id: author, sequence: at });
    return await guard.store.get(name, { offset: done - 4, length: Math.min(room, size + 4 - done) });
  };
  return {
    sizeBytes,
    pieceBytes: ENTRIES_PIECE_BYTES,
    async next(bytes) {
      const parts: Uint8Array[] = [];
      let produced = 0;
      while (produced < bytes && at < end) {
        const some = await part(bytes - produced);
        if (some.byteLength === 0 && done < 4 + sizes[at]!) break;
        parts.push(some);
        produced += some.byteLength;
        done += some.byteLength;
        if (done < 4 + sizes[at]!) continue;
        at++;
        done = 0;
      }
      return Buffer.concat(parts);
    },
  };
}

/** Author 16 ‖ u64 count of every chain. */
export function readHeads(guard: Guard, caller: Caller): Answer {
  guard.require(caller, 'read', 'entry');
  // Chains that come later stand behind these.
  const chains = guard.catalog.entrySizes.entries();
  let left = new Uint8Array(0);
  return {
    sizeBytes: guard.catalog.entrySizes.size * HEAD_BYTES,
    next(bytes) {
      const rows = Math.ceil((bytes - left.byteLength) / HEAD_BYTES);
      const out = new Uint8Array(left.byteLength + Math.max(0, rows) * HEAD_BYTES);
      out.set(left);
      let at = left.byteLength;
      for (; at < out.byteLength; at += HEAD_BYTES) {
        const { value, done } = chains.next();
        if (done === true) break;
        out.set(Buffer.from(value[0], 'hex'), at);
        viewOf(out).setBigUint64(at + 16, BigInt(value[1].length), true);
      }
      left = out.slice(bytes, at);
      return out.subarray(0, Math.min(bytes, at));
    },
  };
}
