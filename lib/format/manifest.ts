/** Snapshot manifests (docs/format.md §10): a clear envelope and a sealed body. Pure. */
import { compareBytes, concat, utf8, viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { CborReader, CborWriter } from './cbor.js';
import type { SealedSessionKey } from './pack.js';
import { Kind, splitLength, withLength } from './preamble.js';
import { readTime, type Timestamp, writeTime } from './time.js';
import { type DirectoryEntry, EntryKind, type Owner, readEntry, readOwner, writeEntry, writeOwner } from './tree.js';

export const MAX_MANIFEST_BYTES = 67_108_864;
export const MAX_PIN_DEPTH = 16;
export const MAX_PROBLEMS = 10_000;
export const State = { complete: 0, partial: 1 } as const;

/** Packs a snapshot needs: all of them, or the difference to another manifest's. Ids are joined, 32 bytes each, rising. */
export type Pins =
  | { readonly depth: 0; readonly ids: Uint8Array }
  | { readonly depth: number; readonly base: Uint8Array; readonly removed: Uint8Array; readonly added: Uint8Array };

export interface Envelope extends SealedSessionKey {
  readonly repository: Uint8Array;
  readonly writer: Uint8Array;
  readonly domain: Uint8Array;
  readonly session: Uint8Array;
  readonly stream: Uint8Array;
  readonly started: Timestamp;
  readonly finished: Timestamp;
  readonly claimed: Timestamp;
  readonly state: number;
  readonly pins: Pins;
  readonly pinCount: number;
  readonly pinBytes: number;
  readonly newBytes: number;
  readonly indexIds: readonly Uint8Array[];
}

export interface Problem {
  readonly path: Uint8Array;
  /** What happened: an errno name, or `CHANGED`. */
  readonly code: string;
}

export interface ManifestBody {
  readonly host: string;
  readonly label: string;
  readonly paths: readonly Uint8Array[];
  readonly tags: readonly string[];
  readonly root: DirectoryEntry;
  readonly problems: readonly Problem[];
  readonly problemCount: number;
  readonly program: string;
  readonly notes: readonly (readonly [string, string])[];
}

function writePins(out: CborWriter, pins: Pins): void {
  if ('ids' in pins) out.array(2).int(0).bytes(pins.ids);
  else out.array(4).int(pins.depth).bytes(pins.base).bytes(pins.removed).bytes(pins.added);
}

/** What a manifest may list, so that opening one costs memory that its author does not decide. */
export const MAX_SOURCES = 262_144;
export const MAX_TAGS = 1024;
export const MAX_TAG_BYTES = 1024;
export const MAX_NOTES = 1024;
export const MAX_INDEX_IDS = 65_536;
/** Of a host, a program and a note's name; and of a note's value. */
export const MAX_TEXT_BYTES = 4096;
export const MAX_NOTE_BYTES = 65_536;
/** The deepest directory of the longest names. */
const MAX_PATH_BYTES = 2048 * 256;
/** Of host, label, program, notes and sources together. */
export const MAX_BODY_TEXT_BYTES = 24 << 20;

/** @throws RangeError for tags that a manifest or a tags entry cannot hold */
export function checkTags(tags: readonly string[]): void {
  if (tags.length > MAX_TAGS) throw new RangeError(`${tags.length} tags are more than the ${MAX_TAGS} that a snapshot can have`);
  const long = tags.find((tag) => utf8(tag).byteLength > MAX_TAG_BYTES);
  if (long !== undefined) throw new RangeError(`a tag is longer than ${MAX_TAG_BYTES} bytes: ${long.slice(0, 40)}…`);
}

/** Adds up what a body holds of texts and paths. */
class Texts {
  readonly #from: CborReader;
  #left = MAX_BODY_TEXT_BYTES;

  constructor(from: CborReader) {
    this.#from = from;
  }

  text(most = MAX_TEXT_BYTES): string {
    const text = this.#from.text();
    this.#take(text.length <= most ? utf8(text).byteLength : Number.POSITIVE_INFINITY, most);
    return text;
  }

  path(): Uint8Array {
    const path = this.#from.bytes();
    this.#take(path.byteLength, MAX_PATH_BYTES);
    return path;
  }

  #take(bytes: number, most: number): void {
    this.#left -= bytes;
    if (bytes > most || this.#left < 0)
      this.#from.fail('a text or path, or all of them together, longer than a manifest may have');
  }
}

/** How many items an array has, at most `max`. */
function countOf(from: CborReader, max: number, what: string): number {
  const count = from.array();
  if (count > max) from.fail(`${count} ${what} are more than ${max}`);
  return count;
}

/** Reads one tag. */
export function readTag(from: CborReader): string {
  const tag = from.text();
  if (tag.length > MAX_TAG_BYTES || utf8(tag).byteLength > MAX_TAG_BYTES) from.fail(`a tag of more than ${MAX_TAG_BYTES} bytes`);
  return tag;
}

function readIds(from: CborReader): Uint8Array {
  const ids = from.bytes();
  if (ids.byteLength % 32 !== 0) from.fail('pack ids of an impossible length');
  // Their first bytes nearly always decide; a large repository's manifests hold millions of ids in all.
  const view = viewOf(ids);
  for (let at = 32; at < ids.byteLength; at += 32) {
    if (view.getUint32(at - 32) < view.getUint32(at)) continue;
    if (compareBytes(ids.subarray(at - 32, at), ids.subarray(at, at + 32)) >= 0) from.fail('pack ids out of order');
  }
  return ids;
}

function readPins(from: CborReader): Pins {
  const items = from.array();
  const depth = from.uint(MAX_PIN_DEPTH);
  if (items !== (depth === 0 ? 2 : 4)) from.fail('pins of a wrong length');
  if (depth === 0) return { depth: 0, ids: readIds(from) };
  return { depth, base: from.bytes(32), removed: readIds(from), added: readIds(from) };
}

/** preamble ‖ length ‖ envelope: what stands before the sealed body. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const out = new CborWriter(1024);
  out.array(17).bytes(envelope.repository).bytes(envelope.writer).bytes(envelope.domain).bytes(envelope.session);
  out.bytes(envelope.enc).bytes(envelope.ct).bytes(envelope.commitment).bytes(envelope.stream);
  writeTime(out, envelope.started);
  writeTime(out, envelope.finished);
  writeTime(out, envelope.claimed);
  out.int(envelope.state);
  writePins(out, envelope.pins);
  out.int(envelope.pinCount).int(envelope.pinBytes).int(envelope.newBytes).array(envelope.indexIds.length);
  for (const id of envelope.indexIds) out.bytes(id);
  return withLength(Kind.manifest, out.finish());
}

/** Splits a manifest and decodes its envelope. @throws CorruptError, NewerFormatError */
export function decodeEnvelope(bytes: Uint8Array, object: string): { envelope: Envelope; head: Uint8Array; sealed: Uint8Array } {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) throw new CorruptError(object, 'longer than a manifest may be');
  const { head, record, rest } = splitLength(bytes, Kind.manifest, object);
  const from: CborReader = new CborReader(record, object);
  from.array(17);
  const ids = { repository: from.bytes(32), writer: from.bytes(16), domain: from.bytes(16), session: from.bytes(16) };
  const key = { enc: from.bytes(32), ct: from.bytes(48), commitment: from.bytes(32) };
  const stream = from.bytes(16);
  const times = { started: readTime(from), finished: readTime(from), claimed: readTime(from) };
  const state = from.uint(1);
  const pins = readPins(from);
  const counts = { pinCount: from.uint(), pinBytes: from.uint(), newBytes: from.uint() };
  const indexIds: Uint8Array[] = [];
  for (let left = countOf(from, MAX_INDEX_IDS, 'index ids'); left > 0; left--) indexIds.push(from.bytes(32));
  from.end();
  return { envelope: { ...ids, ...key, stream, ...times, state, pins, ...counts, indexIds }, head, sealed: rest };
}

export function manifestAad(headDigest: Uint8Array): Uint8Array {
  return concat(utf8('varve v1 manifest'), headDigest);
}

/** Tags in the order of their UTF-8 bytes, each once. */
export function sortedTags(tags: Iterable<string>): string[] {
  return [...new Set(tags)].sort((a, b) => compareBytes(utf8(a), utf8(b)));
}

/** Tags are written in order, whatever order they come in. */
export function encodeManifestBody(body: ManifestBody): Uint8Array {
  const out = new CborWriter(1024);
  out.array(10).text(body.host).text(body.label).array(body.paths.length);
  for (const path of body.paths) out.bytes(path);
  const tags = sortedTags(body.tags);
  out.array(tags.length);
  for (const tag of tags) out.text(tag);
  writeOwner(out, body.root.owner);
  writeEntry(out, body.root, 0);
  out.array(body.problems.length);
  for (const problem of body.problems) out.array(2).bytes(problem.path).text(problem.code);
  out.int(body.problemCount).text(body.program).array(body.notes.length);
  for (const [name, value] of body.notes) out.array(2).text(name).text(value);
  return out.finish();
}

/** @throws CorruptError */
export function decodeManifestBody(bytes: Uint8Array, object: string): ManifestBody {
  const from: CborReader = new CborReader(bytes, object);
  from.array(10);
  const texts = new Texts(from);
  const host = texts.text();
  const label = texts.text(MAX_BODY_TEXT_BYTES);
  const paths: Uint8Array[] = [];
  for (let left = countOf(from, MAX_SOURCES, 'sources'); left > 0; left--) {
    const path = texts.path();
    if (path[0] !== 0x2f || path.includes(0)) from.fail('a source that is no absolute path');
    paths.push(path);
  }
  const tags: string[] = [];
  let previous: Uint8Array | undefined;
  for (let left = countOf(from, MAX_TAGS, 'tags'); left > 0; left--) {
    const tag = readTag(from);
    const bytes = utf8(tag);
    if (previous !== undefined && compareBytes(previous, bytes) >= 0) from.fail('tags out of order or twice');
    previous = bytes;
    tags.push(tag);
  }
  const owner: Owner = readOwner(from);
  const root = readEntry(from, [owner], true);
  if (root.kind !== EntryKind.directory) from.fail('the root is not a directory');
  const problems: Problem[] = [];
  for (let left = countOf(from, MAX_PROBLEMS, 'problems'); left > 0; left--) {
    from.array(2);
    problems.push({ path: from.bytes(), code: from.text() });
  }
  const problemCount = from.uint();
  if (problems.length !== Math.min(problemCount, MAX_PROBLEMS)) from.fail('another number of problems than it says');
  const program = texts.text();
  const notes: [string, string][] = [];
  for (let left = countOf(from, MAX_NOTES, 'notes'); left > 0; left--) {
    from.array(2);
    notes.push([texts.text(), texts.text(MAX_NOTE_BYTES)]);
  }
  from.end();
  return { host, label, paths, tags, root, problems, problemCount, program, notes };
}

/** CBOR `[host, label]`: what a stream id is made of. */
export function encodeStreamName(host: string, label: string): Uint8Array {
  return new CborWriter().array(2).text(host).text(label).finish();
}
