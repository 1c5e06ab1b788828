/**
 * What a caller may know and read of one object: its size, and which of its bytes. Packs are opaque to roles that may read their header and directory only. Bytes are sent
 * by answering.ts, from the range that is allowed here.
 */
import { NotFoundError, VarveError } from '../errors.js';
import { decodePackFooter, PACK_FOOTER_BYTES, PACK_HEADER_BYTES } from '../format/pack.js';
import type { Store } from '../store/store.js';
import { nameOfRef, type ObjectRef } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Answer } from './answering.js';
import type { Guard } from './guard.js';
import { isShown } from './object-domain.js';
import { mayDo } from './roles.js';

/** Size of an object, and when it was stored (0: not known). @throws NotFoundError */
export async function statObject(guard: Guard, caller: Caller, ref: ObjectRef): Promise<{ sizeBytes: number; storedMs: number }> {
  if (!mayDo(caller.role, 'read', ref.kind)) guard.require(caller, ref.kind === 'pack' ? 'parts' : 'put', ref.kind);
  const sizeBytes = await sizeOf(guard, caller, ref);
  if (ref.kind === 'genesis') return { sizeBytes, storedMs: 0 };
  if (ref.kind === 'entry') return { sizeBytes, storedMs: guard.catalog.entryTimes.get(ref.id)?.[ref.sequence] ?? 0 };
  const shelf = guard.catalog.shelves[ref.kind];
  return { sizeBytes, storedMs: shelf.storedMsOf(shelf.find(Buffer.from(ref.id, 'hex'))!) };
}

async function sizeOf(guard: Guard, caller: Caller, ref: ObjectRef): Promise<number> {
  const name = nameOfRef(ref);
  if (ref.kind === 'entry') {
    const size = guard.catalog.entrySizes.get(ref.id)?.[ref.sequence];
    if (size !== undefined) return size;
  } else if (ref.kind === 'genesis') {
    const info = await guard.store.stat(name);
    if (info !== undefined) return info.sizeBytes;
  } else {
    const shelf = guard.catalog.shelves[ref.kind];
    const row = shelf.find(Buffer.from(ref.id, 'hex'));
    if (row !== undefined && (await isShown(guard, caller, ref.kind, row))) return shelf.sizeOf(row);
  }
  throw new NotFoundError('object', name);
}

/** The range of an object that `caller` may read, within its size. @throws NotFoundError, VarveError with code ROLE */
export async function rangeOf(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  range: { readonly offset: number; readonly length: number } | undefined,
): Promise<{ readonly offset: number; readonly length: number }> {
  const whole = mayDo(caller.role, 'read', ref.kind);
  if (!whole) guard.require(caller, 'parts', ref.kind);
  const sizeBytes = await sizeOf(guard, caller, ref);
  const offset = Math.min(range?.offset ?? 0, sizeBytes);
  const length = Math.min(range?.length ?? sizeBytes, sizeBytes - offset);
  if (!whole && !(await isClear(guard, nameOfRef(ref), sizeBytes, offset, length)))
    throw new VarveError('ROLE', `a connection with the ${caller.role} role may not read the content of packs`, {
      role: caller.role,
    });
  return { offset, length };
}

/** Whether a range of a pack lies in its header, or in its directory and footer. */
async function isClear(guard: Guard, name: string, sizeBytes: number, offset: number, length: number): Promise<boolean> {
  if (offset + length <= PACK_HEADER_BYTES) return true;
  if (sizeBytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) return false;
  const footer = await guard.store.get(name, { offset: sizeBytes - PACK_FOOTER_BYTES, length: PACK_FOOTER_BYTES });
  return offset >= decodePackFooter(footer, sizeBytes, name).offset;
}

/** A range of an object as an answer. */
export function rangeAnswer(store: Store, name: string, offset: number, sizeBytes: number): Answer {
  let at = offset;
  return {
    sizeBytes,
    async next(length) {
      const piece = await store.get(name, { offset: at, length });
      at += piece.byteLength;
      return piece;
    },
  };
}
