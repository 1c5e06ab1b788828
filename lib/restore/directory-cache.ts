/** Open directories below the target: a few descriptors, opened beneath the target's own, so that nothing outside it is ever reached. */
import { native } from '../native.js';
import { exchanged, existingOf, type Identity, isSame } from './stat.js';

export class DirectoryCache {
  readonly #rootFd: number;
  readonly #limit: number;
  readonly #open = new Map<string, number>();

  /** `rootFd` stays the caller's. */
  constructor(rootFd: number, limit = 64) {
    this.#rootFd = rootFd;
    this.#limit = limit;
  }

  /**
   * Descriptor of the directory at `path` (Latin-1, relative, '' the target), valid until `limit` others were asked for.
   *
   * @param identity - which directory it must be, where somebody else could put another in its place
   * @throws system errors; ESTALE when it is another one
   */
  open(path: string, identity?: Identity): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const fd = native().openDirBeneath(this.#rootFd, Buffer.from(path, 'latin1'));
    if (identity !== undefined && !isSame(existingOf(fd), identity)) {
      native().closeFd(fd);
      throw exchanged();
    }
    if (this.#open.size >= this.#limit) {
      const [oldest, oldFd] = this.#open.entries().next().value as [string, number];
      native().closeFd(oldFd);
      this.#open.delete(oldest);
    }
    this.#open.set(path, fd);
    return fd;
  }

  /** Closes what is open at `path`, which is about to vanish. */
  forget(path: string): void {
    const fd = this.#open.get(path);
    if (fd === undefined) return;
    native().closeFd(fd);
    this.#open.delete(path);
  }

  close(): void {
    for (const fd of this.#open.values()) native().closeFd(fd);
    this.#open.clear();
  }
}
