/** Reading and writing key files: mode 0600, never over a file that exists, durable before anything depends on them. */
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { WrongKeyError } from '../lib/index.js';
import { UsageError } from './usage-error.js';

/** @throws WrongKeyError when it cannot be read */
export function readKeyFile(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new WrongKeyError(`the key file cannot be read: ${(cause as Error).message}`, cause);
  }
}

/** Creates `file` at once, so that the name is ours before a key exists; then writes what `make` gives, or removes the file again. */
export async function writeKeyFile<T>(file: string, make: () => Promise<{ text: Uint8Array; result: T }>): Promise<T> {
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
    return result;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
