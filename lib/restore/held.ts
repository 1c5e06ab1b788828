/**
 * Files whose content comes in pieces, each held open from its making to its last piece of metadata: what is written and what is given its owner is then one and the
 * same file, whatever happens to its name.
 */
import { readFileSync } from 'node:fs';
import { native } from '../native.js';
import type { PlannedFile } from './window.js';

const MOST = 1024;
/** Descriptors left to everything else. */
const RESERVED = 192;
/** Windows that hold files at the same time: one being filled, two under way. */
const WINDOWS = 3;

/** How many files a window may hold open. */
export function heldLimit(): number {
  let open = 256;
  try {
    open = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? open);
  } catch {
    // Without /proc the smallest usual limit.
  }
  return Math.min(MOST, Math.max(8, Math.floor((open - RESERVED) / 2 / WINDOWS)));
}

export class HeldFiles {
  readonly #files = new Set<PlannedFile>();

  add(file: PlannedFile): void {
    this.#files.add(file);
  }

  /** Closes a file that is done with. @throws what a network file system could not write */
  close(file: PlannedFile): void {
    const { fd } = file;
    if (fd === undefined || !this.#files.delete(file)) return;
    file.fd = undefined;
    native().closeFd(fd);
  }

  /** Closes all that is left after an interruption. */
  closeAll(): void {
    for (const file of this.#files) {
      try {
        this.close(file);
      } catch {
        // It stays as unfinished as it is.
      }
    }
  }
}
