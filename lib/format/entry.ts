/** Ledger entries and their payloads (docs/format.md §11). Pure; signatures are made and checked elsewhere. */
import { concat, utf8, viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { CborReader, CborWriter } from './cbor.js';
import { MAX_TAGS, readTag } from './manifest.js';
import { EntryType, MAX_SECOND, MIN_SECOND, type Payload, type WriterScope } from './payload.js';
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
  const type = from.uint(255);
  const payload = time.sec < MIN_SECOND || time.sec > MAX_SECOND ? passedOver(from, type, TOO_FAR) : judgedPayload(from, type);
  from.end();
  return { entry: { repository, author, sequence, previous, time, payload }, signed, signature };
}

const TOO_FAR = 'its time is not between the years 1 and 9999';

/** A payload that breaks a rule is its author's fault: the entry keeps its place in the chain, and changes nothing. */
function judgedPayload(from: CborReader, type: number): Payload {
  const start = from.offset;
  try {
    return readPayload(from, type);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    from.rewind(start);
    return passedOver(from, type, error.message);
  }
}

function passedOver(from: CborReader, type: number, why: string): Payload {
  if (type === 0 || from.peek() !== 'array') from.fail('an entry of an impossible type or payload');
  from.skip(1);
  return { type, reserved: true, why };
}

/** What a key is certified for. `founder` is the genesis's first admin; a key may be several things. */
export type Author = 'founder' | 'admin' | 'vault' | 'auditor' | 'writer';

const T = EntryType;
const KNOWN: readonly number[] = Object.values(T);
const BY_ADMINS: readonly number[] = KNOWN.filter((type) => type !== T.receipt && type !== T.genesis);
const MAY_WRITE: Readonly<Record<Author, readonly number[]>> = {
  founder: BY_ADMINS,
  admin: BY_ADMINS,
  vault: [T.hold, T.extend, T.receipt, T.check, T.pruneIntent, T.pruneDone, T.incident],
  auditor: [T.attest, T.check, T.drill, T.copy, T.incident],
  writer: [T.snapshot, T.incident, T.tags],
};

/** Whether an entry is of a type that vaults write. */
export function isOfVaults({ payload }: Pick<LedgerEntry, 'payload'>): boolean {
  return MAY_WRITE.vault.includes(payload.type);
}

/** Why nothing comes of `entry`; undefined when it may stand where it does. A key may write what any of its roles may. */
export function misplaced({ sequence, payload }: LedgerEntry, roles: ReadonlySet<Author>): string | undefined {
  const { type } = payload;
  if ('reserved' in payload && payload.why !== undefined) return payload.why;
  const isFirst = roles.has('founder') && sequence === 0;
  if ((type === T.genesis) !== isFirst) return 'the genesis entry is not where it must be';
  if (isFirst || !KNOWN.includes(type)) return undefined;
  for (const role of roles) if (MAY_WRITE[role].includes(type)) return undefined;
  return `its author (${[...roles].join(', ')}) may not write an entry of this type`;
}

/** What a writer's certificate seals; see WriterScope. */
export function scopeAad(repository: Uint8Array, author: Uint8Array, domain: Uint8Array): Uint8Array {
  return concat(utf8('varve v1 scope'), repository, author, domain);
}

export function encodeScope({ hosts, labels }: WriterScope): Uint8Array {
  const out = new CborWriter();
  out.array(2);
  for (const list of [hosts, labels]) {
    out.array(list.length);
    for (const text of list) out.text(text);
  }
  return out.finish();
}

/** @throws CorruptError */
export function decodeScope(bytes: Uint8Array, object: string): WriterScope {
  const from: CborReader = new CborReader(bytes, object);
  from.array(2);
  const [hosts, labels] = [readTexts(from), readTexts(from)];
  from.end();
  return { hosts, labels };
}

function readTexts(from: CborReader): string[] {
  const texts: string[] = [];
  for (let left = from.array(); left > 0; left--) texts.push(from.text());
  return texts;
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

/** So many snapshots one tags entry may name. */
export const MAX_TAGGED = 16_384;

function readTags(from: CborReader): string[] {
  const tags: string[] = [];
  for (let left = from.array(); left > 0; left--) {
    if (tags.length === MAX_TAGS) from.fail(`more than ${MAX_TAGS} tags`);
    tags.push(readTag(from));
  }
  return tags;
}

/** @throws CorruptError */
export function decodeTagChange(bytes: Uint8Array, object: string): TagChange {
  const from: CborReader = new CborReader(bytes, object);
  from.array(3);
  const snapshots: Uint8Array[] = [];
  for (let left = from.array(); left > 0; left--) {
    if (snapshots.length === MAX_TAGGED) from.fail(`more than ${MAX_TAGGED} snapshots`);
    snapshots.push(from.bytes(32));
  }
  const [added, removed] = [readTags(from), readTags(from)];
  from.end();
  return { snapshots, added, removed };
}
