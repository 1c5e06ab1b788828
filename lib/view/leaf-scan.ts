/**
 * Leaf pages of directories without decoding them: where each entry begins, its name, and the fields a listing needs, straight from the CBOR
 * (docs/format.md §9). A page stays as long as it is encoded, and a listing makes no objects but its result. Checks what a listing shows: form, names and
 * their order; whoever opens an entry decodes it whole with lib/format/tree.ts, which checks the rest. Pure.
 */
import { CorruptError } from '../errors.js';
import { CborReader } from '../format/cbor.js';
import { isZeroId, ROW_BYTES, rowLength } from '../format/content.js';
import { type Entry, EntryKind, isValidName, type Owner, readEntry, readOwner } from '../format/tree.js';

/** What a listing shows of an entry. */
export interface ScannedEntry {
  name: Uint8Array;
  kind: EntryKind;
  mode: number;
  owner: Owner;
  mtimeSec: number;
  mtimeNsec: number;
  linkId: Uint8Array | undefined;
  nlink: number;
  /** Of a file or symlink target. */
  sizeBytes: number;
  /** Bytes that are not holes; undefined when list pages must be asked. */
  dataBytes: number | undefined;
  major: number;
  minor: number;
}

const MAX_KIND = 8;
const TWO32 = 0x1_0000_0000;

export class ScannedLeaf {
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly #object: string;
  readonly #owners: Owner[] = [];
  /** Where each entry begins, and the end. */
  readonly #starts: Uint32Array;
  #at = 0;

  /** @throws CorruptError */
  constructor(bytes: Uint8Array, object: string) {
    this.bytes = bytes;
    this.#object = object;
    const head: CborReader = new CborReader(bytes, object);
    head.array(3);
    head.uint(0);
    for (let left = head.array(); left > 0; left--) this.#owners.push(readOwner(head));
    this.count = head.array();
    this.#starts = new Uint32Array(this.count + 1);
    this.#at = head.offset;
    for (let i = 0; i < this.count; i++) {
      this.#starts[i] = this.#at;
      const items = this.#head(4);
      const nameAt = this.#nameOffset();
      if (!isValidName(bytes.subarray(nameAt, this.#at))) this.#fail('a name that no directory may hold');
      if (i > 0 && this.compareName(i - 1, bytes.subarray(nameAt, this.#at)) >= 0) this.#fail('entries out of order or twice');
      for (let item = 1; item < items; item++) this.#skip(0);
    }
    this.#starts[this.count] = this.#at;
    if (this.#at !== bytes.byteLength) this.#fail('bytes after the end of the record');
  }

  /** A view of the name of entry `i`. */
  name(i: number): Uint8Array {
    this.#at = this.#starts[i]!;
    this.#head(4);
    const start = this.#nameOffset();
    return this.bytes.subarray(start, this.#at);
  }

  /** Order of the name of entry `i` against `name`. */
  compareName(i: number, name: Uint8Array): number {
    const at = this.#at;
    const own = this.name(i);
    this.#at = at;
    const length = Math.min(own.byteLength, name.byteLength);
    for (let k = 0; k < length; k++) if (own[k] !== name[k]) return own[k]! - name[k]!;
    return own.byteLength - name.byteLength;
  }

  /** Position of `name`, or -1. */
  find(name: Uint8Array): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = this.compareName(middle, name);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1;
  }

  /** Entry `i`, decoded and checked. @throws CorruptError */
  entry(i: number): Entry {
    const from: CborReader = new CborReader(this.bytes.subarray(this.#starts[i]!, this.#starts[i + 1]!), this.#object);
    const entry = readEntry(from, this.#owners);
    from.end();
    return entry;
  }

  /** What a listing shows of entry `i`. @throws CorruptError */
  scan(i: number): ScannedEntry {
    const { bytes } = this;
    this.#at = this.#starts[i]!;
    this.#head(4);
    const nameAt = this.#nameOffset();
    const name = bytes.subarray(nameAt, this.#at);
    const kind = this.#head(0) as EntryKind;
    const mode = this.#head(0);
    const owner = this.#owners[this.#head(0)];
    const mtimeSec = this.#int();
    const mtimeNsec = this.#head(0);
    if (kind < 1 || kind > MAX_KIND || mode > 0o7777 || owner === undefined || mtimeNsec > 999_999_999)
      this.#fail('an impossible entry');
    this.#skip(0);
    this.#skip(0);
    this.#skip(0);
    let linkId: Uint8Array | undefined;
    let nlink = 1;
    if (bytes[this.#at] === 0xf6) this.#at++;
    else {
      this.#head(4);
      const length = this.#head(2);
      linkId = bytes.subarray(this.#at, this.#at + length);
      this.#at += length;
      nlink = this.#head(0);
    }
    let sizeBytes = 0;
    let dataBytes: number | undefined = 0;
    let major = 0;
    let minor = 0;
    if (kind === EntryKind.regular || kind === EntryKind.image) {
      sizeBytes = this.#head(0);
      this.#skip(0);
      dataBytes = bytes[this.#at]! >> 5 === 4 ? this.#dataOfRows() : sizeBytes;
    } else if (kind === EntryKind.symlink) sizeBytes = this.#head(2);
    else if (kind === EntryKind.charDevice || kind === EntryKind.blockDevice) {
      major = this.#head(0);
      minor = this.#head(0);
    }
    return { name, kind, mode, owner, mtimeSec, mtimeNsec, linkId, nlink, sizeBytes, dataBytes, major, minor };
  }

  #dataOfRows(): number | undefined {
    this.#head(4);
    if (this.#head(0) > 0) return undefined;
    const length = this.#head(2);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    let sum = 0;
    for (let at = this.#at; at + ROW_BYTES <= this.#at + length; at += ROW_BYTES)
      if (!isZeroId(this.bytes, at + 8)) sum += rowLength(view, at);
    return sum;
  }

  #nameOffset(): number {
    const length = this.#head(2);
    const start = this.#at;
    this.#at = start + length;
    if (this.#at > this.bytes.byteLength) this.#fail('CBOR ends too early');
    return start;
  }

  /** The argument of an item of major type `major`. */
  #head(major: number): number {
    const byte = this.bytes[this.#at++];
    if (byte === undefined || byte >> 5 !== major) this.#fail('CBOR: an item of another kind expected');
    return this.#argument(byte & 31);
  }

  #int(): number {
    const byte = this.bytes[this.#at++];
    if (byte === undefined || byte >> 5 > 1) this.#fail('CBOR: integer expected');
    const value = this.#argument(byte & 31);
    return byte >> 5 === 0 ? value : -1 - value;
  }

  #argument(info: number): number {
    if (info < 24) return info;
    const { bytes } = this;
    const at = this.#at;
    let value: number;
    if (info === 24) {
      value = bytes[at]!;
      this.#at = at + 1;
    } else if (info === 25) {
      value = (bytes[at]! << 8) | bytes[at + 1]!;
      this.#at = at + 2;
    } else if (info === 26) {
      value = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
      this.#at = at + 4;
    } else if (info === 27) {
      const high = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
      value = high * TWO32 + (((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0);
      this.#at = at + 8;
    } else this.#fail('CBOR length of a kind that is not allowed');
    if (this.#at > bytes.byteLength || value > Number.MAX_SAFE_INTEGER)
      this.#fail('CBOR ends too early, or an integer is too large');
    return value;
  }

  #skip(depth: number): void {
    const byte = this.bytes[this.#at++];
    if (byte === undefined || depth > 8) this.#fail('CBOR ends too early or is nested too deep');
    if (byte === 0xf6) return;
    const major = byte >> 5;
    const value = this.#argument(byte & 31);
    if (major === 2 || major === 3) {
      this.#at += value;
      if (this.#at > this.bytes.byteLength) this.#fail('CBOR ends too early');
    } else if (major === 4) for (let i = 0; i < value; i++) this.#skip(depth + 1);
    else if (major > 1) this.#fail('CBOR item of a kind that is not allowed');
  }

  #fail(message: string): never {
    throw new CorruptError(this.#object, `${message} (at byte ${this.#at})`);
  }
}
