/**
 * Walks the snapshot's tree and decides, entry by entry, what is made, mended, linked or left alone. Directories, symlinks and special files
 * are made here; the content of files goes into the window.
 */
import { CorruptError } from '../errors.js';
import { linkKey } from '../format/link-key.js';
import { type DirectoryEntry, type Entry, EntryKind, type FileEntry, isDirectory, isFile } from '../format/tree.js';
import { TreeBounds } from '../repository/tree-bounds.js';
import { readDirectory, readPieces } from '../repository/tree-reader.js';
import { clearPlace, differingPieces, isDevice, judgeExisting, KIND_OF, mayFill } from './existing.js';
import { setMetadata, shortAttributes } from './metadata.js';
import { type Pipeline, throwIfAborted } from './pipeline.js';
import type { Run } from './run.js';
import { type Existing, exchanged, existingOf, type Identity, isSame } from './stat.js';
import { ensureDirectory, makersUid } from './target.js';
import { bytesOf, childDirectory, existingIn, openDirectory, pathIn, type TargetDirectory } from './target-directory.js';
import { IN_PLACE, Step, UNFINISHED_FILE } from './task.js';
import type { LinkSource, PlannedFile } from './window.js';

const S_IFMT_OF: Partial<Record<EntryKind, number>> = { 4: 0o010000, 5: 0o140000, 6: 0o020000, 7: 0o060000 };
/** Below this, looking for zeros in a whole file is not worth a file made in two steps. */
const SPARSE_MIN_BYTES = 4096;

export class Walk {
  readonly #run: Run;
  readonly #pipeline: Pipeline;
  readonly #links = new Map<string, LinkSource>();
  readonly #bounds: TreeBounds;

  /** @param snapshot - store name of its manifest, for errors */
  constructor(run: Run, pipeline: Pipeline, snapshot: string) {
    this.#run = run;
    this.#pipeline = pipeline;
    this.#bounds = new TreeBounds(snapshot);
  }

  /** Restores what `restored` holds, or it alone if it is no directory, into `directory`. */
  async begin(directory: TargetDirectory, restored: Entry, included: boolean): Promise<void> {
    if (isDirectory(restored)) await this.#below(directory, restored, included);
    else {
      this.#bounds.enter({ files: 1, directories: 0, bytes: 0 });
      await this.#directory(directory, [restored], included);
    }
  }

  /** Restores what is in the directory `entry`, which `directory` stands for. `included`: an `include` has said yes to a directory above. */
  async #below(directory: TargetDirectory, entry: DirectoryEntry, included: boolean): Promise<void> {
    this.#bounds.enter(entry.totals);
    try {
      await this.#directory(directory, readDirectory(this.#run.source, entry.tree), included);
    } finally {
      this.#bounds.leave();
    }
  }

  async #directory(directory: TargetDirectory, entries: Iterable<Entry>, included: boolean): Promise<void> {
    const { journal } = this.#run;
    const { include, exclude } = this.#run.selection;
    try {
      for (const entry of entries) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        this.#bounds.count();
        const path = pathIn(directory, entry.name);
        let chosen = included ? 'yes' : 'no';
        if (include !== undefined || exclude !== undefined) {
          const bytes = bytesOf(`/${path}`);
          if (exclude?.(bytes, isDirectory(entry)) === 'yes') continue;
          // Asked also where all is included: it keeps account of which patterns match something.
          const answer = include?.(bytes, isDirectory(entry)) ?? 'yes';
          if (!included) chosen = answer;
        }
        if (isDirectory(entry)) {
          if (chosen === 'no') continue;
          const child = childDirectory(directory, entry, chosen === 'yes');
          if (chosen === 'yes' && !ensureDirectory(this.#run, child)) continue;
          await this.#below(child, entry, chosen === 'yes');
          this.#pipeline.window.finishedDirectories.push(child);
        } else if (chosen === 'yes' && ensureDirectory(this.#run, directory) && journal.isWritable(directory)) {
          try {
            const pending = this.#entry(directory, entry, path);
            if (pending !== undefined) await pending;
          } catch (error) {
            throwIfAborted(this.#run);
            // Root without CAP_MKNOD, in a container for instance.
            if (isDevice(entry) && (error as NodeJS.ErrnoException).code === 'EPERM') journal.device(path);
            else journal.failure(path, error, directory);
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
      const existing = existingIn(run, directory, entry.name);
      if (existing === 'taken') run.journal.taken(path);
      else if (dryRun) this.#count(entry, 'restored', path);
      else this.#pipeline.window.links.push({ directory, entry, path, source: first, existing });
      return undefined;
    }
    const judgement = judgeExisting(run, directory, entry, path);
    if (judgement.kind === 'refused') return undefined;
    if (judgement.kind === 'keep') {
      // What was kept because it is newer or must not change is not the file that the other names mean.
      if (run.overwrite === 'if-changed') this.#remember(directory, entry, path, undefined, judgement.existing);
      this.#count(entry, 'skipped', path);
      return undefined;
    }
    if (judgement.kind === 'mend') return this.#mend(directory, entry as FileEntry, path, judgement.existing);
    if (isDevice(entry) && !run.privileged) {
      run.journal.device(path);
      return undefined;
    }
    if (dryRun) {
      this.#remember(directory, entry, path, undefined, undefined);
      this.#count(entry, 'restored', path);
      return undefined;
    }
    if (isFile(entry)) return this.#create(directory, entry, path);
    this.#special(directory, entry, path);
    return undefined;
  }

  /** A new file: whole in one call if it is small, else made here, held open, and filled by the writers. */
  #create(directory: TargetDirectory, entry: FileEntry, path: string): Promise<void> | undefined {
    const { content, sizeBytes } = entry;
    const { window } = this.#pipeline;
    const sparse = this.#run.options.sparse === true && sizeBytes >= SPARSE_MIN_BYTES;
    const attributes = shortAttributes(entry);
    const inPieces = content.kind === 'rows' || (content.kind === 'whole' && sparse);
    // What other names are linked to must be known by more than its name.
    if (inPieces || attributes === undefined || entry.link !== null) {
      const { native } = this.#run;
      const fd = native.createAt(openDirectory(this.#run, directory), entry.name, UNFINISHED_FILE);
      const file = this.#hold(directory, entry, path, fd, true);
      this.#remember(directory, entry, path, file, entry.link === null ? undefined : existingOf(fd));
      return this.#fill(file, inPieces);
    }
    const file: PlannedFile = {
      directory,
      entry,
      path,
      created: true,
      held: false,
      fd: undefined,
      attributes,
      rowBytes: 0,
      failed: false,
    };
    if (content.kind === 'whole') window.addWhole(file);
    else window.addInline(file, content.kind === 'inline' ? content.bytes : new Uint8Array(0));
    return undefined;
  }

  #hold(directory: TargetDirectory, entry: FileEntry, path: string, fd: number, created: boolean): PlannedFile {
    const file: PlannedFile = { directory, entry, path, created, held: true, fd, attributes: [], rowBytes: 0, failed: false };
    this.#run.held.add(file);
    this.#pipeline.window.held++;
    return file;
  }

  async #fill(file: PlannedFile, inPieces: boolean): Promise<void> {
    const { native, source } = this.#run;
    try {
      if (inPieces) native.truncateFd(file.fd!, file.entry.sizeBytes);
      for (const { id, inline, lengthBytes, offset } of readPieces(source, file.entry)) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        if (file.failed) break;
        if (id !== undefined) this.#pipeline.window.addPiece(file, id, lengthBytes, offset, 0);
        else if (inline !== undefined) native.writeAt(file.fd!, inline, 0, lengthBytes, offset);
      }
    } catch (error) {
      this.#abandon(file, error);
    }
    this.#pipeline.window.complete.push(file);
  }

  /** The file cannot become complete: a damaged list of chunks, or the system refuses. What was made of it is removed; what was mended stays marked. */
  #abandon(file: PlannedFile, error: unknown): void {
    throwIfAborted(this.#run);
    if (!file.failed) this.#run.journal.failure(file.path, error, file.directory);
    file.failed = true;
    if (file.created) this.#run.native.unlinkAt(openDirectory(this.#run, file.directory), file.entry.name, false);
  }

  /** An existing file: its own bytes are compared, and only what differs is written. */
  async #mend(directory: TargetDirectory, entry: FileEntry, path: string, existing: Existing): Promise<void> {
    const run = this.#run;
    const { native } = run;
    const dryRun = run.options.dryRun === true;
    const reading = native.openAt(openDirectory(run, directory), entry.name, !run.privileged && !dryRun);
    let changed = existing.sizeBytes !== entry.sizeBytes;
    let file: PlannedFile | undefined;
    try {
      if (!isSame(existingOf(reading), existing)) throw exchanged();
      if (changed && !dryRun) file = this.#takeOver(directory, entry, path, reading, existing);
      if (file !== undefined) native.truncateFd(file.fd!, entry.sizeBytes);
      for (const { piece, differs } of differingPieces(run.source, entry, reading)) {
        if (this.#pipeline.isDue) await this.#pipeline.pause();
        if (file?.failed === true) break;
        if (!differs && !(changed && file === undefined)) continue;
        changed = true;
        if (dryRun) break;
        file ??= this.#takeOver(directory, entry, path, reading, existing);
        if (file === undefined) break;
        const { id, inline, lengthBytes, offset } = piece;
        if (id !== undefined) this.#pipeline.window.addPiece(file, id, lengthBytes, offset, IN_PLACE);
        else if (inline !== undefined) native.writeAt(file.fd!, inline, 0, lengthBytes, offset);
        else native.punchHole(file.fd!, offset, lengthBytes);
      }
      if (!changed && !dryRun) setMetadata(run, reading, path, entry, Step.clear);
    } catch (error) {
      if (file === undefined) throw error;
      this.#abandon(file, error);
    } finally {
      native.closeFd(reading);
    }
    if (file === undefined && changed && !dryRun) {
      if (clearPlace(run, directory, entry.name, existing, path)) await this.#create(directory, entry, path);
      return;
    }
    this.#remember(directory, entry, path, file, existing);
    if (file === undefined) this.#count(entry, changed ? 'restored' : 'skipped', path);
    else this.#pipeline.window.complete.push(file);
  }

  /** Opens the file that is to be mended for writing, marked as unfinished and closed to others before its first new byte. Undefined when it must be replaced. */
  #takeOver(
    directory: TargetDirectory,
    entry: FileEntry,
    path: string,
    reading: number,
    existing: Existing,
  ): PlannedFile | undefined {
    const { native } = this.#run;
    if (!mayFill(this.#run, reading, existing, entry)) return undefined;
    // A file system without modes refuses; there is nothing to narrow then.
    native.setMetadataFd(reading, Step.mode, 0, 0, UNFINISHED_FILE, 0, 0, []);
    try {
      return this.#hold(directory, entry, path, native.openWritable(reading), false);
    } catch (error) {
      native.setMetadataFd(reading, Step.mode, 0, 0, existing.mode & 0o7777, 0, 0, []);
      // A program that is running can be replaced, not changed.
      if ((error as NodeJS.ErrnoException).code === 'ETXTBSY') return undefined;
      throw error;
    }
  }

  #special(
    directory: TargetDirectory,
    entry: Exclude<Entry, FileEntry | { kind: typeof EntryKind.directory }>,
    path: string,
  ): void {
    const { native } = this.#run;
    const parentFd = openDirectory(this.#run, directory);
    if (entry.kind === EntryKind.symlink) native.symlinkAt(entry.target, parentFd, entry.name);
    else {
      const device = 'major' in entry ? entry : { major: 0, minor: 0 };
      native.mknodAt(parentFd, entry.name, S_IFMT_OF[entry.kind]! | 0o600, device.major, device.minor);
    }
    const fd = native.openPathAt(parentFd, entry.name);
    try {
      const made = existingOf(fd);
      if (made.type !== KIND_OF[entry.kind] || (directory.exposed && made.uid !== makersUid(this.#run, parentFd, made)))
        throw exchanged();
      const more = directory.fresh || entry.kind === EntryKind.symlink ? 0 : Step.strip;
      setMetadata(this.#run, fd, path, entry, more);
      this.#remember(directory, entry, path, undefined, made);
    } finally {
      native.closeFd(fd);
    }
    this.#count(entry, 'restored', path);
  }

  #remember(
    directory: TargetDirectory,
    entry: Entry,
    path: string,
    file: PlannedFile | undefined,
    identity: Identity | undefined,
  ): void {
    if (entry.link !== null)
      this.#links.set(linkKey(entry)!, { directory, name: entry.name, path, file, identity, left: entry.link.nlink - 1 });
  }

  #count(entry: Entry, as: 'restored' | 'skipped', path: string): void {
    const { journal } = this.#run;
    const bytes = isFile(entry) ? entry.sizeBytes : 0;
    journal[as]++;
    journal.item(as, path);
    journal.otherFiles++;
    journal.otherBytes += bytes;
    if (as === 'restored') journal.bytes += bytes;
  }
}
