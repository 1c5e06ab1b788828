/**
 * Objects coming in: whether the caller may bring them, whether they are what their name says, and what they take of a quota. What is large goes to the disk while it is
 * checked, and gets its name only when nothing is wrong; what is small is gathered first. The reasons to refuse stand in accept.ts.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { ObjectExistsError, RefusedError, StoreError } from '../errors.js';
import { INDEX_HEADER_BYTES } from '../format/index-object.js';
import { PACK_FOOTER_BYTES, PACK_HEADER_BYTES } from '../format/pack.js';
import { termsOf } from '../retention/policy.js';
import {
  type Acknowledged,
  type ContentKind,
  MAX_BYTES,
  MAX_WRITER_ENTRY_BYTES,
  nameOfRef,
  type ObjectRef,
} from '../store/vault-protocol.js';
import { acceptIndex, acceptManifest, acceptPackFooter, acceptPackHeader, type Caller, refuse } from './accept.js';
import { knownOf } from './chains.js';
import { putEntry, putGenesis, putSlot } from './founding.js';
import type { Guard } from './guard.js';
import { gather, Incoming } from './incoming.js';
import type { Taken } from './quota.js';
import { shelve } from './shelve.js';

/** Bodies up to this are gathered in memory: entries, and manifests of up to some 30,000 packs. */
const GATHERED_BYTES = 1 << 20;
/** Where the writer's id stands in the clear header of each kind (docs/format.md §7, §8, §10). */
export const WRITER_AT = { pack: 40, index: 40, manifest: 48 } as const;
const HEAD_BYTES = { pack: PACK_HEADER_BYTES, index: INDEX_HEADER_BYTES, manifest: 64 } as const;

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
    if (ref.kind === 'entry' && caller.role === 'writer' && sizeBytes > MAX_WRITER_ENTRY_BYTES)
      refuse(name, `is larger than the ${MAX_WRITER_ENTRY_BYTES} bytes that a writer’s or auditor’s entry may have`);
    if (ref.kind === 'pack' || ref.kind === 'index' || (ref.kind === 'manifest' && sizeBytes > GATHERED_BYTES))
      return await putStreamed(guard, caller, ref, ref.kind, name, sizeBytes, body);
    const release = await guard.accountOf(caller).hold(sizeBytes);
    if (release === undefined) throw new StoreError(name, 'receive', new Error('its connection ended'));
    try {
      return await putGathered(guard, caller, ref, name, await gather(body, sizeBytes));
    } finally {
      release();
    }
  } catch (error) {
    tellRefused(guard, caller, ref, name, error);
    throw error;
  }
}

/** Lets somebody hear of what was refused. */
export function tellRefused(guard: Guard, { writer, role }: Caller, ref: ObjectRef, name: string, error: unknown): void {
  const by = writer ?? role;
  if (error instanceof ObjectExistsError && ref.kind !== 'entry')
    guard.alerts.tell('refused-overwrite', `other bytes were sent for ${name}`, by);
  else if (error instanceof RefusedError)
    guard.alerts.tell(
      'quota' in error.details ? 'quota' : ref.kind === 'entry' ? 'refused-entry' : 'refused-object',
      error.message,
      by,
    );
}

/** What is known of a body that is on its way to the disk. */
interface Streamed {
  readonly incoming: Incoming;
  /** Checks what can be checked only when all is there. @param read - gives all of it @returns its domain, hex */
  check(read: () => Promise<Uint8Array>): Promise<string>;
  /** What was taken of its writer's day, if anything was. */
  taken(): Taken | undefined;
}

/** Begins to check a body by its header, and takes of its writer's day before any of it is on the disk. */
function streamed(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  kind: ContentKind,
  name: string,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Streamed {
  const known = knownOf(guard.opened().chains);
  let taken: Taken | undefined;
  let domain = '';
  let checkTail = (): void => undefined;
  const onHead = async (head: Uint8Array): Promise<void> => {
    const bytes = head.slice();
    if (kind === 'manifest') {
      // All of it is looked at in `check`; whose day it is must be known now.
      const writer = bytes.subarray(WRITER_AT.manifest, WRITER_AT.manifest + 16);
      if (known.authority(toHex(writer))?.roles.has('writer') !== true) refuse(name, 'is of a writer that no admin certified');
      taken = await takeQuota(guard, writer, sizeBytes);
      return;
    }
    const fields = kind === 'pack' ? acceptPackHeader(name, bytes, caller, known) : acceptIndex(name, bytes, caller, known);
    domain = toHex(fields.domain);
    if (kind === 'pack')
      checkTail = () => acceptPackFooter(name, fields as ReturnType<typeof acceptPackHeader>, incoming.tail, sizeBytes);
    taken = await takeQuota(guard, fields.writer, sizeBytes);
  };
  const incoming = new Incoming(body, sizeBytes, HEAD_BYTES[kind], kind === 'pack' ? PACK_FOOTER_BYTES : 0, onHead);
  return {
    incoming,
    taken: () => taken,
    async check(read) {
      if (incoming.digest() !== ref.id) refuse(name, 'has bytes that do not fit its name');
      checkTail();
      if (kind !== 'manifest') return domain;
      // It came at its sender's pace; only now that it is whole does it take memory.
      return await guard.reading.within(sizeBytes, async () => {
        const envelope = acceptManifest(name, await read(), caller, known);
        await guard.pins.check(name, ref.id, envelope);
        return toHex(envelope.domain);
      });
    },
  };
}

async function putStreamed(
  guard: Guard,
  caller: Caller,
  ref: ObjectRef,
  kind: ContentKind,
  name: string,
  sizeBytes: number,
  body: AsyncIterable<Uint8Array>,
): Promise<Acknowledged> {
  const { incoming, check, taken } = streamed(guard, caller, ref, kind, name, sizeBytes, body);
  let domain = '';
  try {
    await guard.store.receive(name, incoming, async (read) => {
      domain = await check(read);
    });
  } catch (error) {
    giveBack(guard, taken());
    throw error;
  }
  shelve(guard, kind, ref, sizeBytes, domain);
  return {};
}

/** Takes of a writer's day, by the policy in force and the vault's clock. */
export function takeQuota(guard: Guard, writer: Uint8Array, bytes: number): Promise<Taken> {
  const terms = termsOf(guard.opened().chains.policy());
  return guard.quotas.take(writer, { bytes, snapshots: 0 }, terms, guard.clock.now().lateMs);
}

export function giveBack(guard: Guard, taken: Taken | undefined): void {
  if (taken !== undefined) guard.quotas.give(taken);
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

/** What a manifest takes of a day at least. */
const REFUSED_BYTES = 4096;

async function putManifest(guard: Guard, caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<void> {
  if (toHex(sha256(bytes)) !== ref.id) refuse(name, 'has bytes that do not fit its name');
  const envelope = acceptManifest(name, bytes, caller, knownOf(guard.opened().chains));
  // Of the writer's day first, and not given back when it is refused: looking at what it pins is work.
  const taken = await takeQuota(guard, envelope.writer, Math.max(bytes.byteLength, REFUSED_BYTES));
  await guard.pins.check(name, ref.id, envelope);
  try {
    await guard.store.put(name, [bytes]);
  } catch (error) {
    giveBack(guard, taken);
    throw error;
  }
  shelve(guard, 'manifest', ref, bytes.byteLength, toHex(envelope.domain));
}
