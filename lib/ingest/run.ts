/**
 * One backup run's machinery: session, tables of what is known, worker threads, packs on their way to the store. Knows nothing of files and directories.
 */
import { randomBytes } from 'node:crypto';
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { createSessionKey } from '../crypto/session.js';
import { RoleError } from '../errors.js';
import type { PackDirectory } from '../format/index-object.js';
import { indexName, packName } from '../format/names.js';
import { PackClass } from '../format/pack.js';
import { native } from '../native.js';
import { sealIndexObject } from '../repository/pack-directory.js';
import { type FinishedPack, PackWriter, type PackWriterKeys, rawBytesOf } from '../repository/pack-writer.js';
import { type Repository, writerAuthor } from '../repository/repository.js';
import type { PackUses } from './cache-rows.js';
import type { ChangeCache } from './change-cache.js';
import { IN_RUN, type LookupTables } from './lookup.js';
import { MetaWriter } from './meta-writer.js';
import { WorkerPool } from './worker-pool.js';

const META_PACK_BYTES = 4 << 20;
const META_FRAME_BYTES = 256 << 10;
const MAX_UPLOADS = 2;
/**
 * Chunks of packs that wait for an index object; at so many, one is written and the claims of the run start anew. Just below what makes the shards of native
 * claims double: 9.5 MB instead of 19.
 */
const ROTATE_CHUNKS = 175_000;

export interface RunOptions {
  readonly level: number;
  readonly threads: number;
  /** Store nothing: only find out what would be stored. */
  readonly dryRun: boolean;
  /** ROTATE_CHUNKS unless a test says otherwise. */
  readonly rotateChunks?: number;
}

export class Run {
  readonly keys: PackWriterKeys;
  readonly pool: WorkerPool;
  readonly meta: MetaWriter;
  readonly cache: ChangeCache;
  /** Bytes needed of each pack, by the change cache's pack numbers. */
  readonly used = new Map<number, number>();
  readonly indexIds: Uint8Array[] = [];
  storedBytes = 0;

  readonly #repository: Repository;
  readonly #options: RunOptions;
  readonly #index: ChunkIndex;
  readonly #stored: Map<string, number>;
  readonly #metaPacks: PackWriter;
  readonly #ordinals = new Map<number, number>();
  readonly #indexNumbers: number[] = [];
  #tables: LookupTables;
  #uploads = new Set<Promise<void>>();
  #unindexed: PackDirectory[] = [];
  #unindexedChunks = 0;
  #rotating: Promise<void> | undefined;
  #failure: unknown;

  private constructor(
    repository: Repository,
    index: ChunkIndex,
    stored: Map<string, number>,
    cache: ChangeCache,
    keys: PackWriterKeys,
    options: RunOptions,
  ) {
    this.#repository = repository;
    this.#options = options;
    this.#index = index;
    this.#stored = stored;
    this.cache = cache;
    this.keys = keys;
    const { chunkId, gear } = repository.domainKeys(keys.domain);
    const counters = new Int32Array(new SharedArrayBuffer(4));
    this.#tables = this.#makeTables([native().claimsCreate()]);
    this.#metaPacks = new PackWriter(
      keys,
      { packClass: PackClass.metadata, level: options.level, targetBytes: META_PACK_BYTES },
      { metadata: { closeAt: META_FRAME_BYTES } },
      () => Atomics.add(counters, 0, 1),
    );
    this.meta = new MetaWriter(this.#metaPacks, chunkId, () => this.#tables);
    this.pool = new WorkerPool(
      { keys, chunkIdKey: chunkId, gear, level: options.level, tables: this.#tables, counters },
      options.threads,
      (pack, spent) => this.#upload(pack, spent),
    );
  }

  /** Starts a session, sealed to `readerKey`. `stored`: hex ids and sizes of the packs that may be used again. @throws RoleError without a writer's key */
  static async start(
    repository: Repository,
    index: ChunkIndex,
    stored: Map<string, number>,
    cache: ChangeCache,
    readerKey: Uint8Array,
    options: RunOptions,
  ): Promise<Run> {
    const writer = repository.keyring.writer;
    if (writer === null) throw new RoleError('writer', 'storing a snapshot');
    const domainKeys = repository.domainKeys(writer.domain);
    const ids = {
      repository: repository.id,
      writer: writerAuthor(repository),
      domain: writer.domain,
      session: new Uint8Array(randomBytes(16)),
    };
    const { key, sealed } = await createSessionKey(readerKey, domainKeys, ids);
    return new Run(repository, index, stored, cache, { ...ids, sessionKey: key, sealed, indexKey: domainKeys.index }, options);
  }

  #makeTables(claims: readonly number[]): LookupTables {
    return {
      claims,
      handles: this.#index.handles(),
      bases: this.#index.bases(),
      usable: this.#index.usable((packId) => this.#isUsable(toHex(packId))),
    };
  }

  #isUsable(packHex: string): boolean {
    return this.#stored.has(packHex) && !this.cache.avoids(packHex);
  }

  /** The change cache's number of the pack that a look-up named. */
  packNumber(ref: number): number {
    if (ref < IN_RUN)
      return (this.#indexNumbers[ref] ??= this.cache.numberOf(this.#index.packId(ref), () =>
        rawBytesOf(this.#index.directory(ref)),
      ));
    let number = this.#ordinals.get(ref);
    if (number === undefined) this.#ordinals.set(ref, (number = this.cache.newNumber()));
    return number;
  }

  /** Counts packs that the snapshot needs. */
  use(packs: PackUses): void {
    for (let i = 0; i < packs.length; i += 2) this.used.set(packs[i]!, (this.used.get(packs[i]!) ?? 0) + packs[i + 1]!);
  }

  /** Call between pieces of work: waits while too much is under way, stores metadata packs that are full, starts new tables when the old are large. */
  async breathe(): Promise<void> {
    for (const pack of this.#metaPacks.takeFinished()) this.#uploadMeta(pack);
    while (this.#uploads.size >= MAX_UPLOADS) await Promise.race(this.#uploads);
    if (this.#failure !== undefined) throw this.#failure;
    // Several files call this at once; they share one rotation. A dry run has none: nothing but its claims remembers what it counted.
    if (!this.#options.dryRun && this.#unindexedChunks >= (this.#options.rotateChunks ?? ROTATE_CHUNKS)) {
      this.#rotating ??= this.#rotate().finally(() => {
        this.#rotating = undefined;
      });
    }
    if (this.#rotating !== undefined) await this.#rotating;
    await this.cache.settled();
  }

  #uploadMeta(pack: FinishedPack): void {
    this.#upload(pack, () => this.#metaPacks.recycle(pack.bytes.buffer as ArrayBuffer));
  }

  /** Stores a pack; calls `spent` when its bytes are needed no longer. */
  #upload(pack: FinishedPack, spent: () => void): void {
    const number = this.packNumber((pack.ordinal | IN_RUN) >>> 0);
    const hex = toHex(pack.packId);
    const put = this.#options.dryRun ? Promise.resolve() : this.#repository.store.put(packName(pack.packId), [pack.bytes]);
    const packBytes = pack.bytes.byteLength;
    const upload = put.then(
      () => {
        spent();
        this.storedBytes += packBytes;
        this.#stored.set(hex, packBytes);
        this.cache.stored(number, pack.packId, rawBytesOf(pack.directory));
        if (this.#options.dryRun) return;
        this.#unindexed.push({ packId: pack.packId, packBytes, header: pack.header, directory: pack.directory });
        this.#unindexedChunks += new DataView(pack.directory.buffer, pack.directory.byteOffset).getUint32(4, true);
      },
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#uploads.add(upload);
    void upload.finally(() => this.#uploads.delete(upload));
  }

  async #uploadsDone(): Promise<void> {
    while (this.#uploads.size > 0) await Promise.all(this.#uploads);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Puts all that is stored so far into an index object and forgets its claims, so that a run of any length has bounded tables. */
  async #rotate(): Promise<void> {
    const old = this.#tables.claims;
    this.#tables = this.#makeTables([native().claimsCreate(), ...old]);
    await this.pool.setTables(this.#tables);
    await this.storePacks(false);
    this.#tables = this.#makeTables([this.#tables.claims[0]!]);
    await this.pool.setTables(this.#tables);
    for (const handle of old) native().claimsFree(handle);
  }

  /** Finishes all open packs, waits until they are durable, and writes the index object that describes them. */
  async storePacks(last: boolean): Promise<void> {
    await this.pool.flush(last);
    for (const pack of this.#metaPacks.finish(last)) this.#uploadMeta(pack);
    await this.#uploadsDone();
    if (this.#unindexed.length === 0) return;
    const packs = this.#unindexed;
    this.#unindexed = [];
    this.#unindexedChunks = 0;
    const { id, parts } = sealIndexObject(this.#repository, this.keys, packs);
    await this.#repository.store.put(indexName(id), parts);
    for (const { byteLength } of parts) this.storedBytes += byteLength;
    this.indexIds.push(id);
    await this.#index.add([{ name: toHex(id), packs }]);
  }

  /** Ids of the packs used, and their size. All must be stored. */
  pins(): { ids: Uint8Array[]; bytes: number } {
    const ids: Uint8Array[] = [];
    let bytes = 0;
    for (const number of this.used.keys()) {
      const hex = this.cache.packOf(number);
      if (hex === undefined) throw new RangeError(`pack number ${number} was used but never stored`);
      ids.push(new Uint8Array(Buffer.from(hex, 'hex')));
      bytes += this.#stored.get(hex) ?? 0;
    }
    return { ids, bytes };
  }

  async close(): Promise<void> {
    await this.pool.close();
    await Promise.allSettled(this.#uploads);
    for (const handle of this.#tables.claims) native().claimsFree(handle);
  }
}
