/**
 * Leaf pages of directories as they are encoded (docs/format.md §9): checked once and whole by the addon, then searched and listed without decoding. An entry
 * that is opened is decoded by lib/format/tree.ts. Pure.
 */
import { CorruptError } from '../errors.js';
import { CborReader } from '../format/cbor.js';
import { type Entry, type Owner, readEntry, readOwner } from '../format/tree.js';
import { native } from '../native.js';

/** Where the parts of an index begin: see checkLeaf in lib/native.ts. */
const COUNT = 0;
const OWNERS = 1;
const UNKNOWN_BLOCKS = 2;
const STARTS = 3;

/** What a listing is made with. */
export interface ListingPlace {
  /** Inode numbers of the directory and of the snapshot's root, low and high half each. */
  readonly keys: Uint32Array;
  readonly ownerRoot: boolean;
  readonly ttlSec: number;
}

export class LeafPage {
  readonly bytes: Uint8Array;
  readonly #object: string;
  readonly #index: Uint32Array;
  #owners: Owner[] | undefined;

  /** @throws CorruptError unless the page is exactly what the specification allows */
  constructor(bytes: Uint8Array, object: string) {
    this.bytes = bytes;
    this.#object = object;
    try {
      this.#index = native().checkLeaf(bytes);
    } catch (cause) {
      const { code, reason } = cause as { code?: string; reason?: string };
      if (code !== 'EBADMSG') throw cause;
      throw new CorruptError(object, reason ?? 'is no leaf', {}, cause);
    }
  }

  get count(): number {
    return this.#index[COUNT]!;
  }

  /** Whether some entries' blocks cannot be told from this page. */
  get hasUnknownBlocks(): boolean {
    return this.#index[UNKNOWN_BLOCKS]! > 0;
  }

  /** A view of the name of entry `i`. */
  name(i: number): Uint8Array {
    const from = this.#reader(i);
    from.array();
    return from.bytes();
  }

  /** Position of `name`, or -1. */
  find(name: Uint8Array): number {
    return native().findInLeaf(this.bytes, this.#index, name);
  }

  /** Entry `i`, decoded. */
  entry(i: number): Entry {
    this.#owners ??= this.#readOwners();
    return readEntry(this.#reader(i), this.#owners);
  }

  /** Writes records of entries [first, first + count) at `out[at…]`, numbered from `nodeId`; returns where they end. */
  list(first: number, count: number, nodeId: number, place: ListingPlace, out: Uint8Array, at: number): number {
    const { keys, ownerRoot, ttlSec } = place;
    return native().listLeaf(this.bytes, this.#index, first, count, keys, nodeId, ownerRoot, ttlSec, out, at);
  }

  #reader(i: number): CborReader {
    return new CborReader(this.bytes.subarray(this.#index[STARTS + i]!, this.#index[STARTS + i + 1]!), this.#object);
  }

  #readOwners(): Owner[] {
    const head: CborReader = new CborReader(this.bytes, this.#object);
    head.array(3);
    head.uint(0);
    head.array(this.#index[OWNERS]!);
    return Array.from({ length: this.#index[OWNERS]! }, () => readOwner(head));
  }
}
