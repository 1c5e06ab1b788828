/**
 * The chunk index as a serving thread uses it: the segments other code has written, opened and searched without promises, and, for packs that no segment
 * describes, their own directories in memory. Never writes; lib/repository/open-index.ts keeps the segments up to date.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import type { Location } from '../chunk-index/chunk-index.js';
import { Segment } from '../chunk-index/segment.js';
import { CorruptError, StoreError } from '../errors.js';
import { packName } from '../format/names.js';
import { CHUNK_ROW_BYTES, decodeDirectory, MAX_PACK_BYTES, rowsOfFrame } from '../format/pack.js';
import { native } from '../native.js';
import type { ReadIndex } from '../repository/chunk-reader.js';
import { readPackDirectory } from '../repository/pack-directory.js';
import type { Ranges } from '../repository/ranges.js';
import type { Repository } from '../repository/repository.js';

interface Slot {
  readonly segment: Segment;
  readonly base: number;
  /** Pack ids, filled as they are asked for. */
  readonly packIds: (Uint8Array | undefined)[];
}

interface OwnPack {
  readonly packId: Uint8Array;
  readonly header: Uint8Array;
  readonly directory: Uint8Array;
}

/** Pack numbers of directories held in memory begin here. */
const OWN_BASE = 2 ** 31;

export class ViewIndex implements ReadIndex {
  readonly #folder: string;
  readonly #repository: Pick<Repository, 'id' | 'domainKeys'>;
  readonly #ranges: Ranges;
  #slots: Slot[] = [];
  #nextBase = 0;
  readonly #own: OwnPack[] = [];
  readonly #ownIds = new Set<string>();
  readonly #ownChunks = new Map<string, Location[]>();

  constructor(folder: string, repository: Pick<Repository, 'id' | 'domainKeys'>, ranges: Ranges) {
    this.#folder = folder;
    this.#repository = repository;
    this.#ranges = ranges;
    this.refresh();
  }

  /** Opens new segments and lets go of those that were merged into others. */
  refresh(): void {
    let names: string[];
    try {
      names = readdirSync(this.#folder).filter((name) => name.endsWith('.seg'));
    } catch {
      return;
    }
    const files = new Set(names.map((name) => join(this.#folder, name)));
    for (const { segment } of this.#slots) files.delete(segment.file);
    for (const file of files) {
      try {
        const segment = Segment.open(file, false);
        this.#slots.push({ segment, base: this.#nextBase, packIds: [] });
        this.#nextBase += segment.packCount;
      } catch {
        // Damaged or merged away: whoever keeps the index sees to it; the packs themselves still tell what is in them.
      }
    }
    const listed = new Set(names);
    const keep = this.#slots.filter(({ segment }) => listed.has(segment.file.slice(this.#folder.length + 1)) && !segment.damaged);
    for (const slot of this.#slots) if (!keep.includes(slot)) slot.segment.close();
    this.#slots = keep;
  }

  locate(id: Uint8Array): Location[] {
    const places: Location[] = [];
    for (const slot of this.#slots) {
      const rows = native().segmentRows(slot.segment.handle, id);
      for (let at = 0; at < rows.length; at += 3) {
        const packId = this.#packIdIn(slot, rows[at]!);
        if (packId !== undefined)
          places.push({ packIndex: slot.base + rows[at]!, packId, frame: rows[at + 1]!, chunk: rows[at + 2]! });
      }
    }
    if (this.#own.length > 0) places.push(...(this.#ownChunks.get(toHex(id)) ?? []));
    return places;
  }

  packId(packIndex: number): Uint8Array {
    if (packIndex >= OWN_BASE) return this.#ownPack(packIndex).packId;
    const slot = this.#slotOf(packIndex);
    return slot.segment.packId(packIndex - slot.base);
  }

  header(packIndex: number): Uint8Array {
    if (packIndex >= OWN_BASE) return this.#ownPack(packIndex).header;
    const slot = this.#slotOf(packIndex);
    return slot.segment.header(packIndex - slot.base);
  }

  directory(packIndex: number): Uint8Array {
    if (packIndex >= OWN_BASE) return this.#ownPack(packIndex).directory;
    const slot = this.#slotOf(packIndex);
    return slot.segment.directory(packIndex - slot.base);
  }

  /**
   * Makes sure that the packs with joined ids `pins` are known, reading the directories of those that no segment holds.
   *
   * @returns whether anything is known that was not before
   */
  cover(pins: Uint8Array): boolean {
    const before = this.#nextBase;
    this.refresh();
    const known = new Set<string>(this.#ownIds);
    for (const { segment } of this.#slots) {
      try {
        for (const id of segment.packIds()) known.add(toHex(id));
      } catch (error) {
        if (!(error instanceof CorruptError)) throw error;
      }
    }
    let grew = this.#nextBase > before;
    for (let at = 0; at < pins.byteLength; at += 32) {
      const id = pins.slice(at, at + 32);
      if (known.has(toHex(id))) continue;
      try {
        this.#take(readPackDirectory(this.#repository, this.#ranges, id));
        grew = true;
      } catch (error) {
        // The reader of a chunk says which chunk is lost; a pack that is damaged everywhere is no reason to fail for the others.
        if (error instanceof StoreError) throw error;
      }
    }
    return grew;
  }

  close(): void {
    for (const { segment } of this.#slots) segment.close();
    this.#slots = [];
  }

  #take(pack: OwnPack): void {
    const packIndex = OWN_BASE + this.#own.length;
    const directory = decodeDirectory(pack.directory, MAX_PACK_BYTES, packName(pack.packId));
    this.#own.push(pack);
    this.#ownIds.add(toHex(pack.packId));
    for (const [number, frame] of directory.frames.entries()) {
      const rows = rowsOfFrame(directory, frame);
      for (let chunk = 0; chunk < frame.chunkCount; chunk++) {
        const hex = toHex(rows.subarray(chunk * CHUNK_ROW_BYTES, chunk * CHUNK_ROW_BYTES + 32));
        const place = { packIndex, packId: pack.packId, frame: number, chunk };
        const places = this.#ownChunks.get(hex);
        if (places === undefined) this.#ownChunks.set(hex, [place]);
        else places.push(place);
      }
    }
  }

  #packIdIn(slot: Slot, pack: number): Uint8Array | undefined {
    const known = slot.packIds[pack];
    if (known !== undefined) return known;
    try {
      return (slot.packIds[pack] = slot.segment.packId(pack));
    } catch (error) {
      if (error instanceof CorruptError) return undefined;
      throw error;
    }
  }

  #slotOf(packIndex: number): Slot {
    const slot = this.#slots.find(({ segment, base }) => packIndex >= base && packIndex < base + segment.packCount);
    if (slot === undefined) throw new RangeError(`no pack has index ${packIndex}`);
    return slot;
  }

  #ownPack(packIndex: number): OwnPack {
    const pack = this.#own[packIndex - OWN_BASE];
    if (pack === undefined) throw new RangeError(`no pack has index ${packIndex}`);
    return pack;
  }
}
