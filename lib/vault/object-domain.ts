/**
 * Which domain a stored object is of, read from its clear header once and remembered in the catalog; and whom it is shown to: a connection with a fixed writer has to do
 * with its writer's domains only.
 */
import { toHex } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import type { DirectoryStore } from '../store/directory.js';
import { nameOfRef } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Catalog, ShelfKind } from './catalog.js';
import type { Guard } from './guard.js';

/** The directory, and what is known of it. */
export interface StoredObjects {
  readonly store: DirectoryStore;
  readonly catalog: Catalog;
}

/** Where the domain id stands in the clear header of each kind (docs/format.md §7, §8, §10). */
export const DOMAIN_AT = { pack: 56, index: 56, manifest: 65 } as const;

/** The domain, hex, that a stored object's clear header names; undefined when it has none that can be read. */
export async function domainOf(
  { store, catalog }: StoredObjects,
  kind: Exclude<ShelfKind, 'slot'>,
  row: number,
): Promise<string | undefined> {
  const shelf = catalog.shelves[kind];
  const known = shelf.domainOf(row);
  if (known !== undefined) return catalog.domainHex(known);
  try {
    const name = nameOfRef({ kind, id: toHex(shelf.idOf(row)), sequence: 0 });
    const head = await store.get(name, { offset: 0, length: 128 });
    const at = DOMAIN_AT[kind];
    if (head.byteLength < at + 16) return undefined;
    const hex = toHex(head.subarray(at, at + 16));
    shelf.setDomain(row, catalog.domainNumber(hex));
    return hex;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** Whether `caller` is shown some objects of a kind and others not. */
export function isChosen(caller: Caller, kind: ShelfKind): kind is 'index' | 'manifest' {
  return caller.writer !== undefined && kind !== 'slot' && kind !== 'pack';
}

/** Whether an object is of a domain that a connection with a fixed writer has to do with. */
export async function isShown(guard: Guard, caller: Caller, kind: ShelfKind, row: number): Promise<boolean> {
  if (caller.writer === undefined || !isChosen(caller, kind)) return true;
  const domain = await domainOf(guard, kind, row);
  return domain !== undefined && guard.opened().chains.domains(caller.writer).has(domain);
}
