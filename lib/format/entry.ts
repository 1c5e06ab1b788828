/** Ledger entries and their payloads (docs/format.md §11). Pure; signatures are made and checked elsewhere. */
import { concat, utf8, viewOf } from '../bytes.js';
import { CborReader, CborWriter } from './cbor.js';
import { Kind, splitSigned, withLength } from './preamble.js';
import { readTime, type Timestamp, writeTime } from './time.js';

export const ENTRY_LABEL = 'varve v1 entry';
export const MAX_ENTRY_BYTES = 1_048_576;

export const EntryType = { genesis: 1, writerCert: 2, policy: 4, snapshot: 5, tags: 18 } as const;

export interface PolicyPayload {
  readonly minimumSec: number;
  readonly hourSec: number;
  readonly daySec: number;
  readonly weekSec: number;
  readonly monthSec: number;
  readonly yearSec: number;
}
export interface SnapshotPayload {
  readonly manifest: Uint8Array;
  readonly stream: Uint8Array;
  readonly state: number;
  readonly retainUntilSec: number;
  readonly slots: number;
}
export type Payload =
  | { readonly type: typeof EntryType.genesis }
  | { readonly type: typeof EntryType.writerCert; readonly publicKey: Uint8Array; readonly domain: Uint8Array }
  | ({ readonly type: typeof EntryType.policy } & PolicyPayload)
  | ({ readonly type: typeof EntryType.snapshot } & SnapshotPayload)
  | { readonly type: typeof EntryType.tags; readonly domain: Uint8Array; readonly sealed: Uint8Array }
  /** A type this program does not know: its chain and signature are checked, its payload passed over. */
  | { readonly type: number; readonly reserved: true };

export interface LedgerEntry {
  readonly repository: Uint8Array;
  readonly author: Uint8Array;
  readonly sequence: number;
  readonly previous: Uint8Array;
  readonly time: Timestamp;
  readonly payload: Payload;
}

function writePayload(out: CborWriter, payload: Payload): void {
  if ('reserved' in payload) throw new RangeError('entries of an unknown type are not written');
  switch (payload.type) {
    case EntryType.genesis:
      out.array(0);
      return;
    case EntryType.writerCert:
      out.array(2).bytes(payload.publicKey).bytes(payload.domain);
      return;
    case EntryType.policy:
      out
        .array(6)
        .int(payload.minimumSec)
        .int(payload.hourSec)
        .int(payload.daySec)
        .int(payload.weekSec)
        .int(payload.monthSec)
        .int(payload.yearSec);
      return;
    case EntryType.snapshot:
      out
        .array(5)
        .bytes(payload.manifest)
        .bytes(payload.stream)
        .int(payload.state)
        .int(payload.retainUntilSec)
        .int(payload.slots);
      return;
    case EntryType.tags:
      out.array(2).bytes(payload.domain).bytes(payload.sealed);
      return;
  }
}

function readPayload(from: CborReader, type: number): Payload {
  switch (type) {
    case EntryType.genesis:
      from.array(0);
      return { type };
    case EntryType.writerCert:
      from.array(2);
      return { type, publicKey: from.bytes(32), domain: from.bytes(16) };
    case EntryType.policy: {
      from.array(6);
      const [minimumSec, hourSec, daySec, weekSec, monthSec, yearSec] = [
        from.uint(),
        from.uint(),
        from.uint(),
        from.uint(),
        from.uint(),
        from.uint(),
      ];
      return { type, minimumSec, hourSec, daySec, weekSec, monthSec, yearSec };
    }
    case EntryType.snapshot:
      from.array(5);
      return {
        type,
        manifest: from.bytes(32),
        stream: from.bytes(16),
        state: from.uint(1),
        retainUntilSec: from.uint(),
        slots: from.uint(31),
      };
    case EntryType.tags:
      from.array(2);
      return { type, domain: from.bytes(16), sealed: from.bytes() };
    default:
      if (type === 0 || from.peek() !== 'array') from.fail('an entry of an impossible type or payload');
      from.skip(1);
      return { type, reserved: true };
  }
}

/** Everything but the signature: what the author signs. */
export function encodeEntry(entry: LedgerEntry): Uint8Array {
  const out = new CborWriter();
  out.array(7).bytes(entry.repository).bytes(entry.author).int(entry.sequence).bytes(entry.previous);
  writeTime(out, entry.time);
  out.int(entry.payload.type);
  writePayload(out, entry.payload);
  return withLength(Kind.entry, out.finish());
}

/** @throws CorruptError, NewerFormatError */
export function decodeEntry(
  bytes: Uint8Array,
  object: string,
): { entry: LedgerEntry; signed: Uint8Array; signature: Uint8Array } {
  const { signed, body, signature } = splitSigned(bytes, Kind.entry, object, MAX_ENTRY_BYTES);
  const from: CborReader = new CborReader(body, object);
  from.array(7);
  const repository = from.bytes(32);
  const author = from.bytes(16);
  const sequence = from.uint();
  const previous = from.bytes(32);
  const time = readTime(from);
  const payload = readPayload(from, from.uint(255));
  from.end();
  return { entry: { repository, author, sequence, previous, time, payload }, signed, signature };
}

/** Why `entry` may not stand where it does; `founder` is the genesis's first admin. Undefined when it may. */
export function misplaced({ sequence, payload: { type } }: LedgerEntry, by: 'founder' | 'admin' | 'writer'): string | undefined {
  if ((type === EntryType.genesis) !== (by === 'founder' && sequence === 0)) return 'the genesis entry is not where it must be';
  if (by === 'writer' && (type === EntryType.writerCert || type === EntryType.policy))
    return 'only an admin may write such an entry';
  return undefined;
}

/** What a tags entry seals: tags added to and removed from snapshots. */
export interface TagChange {
  readonly snapshots: readonly Uint8Array[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export function tagsAad(repository: Uint8Array, author: Uint8Array, sequence: number): Uint8Array {
  const number = new Uint8Array(8);
  viewOf(number).setBigUint64(0, BigInt(sequence), true);
  return concat(utf8('varve v1 tags'), repository, author, number);
}

export function encodeTagChange(change: TagChange): Uint8Array {
  const out = new CborWriter();
  out.array(3).array(change.snapshots.length);
  for (const id of change.snapshots) out.bytes(id);
  for (const list of [change.added, change.removed]) {
    out.array(list.length);
    for (const tag of list) out.text(tag);
  }
  return out.finish();
}

/** @throws CorruptError */
export function decodeTagChange(bytes: Uint8Array, object: string): TagChange {
  const from: CborReader = new CborReader(bytes, object);
  from.array(3);
  const snapshots: Uint8Array[] = [];
  for (let left = from.array(); left > 0; left--) snapshots.push(from.bytes(32));
  const lists = [0, 1].map(() => {
    const list: string[] = [];
    for (let left = from.array(); left > 0; left--) list.push(from.text());
    return list;
  });
  from.end();
  return { snapshots, added: lists[0]!, removed: lists[1]! };
}
