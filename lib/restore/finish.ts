/**
 * After a window is written: chunks that one pack could not give are looked for in others, files that stay incomplete are removed and
 * listed, then come metadata, links, verification and the directories that are done.
 */
import { toHex } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { ChunkType } from '../format/pack.js';
import { isFile } from '../format/tree.js';
import { differingPieces, judge } from './existing.js';
import { refused, setMetadata } from './metadata.js';
import { throwIfAborted } from './pipeline.js';
import type { Plan } from './plan.js';
import type { Run } from './run.js';
import { exchanged, existingAt, existingOf, isSame } from './stat.js';
import { finishDirectory } from './target.js';
import { openDirectory } from './target-directory.js';
import {
  IN_PLACE,
  RecordBuffer,
  ROW,
  ROW_WORDS,
  Step,
  type TaskDirectory,
  type TaskResult,
  type VerifyTask,
  WHOLE,
} from './task.js';
import type { PlannedFile, PlannedLink, Window } from './window.js';
import { errnoOf, writeSparsely } from './writer.js';
import type { Writers } from './writers.js';

export async function finishWindow(
  run: Run,
  window: Window,
  plan: Plan,
  results: readonly TaskResult[],
  writers: Writers,
): Promise<void> {
  throwIfAborted(run);
  results.forEach((result, n) => {
    for (const row of result.unreadRows) writeRowAgain(run, window, plan.tasks[n]!.windowRows[row]!);
    for (const [number, errno] of result.failedFiles) {
      const file = window.files[number]!;
      failFile(run, file, () => run.journal.errno(file.path, errno, 'write', file.directory));
    }
    for (const [number, step, errno] of result.refusedMetadata) {
      const file = window.files[number]!;
      refused(run, file.path, file.attributes, step, errno);
    }
  });
  for (const row of plan.unfound) writeRowAgain(run, window, row);
  for (const file of window.complete) finishFile(run, file);
  for (const link of window.links) makeLink(run, link);
  if (run.options.verify === true) await verifyFiles(run, window.complete, writers);
  for (const directory of window.finishedDirectories) finishDirectory(run, directory);
}

function finishFile(run: Run, file: PlannedFile): void {
  const { journal } = run;
  journal.otherBytes += file.entry.sizeBytes - file.rowBytes;
  const { fd } = file;
  if (fd !== undefined) journal.otherFiles++;
  if (file.failed) {
    run.held.close(file);
    return;
  }
  if (fd !== undefined) {
    setMetadata(run, fd, file.path, file.entry, file.created ? (file.directory.fresh ? 0 : Step.strip) : Step.clear);
    try {
      run.held.close(file);
    } catch (error) {
      failFile(run, file, () => journal.failure(file.path, error, file.directory));
      return;
    }
  }
  journal.restored++;
  journal.item('restored', file.path);
  journal.bytes += file.entry.sizeBytes;
}

/** Lists the failure once, and leaves nothing that looks complete. */
function failFile(run: Run, file: PlannedFile, list: () => void): void {
  if (file.failed) return;
  file.failed = true;
  list();
  // A file made whole by the writer is gone already.
  if (!file.created || !file.held) return;
  try {
    run.native.unlinkAt(openDirectory(run, file.directory), file.entry.name, false);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') run.journal.failure(file.path, error);
  }
}

/** Reads a chunk wherever a pinned pack holds it, and writes it. */
function writeRowAgain(run: Run, window: Window, row: number): void {
  const at = row * ROW_WORDS;
  const file = window.files[window.rows[at + ROW.file]!]!;
  if (file.failed) return;
  const { native } = run;
  try {
    const length = window.rows[at + ROW.length]!;
    const id = window.ids.subarray(row * 32, row * 32 + 32);
    const bytes = run.source.chunks.read(id, ChunkType.data);
    if (bytes.byteLength !== length)
      throw new CorruptError(`chunk ${toHex(id)}`, `has ${bytes.byteLength} bytes where the file has ${length}`);
    const flags = window.rows[at + ROW.flags]!;
    if ((flags & WHOLE) !== 0) {
      const number = window.rows[at + ROW.file]!;
      const request = new RecordBuffer();
      request.copy(window.records.bytes, window.recordAt[number]!, window.recordAt[number + 1] ?? window.records.length, 0);
      const failed = native.writeFilesAt(
        openDirectory(run, file.directory),
        request.bytes.subarray(0, request.length),
        bytes.slice(),
      );
      for (let i = 0; i < failed.length; i += 3) {
        const [step, errno] = [failed[i + 1]!, failed[i + 2]!];
        if (step === 0) failFile(run, file, () => run.journal.errno(file.path, errno, 'write', file.directory));
        else refused(run, file.path, file.attributes, step, errno);
      }
      return;
    }
    const offset = window.rows[at + ROW.offsetLow]! + window.rows[at + ROW.offsetHigh]! * 0x1_0000_0000;
    if (run.options.sparse === true) writeSparsely(file.fd!, bytes, offset, (flags & IN_PLACE) !== 0);
    else native.writeAt(file.fd!, bytes, 0, bytes.byteLength, offset);
  } catch (error) {
    failFile(run, file, () => run.journal.failure(file.path, error, file.directory));
  }
}

function makeLink(run: Run, link: PlannedLink): void {
  const { directory, entry, path, source } = link;
  const { journal, native } = run;
  journal.otherFiles++;
  if (isFile(entry)) journal.otherBytes += entry.sizeBytes;
  if (source.file?.failed === true) {
    journal.problem(path, 'LINK', `${source.path}, which is the same file, could not be restored`);
    return;
  }
  try {
    if (!journal.isWritable(directory)) return;
    const existing = directory.fresh ? undefined : existingAt(openDirectory(run, directory), entry.name);
    if (existing !== undefined) {
      if (link.existing === undefined) {
        journal.taken(path);
        return;
      }
      const isThere = source.identity !== undefined && isSame(source.identity, existing) && run.overwrite !== 'never';
      const judgement = isThere ? { kind: 'keep' } : judge(run, directory, entry, path, existing);
      if (judgement.kind === 'refused') return;
      if (judgement.kind === 'keep') {
        journal.skipped++;
        journal.item('skipped', path);
        return;
      }
      if (judgement.kind === 'mend') native.unlinkAt(openDirectory(run, directory), entry.name, false);
    }
    linkSource(run, link);
    journal.restored++;
    journal.item('restored', path);
    if (isFile(entry)) journal.bytes += entry.sizeBytes;
  } catch (error) {
    journal.failure(path, error, directory);
  }
}

/** Links the very entry that was restored, and nothing that has taken its name since. */
function linkSource(run: Run, { directory, entry, source }: PlannedLink): void {
  const fd = run.native.openPathAt(openDirectory(run, source.directory), source.name);
  try {
    if (source.identity === undefined || !isSame(existingOf(fd), source.identity)) throw exchanged();
    run.native.linkFd(fd, openDirectory(run, directory), entry.name);
  } finally {
    run.native.closeFd(fd);
  }
}

async function verifyFiles(run: Run, files: readonly PlannedFile[], writers: Writers): Promise<void> {
  const checked = files.filter((file) => !file.failed);
  const digested = checked.filter((file) => file.entry.digest !== null);
  const share = Math.ceil(digested.length / writers.count);
  const answers = Array.from({ length: digested.length === 0 ? 0 : writers.count }, async (_, n) => {
    const mine = digested.slice(n * share, (n + 1) * share);
    const directories: TaskDirectory[] = [];
    const task: VerifyTask = {
      kind: 'verify',
      directories,
      files: mine.map(({ directory, entry }) => {
        const { path, identity, exposed } = directory;
        if (directories.at(-1)?.path !== path) directories.push({ path, identity: exposed ? identity : undefined });
        return { directory: directories.length - 1, name: entry.name, sizeBytes: entry.sizeBytes, digest: entry.digest! };
      }),
    };
    const { wrongFiles } = await writers.run(n, task);
    run.journal.verified += mine.length - wrongFiles.length;
    for (const [number, errno] of wrongFiles) verifyAgain(run, mine[number]!, errno);
  });
  await Promise.all(answers);
  throwIfAborted(run);
  for (const file of checked) if (file.entry.digest === null) verifyAgain(run, file, 0);
}

/** Compares a file piece by piece: for those without a digest, and for what the writers could not open or found wrong. */
function verifyAgain(run: Run, file: PlannedFile, errno: number): void {
  const { directory, entry, path } = file;
  try {
    const fd = run.native.openAt(openDirectory(run, directory), entry.name, errno !== 0 && !run.privileged);
    let where: number | undefined;
    try {
      const { sizeBytes } = existingOf(fd);
      if (sizeBytes !== entry.sizeBytes) where = Math.min(sizeBytes, entry.sizeBytes);
      for (const { piece, differs } of differingPieces(run.source, entry, fd)) {
        // A hole that the target could not keep as one is right when it reads as zeros.
        if (
          differs &&
          (piece.id !== undefined || piece.inline !== undefined || !readsAsZeros(run, fd, piece.offset, piece.lengthBytes))
        )
          where ??= piece.offset;
      }
    } finally {
      if (errno !== 0) setMetadata(run, fd, path, entry);
      run.native.closeFd(fd);
    }
    if (where === undefined) run.journal.verified++;
    else run.journal.problem(path, 'VERIFY', `what was written differs from the snapshot at byte ${where}`);
  } catch (error) {
    run.journal.errno(path, errnoOf(error), 'verify', directory);
  }
}

function readsAsZeros(run: Run, fd: number, offset: number, length: number): boolean {
  const bytes = new Uint8Array(1 << 20);
  const zeros = new Uint8Array(1 << 20);
  for (let at = offset; at < offset + length; ) {
    const extent = run.native.nextData(fd, at, offset + length);
    if (extent === undefined) return true;
    const count = run.native.readAt(fd, bytes, 0, Math.min(bytes.byteLength, extent[1] - extent[0]), extent[0]);
    if (count === 0) return true;
    if (Buffer.compare(bytes.subarray(0, count), zeros.subarray(0, count)) !== 0) return false;
    at = extent[0] + count;
  }
  return true;
}
