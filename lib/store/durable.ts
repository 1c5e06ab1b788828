/**
 * The system calls that make a file durable and visible, in the order that survives a power cut: write, fsync the file, give it its
 * name without replacing anything, fsync the directory. It knows paths only; names and stores are directory.ts's business.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { equalBytes } from '../bytes.js';

const COMPARE_BYTES = 1024 * 1024;
/** IOV_MAX of Linux and macOS: more parts than this go in several writev calls. */
const PARTS_PER_WRITE = 1024;

/** Opens an object for reading: never through a symlink, and without waiting for the writer of a FIFO put in its place. */
export const READ_OBJECT = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The system's code of an error ('ENOENT'…), or undefined. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** Whether `error` came from fsync: after one, nobody can say what of the earlier writes is on the disk. */
export function isSyncFailure(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.syscall === 'fsync';
}

async function writeAll(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  let queue = parts.filter((part) => part.byteLength > 0);
  while (queue.length > 0) {
    const batch = queue.slice(0, PARTS_PER_WRITE);
    let written = (await file.writev(batch)).bytesWritten;
    let done = 0;
    while (done < batch.length && written >= batch[done]!.byteLength) written -= batch[done++]!.byteLength;
    queue = queue.slice(done);
    // a short write: the rest of the part it stopped in goes first
    if (written > 0) queue[0] = queue[0]!.subarray(written);
  }
}

/** Creates `path` (0400, must not exist) with `parts` and fsyncs it. What is left behind on failure is the caller's to remove. */
export async function writeDurably(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'wx', 0o400);
  try {
    await writeAll(file, parts);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Gathered before a write: HTTP/2 hands out pieces of 16 KiB. */
const GATHER_BYTES = 256 * 1024;

/** As writeDurably, from a stream. */
export async function writeStreamDurably(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o400);
  try {
    let gathered: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of chunks) {
      gathered.push(chunk);
      bytes += chunk.byteLength;
      if (bytes < GATHER_BYTES) continue;
      await writeAll(file, gathered);
      gathered = [];
      bytes = 0;
    }
    await writeAll(file, gathered);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the names in directory `path` durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Creates directory `path` (0700) and what is missing above it, durably. An existing directory is left as it is. */
export async function makeDirectories(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectories(dirname(path));
    await makeDirectories(path);
    return;
  }
  await syncDirectory(dirname(path));
}

/**
 * Gives the file `from` the name `to` as well, or instead; never replaces anything.
 * Where hard links are refused (FAT, some network file systems) an empty file reserves the name and is then renamed over: still
 * exclusive, but a crash in between leaves the empty file.
 *
 * @returns false if `to` is already taken
 */
export async function placeExclusively(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error) ?? '')) throw error;
  }
  try {
    await (await open(to, 'wx', 0o400)).close();
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await rename(from, to);
  } catch (error) {
    await unlink(to).catch(() => undefined);
    throw error;
  }
  return true;
}

/** Whether the regular file `path` holds exactly `parts`; fsyncs it when it does. @throws if it is not a regular file */
export async function holdsSameBytes(path: string, parts: readonly Uint8Array[]): Promise<boolean> {
  const file = await open(path, READ_OBJECT);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new Error('not a regular file');
    if (info.size !== parts.reduce((sum, part) => sum + part.byteLength, 0)) return false;
    const buffer = new Uint8Array(Math.min(COMPARE_BYTES, info.size));
    for (const part of parts) {
      for (let at = 0; at < part.byteLength; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.byteLength, part.byteLength - at));
        if (bytesRead === 0 || !equalBytes(buffer.subarray(0, bytesRead), part.subarray(at, at + bytesRead))) return false;
        at += bytesRead;
      }
    }
    await file.sync();
    return true;
  } finally {
    await file.close();
  }
}

/** Whether two regular files hold the same bytes; fsyncs the first when they do. */
export async function areSameFiles(path: string, other: string): Promise<boolean> {
  const [a, b] = [await open(path, READ_OBJECT), await open(other, READ_OBJECT)];
  try {
    const { size } = await a.stat();
    if ((await b.stat()).size !== size) return false;
    const buffers = [new Uint8Array(COMPARE_BYTES), new Uint8Array(COMPARE_BYTES)] as const;
    for (let at = 0; at < size; ) {
      const [{ bytesRead: x }, { bytesRead: y }] = [
        await a.read(buffers[0], 0, COMPARE_BYTES, at),
        await b.read(buffers[1], 0, COMPARE_BYTES, at),
      ];
      if (x === 0 || x !== y || !equalBytes(buffers[0].subarray(0, x), buffers[1].subarray(0, y))) return false;
      at += x;
    }
    await a.sync();
    return true;
  } finally {
    await a.close();
    await b.close();
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

export interface Sweep {
  /** Removes what is older than this though a process with its number runs. */
  readonly ageMs: number;
  /** Removes what nobody who runs here began, however new it is: for whoever alone writes in the folder, at its start. */
  readonly abandoned?: boolean;
}

/** Removes temporary files (`<pid>-<random>`) in `folder` whose writer does not run here. Whatever cannot be removed stays. */
export async function sweepTemporary(folder: string, { ageMs, abandoned = false }: Sweep): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = Number(/^(\d+)-[0-9a-f]+$/.exec(name)?.[1]);
    if (Number.isNaN(pid)) continue;
    try {
      const path = join(folder, name);
      const isOld = Date.now() - (await lstat(path)).mtimeMs > ageMs;
      // age too, not only the pid: on a shared file system the writer may run on another host
      const goes = abandoned ? isOld || pid === process.pid || !isRunning(pid) : isOld && !isRunning(pid);
      if (goes) await unlink(path);
    } catch {}
  }
}
