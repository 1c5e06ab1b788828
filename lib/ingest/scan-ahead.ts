/** Has the directories that the walk comes to next scanned on a thread of the addon's. A scan that is not ready, or failed, is made on the spot. */
import { native } from '../native.js';
import type { WalkNode } from './walk-node.js';

export class ScanAhead {
  readonly #handle = native().scanAheadCreate();

  /** The scan of the directory `path`. @throws what native scanDirectory throws */
  scan(path: Uint8Array): Uint8Array {
    return native().scanAheadTake(this.#handle, path) ?? native().scanDirectory(path);
  }

  /** Asks for the subdirectories of a scanned node; the walk enters exactly these, in this order, before anything else. */
  prepare(node: WalkNode): void {
    const { path, records, subdirectories } = node;
    if (subdirectories.length === 0) return;
    const parent = path[path.byteLength - 1] === 0x2f ? path.subarray(0, -1) : path;
    let length = 0;
    for (const at of subdirectories) length += parent.byteLength + records[at]!.name.byteLength + 2;
    const paths = Buffer.alloc(length);
    let end = 0;
    for (const at of subdirectories) {
      const { name } = records[at]!;
      paths.set(parent, end);
      paths[end + parent.byteLength] = 0x2f;
      paths.set(name, end + parent.byteLength + 1);
      end += parent.byteLength + name.byteLength + 2;
    }
    native().scanAhead(this.#handle, paths);
  }

  close(): void {
    native().scanAheadFree(this.#handle);
  }
}
