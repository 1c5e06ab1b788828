/**
 * Opens a view in the thread or process that serves it, from plain data. Everything a thread needs later (manifests, session keys, new ledger entries) it
 * gets by itself and without promises, so that no other thread can keep a mount waiting.
 */
import { join } from 'node:path';
import { fromHex } from '../bytes.js';
import { CorruptError } from '../errors.js';
import type { Genesis } from '../format/genesis.js';
import type { Keyring } from '../format/key-slot.js';
import { asId } from '../id.js';
import type { Ledger } from '../ledger/ledger.js';
import { hasPin } from '../ledger/pins.js';
import { ChunkReader, type ChunkSource } from '../repository/chunk-reader.js';
import { openRanges } from '../repository/ranges.js';
import { openRepository } from '../repository/repository.js';
import type { TreeSource } from '../repository/tree-reader.js';
import type { BlockingPlace } from '../store/blocking.js';
import { DirectoryStore } from '../store/directory.js';
import { DirectoryPages } from './directory-pages.js';
import { FileContents } from './file-content.js';
import { RepositoryFileSystem, type ViewOptions } from './file-system.js';
import { LedgerFollower } from './ledger-follower.js';
import { Manifests } from './manifests.js';
import { createNodeTable, NodeTable } from './node-table.js';
import { objectReader } from './objects.js';
import { createSharedFrames, SharedFrames } from './shared-frames.js';
import { type ShownSnapshot, SnapshotTable } from './snapshot-table.js';
import { ledgerJsonLines, snapshotJson, statusJson } from './status-files.js';
import { ViewIndex } from './view-index.js';

/** What a serving thread is given. Structured-cloneable; holds keys. */
export interface ViewData {
  /** Where the store is, for people. */
  readonly location: string;
  /** How objects are read. */
  readonly place: BlockingPlace;
  readonly repositoryId: Uint8Array;
  readonly genesis: Genesis;
  /** The root secret; no signing keys. */
  readonly keyring: Keyring;
  readonly cacheDir: string;
  /** Loaded and verified. */
  readonly ledger: Ledger;
  /** From createNodeTable, the same for all threads of a mount. Undefined when one alone serves. */
  readonly numbers: SharedArrayBuffer | undefined;
  /** From createSharedFrames, likewise. */
  readonly frames: SharedArrayBuffer | undefined;
  readonly view: ViewOptions;
  /** How much may be kept, in bytes: decoded frames by all threads together (unless `frames` says), pages and list pages by each. */
  readonly cacheBytes: { readonly frames: number; readonly pages: number; readonly lists: number };
}

/** See FileSystemSource in lib/mount/driver.ts. */
export function openFileSystem(data: unknown): RepositoryFileSystem {
  const { location, place, repositoryId, genesis, keyring, cacheDir, ledger, numbers, frames, view, cacheBytes } =
    data as ViewData;
  // Everything is read through `place`; of its store, a view needs the keys' place only.
  const store = new DirectoryStore(location);
  const id = asId('repository', repositoryId);
  const repository = openRepository({ store, id, genesis }, keyring, cacheDir);
  const read = objectReader(place);
  const follower = new LedgerFollower({ id, genesis }, ledger, read);
  const manifests = new Manifests(repository, read, () => follower.ledger);
  const table = new SnapshotTable(repository, follower, manifests, view.filter);
  const ranges = openRanges(() => place);
  const index = new ViewIndex(join(cacheDir, 'index'), repository, ranges);
  const keys = {
    sessions: new Map<string, Uint8Array>(),
    chunkIds: { get: (hex: string) => repository.domainKeys(fromHex(hex)).chunkId },
  };
  const missingSession = (session: Uint8Array, header: Uint8Array): Uint8Array | undefined =>
    manifests.sessionOfPack(session, header);
  const memory = new SharedFrames(frames ?? createSharedFrames(cacheBytes.frames));
  const reader = new ChunkReader(index, ranges, keys, { cacheBytes: 0, missingSession, memory });
  const sources = new Map<string, TreeSource>();

  const sourceOf = (snapshot: ShownSnapshot): TreeSource => {
    let source = sources.get(snapshot.hex);
    if (source === undefined) {
      const { domain } = table.summary(snapshot);
      const chunks = coveringSource(reader, index, () => manifests.pins(snapshot.record.id));
      source = { chunks, chunkIdKey: repository.domainKeys(domain).chunkId };
      sources.set(snapshot.hex, source);
    }
    return source;
  };
  const texts = {
    status: () => statusJson(id, location, table),
    ledger: () => ledgerJsonLines(follower.ledger.entries),
    snapshot: (snapshot: ShownSnapshot) =>
      snapshotJson(snapshot, table.manifest(snapshot), table.tagsOf(snapshot, table.summary(snapshot))),
  };
  const close = (): void => {
    index.close();
    ranges.close();
  };
  const contents = new FileContents(cacheBytes.lists);
  const parts = {
    table,
    numbers: new NodeTable(numbers ?? createNodeTable()),
    contents,
    pages: new DirectoryPages(cacheBytes.pages),
    texts,
    sourceOf,
    nowMs: Date.now,
    close,
  };
  return new RepositoryFileSystem(parts, view);
}

/** Chunks inside the pins. When one is not found, packs that the index does not know are looked into, once for each time the index changes. */
function coveringSource(reader: ChunkReader, index: ViewIndex, pins: () => Uint8Array): ChunkSource {
  const inner = reader.within((packId) => hasPin(pins(), packId));
  let coveredAt = Number.NEGATIVE_INFINITY;
  return {
    read(id, type) {
      try {
        return inner.read(id, type);
      } catch (error) {
        const now = performance.now();
        if (!(error instanceof CorruptError) || now - coveredAt < COVER_AGAIN_MS) throw error;
        coveredAt = now;
        if (!index.cover(pins())) throw error;
        return inner.read(id, type);
      }
    },
    spent: () => inner.spent?.(),
  };
}

const COVER_AGAIN_MS = 10_000;
