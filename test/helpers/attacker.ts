/**
 * What an attacker with stolen keys can make that this program never would: entries signed by hand, packs whose directories lie, manifests with any pins, index
 * objects that contradict the packs; and what an honest run would send, kept back. Everything is well formed as far as its maker wants it to be.
 */
import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { concat, fromHex, toHex, utf8 } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { Curve, privateKeyObject } from '../../lib/crypto/raw-keys.js';
import { createSessionKey, manifestKey } from '../../lib/crypto/session.js';
import { authorOf, publicKeyOf, sign as signAs } from '../../lib/crypto/sign.js';
import { ENTRY_LABEL, encodeEntry, type LedgerEntry } from '../../lib/format/entry.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { type Envelope, encodeEnvelope, manifestAad, State } from '../../lib/format/manifest.js';
import { entryName, manifestName, packName } from '../../lib/format/names.js';
import { CHUNK_ROW_BYTES, decodeDirectory, decodePackFooter, PACK_FOOTER_BYTES, PackClass } from '../../lib/format/pack.js';
import { EntryType, type Payload, type SnapshotPayload } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { type AuthorId, asId } from '../../lib/id.js';
import { type BackupOptions, backup } from '../../lib/ingest/backup.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { openDirectory } from '../../lib/repository/pack-directory.js';
import { type FinishedPack, PackWriter, type PackWriterKeys } from '../../lib/repository/pack-writer.js';
import { openRepository, type Repository, type RepositoryPlace, writerAuthor } from '../../lib/repository/repository.js';
import { MemoryStore } from '../../lib/store/memory.js';
import type { Store } from '../../lib/store/store.js';

/** A store whose puts stay here: what a run would send. */
export function overlay(below: Store): { readonly store: Store; readonly sent: MemoryStore } {
  const sent = new MemoryStore();
  const store: Store = {
    location: below.location,
    put: (name, parts) => sent.put(name, parts),
    get: async (name, range) => ((await sent.stat(name)) === undefined ? below.get(name, range) : sent.get(name, range)),
    stat: async (name) => (await sent.stat(name)) ?? (await below.stat(name)),
    async *list(prefix) {
      yield* sent.list(prefix);
      yield* below.list(prefix);
    },
    remove: async () => undefined,
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  return { store, sent };
}

/** What a backup would send, by name, in the order of sending kinds: packs, index objects, manifest, entry. */
export async function keptBack(repository: Repository, options: BackupOptions): Promise<Map<string, Uint8Array>> {
  const { store, sent } = overlay(repository.store);
  const cache = join(repository.cacheDir, `kept-${toHex(randomBytes(4))}`);
  try {
    await backup(openRepository({ ...repository, store }, repository.keyring, cache), options);
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
  const found = new Map<string, Uint8Array>();
  for (const folder of ['packs/', 'index/', 'snapshots/', 'ledger/'])
    for await (const { name } of sent.list(folder)) found.set(name, await sent.get(name));
  return found;
}

/** An entry signed by whoever has `seed`, wherever it may stand. */
export function signedEntry(
  { id }: Pick<RepositoryPlace, 'id'>,
  seed: Uint8Array,
  at: { readonly sequence: number; readonly previous: Uint8Array; readonly timeMs: number; readonly author?: Uint8Array },
  payload: Payload,
): { name: string; bytes: Uint8Array } {
  const author = asId('author', at.author ?? authorOf(publicKeyOf(seed)));
  const entry: LedgerEntry = {
    repository: id,
    author,
    sequence: at.sequence,
    previous: at.previous,
    time: timeOfMs(at.timeMs),
    payload,
  };
  const signed = encodeEntry(entry);
  return { name: entryName(author, at.sequence), bytes: concat(signed, signAs(seed, ENTRY_LABEL, signed)) };
}

/** An author's chain, grown by hand. */
export class HandChain {
  readonly #place: Pick<RepositoryPlace, 'id'>;
  readonly #key: KeyObject;
  readonly #author: AuthorId;
  sequence: number;
  previous: Uint8Array;

  constructor(place: Pick<RepositoryPlace, 'id'>, seed: Uint8Array, sequence = 0, previous = new Uint8Array(32)) {
    this.#place = place;
    // Kept, because making it anew for ten thousand entries would take longer than everything else.
    this.#key = privateKeyObject(Curve.ed25519, seed);
    this.#author = authorOf(publicKeyOf(seed));
    this.sequence = sequence;
    this.previous = previous;
  }

  /** As it stands in a store. */
  static async at(place: RepositoryPlace, seed: Uint8Array): Promise<HandChain> {
    const author = authorOf(publicKeyOf(seed));
    const chain = new HandChain(place, seed);
    for await (const { name } of place.store.list(`ledger/${toHex(author)}/`)) {
      const sequence = Number(name.slice(-16));
      if (sequence < chain.sequence) continue;
      chain.sequence = sequence + 1;
      chain.previous = sha256(await place.store.get(name));
    }
    return chain;
  }

  /** The next entry; the chain goes on from it. */
  next(timeMs: number, payload: Payload): { name: string; bytes: Uint8Array } {
    const made = this.peek(timeMs, payload);
    this.sequence++;
    this.previous = sha256(made.bytes);
    return made;
  }

  /** The next entry, without going on. */
  peek(timeMs: number, payload: Payload): { name: string; bytes: Uint8Array } {
    const { sequence, previous } = this;
    const entry = { repository: this.#place.id, author: this.#author, sequence, previous, time: timeOfMs(timeMs), payload };
    const signed = encodeEntry(entry);
    const signature = sign(null, concat(utf8(ENTRY_LABEL), Uint8Array.of(0), signed), this.#key);
    return { name: entryName(this.#author, sequence), bytes: concat(signed, signature) };
  }
}

/** A session of the attacker's own, sealed rightly to the reader. */
export async function forgeSession(repository: Repository): Promise<PackWriterKeys> {
  const { domain } = repository.keyring.writer!;
  const ids = {
    repository: repository.id,
    writer: writerAuthor(repository),
    domain,
    session: new Uint8Array(randomBytes(16)),
  };
  const keys = repository.domainKeys(domain);
  const { key, sealed } = await createSessionKey(repository.genesis.readerKey, keys, ids);
  return { ...ids, sessionKey: key, sealed, indexKey: keys.index };
}

export interface ForgedChunk {
  readonly id: Uint8Array;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** A pack whose directory says these ids, whatever the bytes are. */
export function forgePack(
  keys: PackWriterKeys,
  chunks: readonly ForgedChunk[],
  packClass: PackClass = PackClass.data,
): FinishedPack {
  const writer = new PackWriter(keys, { packClass, level: 1, targetBytes: 4 << 20 }, { all: { closeAt: 256 << 10 } }, () => 0);
  for (const { id, type, bytes } of chunks) writer.add('all', id, type, bytes);
  return writer.finish(false)[0]!;
}

/** Ids, types and lengths of the chunks in a pack, as whoever holds its domain's secret reads them. */
export function chunksOf(
  repository: Repository,
  name: string,
  bytes: Uint8Array,
): (Omit<ForgedChunk, 'bytes'> & { length: number })[] {
  const { offset, length } = decodePackFooter(bytes.subarray(-PACK_FOOTER_BYTES), bytes.byteLength, name);
  const sealed = bytes.subarray(offset, offset + length);
  const { chunkRows, chunkCount } = decodeDirectory(
    openDirectory(repository, bytes.subarray(0, 256), sealed, offset, name),
    offset,
    name,
  );
  return Array.from({ length: chunkCount }, (_, i) => {
    const row = chunkRows.slice(i * CHUNK_ROW_BYTES, (i + 1) * CHUNK_ROW_BYTES);
    return { id: row.slice(0, 32), type: row[32]!, length: new DataView(row.buffer).getUint32(33, true) };
  });
}

/** A manifest with any pins and any body; without one, bytes that no reader can open. */
export function forgeManifest(
  keys: PackWriterKeys,
  pins: readonly { readonly id: Uint8Array; readonly bytes: number }[],
  more: Partial<Envelope> & { readonly body?: Uint8Array } = {},
): { id: Uint8Array; name: string; bytes: Uint8Array; envelope: Envelope } {
  const { body = new Uint8Array(randomBytes(60)), ...change } = more;
  const envelope: Envelope = {
    repository: keys.repository,
    writer: keys.writer,
    domain: keys.domain,
    session: keys.session,
    ...keys.sealed,
    stream: new Uint8Array(16),
    started: timeOfMs(0),
    finished: timeOfMs(0),
    claimed: timeOfMs(0),
    state: State.complete,
    pins: { depth: 0, ids: joinSorted(pins.map(({ id }) => id)) },
    pinCount: pins.length,
    pinBytes: pins.reduce((sum, { bytes }) => sum + bytes, 0),
    newBytes: 0,
    indexIds: [],
    ...change,
  };
  const head = encodeEnvelope(envelope);
  const bytes = concat(head, seal(manifestKey(keys.sessionKey, keys.session), manifestAad(sha256(head)), body));
  const id = sha256(bytes);
  return { id, name: manifestName(id), bytes, envelope };
}

/** The payload of a snapshot entry for a manifest. */
export function snapshotPayload(
  { id, envelope }: { readonly id: Uint8Array; readonly envelope: Envelope },
  more: Partial<SnapshotPayload> = {},
): Payload {
  const { stream, state } = envelope;
  return { type: EntryType.snapshot, manifest: id, stream, state, retainUntilSec: 0, slots: 0, ...more };
}

/** Only what a role's key file would hold. */
export const only = {
  writer: (keyring: Keyring): Keyring => ({ ...keyring, root: null, adminSeed: null }),
  reader: (keyring: Keyring): Keyring => ({ ...keyring, writer: null, adminSeed: null }),
  admin: (keyring: Keyring): Keyring => ({ ...keyring, root: null, writer: null }),
};

export const packNameOf = ({ packId }: Pick<FinishedPack, 'packId'>): string => packName(packId);
export const idOfName = (name: string): Uint8Array => fromHex(name.slice(-64));

/** The whole of a store, to be shown again later. */
export async function imageOf(store: Store): Promise<Map<string, Uint8Array>> {
  const image = new Map<string, Uint8Array>();
  for await (const { name } of store.list('')) image.set(name, (await store.get(name)).slice());
  return image;
}

/** Objects of `before` that are gone or other bytes in `now`. */
export function lostOf(before: ReadonlyMap<string, Uint8Array>, now: ReadonlyMap<string, Uint8Array>): string[] {
  return [...before].filter(([name, bytes]) => !Buffer.from(now.get(name) ?? []).equals(bytes)).map(([name]) => name);
}
