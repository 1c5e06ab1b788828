/** The trees of snapshots, opened for reading in this thread, and the entries that paths name in them. Symlinks are never followed. */

import { lossyUtf8 } from '../bytes.js';
import { CorruptError, NotFoundError, type VarveError } from '../errors.js';
import { manifestName } from '../format/names.js';
import { type DirectoryEntry, type Entry, isDirectory } from '../format/tree.js';
import { resolvePins } from '../ledger/pins.js';
import type { SelectOptions } from '../ledger/select.js';
import { readEnvelope, type Snapshot } from '../ledger/snapshots.js';
import type { OnDamaged } from '../repository/open-index.js';
import type { Repository } from '../repository/repository.js';
import { openSnapshotReader, type SnapshotReader } from '../repository/snapshot-reader.js';
import { namesOfPath } from '../repository/tree-path.js';
import { findEntry, type TreeSource } from '../repository/tree-reader.js';

/** One snapshot ready to be read. */
export interface OpenTree {
  readonly snapshot: Snapshot;
  readonly source: TreeSource;
  readonly root: DirectoryEntry;
}

/** Several snapshots over one index and one cache. */
export interface OpenTrees {
  readonly trees: readonly OpenTree[];
  /** What was found damaged while opening; reading what needs it throws. */
  readonly damage: readonly VarveError[];
  readonly reader: SnapshotReader;
  close(): Promise<void>;
}

export interface OpenTreesOptions {
  /** Called for a snapshot whose pins do not resolve, and which is then not among the trees. Absent, that is thrown. */
  readonly onLeftOut?: SelectOptions['onLeftOut'];
  /** Called for index objects, and packs that are needed, whose directories cannot be taken up; the trees open without them. */
  readonly onDamaged?: OnDamaged;
}

/** Opens the trees of `snapshots`. @throws RoleError, CorruptError, StoreError */
export async function openTrees(
  repository: Repository,
  snapshots: readonly Snapshot[],
  { onLeftOut, onDamaged }: OpenTreesOptions = {},
): Promise<OpenTrees> {
  const pins: Uint8Array[] = [];
  const opened: Snapshot[] = [];
  for (const snapshot of snapshots) {
    try {
      pins.push(await pinsOf(repository, snapshot));
      opened.push(snapshot);
    } catch (error) {
      if (onLeftOut === undefined || !(error instanceof CorruptError)) throw error;
      onLeftOut({ record: snapshot, error });
    }
  }
  const reader = await openSnapshotReader(repository, pins, onDamaged === undefined ? {} : { onDamaged });
  const trees = opened.map((snapshot, i) => ({
    snapshot,
    source: reader.source(snapshot.envelope.domain, pins[i]!),
    root: snapshot.body.root,
  }));
  return { trees, reader, damage: reader.damage, close: () => reader.close() };
}

/** Joined ids of the packs that a snapshot pins. @throws CorruptError that names its manifest, also when one that it builds on is missing; StoreError */
async function pinsOf(repository: Repository, { id, envelope }: Snapshot): Promise<Uint8Array> {
  const name = manifestName(id);
  try {
    return await resolvePins(envelope, async (other) => (await readEnvelope(repository, other)).envelope, name);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    throw new CorruptError(name, `its pins build on a manifest that is missing (${error.message})`, {}, error);
  }
}

/** `/` joined with names. */
export function joinPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const root = directory.byteLength === 1 && directory[0] === 0x2f;
  const path = new Uint8Array((root ? 0 : directory.byteLength) + 1 + name.byteLength);
  if (!root) path.set(directory);
  path[path.byteLength - 1 - name.byteLength] = 0x2f;
  path.set(name, path.byteLength - name.byteLength);
  return path;
}

/** The entry at absolute `path`, and the path as the snapshot has it. @throws NotFoundError that says how far the path led */
export function entryAt(tree: OpenTree, path: Uint8Array): { entry: Entry; path: Uint8Array } {
  let entry: Entry = tree.root;
  let at: Uint8Array = Uint8Array.of(0x2f);
  for (const name of namesOfPath(path)) {
    const next: Entry | undefined = isDirectory(entry) ? findEntry(tree.source, entry.tree, name) : undefined;
    if (next === undefined) {
      const where = isDirectory(entry) ? `holds no ${lossyUtf8(name)}` : 'is not a directory';
      throw new NotFoundError('path', lossyUtf8(path), `no ${lossyUtf8(path)} in this snapshot: ${lossyUtf8(at)} ${where}`);
    }
    entry = next;
    at = joinPath(at, name);
  }
  return { entry, path: at };
}
