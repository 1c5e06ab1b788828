/**
 * Trees that a writer with his own keys can store and an honest run never would: pages that repeat what they hold, totals that are not true, content of rows that name
 * one list page again and again. Every chunk, pack and signature is valid; what is wrong is what the pages say.
 */
import { toHex, utf8 } from '../../lib/bytes.js';
import { chunkIdOfDigest } from '../../lib/crypto/chunk-id.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { encodeRows } from '../../lib/format/content.js';
import { type Envelope, encodeManifestBody, type ManifestBody } from '../../lib/format/manifest.js';
import { ChunkType, PackClass } from '../../lib/format/pack.js';
import { encodeInner, type InnerRow } from '../../lib/format/page.js';
import { timeOfMs } from '../../lib/format/time.js';
import { type DirectoryEntry, type Entry, EntryKind, type FileEntry, type Owner, type Totals } from '../../lib/format/tree.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { streamId } from '../../lib/ledger/stream.js';
import type { PackWriterKeys } from '../../lib/repository/pack-writer.js';
import type { Repository } from '../../lib/repository/repository.js';
import { type ForgedChunk, forgeManifest, forgePack, forgeSession, packNameOf, snapshotPayload } from './attacker.js';
import { encodePage } from './tiny-repository.js';

const OWNER: Owner = { uid: 0, gid: 0, user: null, group: null };
/** What goes into one pack. */
const PACK_BYTES = 2 << 20;
const PACK_CHUNKS = 4000;
const YEARS = 20 * 366 * 86_400;

const common = (name: string, mtimeSec = 1_700_000_000) => ({
  name: utf8(name),
  owner: OWNER,
  mtimeSec,
  mtimeNsec: 0,
  btimeSec: null,
  btimeNsec: 0,
  xattrs: [],
  link: null,
});

/** A directory as something above it holds it. */
export interface Tree {
  readonly tree: Uint8Array;
  readonly totals: Totals;
}

export const directoryEntry = (name: string, { tree, totals }: Tree): DirectoryEntry => ({
  ...common(name),
  mode: 0o755,
  kind: EntryKind.directory,
  tree,
  totals,
});

export const inlineEntry = (name: string, text: string, mtimeSec?: number): FileEntry => {
  const bytes = utf8(text);
  return {
    ...common(name, mtimeSec),
    mode: 0o644,
    kind: EntryKind.regular,
    sizeBytes: bytes.byteLength,
    digest: sha256(bytes),
    content: bytes.byteLength === 0 ? { kind: 'empty' } : { kind: 'inline', bytes },
  };
};

/** A file of rows; its digest is what it is not. */
export const rowsEntry = (name: string, depth: number, sizeBytes: number, rows: Uint8Array): FileEntry => ({
  ...common(name),
  mode: 0o644,
  kind: EntryKind.regular,
  sizeBytes,
  digest: new Uint8Array(32),
  content: { kind: 'rows', depth, rows },
});

/** Totals of a directory that holds `entries`, as large as a page can say. */
export function totalsOf(entries: readonly Entry[]): Totals {
  const sums = { files: 0, directories: 0, bytes: 0 };
  for (const entry of entries) {
    if (entry.kind === EntryKind.directory) {
      sums.files += entry.totals.files;
      sums.directories += entry.totals.directories + 1;
      sums.bytes += entry.totals.bytes;
    } else {
      sums.files++;
      if ('sizeBytes' in entry) sums.bytes += entry.sizeBytes;
    }
  }
  const most = (sum: number): number => Math.min(sum, Number.MAX_SAFE_INTEGER);
  return { files: most(sums.files), directories: most(sums.directories), bytes: most(sums.bytes) };
}

/** One who has a writer's keys and uses them badly. */
export class HostileWriter {
  readonly #repository: Repository;
  readonly #keys: PackWriterKeys;
  readonly #stored = new Set<string>();
  readonly #waiting: { data: ForgedChunk[]; metadata: ForgedChunk[] } = { data: [], metadata: [] };
  readonly packs: { readonly id: Uint8Array; readonly bytes: number }[] = [];
  #clockMs = Date.now() - 3_600_000;

  private constructor(repository: Repository, keys: PackWriterKeys) {
    this.#repository = repository;
    this.#keys = keys;
  }

  static async of(repository: Repository): Promise<HostileWriter> {
    return new HostileWriter(repository, await forgeSession(repository));
  }

  get keys(): PackWriterKeys {
    return this.#keys;
  }

  chunk(type: number, bytes: Uint8Array): Uint8Array {
    const { chunkId } = this.#repository.domainKeys(this.#keys.domain);
    const id = chunkIdOfDigest(chunkId, type, sha256(bytes));
    if (!this.#stored.has(toHex(id))) {
      this.#stored.add(toHex(id));
      this.#waiting[type === ChunkType.data ? 'data' : 'metadata'].push({ id, type, bytes });
    }
    return id;
  }

  /** A leaf with these entries, which are to be in order. */
  leaf(entries: readonly Entry[], totals: Totals = totalsOf(entries)): Tree {
    return { tree: this.chunk(ChunkType.treePage, encodePage(entries)), totals };
  }

  inner(level: number, rows: readonly InnerRow[], totals: Totals): Tree {
    return { tree: this.chunk(ChunkType.treePage, encodeInner(level, rows)), totals };
  }

  /** A list page of these rows. */
  list(rows: readonly { readonly length: number; readonly id: Uint8Array | undefined }[]): Uint8Array {
    return this.chunk(ChunkType.listPage, encodeRows(rows));
  }

  /** `height` directories that each hold `width` times the one below; `totals` says what each claims. */
  repeated(height: number, width: number, bottom: Tree, totals: (right: Totals) => Totals = (right) => right): Tree {
    let below = bottom;
    for (let level = 0; level < height; level++) {
      const one = below;
      const entries = Array.from({ length: width }, (_, i) => directoryEntry(`d${String(i).padStart(4, '0')}`, one));
      below = this.leaf(entries, totals(totalsOf(entries)));
    }
    return below;
  }

  /** Stores what waits, in as many packs as it takes. */
  async flush(): Promise<void> {
    for (const packClass of ['data', 'metadata'] as const) {
      const chunks = this.#waiting[packClass].splice(0);
      for (let at = 0; at < chunks.length; ) {
        const some: ForgedChunk[] = [];
        for (let bytes = 0; at < chunks.length && bytes < PACK_BYTES && some.length < PACK_CHUNKS; at++) {
          some.push(chunks[at]!);
          bytes += chunks[at]!.bytes.byteLength;
        }
        const pack = forgePack(this.#keys, some, PackClass[packClass]);
        await this.#repository.store.put(packNameOf(pack), [pack.bytes.slice()]);
        this.packs.push({ id: pack.packId, bytes: pack.bytes.byteLength });
      }
    }
  }

  /** A snapshot of `root`, committed. @returns its id, hex */
  async commit(
    root: Tree,
    more: { readonly envelope?: Partial<Envelope>; readonly body?: Partial<ManifestBody>; readonly root?: Partial<Entry> } = {},
  ): Promise<string> {
    await this.flush();
    const { domain } = this.#keys;
    const host = more.body?.host ?? 'hostile';
    const label = more.body?.label ?? '';
    const time = timeOfMs((this.#clockMs += 1000));
    const entry = { ...directoryEntry('', root), ...more.root } as DirectoryEntry;
    const body = encodeManifestBody({
      host,
      label,
      paths: [utf8('/')],
      tags: [],
      root: entry,
      problems: [],
      problemCount: 0,
      program: 'hostile',
      notes: [],
      ...more.body,
    });
    const stream = streamId(this.#repository.domainKeys(domain).names, host, label);
    const times = { started: time, finished: time, claimed: time };
    const manifest = forgeManifest(this.#keys, this.packs, { stream, ...times, ...more.envelope, body });
    await this.#repository.store.put(manifest.name, [manifest.bytes]);
    await appendEntry(this.#repository, this.#repository.keyring.writer!.seed, time, () =>
      snapshotPayload(manifest, { retainUntilSec: time.sec + YEARS }),
    );
    return toHex(manifest.id);
  }
}

/** Rows of `count` times the same. */
export const sameRows = (count: number, length: number, id: Uint8Array): { length: number; id: Uint8Array }[] =>
  Array.from({ length: count }, () => ({ length, id }));
