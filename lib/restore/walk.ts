/**
 * Walks the snapshot's tree and decides, entry by entry, what is made, mended, linked or left alone. Directories, symlinks and special files
 * are made here; the content of files goes into the window.
 */
import { CorruptError } from '../errors.js';
import { linkKey } from '../format/link-key.js';
import { type Entry, EntryKind, type FileEntry, isDirectory, isFile } from '../format/tree.js';
import { readDirectory, readPieces } from '../repository/tree-reader.js';
import { differingPieces, isDevice, judgeExisting, openUp } from './existing.js';
import { setMetadata } from './metadata.js';
import { type Pipeline, throwIfAborted } from './pipeline.js';
import type { Run } from './run.js';
import type { Existing } from './stat.js';
import { bytesOf, childDirectory, ensureDirectory, pathIn, type TargetDirectory } from './target.js';
import { IN_PLACE } from './task.js';
import type { LinkSource, PlannedFile } from './window.js';

const S_IFMT_OF: Partial<Record<EntryKind, number>> = { 4: 0o010000, 5: 0o140000, 6: 0o020000, 7: 0o060000 };
/** Below this, looking for zeros in a whole file is not worth a file made in two steps. */
const SPARSE_MIN_BYTES = 4096;

export class Walk {
  readonly #run: Run;
  readonly #pipeline: Pipeline;
  readonly #links = new Map<string, LinkSource>();

  constructor(run: Run, pipeline: Pipeline) {
    this.#run = run;
    this.#pipeline = pipeline;
  }

  /** Restores `entries` into `directory`. `included`: an `include` has said yes to a directory above. */
  async directory(directory: TargetDirectory, entries: Iterable<Entry>, included: boolean): Promise<void> {
    const { options, journal, source } = this.#run;
    try {
      for (const entry of entries) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        const path = pathIn(directory, entry.name);
        let chosen = included ? 'yes' : 'no';
        if (options.include !== undefined || options.exclude !== undefined) {
          const bytes = bytesOf(`/${path}`);
          if (options.exclude?.(bytes, isDirectory(entry)) === 'yes') continue;
          if (!included) chosen = options.include?.(bytes, isDirectory(entry)) ?? 'yes';
        }
        if (isDirectory(entry)) {
          if (chosen === 'no') continue;
          const child = childDirectory(directory, entry);
          if (chosen === 'yes' && !ensureDirectory(this.#run, child)) continue;
          await this.directory(child, readDirectory(source, entry.tree), chosen === 'yes');
          this.#pipeline.window.finishedDirectories.push(child);
        } else if (chosen === 'yes' && ensureDirectory(this.#run, directory)) {
          try {
            const pending = this.#entry(directory, entry, path);
            if (pending !== undefined) await pending;
          } catch (error) {
            throwIfAborted(this.#run);
            // Root without CAP_MKNOD, in a container for instance.
            if (isDevice(entry) && (error as NodeJS.ErrnoException).code === 'EPERM') journal.device(path);
            else journal.failure(path, error);
          }
        }
      }
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      journal.failure(directory.path, error);
    }
  }

  #entry(
    directory: TargetDirectory,
    entry: Exclude<Entry, { kind: typeof EntryKind.directory }>,
    path: string,
  ): Promise<void> | undefined {
    const run = this.#run;
    const dryRun = run.options.dryRun === true;
    const key = linkKey(entry);
    const first = key === undefined ? undefined : this.#links.get(key);
    if (first !== undefined) {
      if (--first.left === 0) this.#links.delete(key!);
      if (dryRun) this.#count(entry, 'restored');
      else this.#pipeline.window.links.push({ directory, entry, path, source: first });
      return undefined;
    }
    const judgement = judgeExisting(run, directory, entry, path);
    if (judgement.kind === 'refused') return undefined;
    if (judgement.kind === 'keep') {
      // What was kept because it is newer or must not change is not the file that the other names mean.
      if (run.overwrite === 'if-changed') this.#remember(directory, entry, path, undefined);
      this.#count(entry, 'skipped');
      return undefined;
    }
    if (judgement.kind === 'mend') return this.#mend(directory, entry as FileEntry, path, judgement.existing);
    if (isDevice(entry) && !run.privileged) {
      run.journal.device(path);
      return undefined;
    }
    if (dryRun) {
      this.#remember(directory, entry, path, undefined);
      this.#count(entry, 'restored');
      return undefined;
    }
    if (isFile(entry)) return this.#create(directory, entry, path);
    this.#special(directory, entry, path);
    return undefined;
  }

  /** A new file: whole in one call if it is small, else made here and filled by the writers. */
  #create(directory: TargetDirectory, entry: FileEntry, path: string): Promise<void> | undefined {
    const { content, sizeBytes } = entry;
    const { window } = this.#pipeline;
    const sparse = this.#run.options.sparse === true && sizeBytes >= SPARSE_MIN_BYTES;
    const isWhole = content.kind === 'whole' && !sparse;
    const late = entry.xattrs.length > 0 || content.kind === 'rows' || (content.kind === 'whole' && sparse);
    const file: PlannedFile = { directory, entry, path, created: true, late, rowBytes: 0, failed: false };
    if (isWhole) window.addWhole(file);
    else if (content.kind === 'empty') window.addInline(file, new Uint8Array(0));
    else if (content.kind === 'inline') window.addInline(file, content.bytes);
    else {
      const { native } = this.#run;
      const fd = native.createAt(this.#run.directories.open(directory.path), entry.name, 0o600);
      try {
        native.truncateFd(fd, sizeBytes);
      } finally {
        native.closeFd(fd);
      }
      this.#remember(directory, entry, path, file);
      return this.#fill(file);
    }
    this.#remember(directory, entry, path, file);
    return undefined;
  }

  async #fill(file: PlannedFile): Promise<void> {
    try {
      for (const { id, lengthBytes, offset } of readPieces(this.#run.source, file.entry)) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        if (file.failed) break;
        if (id !== undefined) this.#pipeline.window.addPiece(file, id, lengthBytes, offset, 0);
      }
    } catch (error) {
      this.#abandon(file, error);
    }
    this.#pipeline.window.complete.push(file);
  }

  /** A damaged list of chunks: the file cannot become complete. */
  #abandon(file: PlannedFile, error: unknown): void {
    if (!(error instanceof CorruptError)) throw error;
    if (!file.failed) this.#run.journal.failure(file.path, error);
    file.failed = true;
    if (file.created) this.#run.native.unlinkAt(this.#run.directories.open(file.directory.path), file.entry.name, false);
  }

  /** An existing file: its own bytes are compared, and only what differs is written. */
  async #mend(directory: TargetDirectory, entry: FileEntry, path: string, existing: Existing): Promise<void> {
    const run = this.#run;
    const { native } = run;
    const dryRun = run.options.dryRun === true;
    const { name, sizeBytes } = entry;
    const file: PlannedFile = { directory, entry, path, created: false, late: true, rowBytes: 0, failed: false };
    let changed = existing.sizeBytes !== sizeBytes;
    if (!dryRun) {
      openUp(run, run.directories.open(directory.path), name, existing);
      if (changed) this.#withFile(directory, name, (fd) => native.truncateFd(fd, sizeBytes));
    }
    const fd = native.openAt(run.directories.open(directory.path), name, false);
    try {
      for (const { piece, differs } of differingPieces(run.source, entry, fd)) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        if (!differs) continue;
        changed = true;
        const { id, inline, lengthBytes, offset } = piece;
        if (dryRun) break;
        if (id !== undefined) this.#pipeline.window.addPiece(file, id, lengthBytes, offset, IN_PLACE);
        else if (inline !== undefined)
          this.#withFile(directory, name, (to) => native.writeAt(to, inline, 0, lengthBytes, offset));
        else this.#withFile(directory, name, (to) => native.punchHole(to, offset, lengthBytes));
      }
    } catch (error) {
      this.#abandon(file, error);
    } finally {
      native.closeFd(fd);
    }
    this.#remember(directory, entry, path, file);
    if (dryRun || !changed) {
      if (!dryRun) setMetadata(run, directory.path, path, entry);
      this.#count(entry, changed ? 'restored' : 'skipped');
    } else this.#pipeline.window.complete.push(file);
  }

  #withFile(directory: TargetDirectory, name: Uint8Array, change: (fd: number) => void): void {
    const fd = this.#run.native.openAt(this.#run.directories.open(directory.path), name, true);
    try {
      change(fd);
    } finally {
      this.#run.native.closeFd(fd);
    }
  }

  #special(
    directory: TargetDirectory,
    entry: Exclude<Entry, FileEntry | { kind: typeof EntryKind.directory }>,
    path: string,
  ): void {
    const { native, directories } = this.#run;
    const fd = directories.open(directory.path);
    if (entry.kind === EntryKind.symlink) native.symlinkAt(entry.target, fd, entry.name);
    else {
      const device = 'major' in entry ? entry : { major: 0, minor: 0 };
      native.mknodAt(fd, entry.name, S_IFMT_OF[entry.kind]! | 0o600, device.major, device.minor);
    }
    setMetadata(this.#run, directory.path, path, entry);
    this.#remember(directory, entry, path, undefined);
    this.#count(entry, 'restored');
  }

  #remember(directory: TargetDirectory, entry: Entry, path: string, file: PlannedFile | undefined): void {
    if (entry.link !== null)
      this.#links.set(linkKey(entry)!, { directory, name: entry.name, path, file, left: entry.link.nlink - 1 });
  }

  #count(entry: Entry, as: 'restored' | 'skipped'): void {
    const { journal } = this.#run;
    const bytes = isFile(entry) ? entry.sizeBytes : 0;
    journal[as]++;
    journal.otherFiles++;
    journal.otherBytes += bytes;
    if (as === 'restored') journal.bytes += bytes;
  }
}
