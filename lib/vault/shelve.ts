/** What follows when an object was stored: the catalog has it, and whoever wants to know of its file is told. Checks nothing; that is for whoever stores. */
import { nameOfRef, type ObjectRef } from '../store/vault-protocol.js';
import type { ShelfKind } from './catalog.js';
import type { Guard } from './guard.js';

/** Notes in the catalog that an object is stored. @param domain - hex; undefined for kinds that have none */
export function shelve(guard: Guard, kind: ShelfKind, ref: ObjectRef, sizeBytes: number, domain: string | undefined): void {
  const shelf = guard.catalog.shelves[kind];
  const row = shelf.add(Buffer.from(ref.id, 'hex'), sizeBytes, Date.now());
  if (domain !== undefined) shelf.setDomain(row, guard.catalog.domainNumber(domain));
  guard.options.onStored?.(guard.store.pathOf(nameOfRef(ref)));
}
