/** Ledger entries and their payloads (docs/format.md §11). Pure; signatures are made and checked elsewhere. */
import { concat, utf8, viewOf } from '../bytes.js';
import { CborReader, CborWriter } from './cbor.js';
import { EntryType, type Payload } from './payload.js';
import { readPayload, writePayload } from './payload-codec.js';
import { Kind, splitSigned, withLength } from './preamble.js';
import { readTime, type Timestamp, writeTime } from './time.js';

export const ENTRY_LABEL = 'varve v1 entry';
export const MAX_ENTRY_BYTES = 1_048_576;
/** So many 32-byte ids, 960,000 bytes, keep an entry well below MAX_ENTRY_BYTES. */
export const IDS_PER_ENTRY = 30_000;

export interface LedgerEntry {
  readonly repository: Uint8Array;
  readonly author: Uint8Array;
  readonly sequence: number;
  readonly previous: Uint8Array;
  readonly time: Timestamp;
  readonly payload: Payload;
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

/** Who may write what, by the role of the author's key. `founder` is the genesis's first admin. */
export type Author = 'founder' | 'admin' | 'writer' | 'vault';

const T = EntryType;
const MAY_WRITE: Readonly<Record<'writer' | 'vault', readonly number[]>> = {
  writer: [T.snapshot, T.incident, T.tags],
  vault: [T.hold, T.receipt, T.pruneIntent, T.pruneDone, T.incident],
};
const KNOWN: readonly number[] = Object.values(T);

/** Why `entry` may not stand where it does; undefined when it may. */
export function misplaced({ sequence, payload: { type } }: LedgerEntry, by: Author): string | undefined {
  if ((type === T.genesis) !== (by === 'founder' && sequence === 0)) return 'the genesis entry is not where it must be';
  if ((by === 'founder' || by === 'admin') && type === T.receipt) return 'only a vault may write such an entry';
  if ((by === 'writer' || by === 'vault') && KNOWN.includes(type) && !MAY_WRITE[by].includes(type))
    return by === 'writer' ? 'only an admin may write such an entry' : 'a vault may not write such an entry';
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
