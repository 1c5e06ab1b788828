/**
 * A damaged pack, index object or manifest made whole again: the vault reads what it holds, and takes other bytes in its place only when those it holds do not fit their
 * name and the new ones do. Nothing else in a vault is ever replaced. Whose bytes they are does not matter: there is only one content that fits.
 */
import { toHex } from '../bytes.js';
import { StoreError } from '../errors.js';
import { checkReplacement } from '../store/mending.js';
import { type ContentKind, isContentKind, MAX_BYTES, nameOfRef, type ObjectRef } from '../store/vault-protocol.js';
import { type Caller, refuse } from './accept.js';
import type { Guard } from './guard.js';
import { Incoming } from './incoming.js';
import { DOMAIN_AT } from './object-domain.js';
import type { Taken } from './quota.js';
import { giveBack, takeQuota, tellRefused, WRITER_AT } from './storing.js';

const HEAD_BYTES = 81;

/** Stores `body` in place of damaged bytes. @throws RefusedError, ObjectExistsError, NotFoundError, VarveError with code ROLE, StoreError */
export async function replaceDamaged(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  guard.require(caller, 'put', ref.kind);
  const name = nameOfRef(ref);
  try {
    if (!isContentKind(ref.kind)) return refuse(name, 'is not named by its content, and is never replaced');
    if (sizeBytes > MAX_BYTES[ref.kind]) refuse(name, `is larger than the ${MAX_BYTES[ref.kind]} bytes that it may have`);
    if (guard.rolledBack !== undefined) throw guard.rolledBack;
    const domain = await receive(guard, caller, ref.kind, name, sizeBytes, body);
    await noteReplaced(guard, ref, ref.kind, name, domain);
    guard.alerts.tell('object-replaced', `${name} was damaged and is whole again`, caller.writer ?? caller.role);
  } catch (error) {
    tellRefused(guard, caller, ref, name, error);
    throw error;
  }
}

/** @returns the object's domain, hex */
async function receive(
  guard: Guard,
  caller: Caller,
  kind: ContentKind,
  name: string,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Promise<string> {
  const { chains } = guard.opened();
  const path = guard.store.pathOf(name);
  let taken: Taken | undefined;
  let unguarded = false;
  let domain = '';
  const onHead = async (head: Uint8Array): Promise<void> => {
    domain = toHex(head.subarray(DOMAIN_AT[kind], DOMAIN_AT[kind] + 16));
    if (caller.writer !== undefined && !chains.domains(caller.writer).has(domain))
      refuse(name, 'is of a domain that this connection’s writer is not certified for');
    const at = WRITER_AT[kind];
    const writer = caller.writer === undefined ? head.slice(at, at + 16) : Buffer.from(caller.writer, 'hex');
    taken = await takeQuota(guard, writer, sizeBytes);
  };
  const incoming = new Incoming(body, sizeBytes, HEAD_BYTES, 0, onHead);
  try {
    await guard.store.receiveReplacement(name, incoming, async () => {
      checkReplacement(name, incoming.digest());
      await guard.options.onRemove?.(path);
      unguarded = true;
    });
  } catch (error) {
    // It stays as it was, its flag too.
    if (unguarded) guard.options.onStored?.(path);
    throw error;
  } finally {
    // It takes the place of what was counted when it was stored.
    giveBack(guard, taken);
  }
  return domain;
}

/** The catalog learns of the new file: a damaged one may have had another size, and no domain that could be read. */
async function noteReplaced(guard: Guard, ref: ObjectRef, kind: ContentKind, name: string, domain: string): Promise<void> {
  const info = await guard.store.stat(name);
  if (info === undefined) throw new StoreError(name, 'replace', new Error('it was removed meanwhile'));
  const { catalog } = guard;
  const shelf = catalog.shelves[kind];
  const row = shelf.add(Buffer.from(ref.id, 'hex'), info.sizeBytes, info.storedMs ?? 0);
  shelf.setStored(row, info.sizeBytes, info.storedMs ?? 0);
  shelf.setDomain(row, catalog.domainNumber(domain));
  guard.options.onStored?.(guard.store.pathOf(name));
}
