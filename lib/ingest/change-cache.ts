/**
 * What the last run of a stream saw and stored, one record per directory, in a LevelDB of the stream's own. A cache: deletable at any time, and a run
 * without it (lost, or held by another run of the same stream) reads the sources again and stores nothing twice.
 *
 * What the entries of a directory became (in which small files, attributes and targets stand whole) is sealed with a key of the domain's secret: what was deleted from the host since shall
 * not be readable in its cache. Paths of directories are in clear.
 *
 * A record counts only if every pack it names has its row, which is written after the pack is durable; so a killed run leaves nothing that misleads.
 */

import { rmSync } from 'node:fs';
import { Level } from 'level';
import { toHex } from '../bytes.js';
import type { LocalSealer } from '../crypto/local-seal.js';
import { makeFolders } from '../folders.js';
import { CborReader, CborWriter } from '../format/cbor.js';
import {
  allStored,
  type CachedEntry,
  type DirectoryHead,
  decodeCachedEntries,
  decodeHead,
  encodeCachedEntries,
  encodeHead,
  sealed,
  unsealed,
} from './cache-rows.js';
import { decodeIds, encodeIds, type Ids } from './owners.js';
import { chooseSparsePacks, encodeSparsePacks } from './sparse-packs.js';

/** 2 had contents in clear; such a cache is deleted. */
const VERSION = 3;
const PACK_ROW_BYTES = 36;
const RESERVE = 1 << 20;
const NO_ROOM = /ENOSPC|EDQUOT|EROFS|No space left|quota exceeded|Read-only file system/i;
const FLUSH_OPERATIONS = 2048;
const FLUSH_BYTES = 2 << 20;

type Database = Level<Uint8Array, Uint8Array>;

export class ChangeCache {
  readonly #db: Database | undefined;
  #readOnly: boolean;
  readonly #packIds = new Map<number, string>();
  readonly #rawBytes = new Map<number, number>();
  /** Packs that this stream shall not use again, because little of them is still needed. */
  readonly #avoided = new Set<string>();
  readonly #numbers = new Map<string, number>();
  #nextNumber = 1;
  #reservedTo = 1;
  #operations: { type: 'put'; key: Uint8Array; value: Uint8Array }[] = [];
  #operationBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  readonly #sealer: LocalSealer | undefined;
  /** How often this stream has run with this cache. */
  runs = 0;
  /** Why something could not be written; what it was is read again by the next run. */
  unwritten: Error | undefined;

  private constructor(db: Database | undefined, readOnly: boolean, sealer?: LocalSealer) {
    this.#db = db;
    this.#readOnly = readOnly;
    this.#sealer = sealer;
  }

  /** Opens the cache in `folder`; one that is damaged is deleted, one that is busy or cannot be had is done without. `onNote` says which. */
  static async open(
    folder: string,
    sealer: LocalSealer,
    isStored: (packHex: string) => boolean,
    onNote: (note: string) => void,
    readOnly = false,
  ): Promise<ChangeCache> {
    const open = async (): Promise<ChangeCache> => {
      makeFolders(folder);
      const db: Database = new Level(folder, {
        keyEncoding: 'view',
        valueEncoding: 'view',
        writeBufferSize: 2 << 20,
        cacheSize: 2 << 20,
      });
      await db.open();
      const cache = new ChangeCache(db, readOnly, sealer);
      try {
        await cache.#load(isStored);
      } catch (error) {
        await db.close();
        throw error;
      }
      return cache;
    };
    for (let attempt = 0; ; attempt++) {
      try {
        return await open();
      } catch (error) {
        const cause = (error as { cause?: { code?: string } }).cause;
        if (cause?.code === 'LEVEL_LOCKED') {
          onNote('another run of this stream holds the change cache; every file is read again');
          return new ChangeCache(undefined, true);
        }
        // A disk that is full, or cannot be written, is no damage: what is there will be of use again.
        const isFull = NO_ROOM.test(`${(error as Error).message} ${cause instanceof Error ? cause.message : ''}`);
        if (attempt > 0 || isFull || !removed(folder)) {
          onNote(`the change cache cannot be used (${(error as Error).message}); every file is read again`);
          const none = new ChangeCache(undefined, true);
          none.unwritten = cause instanceof Error ? cause : (error as Error);
          return none;
        }
      }
    }
  }

  /** A cache that knows nothing and keeps nothing. */
  static none(): ChangeCache {
    return new ChangeCache(undefined, true);
  }

  async #load(isStored: (packHex: string) => boolean): Promise<void> {
    const db = this.#db!;
    const meta = unsealed(await db.get(key('m')));
    if (meta !== undefined) {
      const from = new CborReader(meta, 'change cache');
      from.array(3);
      if (from.uint() !== VERSION) throw new Error('of another version');
      this.#nextNumber = this.#reservedTo = from.uint();
      this.runs = from.uint() + 1;
    }
    for await (const [rowKey, row] of db.iterator({ gt: key('p'), lt: key('q') })) {
      const value = unsealed(row);
      if (value === undefined) continue;
      const hex = toHex(value.subarray(0, 32));
      if (value.byteLength !== PACK_ROW_BYTES || rowKey.byteLength !== 5 || !isStored(hex)) continue;
      const number = new DataView(rowKey.buffer, rowKey.byteOffset, 5).getUint32(1);
      this.#rawBytes.set(number, new DataView(value.buffer, value.byteOffset).getUint32(32, true) * 16);
      this.#packIds.set(number, hex);
      this.#numbers.set(hex, number);
    }
    this.#avoid(unsealed(await db.get(key('s'))));
    if (!this.#readOnly) {
      try {
        await this.#reserve();
      } catch (error) {
        // What is known is of use, though nothing can be added to it.
        this.unwritten = error as Error;
        this.#readOnly = true;
      }
    }
    if (this.#readOnly) this.#reservedTo = this.#nextNumber + RESERVE;
  }

  /** Pack numbers are never used twice, even after a crash: a range is durable before any number of it is used. */
  async #reserve(): Promise<void> {
    this.#reservedTo = this.#nextNumber + RESERVE;
    const meta = new CborWriter().array(3).int(VERSION).int(this.#reservedTo).int(this.runs).finish();
    await this.#db!.put(key('m'), sealed(meta), { sync: true } as object);
  }

  /** Leaves sparse packs that the last run named out of what is known, so that what lives in them is stored anew. */
  #avoid(row: Uint8Array | undefined): void {
    for (const number of row === undefined ? [] : chooseSparsePacks(row)) {
      const hex = this.#packIds.get(number);
      if (hex === undefined) continue;
      this.#avoided.add(hex);
      this.#packIds.delete(number);
      this.#numbers.delete(hex);
    }
  }

  /** Whether chunks of this pack shall be written again rather than referred to. */
  avoids(packHex: string): boolean {
    return this.#avoided.has(packHex);
  }

  /** Remembers which packs the finished snapshot needs less than half of; the next run writes what it needs of them anew, if it is worth it. */
  rememberSparse(used: ReadonlyMap<number, number>): void {
    this.#put(key('s'), encodeSparsePacks(used, this.#rawBytes));
  }

  /** Pack id of a number, or undefined when the pack is not known to be stored. */
  packOf(number: number): string | undefined {
    return this.#packIds.get(number);
  }

  /** A number for a pack that is not stored yet. */
  newNumber(): number {
    if (this.#nextNumber >= this.#reservedTo - 1 && this.#db !== undefined)
      throw new RangeError('more packs in one run than the change cache can number');
    return this.#nextNumber++;
  }

  /** The number of a stored pack; `rawBytes` says how much it holds. */
  numberOf(packId: Uint8Array, rawBytes: () => number): number {
    const hex = toHex(packId);
    const known = this.#numbers.get(hex);
    if (known !== undefined) return known;
    const number = this.newNumber();
    this.stored(number, packId, rawBytes());
    return number;
  }

  /** Records that the pack with `number`, whose chunks have `rawBytes` in all, is durable. */
  stored(number: number, packId: Uint8Array, rawBytes: number): void {
    const hex = toHex(packId);
    this.#packIds.set(number, hex);
    this.#numbers.set(hex, number);
    const rowKey = new Uint8Array(5);
    rowKey[0] = 0x70;
    new DataView(rowKey.buffer).setUint32(1, number);
    this.#rawBytes.set(number, rawBytes);
    const row = new Uint8Array(PACK_ROW_BYTES);
    row.set(packId);
    new DataView(row.buffer).setUint32(32, Math.ceil(rawBytes / 16), true);
    this.#put(rowKey, row);
  }

  /** The directory's head, or undefined; one that needs packs that are not stored is undefined too. */
  head(path: Uint8Array): DirectoryHead | undefined {
    const row = this.#get(key('h', path));
    if (row === undefined) return undefined;
    try {
      const head = decodeHead(row);
      return allStored(head.packs, this.#packIds) ? head : undefined;
    } catch {
      return undefined;
    }
  }

  /** The directory's entries by name (latin1), without those that may not be trusted. */
  entries(path: Uint8Array): Map<string, CachedEntry> {
    const rowKey = key('b', path);
    const row = this.#get(rowKey);
    const plain = row === undefined ? undefined : this.#sealer?.open(rowKey, row);
    if (plain === undefined) return new Map();
    try {
      return decodeCachedEntries(plain, this.#packIds);
    } catch {
      return new Map();
    }
  }

  /** Lengths of the chunks that the file at `path` was last cut into. A guess: whoever uses it compares what comes of it. */
  cuts(path: Uint8Array): Uint32Array | undefined {
    const row = this.#get(key('c', path));
    return row === undefined || row.byteLength % 4 !== 0 ? undefined : new Uint32Array(Uint8Array.from(row).buffer);
  }

  putCuts(path: Uint8Array, lengths: Uint32Array): void {
    this.#put(key('c', path), new Uint8Array(lengths.buffer, lengths.byteOffset, lengths.byteLength));
  }

  /** Remembers a directory. `entry` gives the i-th of `count` entries. */
  put(
    path: Uint8Array,
    head: DirectoryHead,
    count: number,
    name: (i: number) => Uint8Array,
    entry: (i: number) => Omit<CachedEntry, 'usable'>,
  ): void {
    if (this.#readOnly) return;
    this.#put(key('h', path), encodeHead(head));
    const rowKey = key('b', path);
    if (this.#sealer !== undefined) this.#put(rowKey, this.#sealer.seal(rowKey, encodeCachedEntries(count, name, entry)));
  }

  #get(rowKey: Uint8Array): Uint8Array | undefined {
    try {
      return unsealed(this.#db?.getSync(rowKey));
    } catch {
      return undefined; // a damaged table is a cache that knows less
    }
  }

  #put(rowKey: Uint8Array, value: Uint8Array): void {
    if (this.#readOnly) return;
    this.#operations.push({ type: 'put', key: rowKey, value: sealed(value) });
    this.#operationBytes += value.byteLength;
    if (this.#operations.length >= FLUSH_OPERATIONS || this.#operationBytes >= FLUSH_BYTES) this.#flush();
  }

  #flush(): void {
    const operations = this.#operations;
    this.#operations = [];
    this.#operationBytes = 0;
    // A cache that cannot be written is one that remembers less; the backup goes on.
    this.#writing = this.#writing
      .then(() => this.#db!.batch(operations))
      .catch((error: Error) => {
        this.unwritten ??= error;
      });
  }

  /** Ids of users and groups without a name when something of theirs was last stored. */
  nameless(): Ids {
    return decodeIds(this.#get(key('n')));
  }

  rememberNameless(ids: Ids): void {
    this.#put(key('n'), encodeIds(ids));
  }

  /** Resolves when what was put so far is with the database: backpressure for the walk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    if (this.#db === undefined) return;
    if (this.#operations.length > 0) this.#flush();
    await this.#writing;
    await this.#db.close().catch((error: Error) => {
      this.unwritten ??= error;
    });
  }
}

function removed(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

function key(kind: string, path: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = new Uint8Array(1 + path.byteLength);
  out[0] = kind.charCodeAt(0);
  out.set(path, 1);
  return out;
}
