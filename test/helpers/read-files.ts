/** Reads every file of a snapshot by itself: right bytes, or the error that says why not. In the two ways in which the program remembers decoded frames. */
import { toHex } from '../../lib/bytes.js';
import { VarveError } from '../../lib/errors.js';
import { manifestName } from '../../lib/format/names.js';
import { type FileEntry, isDirectory, isFile } from '../../lib/format/tree.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { resolvePins } from '../../lib/ledger/pins.js';
import { openSnapshot, readEnvelope, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { ChunkReader } from '../../lib/repository/chunk-reader.js';
import { collectReadKeys } from '../../lib/repository/read-keys.js';
import type { Repository } from '../../lib/repository/repository.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { readDirectory, readFileRange, type TreeSource } from '../../lib/repository/tree-reader.js';
import { createSharedFrames, SharedFrames } from '../../lib/view/shared-frames.js';

/** By file name (the last part of its path), content or error; under '' an error that hid whole directories. */
export type FilesRead = Map<string, Buffer | VarveError>;

export interface ReadFilesOptions {
  /** Remember frames as a mount does, for all threads together. */
  readonly shared?: boolean;
  /** Read every file so often: what is remembered of the first time serves the next. */
  readonly times?: number;
}

function caught(error: unknown): VarveError {
  if (error instanceof VarveError) return error;
  throw error;
}

/** Reads the snapshot with this id (hex). Anything but a VarveError is thrown. */
export async function readFiles(repository: Repository, hex: string, options: ReadFilesOptions = {}): Promise<FilesRead> {
  const found: FilesRead = new Map();
  const ledger = await loadLedger(repository, true);
  const record = snapshotRecords(ledger).find(({ id }) => toHex(id) === hex);
  if (record === undefined) throw new Error(`no snapshot ${hex}`);
  try {
    const { envelope, body } = await openSnapshot(repository, record, tagChanges(repository, ledger));
    const read = async (id: Uint8Array) => (await readEnvelope(repository, id)).envelope;
    const pins = await resolvePins(envelope, read, manifestName(record.id));
    const reader = await openSnapshotReader(repository, [pins], { cacheBytes: 8 << 20 });
    try {
      let source = reader.source(envelope.domain, pins);
      if (options.shared === true) {
        const pinned = new Set<string>();
        for (let at = 0; at < pins.byteLength; at += 32) pinned.add(toHex(pins.subarray(at, at + 32)));
        const isPinned = (id: Uint8Array): boolean => pinned.has(toHex(id));
        const { keys } = await collectReadKeys(repository, reader.index, isPinned);
        const memory = new SharedFrames(createSharedFrames(8 << 20));
        const chunks = new ChunkReader(reader.index, reader.ranges, keys, { cacheBytes: 0, memory }).within(isPinned);
        source = { ...source, chunks };
      }
      for (let time = 0; time < (options.times ?? 1); time++) walk(source, body.root.tree, found);
    } finally {
      await reader.close();
    }
  } catch (error) {
    found.set('', caught(error));
  }
  return found;
}

function walk(source: TreeSource, tree: Uint8Array, found: FilesRead): void {
  try {
    for (const entry of readDirectory(source, tree)) {
      if (isDirectory(entry)) walk(source, entry.tree, found);
      else if (isFile(entry)) readOne(source, entry, found);
    }
  } catch (error) {
    found.set('', caught(error));
  }
}

function readOne(source: TreeSource, entry: FileEntry, found: FilesRead): void {
  const name = Buffer.from(entry.name).toString();
  const bytes = Buffer.alloc(entry.sizeBytes);
  try {
    readFileRange(source, entry, 0, bytes);
    if (!(found.get(name) instanceof VarveError)) found.set(name, bytes);
  } catch (error) {
    found.set(name, caught(error));
  }
}

/** Names of files that are not as expected: `wrong` other bytes, `lost` an error or absent. */
export function compareFiles(
  found: FilesRead,
  expected: Readonly<Record<string, Uint8Array>>,
): { wrong: string[]; lost: string[] } {
  const wrong: string[] = [];
  const lost: string[] = [];
  for (const [name, bytes] of Object.entries(expected)) {
    const have = found.get(name);
    if (!Buffer.isBuffer(have)) lost.push(name);
    else if (!have.equals(bytes)) wrong.push(name);
  }
  return { wrong, lost };
}
