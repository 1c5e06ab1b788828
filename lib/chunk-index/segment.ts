/**
 * One local index segment: an immutable file of sorted rows that any number of processes read at once. It is a cache, never the truth:
 * whatever does not verify is an error, after which the file is dropped. Rows are searched by native/segment.cc; this file reads the rest.
 *
 * Numbers are little-endian. Sections, in file order:
 *
 * | section       | size                | content |
 * |---------------|---------------------|---------|
 * | header        | 4096                | below |
 * | directories   | u64 at 32           | pack directories as the repository's index objects hold them, one after another; zeros up to a multiple of 4096 |
 * | pages         | pages × 4096        | 170 rows of 24 bytes in id order (first 16 bytes of the id, u32 pack, u16 frame, u16 chunk in frame), u32 rows used, u32 page number, u32 salt, u32 CRC-32C of all before |
 * | filter        | blocks × 64         | blocked Bloom filter over all rows: block = id's first 8 bytes × blocks >> 64; 7 bits of the block by 9 bits each of the id's second 8 bytes |
 * | pack table    | packs × 328         | pack id 32, pack header 256, u64 directory offset, u32 directory length, u32 CRC-32C of the directory, u64 raw bytes, u32 chunks, u32 frames, u32 zero, u32 CRC-32C of all before |
 * | covered names | u64 at 80           | names of the sources (index objects or packs), sorted, each ended by LF |
 * | page keys     | pages × 4           | first 4 bytes of each page's first row as a big-endian number |
 *
 * Header: 0 magic VARVESEG · 8 u32 version · 12 u32 salt · 16 u64 rows · 24 u32 packs · 28 u32 pages · 32 u64 length of the directories ·
 * 40 u64 offset of the pages · 48 u64 of the filter · 56 u64 filter blocks · 64 u64 offset of the pack table · 72 u64 of the covered names ·
 * 80 u64 their length · 88 u64 offset of the page keys · 96 u64 file size · 104 u32 CRC-32C of the filter · 112 zeros ·
 * 128 SHA-256 of bytes 0 to 127 and of everything from the pack table to the end · 160 zeros.
 *
 * The file is named `<hex SHA-256 of the covered names>.seg`; the salt is the first four bytes of that hash.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { equalBytes, viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { native } from '../native.js';

export const HEADER_BYTES = 4096;
export const PACK_ENTRY_BYTES = 328;
export const DIGEST_AT = 128;
const MAGIC = 'VARVESEG';
const DIGEST_BYTES = 32;
const READ_BYTES = 1 << 18;
const KEPT_PACK_IDS = 4096;

/** Where the metadata of a segment lies, in bytes. */
interface Sections {
  rows: number;
  packs: number;
  packTable: number;
  covered: number;
  coveredLength: number;
  fileSize: number;
}

/** The name of the segment file over these sources, and the bytes of its covered names. */
export function segmentName(sources: Iterable<string>): { file: string; salt: number; covered: Uint8Array } {
  const names = [...new Set(sources)].sort();
  for (const name of names) if (!/^[\x21-\x7e]+$/.test(name)) throw new RangeError('a source name must be printable ASCII');
  const covered = new Uint8Array(Buffer.from(names.map((name) => `${name}\n`).join(''), 'latin1'));
  const digest = createHash('sha256').update(covered).digest();
  return { file: `${digest.toString('hex')}.seg`, salt: digest.readUInt32LE(0), covered };
}

/** Reads `length` bytes at `offset`. @throws CorruptError when the file ends before */
function readExactly(fd: number, length: number, offset: number, file: string): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const got = readSync(fd, bytes, done, length - done, offset + done);
    if (got === 0) throw new CorruptError(file, 'index segment ends too early');
    done += got;
  }
  return bytes;
}

/** Numbers of the header, checked against each other as far as this file uses them; native code checks the rest. */
function readSections(fd: number, header: Uint8Array, file: string): Sections {
  const view = viewOf(header);
  const at = (offset: number): number => Number(view.getBigUint64(offset, true));
  const sections = {
    rows: at(16),
    packs: view.getUint32(24, true),
    packTable: at(64),
    covered: at(72),
    coveredLength: at(80),
    fileSize: at(96),
  };
  const { packs, packTable, covered, coveredLength, fileSize } = sections;
  const sound =
    Buffer.from(header.subarray(0, 8)).toString('latin1') === MAGIC &&
    fileSize === fstatSync(fd).size &&
    packTable >= HEADER_BYTES &&
    covered === packTable + packs * PACK_ENTRY_BYTES &&
    covered + coveredLength <= fileSize;
  if (!sound) throw new CorruptError(file, 'index segment header does not verify');
  return sections;
}

/** SHA-256 over the header's numbers and all metadata, as the header must hold it at DIGEST_AT. */
export function metadataDigest(fd: number, file: string): Uint8Array {
  const header = readExactly(fd, HEADER_BYTES, 0, file);
  const { packTable, fileSize } = readSections(fd, header, file);
  const hash = createHash('sha256').update(header.subarray(0, DIGEST_AT));
  for (let at = packTable; at < fileSize; at += READ_BYTES) {
    hash.update(readExactly(fd, Math.min(READ_BYTES, fileSize - at), at, file));
  }
  return hash.digest();
}

/** An open segment. Owns a descriptor and a native handle; nothing in it changes but `close` and `stopSearching`. */
export class Segment {
  readonly file: string;
  readonly handle: number;
  readonly rowCount: number;
  readonly packCount: number;
  readonly covered: readonly string[];
  readonly #fd: number;
  readonly #packTable: number;
  /** Ids of packs that were asked for one by one: whoever reads chunks asks for the same ones again and again. */
  readonly #packIds = new Map<number, Uint8Array>();
  #damaged = false;
  #closed = false;

  private constructor(file: string, fd: number, handle: number, sections: Sections, covered: readonly string[]) {
    this.file = file;
    this.handle = handle;
    this.rowCount = sections.rows;
    this.packCount = sections.packs;
    this.covered = covered;
    this.#fd = fd;
    this.#packTable = sections.packTable;
  }

  /**
   * Opens and verifies a segment file; `filter` loads its filter into memory.
   *
   * @throws CorruptError when it does not verify; system errors as they come
   */
  static open(file: string, filter: boolean): Segment {
    const fd = openSync(file, 'r');
    try {
      const header = readExactly(fd, HEADER_BYTES, 0, file);
      const sections = readSections(fd, header, file);
      const digest = header.subarray(DIGEST_AT, DIGEST_AT + DIGEST_BYTES);
      if (!equalBytes(metadataDigest(fd, file), digest)) throw new CorruptError(file, 'index segment metadata does not verify');
      const names = readExactly(fd, sections.coveredLength, sections.covered, file);
      const covered = Buffer.from(names.buffer, names.byteOffset, names.byteLength).toString('latin1').split('\n').slice(0, -1);
      if (segmentName(covered).file !== basename(file)) throw new CorruptError(file, 'index segment has the name of another');
      return new Segment(file, fd, native().segmentOpen(fd, filter), sections, covered);
    } catch (error) {
      closeSync(fd);
      if ((error as NodeJS.ErrnoException).code !== 'EBADMSG') throw error;
      throw new CorruptError(file, (error as Error).message, {}, error);
    }
  }

  /** Whether something in it failed to verify since it was opened. */
  get damaged(): boolean {
    return this.#damaged || native().segmentDamaged(this.handle);
  }

  /** Device and inode, to tell this file from a later one of the same name. */
  get identity(): string {
    const { dev, ino } = fstatSync(this.#fd, { bigint: true });
    return `${dev}:${ino}`;
  }

  /** Id of pack `pack`, 32 bytes. @throws CorruptError if the table no longer verifies */
  packId(pack: number): Uint8Array {
    let id = this.#packIds.get(pack);
    if (id === undefined) {
      id = this.#entry(pack).slice(0, 32);
      if (this.#packIds.size >= KEPT_PACK_IDS) this.#packIds.clear();
      this.#packIds.set(pack, id);
    }
    return id;
  }

  /** Header of pack `pack`, 256 bytes. @throws CorruptError */
  header(pack: number): Uint8Array {
    return this.#entry(pack).slice(32, 288);
  }

  /** Directory of pack `pack`, as the index object held it. @throws CorruptError */
  directory(pack: number): Uint8Array {
    const entry = viewOf(this.#entry(pack));
    return this.#verified(() => {
      const directory = readExactly(this.#fd, entry.getUint32(296, true), Number(entry.getBigUint64(288, true)), this.file);
      return native().crc32c(directory) === entry.getUint32(300, true) ? directory : undefined;
    });
  }

  /** Ids of all packs in order, read a few hundred at a time. @throws CorruptError */
  *packIds(): Generator<Uint8Array> {
    const atOnce = 512;
    for (let from = 0; from < this.packCount; from += atOnce) {
      const count = Math.min(atOnce, this.packCount - from);
      const entries = this.#entries(from, count);
      for (let i = 0; i < count; i++) yield entries.slice(i * PACK_ENTRY_BYTES, i * PACK_ENTRY_BYTES + 32);
    }
  }

  /** Closes the native handle: searches find nothing here any more, but packs can still be read. */
  stopSearching(): void {
    native().segmentClose(this.handle);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.stopSearching();
    closeSync(this.#fd);
  }

  #entry(pack: number): Uint8Array {
    if (!(pack >= 0 && pack < this.packCount)) throw new RangeError(`no pack ${pack} in this index segment`);
    return this.#entries(pack, 1);
  }

  #entries(from: number, count: number): Uint8Array {
    return this.#verified(() => {
      const entries = readExactly(this.#fd, count * PACK_ENTRY_BYTES, this.#packTable + from * PACK_ENTRY_BYTES, this.file);
      for (let at = 0; at < entries.byteLength; at += PACK_ENTRY_BYTES) {
        const entry = entries.subarray(at, at + PACK_ENTRY_BYTES);
        if (native().crc32c(entry.subarray(0, PACK_ENTRY_BYTES - 4)) !== viewOf(entry).getUint32(PACK_ENTRY_BYTES - 4, true))
          return undefined;
      }
      return entries;
    });
  }

  #verified(read: () => Uint8Array | undefined): Uint8Array {
    if (this.#closed) throw new RangeError('this index segment is closed');
    let cause: unknown;
    try {
      const bytes = read();
      if (bytes !== undefined) return bytes;
    } catch (error) {
      cause = error;
    }
    this.#damaged = true;
    throw new CorruptError(this.file, 'index segment no longer verifies', {}, cause);
  }
}
