/** A repository's view without a mount: what one serving thread has. */
import type { Test } from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import type { Repository } from '../../lib/repository/repository.js';
import { blockingPlace } from '../../lib/store/blocking.js';
import type { ViewOptions } from '../../lib/view/file-system.js';
import { openFileSystem } from '../../lib/view/file-system-thread.js';
import { Fixed } from '../../lib/view/root-names.js';

export type View = ReturnType<typeof openFileSystem>;

/** A view that ends with the test; `numbers` is what several threads share. */
export async function openView(
  t: Test,
  repository: Repository,
  view: Partial<ViewOptions> = {},
  numbers?: SharedArrayBuffer,
): Promise<View> {
  const { store, id, genesis, keyring, cacheDir } = repository;
  const fs = openFileSystem({
    location: store.location,
    place: blockingPlace(store),
    repositoryId: id,
    genesis,
    keyring,
    cacheDir,
    ledger: await loadLedger(repository),
    numbers,
    frames: undefined,
    view: { ownerRoot: false, listVirtualXattrs: false, ...view },
    cacheBytes: { frames: 1 << 20, pages: 1 << 20, lists: 1 << 20 },
  });
  t.teardown(() => fs.close());
  return fs;
}

/** Number of `path` below `node`, as `fs` gives it out. */
export function nodeAt(fs: View, node: number, path: string): number {
  let at = node;
  for (const name of path.split('/').filter((part) => part !== '')) at = fs.lookup(at, utf8(name))!.nodeId;
  return at;
}

/** Numbers of the snapshots, oldest first. */
export function snapshotNodes(fs: View): number[] {
  return fs.readdir(Fixed.snapshots, 0, 1000).entries.map(({ attributes }) => attributes.nodeId);
}
