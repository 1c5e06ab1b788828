/**
 * Objects coming in: whether the caller may bring them, whether they are what their name says, and what they take of a quota. Packs and index objects go to the disk while
 * they are checked, and get their name only when nothing is wrong; what is smaller is gathered first. The reasons to refuse stand in accept.ts.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { ObjectExistsError, RefusedError } from '../errors.js';
import { INDEX_HEADER_BYTES } from '../format/index-object.js';
import { PACK_FOOTER_BYTES, PACK_HEADER_BYTES } from '../format/pack.js';
import { termsOf } from '../retention/policy.js';
import { type Acknowledged, MAX_BYTES, nameOfRef, type ObjectRef } from '../store/vault-protocol.js';
import { acceptIndex, acceptManifest, acceptPackFooter, acceptPackHeader, type Caller, refuse } from './accept.js';
import { knownOf } from './chains.js';
import { putEntry, putGenesis, putSlot } from './founding.js';
import type { Guard } from './guard.js';
import { gather, Incoming } from './incoming.js';
import { shelve } from './shelve.js';

/** Stores an object of `sizeBytes` that comes as `body`. @throws RefusedError, ObjectExistsError, VarveError with code ROLE, StoreError */
export async function putObject(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Promise<Acknowledged> {
  guard.require(caller, 'put', ref.kind);
  const name = nameOfRef(ref);
  if (sizeBytes > MAX_BYTES[ref.kind]) refuse(name, `is larger than the ${MAX_BYTES[ref.kind]} bytes that it may have`);
  if (guard.rolledBack !== undefined && !(caller.role === 'admin' && ref.kind === 'entry')) throw guard.rolledBack;
  try {
    switch (ref.kind) {
      case 'pack':
      case 'index':
        await putStreamed(guard, caller, ref, ref.kind, name, sizeBytes, body);
        return {};
      default:
        return await guard
          .budgetOf(caller, sizeBytes)
          .within(sizeBytes, async () => putGathered(guard, caller, ref, name, await gather(body, sizeBytes)));
    }
  } catch (error) {
    if (error instanceof ObjectExistsError && ref.kind !== 'entry')
      guard.alerts.tell('refused-overwrite', `other bytes were sent for ${name}`);
    else if (error instanceof RefusedError)
      guard.alerts.tell(
        'quota' in error.details ? 'quota' : ref.kind === 'entry' ? 'refused-entry' : 'refused-object',
        error.message,
      );
    throw error;
  }
}

async function putStreamed(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  kind: 'pack' | 'index',
  name: string,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { chains } = guard.opened();
  const known = knownOf(chains);
  let taken: Uint8Array | undefined;
  let check = (): string => '';
  const onHead = (head: Uint8Array): void => {
    const bytes = head.slice();
    if (kind === 'pack') {
      const fields = acceptPackHeader(name, bytes, caller, known);
      taken = takeQuota(guard, fields.writer, sizeBytes);
      check = () => {
        acceptPackFooter(name, fields, incoming.tail, sizeBytes);
        return toHex(fields.domain);
      };
    } else {
      const fields = acceptIndex(name, bytes, caller, known);
      taken = takeQuota(guard, fields.writer, sizeBytes);
      check = () => toHex(fields.domain);
    }
  };
  const [head, tail] = kind === 'pack' ? [PACK_HEADER_BYTES, PACK_FOOTER_BYTES] : [INDEX_HEADER_BYTES, 0];
  const incoming = new Incoming(body, sizeBytes, head, tail, onHead);
  let domain = '';
  try {
    await guard.store.receive(name, incoming, () => {
      if (incoming.digest() !== ref.id) refuse(name, 'has bytes that do not fit its name');
      domain = check();
    });
  } catch (error) {
    if (taken !== undefined) guard.quotas.giveBytes(taken, sizeBytes, guard.clock.now().lateMs);
    throw error;
  }
  shelve(guard, kind, ref, sizeBytes, domain);
}

/** @returns the writer it was taken from */
function takeQuota(guard: Guard, writer: Uint8Array, bytes: number): Uint8Array {
  guard.quotas.takeBytes(writer, bytes, termsOf(guard.opened().chains.policy()), guard.clock.now().lateMs);
  return writer;
}

async function putGathered(guard: Guard, caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<Acknowledged> {
  switch (ref.kind) {
    case 'manifest':
      await putManifest(guard, caller, ref, name, bytes);
      return {};
    case 'entry':
      return await putEntry(guard, caller, ref, name, bytes);
    case 'slot':
      await putSlot(guard, ref, name, bytes);
      return {};
    default:
      await putGenesis(guard, name, bytes);
      return {};
  }
}

async function putManifest(guard: Guard, caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<void> {
  if (toHex(sha256(bytes)) !== ref.id) refuse(name, 'has bytes that do not fit its name');
  const envelope = acceptManifest(name, bytes, caller, knownOf(guard.opened().chains));
  await guard.pins.check(name, ref.id, envelope);
  takeQuota(guard, envelope.writer, bytes.byteLength);
  await guard.store.put(name, [bytes]);
  shelve(guard, 'manifest', ref, bytes.byteLength, toHex(envelope.domain));
}
