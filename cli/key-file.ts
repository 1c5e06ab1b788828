/** Reading and writing key files: mode 0600, never over a file that exists, durable before anything depends on them. */
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, realpathSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { WrongKeyError } from '../lib/index.js';
import { handedSecrets } from './handed-secrets.js';
import { UsageError } from './usage-error.js';

/** Files that were told of: once is enough. */
const told = new Set<string>();

/**
 * Reads a key file, or what was handed on of it. One that others may read is told to `warn`.
 *
 * @throws WrongKeyError when it cannot be read
 */
export function readKeyFile(file: string, warn: (message: string) => void): Uint8Array {
  const handed = handedSecrets()?.keyFile;
  if (handed !== undefined) return handed;
  try {
    const fd = openSync(file, 'r');
    try {
      const info = fstatSync(fd);
      if (info.isFile() && (info.mode & 0o077) !== 0 && !told.has(file)) {
        told.add(file);
        const mode = (info.mode & 0o7777).toString(8).padStart(4, '0');
        warn(`the key file ${file} has mode ${mode}: others than its owner may use it; to change that: chmod 600 ${file}`);
      }
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new WrongKeyError(`the key file cannot be read: ${(cause as Error).message}`, cause);
  }
}

/**
 * Creates `file` at once, so that the name is ours before a key exists; then writes what `make` gives, durably, and does `then`, which depends on it. When
 * either fails, the file is removed again.
 */
export async function writeKeyFile<T>(
  file: string,
  make: () => Promise<{ text: Uint8Array; result: T }>,
  then: () => Promise<void> = async () => undefined,
): Promise<T> {
  let fd: number;
  try {
    fd = openSync(file, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new UsageError(
      exists
        ? `${file} exists already; a key file never replaces another`
        : `${file} cannot be created: ${(cause as Error).message}`,
    );
  }
  try {
    const { text, result } = await make();
    for (let done = 0; done < text.byteLength; ) done += writeSync(fd, text, done);
    fsyncSync(fd);
    // A name is durable when its folder is.
    const folder = openSync(dirname(file), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    await then();
    return result;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** The file that a symlink names, so that replacing it does not replace the link. */
function realFile(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

/** Where the successor of a key file is written before it takes its place. */
export function successorOf(file: string): string {
  return `${realFile(file)}.new`;
}

/** Puts the successor in the place of `file`, durably. */
export function replaceKeyFile(file: string): void {
  const target = realFile(file);
  renameSync(successorOf(file), target);
  const folder = openSync(dirname(target), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
