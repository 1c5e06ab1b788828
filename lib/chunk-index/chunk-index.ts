/**
 * The local chunk index: chunk id → packs, over a folder of segments that processes share without locks. It is a cache that may be deleted
 * at any time and never the truth: what it says about a pack is checked by whoever reads the pack, and what it lacks is added again.
 */

import { createHash } from 'node:crypto';
import { toHex } from '../bytes.js';
import { CorruptError, StoreError } from '../errors.js';
import { native } from '../native.js';
import { createSegment } from './create-segment.js';
import { isStill, listSegments, removeQuietly, removeStale } from './folder.js';
import { chooseMerge, superfluous } from './policy.js';
import { Segment } from './segment.js';
import { type IndexSource, mergeSegments, rowsOf, writeSegment } from './segment-file.js';

/** What `find` gives for an id that no usable pack holds. */
export const ABSENT = 0xffffffff;

const ROWS_PER_SEGMENT = 1 << 20;
const KEPT_DESCRIPTIONS = 65_536;

/** One place of a chunk. The first 16 bytes of its id matched; whoever reads `directory(packIndex)` compares all 32. */
export interface Location {
  readonly packIndex: number;
  readonly packId: Uint8Array;
  readonly frame: number;
  /** Number of the chunk within its frame. */
  readonly chunk: number;
}

export interface ChunkIndexOptions {
  /** Load filters, 10.5 bits a chunk: for a writer that asks for many ids it will not find. */
  readonly filter: boolean;
  /** Merge segments when opening and adding (default). Off: pack indexes stay valid until `refresh`, `compact` or `close`. */
  readonly compact?: boolean;
}

/** An open segment and the pack index of its first pack. `shared` is false for one without a name in the folder. */
interface Slot {
  readonly segment: Segment;
  readonly base: number;
  readonly shared: boolean;
}

/**
 * Opens the index in `folder`, which need not exist or be writable. Segments that do not verify are deleted.
 *
 * @returns an index over all valid segments; add what `covered()` lacks
 */
export async function openChunkIndex(folder: string, options: ChunkIndexOptions): Promise<ChunkIndex> {
  const index = new ChunkIndex(folder, options);
  await removeStale(folder);
  await index.refresh();
  if (options.compact !== false) await index.compact();
  return index;
}

/** Open index. Pack indexes are numbers over all segments, never used twice while it is open. */
export class ChunkIndex {
  readonly #folder: string;
  readonly #options: ChunkIndexOptions;
  #slots: Slot[] = [];
  #retired: Slot[] = [];
  #nextBase = 0;
  /** Of packs that are described more than once. Pack indexes are never used twice. */
  readonly #descriptions = new Map<number, string>();
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Use openChunkIndex. */
  constructor(folder: string, options: ChunkIndexOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  /** Names of all sources whose packs the index holds. */
  covered(): ReadonlySet<string> {
    this.#dropDamaged();
    return new Set(this.#slots.flatMap((slot) => [...slot.segment.covered]));
  }

  /** Rows over all segments; a chunk in two packs counts twice. */
  get rowCount(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.segment.rowCount, 0);
  }

  get segmentCount(): number {
    return this.#slots.length;
  }

  /** Picks up segments that other processes added. A deleted one stays in use. Pack indexes of superseded segments last until the next call. */
  async refresh(): Promise<void> {
    await this.#alone(async () => {
      this.#closeRetired();
      // A segment may be merged away between listing and opening; its successor is in the next listing.
      for (let attempt = 0; attempt < 3; attempt++) if (await this.#openListed()) break;
      this.#dropSuperfluous();
    });
  }

  /**
   * Adds sources that are not covered yet, about a million chunks a segment; of what comes from an async iterable, no more than that and one source more is in
   * memory at a time. When the folder cannot be written, the segment is private to this process and vanishes with it.
   *
   * @param onRefused - called for each source that cannot be added, whatever the reason; all others are. Absent, the first reason is thrown when they are
   * @throws StoreError when there is no place for a segment at all
   */
  async add(
    sources: Iterable<IndexSource> | AsyncIterable<IndexSource>,
    onRefused?: (error: CorruptError) => void,
  ): Promise<void> {
    const refused: unknown[] = [];
    const refuse = (name: string, error: unknown): void => {
      if (onRefused === undefined) refused.push(error);
      else onRefused(error instanceof CorruptError ? error : new CorruptError(name, (error as Error).message, {}, error));
    };
    await this.#alone(async () => {
      const known = new Set(this.covered());
      let group: IndexSource[] = [];
      let rows = 0;
      const flush = async (): Promise<void> => {
        const full = group;
        group = [];
        rows = 0;
        if (full.length > 0) await this.#write(full, refuse);
      };
      for await (const source of sources) {
        if (known.has(source.name)) continue;
        known.add(source.name);
        const more = rowsOf(source);
        if (group.length > 0 && rows + more > ROWS_PER_SEGMENT) await flush();
        group.push(source);
        rows += more;
        // At once, not when the next one is there: a source may be as large as all that fits a segment.
        if (rows >= ROWS_PER_SEGMENT) await flush();
      }
      await flush();
    });
    if (this.#options.compact !== false) await this.compact();
    if (refused.length > 0) throw refused[0];
  }

  /** Merges segments where more than eight of one size class exist. Never fails: without room or permission nothing is merged. */
  async compact(): Promise<void> {
    await this.#alone(async () => {
      this.#closeRetired();
      for (const shared of [true, false]) while (await this.#mergeOnce(shared));
    });
  }

  /**
   * All packs, of superseded segments none; a pack in two segments comes twice, with two indexes. A segment found damaged on the way is dropped, and leaves
   * `covered()`.
   */
  *packs(): Generator<{ packIndex: number; packId: Uint8Array }> {
    for (const { segment, base } of [...this.#slots]) {
      let pack = 0;
      try {
        for (const packId of segment.packIds()) yield { packIndex: base + pack++, packId };
      } catch (error) {
        if (!(error instanceof CorruptError) || !segment.damaged) throw error;
        this.#dropDamaged();
      }
    }
  }

  /** The bitmap that `find` takes: one bit for each pack index, set where `isUsable` says so. */
  usable(isUsable: (packId: Uint8Array) => boolean): Uint8Array {
    const bitmap = new Uint8Array(Math.ceil(this.#nextBase / 8));
    for (const { packIndex, packId } of this.packs()) {
      if (isUsable(packId)) bitmap[packIndex >>> 3]! |= 1 << (packIndex & 7);
    }
    return bitmap;
  }

  /** Id of a pack, 32 bytes. @throws RangeError for an index never given, or given too long ago */
  packId(packIndex: number): Uint8Array {
    return this.#read(packIndex, (segment, pack) => segment.packId(pack));
  }

  /** Header of a pack, 256 bytes. @throws as packId; CorruptError when the segment is damaged, which drops it */
  header(packIndex: number): Uint8Array {
    return this.#read(packIndex, (segment, pack) => segment.header(pack));
  }

  /** Directory of a pack, as its index object held it. @throws as header */
  directory(packIndex: number): Uint8Array {
    return this.#read(packIndex, (segment, pack) => segment.directory(pack));
  }

  /**
   * A pack for each id.
   *
   * @param ids - n ids of 32 bytes
   * @param usable - bit n (byte n >> 3, bit n & 7) says whether pack index n counts; without it, all do
   * @returns n pack indexes, or ABSENT
   */
  find(ids: Uint8Array, usable?: Uint8Array): Uint32Array {
    const found = native().segmentFind(this.handles(), this.bases(), ids, usable);
    this.#dropDamaged();
    return found;
  }

  /** With `bases`, what a worker thread passes to native().segmentFind. Valid until refresh, compact or close; stale handles find nothing. */
  handles(): Uint32Array {
    return Uint32Array.from(this.#slots.map((slot) => slot.segment.handle));
  }

  /** Pack index of each segment's first pack, in the order of `handles`. */
  bases(): Uint32Array {
    return Uint32Array.from(this.#slots.map((slot) => slot.base));
  }

  /** Every place of a chunk, each once; a pack that is described in two ways has two. Empty when it is unknown; a segment found damaged meanwhile leaves `covered()`. */
  locate(id: Uint8Array): Location[] {
    const places = new Map<string, Location[]>();
    for (const { segment, base } of this.#slots) {
      const rows = native().segmentRows(segment.handle, id);
      for (let at = 0; at < rows.length; at += 3) {
        const pack = rows[at]!;
        const frame = rows[at + 1]!;
        const chunk = rows[at + 2]!;
        try {
          const packId = segment.packId(pack);
          const key = `${toHex(packId)} ${frame} ${chunk}`;
          const place = { packIndex: base + pack, packId, frame, chunk };
          const others = places.get(key);
          if (others === undefined) places.set(key, [place]);
          else if (!this.#isDescribed(others, place.packIndex)) others.push(place);
        } catch (error) {
          if (!(error instanceof CorruptError)) throw error;
        }
      }
    }
    this.#dropDamaged();
    return [...places.values()].flat();
  }

  /** Whether one of `places` has a pack index with the same description as this one. Some may be lies of somebody who has the domain's secret, and any number. */
  #isDescribed(places: readonly Location[], packIndex: number): boolean {
    const own = this.#description(packIndex);
    return places.some((place) => this.#description(place.packIndex) === own);
  }

  /** SHA-256 over what is said of a pack. */
  #description(packIndex: number): string {
    let digest = this.#descriptions.get(packIndex);
    if (digest === undefined) {
      digest = createHash('sha256').update(this.header(packIndex)).update(this.directory(packIndex)).digest('base64');
      if (this.#descriptions.size >= KEPT_DESCRIPTIONS) this.#descriptions.clear();
      this.#descriptions.set(packIndex, digest);
    }
    return digest;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#alone(async () => {
      for (const { segment } of [...this.#slots, ...this.#retired]) segment.close();
      this.#slots = [];
      this.#retired = [];
      this.#closed = true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs changes of the set of segments one after another. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => {
      if (this.#closed) throw new RangeError('this chunk index is closed');
      return change();
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** Opens files that are not open yet. False when one vanished meanwhile. */
  async #openListed(): Promise<boolean> {
    const open = new Set(this.#slots.filter((slot) => slot.shared).map((slot) => slot.segment.file));
    let steady = true;
    for (const file of await listSegments(this.#folder)) {
      if (open.has(file)) continue;
      try {
        this.#take(Segment.open(file, this.#options.filter), true);
      } catch (error) {
        if (error instanceof CorruptError) removeQuietly(file);
        else if ((error as NodeJS.ErrnoException).code === 'ENOENT') steady = false;
      }
    }
    return steady;
  }

  /** Largest first: that is where most ids are found. */
  #take(segment: Segment, shared: boolean): void {
    this.#slots.push({ segment, base: this.#nextBase, shared });
    this.#nextBase += segment.packCount;
    this.#slots.sort((a, b) => b.segment.rowCount - a.segment.rowCount);
  }

  /** Writes a segment over `group`; when one of them spoils it, each gets one of its own, and those that cannot are refused. */
  async #write(group: readonly IndexSource[], refuse: (name: string, error: unknown) => void): Promise<void> {
    try {
      await this.#create(true, (folder) => writeSegment(folder, group));
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (group.length === 1) refuse(group[0]!.object ?? group[0]!.name, error);
      else for (const source of group) await this.#write([source], refuse);
    }
  }

  /** Creates and opens a segment, in the shared folder if `shared` and possible. */
  async #create(shared: boolean, write: (folder: string) => Promise<string>): Promise<void> {
    const made = await createSegment(this.#folder, shared, this.#options.filter, write);
    this.#take(made.segment, made.shared);
  }

  /** One merge of the first crowded size class. True when there may be more to do. */
  async #mergeOnce(shared: boolean): Promise<boolean> {
    const slots = this.#slots.filter((slot) => slot.shared === shared);
    const chosen = chooseMerge(slots.map((slot) => slot.segment));
    if (chosen === undefined) return false;
    try {
      if (shared) {
        const file = await mergeSegments(this.#folder, chosen);
        Segment.open(file, false).close(); // verifies it while the old ones are still there
        // Old filters are let go before the new one is loaded: together they would be the largest use of memory.
        this.#retire((slot) => chosen.includes(slot.segment));
        this.#take(Segment.open(file, this.#options.filter), true);
      } else {
        await this.#create(false, (folder) => mergeSegments(folder, chosen));
        this.#retire((slot) => chosen.includes(slot.segment));
      }
    } catch {
      await this.#openListed();
      return this.#dropDamaged();
    }
    return true;
  }

  #dropSuperfluous(): void {
    const shared = this.#slots.filter((slot) => slot.shared).map((slot) => slot.segment);
    const own = this.#slots.filter((slot) => !slot.shared).map((slot) => slot.segment);
    const doubled = new Set(superfluous(shared));
    const names = new Set(shared.flatMap((segment) => [...segment.covered]));
    for (const segment of own) if (segment.covered.every((name) => names.has(name))) doubled.add(segment);
    if (doubled.size > 0) this.#retire((slot) => doubled.has(slot.segment));
  }

  /** Drops segments in which something failed to verify. True when there was one. */
  #dropDamaged(): boolean {
    if (!this.#slots.some((slot) => slot.segment.damaged)) return false;
    this.#retire((slot) => slot.segment.damaged);
    return true;
  }

  /** Takes segments out of use and deletes their files; other processes that have them open keep them. */
  #retire(which: (slot: Slot) => boolean): void {
    const gone = this.#slots.filter(which);
    this.#slots = this.#slots.filter((slot) => !gone.includes(slot));
    this.#retired.push(...gone);
    for (const { segment, shared } of gone) {
      segment.stopSearching();
      if (shared && isStill(segment)) removeQuietly(segment.file);
    }
  }

  #closeRetired(): void {
    for (const { segment } of this.#retired) segment.close();
    this.#retired = [];
  }

  #read<T>(packIndex: number, read: (segment: Segment, pack: number) => T): T {
    const holds = ({ segment, base }: Slot): boolean => packIndex >= base && packIndex < base + segment.packCount;
    const slot = this.#slots.find(holds) ?? this.#retired.find(holds);
    if (slot === undefined) throw new RangeError(`no pack has index ${packIndex}`);
    try {
      return read(slot.segment, packIndex - slot.base);
    } catch (error) {
      this.#dropDamaged();
      throw error;
    }
  }
}
