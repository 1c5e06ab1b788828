/**
 * Much in one answer: pages of what is stored, runs of ledger entries, and how long each chain is. Names and sizes come from the catalog, never from a walk through the
 * directory.
 */
import { viewOf } from '../bytes.js';
import { ENTRIES_BYTES, nameOfRef, type ObjectKind, RowsWriter } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Guard } from './guard.js';
import { isChosen, isShown } from './object-domain.js';

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
  for (; row < shelf.end && !page.isFull; row++) {
    if (!shelf.has(row) || (choosy && !(await isShown(guard, caller, kind, row)))) continue;
    page.add(shelf.idOf(row), 0, shelf.sizeOf(row), shelf.storedMsOf(row));
  }
  return { page: page.finish(), next: row < shelf.end ? row : undefined };
}

/** Entries of a chain from `sequence` on, as many as fit: u32 length ‖ bytes, repeated. */
export async function readEntries(guard: Guard, caller: Caller, author: string, sequence: number): Promise<Uint8Array> {
  guard.require(caller, 'read', 'entry');
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const sizes = guard.catalog.entrySizes.get(author) ?? [];
  for (let at = sequence; at < sizes.length && bytes < ENTRIES_BYTES; at++) {
    if (sizes[at] === undefined) break;
    const entry = await guard.store.get(nameOfRef({ kind: 'entry', id: author, sequence: at }));
    const length = new Uint8Array(4);
    viewOf(length).setUint32(0, entry.byteLength, true);
    parts.push(length, entry);
    bytes += entry.byteLength + 4;
  }
  return Buffer.concat(parts);
}

/** Author 16 ‖ u64 count of every chain. */
export function readHeads(guard: Guard, caller: Caller): Uint8Array {
  guard.require(caller, 'read', 'entry');
  const all = [...guard.catalog.entrySizes];
  const out = new Uint8Array(all.length * 24);
  all.forEach(([author, sizes], i) => {
    out.set(Buffer.from(author, 'hex'), i * 24);
    viewOf(out).setBigUint64(i * 24 + 16, BigInt(sizes.length), true);
  });
  return out;
}
