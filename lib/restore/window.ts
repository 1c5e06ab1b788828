/**
 * A window: as many files of the walk as memory allows to plan at once, with the chunks they need. What is in it is written in the order
 * of packs; what must come after (metadata, links, finished directories) waits in it.
 */
import type { Entry, FileEntry } from '../format/tree.js';
import { stepsOf } from './metadata.js';
import type { Run } from './run.js';
import type { Existing, Identity } from './stat.js';
import type { TargetDirectory } from './target-directory.js';
import { type Attributes, RecordBuffer, ROW, ROW_WORDS, Step, type TaskDirectory, WHOLE } from './task.js';

/** A regular file that is being written. */
export interface PlannedFile {
  readonly directory: TargetDirectory;
  readonly entry: FileEntry;
  readonly path: string;
  /** Made by this run, not mended in place. */
  readonly created: boolean;
  /** The file, held open until it is finished; undefined for one that is made whole in one call. */
  fd: number | undefined;
  /** Whether it is one that is held open. */
  readonly held: boolean;
  /** What it is given when it is made in one call. */
  readonly attributes: Attributes;
  /** Bytes that come from chunks. */
  rowBytes: number;
  failed: boolean;
}

/** The first name of a file with several; the others are linked to it. */
export interface LinkSource {
  readonly directory: TargetDirectory;
  readonly name: Uint8Array;
  readonly path: string;
  readonly file: PlannedFile | undefined;
  /** Which entry it is; undefined in a dry run. */
  readonly identity: Identity | undefined;
  /** Names still to come. */
  left: number;
}

export interface PlannedLink {
  readonly directory: TargetDirectory;
  readonly entry: Entry;
  readonly path: string;
  readonly source: LinkSource;
  /** What stood there before. */
  readonly existing: Existing | undefined;
}

export class Window {
  readonly #run: Run;
  readonly files: PlannedFile[] = [];
  readonly records = new RecordBuffer();
  readonly recordAt: number[] = [];
  readonly fileDirectory: number[] = [];
  readonly directories: TaskDirectory[] = [];
  rows = new Uint32Array(ROW_WORDS * 1024);
  /** Chunk id of each row; for whole files their digest, until `plan` makes ids of them. */
  ids = new Uint8Array(32 * 1024);
  rowCount = 0;
  readonly inlineFiles: number[] = [];
  inlineData = new Uint8Array(4096);
  inlineBytes = 0;
  /** Files whose last bytes are in this window. */
  readonly complete: PlannedFile[] = [];
  readonly links: PlannedLink[] = [];
  readonly finishedDirectories: TargetDirectory[] = [];
  bytes = 0;
  /** Files that it holds open. */
  held = 0;
  #lastFile: PlannedFile | undefined;
  #lastDirectory: TargetDirectory | undefined;

  constructor(run: Run) {
    this.#run = run;
  }

  /** Number of things in it, to keep it bounded. */
  get size(): number {
    return this.files.length + this.rowCount + this.complete.length + this.links.length + this.finishedDirectories.length;
  }

  /** A file without chunks. */
  addInline(file: PlannedFile, data: Uint8Array): void {
    while (this.inlineBytes + data.byteLength > this.inlineData.byteLength) this.inlineData = grown(this.inlineData);
    this.inlineData.set(data, this.inlineBytes);
    this.inlineFiles.push(this.#number(file, this.inlineBytes, data.byteLength));
    this.inlineBytes += data.byteLength;
    file.rowBytes = data.byteLength;
    this.complete.push(file);
  }

  /** A file that is one chunk, known by its digest. */
  addWhole(file: PlannedFile): void {
    this.#addRow(this.#number(file, 0, file.entry.sizeBytes), file.entry.digest!, file.entry.sizeBytes, 0, WHOLE);
    file.rowBytes = file.entry.sizeBytes;
    this.complete.push(file);
  }

  /** A piece of a file that exists. */
  addPiece(file: PlannedFile, id: Uint8Array, length: number, offset: number, flags: number): void {
    this.#addRow(this.#number(file, 0, 0), id, length, offset, flags);
    file.rowBytes += length;
  }

  #number(file: PlannedFile, dataOffset: number, dataBytes: number): number {
    if (this.#lastFile === file) return this.files.length - 1;
    const { entry, directory } = file;
    const { uid, gid, modeMask } = this.#run.owners(entry.owner);
    if (this.#lastDirectory !== directory) {
      this.#lastDirectory = directory;
      this.directories.push({ path: directory.path, identity: directory.exposed ? directory.identity : undefined });
    }
    this.#lastFile = file;
    this.recordAt.push(this.records.length);
    this.fileDirectory.push(this.directories.length - 1);
    const { name, mode, mtimeSec, mtimeNsec } = entry;
    // In a directory that this run did not make a default ACL is inherited, set there by whoever owns it and at any time.
    const what = stepsOf(this.#run, entry) | (directory.fresh ? 0 : Step.strip);
    const { attributes } = file;
    this.records.add({ name, dataOffset, dataBytes, uid, gid, mode: mode & modeMask, mtimeSec, mtimeNsec, what, attributes });
    return this.files.push(file) - 1;
  }

  #addRow(file: number, id: Uint8Array, length: number, offset: number, flags: number): void {
    const at = this.rowCount * ROW_WORDS;
    if (at === this.rows.length) {
      const larger = new Uint32Array(this.rows.length * 2);
      larger.set(this.rows);
      this.rows = larger;
      this.ids = grown(this.ids);
    }
    this.rows[at + ROW.file] = file;
    this.rows[at + ROW.offsetLow] = offset % 0x1_0000_0000;
    this.rows[at + ROW.offsetHigh] = Math.floor(offset / 0x1_0000_0000);
    this.rows[at + ROW.length] = length;
    this.rows[at + ROW.flags] = flags;
    this.ids.set(id, this.rowCount * 32);
    this.rowCount++;
    this.bytes += length;
  }
}

function grown(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(bytes.byteLength * 2);
  larger.set(bytes);
  return larger;
}
