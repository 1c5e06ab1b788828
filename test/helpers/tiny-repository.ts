/**
 * A small real repository in a directory, and snapshots of made-up trees in it: packs, manifests and ledger entries through lib/format and
 * lib/crypto alone, so that readers can be tested without a backup run. Pages are never split and nothing is chunked: the test says what is.
 */
import { randomBytes } from 'node:crypto';
import { compareBytes, concat, toHex, utf8 } from '../../lib/bytes.js';
import { chunkIdOfDigest } from '../../lib/crypto/chunk-id.js';
import { seal } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { createSessionKey, manifestKey, packKey, type SessionIds } from '../../lib/crypto/session.js';
import { publicKeyOf } from '../../lib/crypto/sign.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { encodeRows } from '../../lib/format/content.js';
import { encodeEnvelope, encodeManifestBody, manifestAad, State } from '../../lib/format/manifest.js';
import { GENESIS_NAME, manifestName, packName } from '../../lib/format/names.js';
import * as pack from '../../lib/format/pack.js';
import { encodeLeaf } from '../../lib/format/page.js';
import { EntryType } from '../../lib/format/payload.js';
import { type Entry, EntryKind, type Owner, writeEntry, type Xattr } from '../../lib/format/tree.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { openSnapshot, type Snapshot, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { native } from '../../lib/native.js';
import { newRepository, openRepository, type Repository, writerAuthor } from '../../lib/repository/repository.js';
import { createDirectoryStore } from '../../lib/store/directory.js';

/** What every node may say of itself. Defaults: mode 0644 (directories 0755), root's, 2024-02-29T12:34:56.123456789Z. */
export interface NodeOptions {
  readonly mode?: number;
  readonly owner?: Partial<Owner>;
  readonly mtime?: readonly [number, number];
  readonly xattrs?: readonly Xattr[];
  readonly link?: { readonly id: Uint8Array; readonly nlink: number };
}
export type TinyNode = NodeOptions &
  (
    | { readonly kind: 'directory'; readonly children: Children }
    /** One chunk (`data`), inline up to 16 bytes; or `pieces`, one row each, a number being a hole of so many bytes. */
    | { readonly kind: 'file'; readonly data?: Uint8Array | string; readonly pieces?: readonly (Uint8Array | number)[] }
    | { readonly kind: 'symlink'; readonly target: string }
    | { readonly kind: 'fifo' | 'socket' }
    | { readonly kind: 'charDevice'; readonly major: number; readonly minor: number }
  );
/** By name; or in this order, however wrong it is. */
export type Children = Readonly<Record<string, TinyNode>> | readonly (readonly [Uint8Array, TinyNode])[];

export const file = (data: Uint8Array | string, options: NodeOptions = {}): TinyNode => ({ kind: 'file', data, ...options });
export const pieces = (list: readonly (Uint8Array | number)[], options: NodeOptions = {}): TinyNode => ({
  kind: 'file',
  pieces: list,
  ...options,
});
export const directory = (children: Children, options: NodeOptions = {}): TinyNode => ({
  kind: 'directory',
  children,
  ...options,
});

const INLINE_BYTES = 16;
const FRAME_BYTES = 256 << 10;
const PACK_BYTES = 16 << 20;
const NOW = { sec: 1_700_000_000, nsec: 0 };

interface Session {
  readonly ids: SessionIds;
  readonly key: Uint8Array;
  readonly sealed: pack.SealedSessionKey;
}

/** Packs of one class: chunks in, objects out. */
class Packs {
  readonly ids: Uint8Array[] = [];
  /** Pack id of every chunk stored, by the chunk's hex. */
  readonly places = new Map<string, Uint8Array>();
  #frames: { rows: Uint8Array[]; parts: Uint8Array[]; bytes: number }[] = [];
  #bytes = 0;
  readonly #repository: Repository;
  readonly #session: Session;
  readonly #packClass: pack.PackClass;

  constructor(repository: Repository, session: Session, packClass: pack.PackClass) {
    this.#repository = repository;
    this.#session = session;
    this.#packClass = packClass;
  }

  /** Stores a chunk, once; returns its id. */
  async add(type: number, data: Uint8Array): Promise<Uint8Array> {
    const id = chunkIdOfDigest(this.#repository.domainKeys(this.#session.ids.domain).chunkId, type, sha256(data));
    if (this.places.has(toHex(id))) return id;
    this.places.set(toHex(id), new Uint8Array());
    const tail = new Uint8Array(5);
    tail[0] = type;
    new DataView(tail.buffer).setUint32(1, data.byteLength, true);
    let frame = this.#frames.at(-1);
    if (frame === undefined || frame.bytes + data.byteLength > FRAME_BYTES)
      this.#frames.push((frame = { rows: [], parts: [], bytes: 0 }));
    frame.rows.push(concat(id, tail));
    frame.parts.push(data);
    frame.bytes += data.byteLength;
    this.#bytes += data.byteLength;
    if (this.#bytes >= PACK_BYTES) await this.finish();
    return id;
  }

  async finish(): Promise<void> {
    if (this.#frames.length === 0) return;
    const { ids, key, sealed } = this.#session;
    const salt = new Uint8Array(randomBytes(32));
    const header = pack.encodePackHeader({ ...ids, ...sealed, packClass: this.#packClass, salt });
    const sealKey = packKey(key, salt);
    const parts: Uint8Array[] = [header];
    const frames: Omit<pack.Frame, 'firstChunk'>[] = [];
    let offset = header.byteLength;
    this.#frames.forEach(({ rows, parts: chunks, bytes }, n) => {
      const aad = pack.frameAad(sha256(header), n, 0, bytes, concat(...rows));
      const out = new Uint8Array(bytes + (bytes >> 7) + 1024);
      const [sealedBytes, codec] = native().sealFrame(
        concat(...chunks),
        bytes,
        sealKey,
        n,
        aad,
        pack.FRAME_AAD_CODEC_AT,
        1,
        out,
        0,
      );
      parts.push(out.subarray(0, sealedBytes));
      frames.push({ offset, sealedBytes, rawBytes: bytes, codec, chunkCount: rows.length });
      offset += sealedBytes;
    });
    const plain = pack.encodeDirectory(
      frames,
      this.#frames.map(({ rows }) => concat(...rows)),
    );
    const sealedDirectory = seal(this.#repository.domainKeys(ids.domain).index, pack.directoryAad(header), plain);
    parts.push(sealedDirectory, pack.encodePackFooter(sealed, offset, sealedDirectory.byteLength));
    const all = concat(...parts);
    const id = sha256(all);
    await this.#repository.store.put(packName(id), [all]);
    this.ids.push(id);
    for (const { rows } of this.#frames) for (const row of rows) this.places.set(toHex(row.subarray(0, 32)), id);
    this.#frames = [];
    this.#bytes = 0;
  }
}

export interface TinyRepository {
  readonly repository: Repository;
  /** Commits a snapshot whose root holds `children`, and that lists `unread` paths as not read (`unreadCount` of them, if more). */
  snapshot(children: Children, unread?: readonly string[], unreadCount?: number): Promise<Snapshot>;
  /** Path of the pack that holds this data chunk. */
  packPathOf(data: Uint8Array): string;
}

/** Makes a repository in `folder`, which must not exist, with its caches in `cacheDir`. */
export async function tinyRepository(folder: string, cacheDir: string): Promise<TinyRepository> {
  const store = await createDirectoryStore(folder);
  const { place, keyring, genesis } = newRepository(store, NOW.sec * 1000);
  await store.put(GENESIS_NAME, [genesis]);
  const repository = openRepository(place, keyring, cacheDir);
  const { seed, domain } = keyring.writer!;
  await appendEntry(repository, keyring.adminSeed, NOW, () => ({ type: EntryType.genesis }));
  await appendEntry(repository, keyring.adminSeed, NOW, () => ({
    type: EntryType.writerCert,
    publicKey: publicKeyOf(seed),
    domain,
  }));
  const domainKeys = repository.domainKeys(domain);
  const places = new Map<string, Uint8Array>();

  const snapshot = async (
    children: Children,
    unread: readonly string[] = [],
    unreadCount: number = unread.length,
  ): Promise<Snapshot> => {
    const ids = { repository: repository.id, writer: writerAuthor(repository), domain, session: new Uint8Array(randomBytes(16)) };
    const { key, sealed } = await createSessionKey(place.genesis.readerKey, domainKeys, ids);
    const data = new Packs(repository, { ids, key, sealed }, pack.PackClass.data);
    const metadata = new Packs(repository, { ids, key, sealed }, pack.PackClass.metadata);
    const root = await entryOf(new Uint8Array(0), directory(children), data, metadata);
    await data.finish();
    await metadata.finish();
    for (const [hex, id] of data.places) places.set(hex, id);
    const pins = joinSorted([...data.ids, ...metadata.ids]);
    const head = encodeEnvelope({
      ...ids,
      ...sealed,
      stream: new Uint8Array(16),
      started: NOW,
      finished: NOW,
      claimed: NOW,
      state: State.complete,
      pins: { depth: 0, ids: pins },
      pinCount: pins.byteLength / 32,
      pinBytes: 0,
      newBytes: 0,
      indexIds: [],
    });
    const body = {
      host: 'tiny',
      label: '',
      paths: [utf8('/')],
      tags: [],
      root: root as Entry & { kind: 2 },
      problems: unread.map((path) => ({ path: utf8(path), code: 'EACCES' })),
      problemCount: unreadCount,
      program: 'test',
      notes: [],
    };
    const bytes = concat(head, seal(manifestKey(key, ids.session), manifestAad(sha256(head)), encodeManifestBody(body)));
    const manifest = sha256(bytes);
    await store.put(manifestName(manifest), [bytes]);
    await appendEntry(repository, seed, NOW, () => ({
      type: EntryType.snapshot,
      manifest,
      stream: new Uint8Array(16),
      state: State.complete,
      retainUntilSec: 0,
      slots: 0,
    }));
    const ledger = await loadLedger(repository);
    const record = snapshotRecords(ledger).find(({ id }) => compareBytes(id, manifest) === 0)!;
    return openSnapshot(repository, record, tagChanges(repository, ledger));
  };
  const packPathOf = (chunk: Uint8Array): string =>
    store.pathOf(packName(places.get(toHex(chunkIdOfDigest(domainKeys.chunkId, 1, sha256(chunk))))!));
  return { repository, snapshot, packPathOf };
}

async function entryOf(name: Uint8Array, node: TinyNode, data: Packs, metadata: Packs): Promise<Entry> {
  const common = {
    name,
    mode: node.mode ?? (node.kind === 'directory' ? 0o755 : 0o644),
    owner: { uid: 0, gid: 0, user: null, group: null, ...node.owner },
    mtimeSec: node.mtime?.[0] ?? 1_709_210_096,
    mtimeNsec: node.mtime?.[1] ?? 123_456_789,
    btimeSec: null,
    btimeNsec: 0,
    xattrs: node.xattrs ?? [],
    link: node.link ?? null,
  };
  switch (node.kind) {
    case 'directory': {
      const list = Array.isArray(node.children)
        ? (node.children as readonly (readonly [Uint8Array, TinyNode])[])
        : Object.entries(node.children as Record<string, TinyNode>)
            .map(([text, child]) => [utf8(text), child] as const)
            .sort(([a], [b]) => compareBytes(a, b));
      const entries: Entry[] = [];
      for (const [childName, child] of list) entries.push(await entryOf(childName, child, data, metadata));
      const totals = { files: 0, directories: 0, bytes: 0 };
      for (const entry of entries) {
        if (entry.kind === EntryKind.directory) {
          totals.directories += 1 + entry.totals.directories;
          totals.files += entry.totals.files;
          totals.bytes += entry.totals.bytes;
        } else {
          totals.files++;
          if ('sizeBytes' in entry) totals.bytes += entry.sizeBytes;
        }
      }
      return {
        ...common,
        kind: EntryKind.directory,
        tree: await metadata.add(pack.ChunkType.treePage, encodePage(entries)),
        totals,
      };
    }
    case 'file': {
      const list = node.pieces ?? [typeof node.data === 'string' ? utf8(node.data) : (node.data ?? new Uint8Array(0))];
      const sizeBytes = list.reduce<number>((sum, piece) => sum + (typeof piece === 'number' ? piece : piece.byteLength), 0);
      const digest =
        sizeBytes > 2 ** 30 ? null : sha256(...list.map((piece) => (typeof piece === 'number' ? new Uint8Array(piece) : piece)));
      const regular = { ...common, kind: EntryKind.regular, sizeBytes, digest };
      if (sizeBytes === 0) return { ...regular, content: { kind: 'empty' } };
      if (node.pieces === undefined && sizeBytes <= INLINE_BYTES)
        return { ...regular, content: { kind: 'inline', bytes: list[0] as Uint8Array } };
      const rows: { length: number; id: Uint8Array | undefined }[] = [];
      for (const piece of list) {
        if (typeof piece === 'number') rows.push({ length: piece, id: undefined });
        else rows.push({ length: piece.byteLength, id: await data.add(pack.ChunkType.data, piece) });
      }
      return {
        ...regular,
        content: node.pieces === undefined ? { kind: 'whole' } : { kind: 'rows', depth: 0, rows: encodeRows(rows) },
      };
    }
    case 'symlink':
      return { ...common, kind: EntryKind.symlink, target: utf8(node.target) };
    case 'charDevice':
      return { ...common, kind: EntryKind.charDevice, major: node.major, minor: node.minor };
    default:
      return { ...common, kind: EntryKind[node.kind] };
  }
}

export function encodePage(entries: readonly Entry[]): Uint8Array {
  const owners: Owner[] = [];
  const encoded = entries.map((entry) => {
    let at = owners.findIndex(
      ({ uid, gid, user, group }) =>
        uid === entry.owner.uid && gid === entry.owner.gid && user === entry.owner.user && group === entry.owner.group,
    );
    if (at < 0) at = owners.push(entry.owner) - 1;
    const out = new CborWriter();
    writeEntry(out, entry, at);
    return out.finish();
  });
  return encodeLeaf(owners, encoded.length, concat(...encoded));
}
