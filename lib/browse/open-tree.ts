/** The trees of snapshots, opened for reading in this thread, and the entries that paths name in them. Symlinks are never followed. */

import { lossyUtf8 } from '../bytes.js';
import { type CorruptError, NotFoundError } from '../errors.js';
import { manifestName } from '../format/names.js';
import { type DirectoryEntry, type Entry, isDirectory } from '../format/tree.js';
import { resolvePins } from '../ledger/pins.js';
import { readEnvelope, type Snapshot } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import { openSnapshotReader, type SnapshotReader } from '../repository/snapshot-reader.js';
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
  readonly damage: readonly CorruptError[];
  readonly reader: SnapshotReader;
  close(): Promise<void>;
}

/** Opens the trees of `snapshots`. @throws RoleError, CorruptError, StoreError */
export async function openTrees(repository: Repository, snapshots: readonly Snapshot[]): Promise<OpenTrees> {
  const pins: Uint8Array[] = [];
  for (const { id, envelope } of snapshots) {
    pins.push(await resolvePins(envelope, async (other) => (await readEnvelope(repository, other)).envelope, manifestName(id)));
  }
  const reader = await openSnapshotReader(repository, pins);
  const trees = snapshots.map((snapshot, i) => ({
    snapshot,
    source: reader.source(snapshot.envelope.domain, pins[i]!),
    root: snapshot.body.root,
  }));
  return { trees, reader, damage: reader.damage, close: () => reader.close() };
}

/** Splits an absolute path into its names: no empty ones, no `.`; `..` takes one back. */
export function namesOfPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= path.byteLength; at++) {
    if (at < path.byteLength && path[at] !== 0x2f) continue;
    const name = path.subarray(start, at);
    start = at + 1;
    const dots = name.every((byte) => byte === 0x2e) ? name.byteLength : 0;
    if (name.byteLength === 0 || dots === 1) continue;
    if (dots === 2) names.pop();
    else names.push(name);
  }
  return names;
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
