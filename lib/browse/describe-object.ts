/** Objects of a repository as plain data for people who debug it: ids in hex, times as they are stored, never a secret. */
import { asUtf8, fromHex, lossyUtf8, toHex } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { decodeEntry } from '../format/entry.js';
import { GENESIS_NAME, indexName, packName } from '../format/names.js';
import { CHUNK_ROW_BYTES, ChunkType, decodeDirectory, MAX_PACK_BYTES } from '../format/pack.js';
import { Kind } from '../format/preamble.js';
import { isDirectory } from '../format/tree.js';
import type { Snapshot } from '../ledger/snapshots.js';
import { describeSlot } from '../repository/keyring.js';
import { findKey } from '../repository/keys.js';
import { openIndexObject, readPackDirectory } from '../repository/pack-directory.js';
import type { Repository } from '../repository/repository.js';
import { rangesOf } from '../repository/snapshot-reader.js';
import { readPage } from '../repository/tree-reader.js';
import { entryAt, openTrees } from './open-tree.js';

/** What to describe. Chunks and trees are read within a snapshot, since a chunk means nothing outside the packs that one pins. */
export type ObjectName =
  | { readonly kind: 'genesis' }
  | { readonly kind: 'entry'; readonly author: string; readonly sequence: number }
  | { readonly kind: 'key'; readonly id: string }
  | { readonly kind: 'pack' | 'index'; readonly id: string }
  | { readonly kind: 'manifest'; readonly snapshot: Snapshot }
  | { readonly kind: 'tree'; readonly snapshot: Snapshot; readonly path: Uint8Array }
  | { readonly kind: 'chunk'; readonly snapshot: Snapshot; readonly id: string };

/** Plain data: bytes as hex (names as text, and hex beside it where they are not UTF-8), maps as objects. */
export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

/** Members that hold names and texts of people rather than ids. */
const TEXT_KEYS = new Set(['name', 'target', 'path', 'paths', 'firstName']);

function plain(value: unknown, key = ''): Plain {
  if (value instanceof Uint8Array)
    return TEXT_KEYS.has(key) ? (asUtf8(value) ?? { text: lossyUtf8(value), hex: toHex(value) }) : toHex(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, key));
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, name)]));
  return value === undefined ? null : (value as Plain);
}

async function full(repository: Repository, folder: 'packs/' | 'index/', prefix: string): Promise<Uint8Array> {
  const found: string[] = [];
  for await (const { name } of repository.store.list(folder)) {
    const hex = name.slice(name.lastIndexOf('/') + 1);
    if (prefix.length >= 4 && hex.startsWith(prefix.toLowerCase())) found.push(hex);
  }
  if (found.length !== 1)
    throw new NotFoundError(
      folder.slice(0, -1),
      prefix,
      found.length === 0 ? `no object ${folder}${prefix}` : `${prefix} is ambiguous: ${found.length} objects begin so`,
    );
  return fromHex(found[0]!);
}

/** @throws NotFoundError, CorruptError, RoleError */
export async function describeObject(repository: Repository, name: ObjectName): Promise<Plain> {
  switch (name.kind) {
    case 'genesis':
      return plain({ id: repository.id, object: GENESIS_NAME, ...repository.genesis });
    case 'entry': {
      const object = `ledger/${name.author}/${String(name.sequence).padStart(16, '0')}`;
      return plain({ object, ...decodeEntry(await repository.store.get(object), object).entry });
    }
    case 'key': {
      const { id } = await findKey(repository, name.id);
      const object = `keys/${id}`;
      return plain({ object, ...describeSlot(await repository.store.get(object), Kind.keySlot, object) });
    }
    case 'pack':
      return describePack(repository, await full(repository, 'packs/', name.id));
    case 'index': {
      const object = indexName(await full(repository, 'index/', name.id));
      const packs = openIndexObject(repository, object, await repository.store.get(object));
      return plain({ object, packs: packs.map(({ packId, packBytes }) => ({ id: packId, bytes: packBytes })) });
    }
    case 'manifest': {
      const { id, envelope, body, entry, payload, tags } = name.snapshot;
      return plain({
        id,
        envelope,
        body,
        tags,
        author: entry.author,
        sequence: entry.sequence,
        retainUntilSec: payload.retainUntilSec,
        slots: payload.slots,
      });
    }
    default:
      return inSnapshot(repository, name);
  }
}

function describePack(repository: Repository, id: Uint8Array): Plain {
  const ranges = rangesOf(repository.store);
  try {
    const { packBytes, directory } = readPackDirectory(repository, ranges, id);
    const { frames, chunkRows, chunkCount } = decodeDirectory(directory, MAX_PACK_BYTES, packName(id));
    const view = new DataView(chunkRows.buffer, chunkRows.byteOffset, chunkRows.byteLength);
    const chunks = Array.from({ length: chunkCount }, (_, i) => {
      const at = i * CHUNK_ROW_BYTES;
      return { id: toHex(chunkRows.subarray(at, at + 32)), type: chunkRows[at + 32]!, bytes: view.getUint32(at + 33, true) };
    });
    return { object: packName(id), bytes: packBytes, frames: plain(frames), chunks };
  } finally {
    ranges.close();
  }
}

async function inSnapshot(repository: Repository, name: Extract<ObjectName, { snapshot: Snapshot }>): Promise<Plain> {
  const opened = await openTrees(repository, [name.snapshot]);
  try {
    const tree = opened.trees[0]!;
    if (name.kind === 'chunk') {
      const id = fromHex(name.id);
      const places = opened.reader.index.locate(id).map(({ packId, frame, chunk }) => ({ pack: toHex(packId), frame, chunk }));
      for (const type of Object.values(ChunkType)) {
        try {
          const bytes = tree.source.chunks.read(id, type);
          return { id: toHex(id), type, bytes: bytes.byteLength, places, base64: Buffer.from(bytes).toString('base64') };
        } catch {
          // Another type, or not pinned at all: said below.
        }
      }
      throw new NotFoundError('chunk', name.id, `no readable chunk ${name.id} in the packs of this snapshot`);
    }
    const { entry, path } = entryAt(tree, name.kind === 'tree' ? name.path : new Uint8Array(0));
    const located = { path, entry };
    return plain(isDirectory(entry) ? { ...located, page: readPage(tree.source, entry.tree) } : located);
  } finally {
    await opened.close();
  }
}
