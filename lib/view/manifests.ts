/**
 * Opens manifests, pins and session keys without promises, for threads that block; the same checks as lib/ledger/snapshots.ts. Keeps what was opened:
 * a small summary of every snapshot, and the pins of those in use.
 */
import { equalBytes, toHex } from '../bytes.js';
import { open } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { readerPrivateKeys } from '../crypto/roles.js';
import { manifestKey } from '../crypto/session.js';
import { type SessionOpener, sessionOpener } from '../crypto/session-open.js';
import { CorruptError, NotFoundError, RoleError, StoreError } from '../errors.js';
import { decodeEnvelope, decodeManifestBody, type Envelope, manifestAad } from '../format/manifest.js';
import { GENESIS_NAME, manifestName } from '../format/names.js';
import { decodePackHeader } from '../format/pack.js';
import type { Ledger } from '../ledger/ledger.js';
import { applyDifference } from '../ledger/pins.js';
import { WriterScopes } from '../ledger/scope.js';
import { type Snapshot, type SnapshotRecord, shownBody } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import { ByteLru } from './byte-lru.js';
import type { ObjectReader } from './objects.js';

const PINS_BYTES = 16 << 20;

/** A manifest, opened; its host is one that its writer may speak for. */
export type OpenManifest = Pick<Snapshot, 'envelope' | 'body' | 'claimedHost' | 'foreign' | 'writerName'>;

/** What opening needs of a repository: its keys, not its promises. */
export type Keys = Pick<Repository, 'id' | 'genesis' | 'keyring' | 'domainKeys'>;

export class Manifests {
  readonly #keys: Keys;
  readonly #read: ObjectReader;
  readonly #ledger: () => Ledger;
  readonly #openSession: SessionOpener;
  #scopes: { readonly ledger: Ledger; readonly scopes: WriterScopes } | undefined;
  readonly #sessions = new Map<string, Uint8Array>();
  readonly #pins = new ByteLru<string, Uint8Array>(PINS_BYTES);

  /** @param ledger - as it is now: its certificates say which hosts writers speak for. @throws RoleError without the root secret */
  constructor(keys: Keys, read: ObjectReader, ledger: () => Ledger) {
    if (keys.keyring.root === null) throw new RoleError('reader', 'mounting');
    this.#keys = keys;
    this.#read = read;
    this.#ledger = ledger;
    this.#openSession = sessionOpener(readerPrivateKeys(keys.keyring.root, keys.genesis.salt, keys.keyring.readers));
  }

  /** Opens a snapshot's manifest. @throws CorruptError, StoreError */
  open(record: SnapshotRecord): OpenManifest {
    const name = manifestName(record.id);
    const { envelope, headDigest, sealed } = this.#envelope(record.id);
    const { stream, state } = record.payload;
    if (!equalBytes(envelope.writer, record.entry.author) || !equalBytes(envelope.stream, stream) || envelope.state !== state)
      throw new CorruptError(name, 'is not what its ledger entry says');
    const key = this.#session(envelope, name);
    const plaintext = open(manifestKey(key, envelope.session), manifestAad(headDigest), sealed);
    if (plaintext === undefined) throw new CorruptError(name, 'its body does not verify');
    return { envelope, ...shownBody(this.scopes, envelope, decodeManifestBody(plaintext, name)) };
  }

  /** By the ledger as it is now. */
  get scopes(): WriterScopes {
    const ledger = this.#ledger();
    if (this.#scopes?.ledger !== ledger) this.#scopes = { ledger, scopes: new WriterScopes(this.#keys, ledger) };
    return this.#scopes.scopes;
  }

  /** Joined pack ids, rising, that a snapshot pins. @throws CorruptError, StoreError */
  pins(id: Uint8Array): Uint8Array {
    const hex = toHex(id);
    let ids = this.#pins.get(hex);
    if (ids === undefined) {
      ids = this.#resolve(this.#envelope(id).envelope, manifestName(id));
      this.#pins.set(hex, ids, ids.byteLength + 256);
    }
    return ids;
  }

  /** The session key of a pack, from its header. Undefined when it does not open. */
  sessionOfPack(session: Uint8Array, header: Uint8Array): Uint8Array | undefined {
    try {
      return this.#session({ ...decodePackHeader(header, toHex(session)), session }, 'pack');
    } catch (error) {
      if (error instanceof CorruptError) return undefined;
      throw error;
    }
  }

  #session(sealed: Pick<Envelope, 'writer' | 'domain' | 'session' | 'enc' | 'ct' | 'commitment'>, name: string): Uint8Array {
    const hex = toHex(sealed.session) + toHex(sealed.commitment);
    let key = this.#sessions.get(hex);
    if (key === undefined) {
      const { writer, domain, session } = sealed;
      key = this.#openSession(this.#keys.domainKeys(domain), { repository: this.#keys.id, writer, domain, session }, sealed);
      if (key === undefined)
        throw new CorruptError(name, 'its sealed session key does not open with this repository’s reader key');
      this.#sessions.set(hex, key);
    }
    return key;
  }

  #envelope(id: Uint8Array): { envelope: Envelope; headDigest: Uint8Array; sealed: Uint8Array } {
    const name = manifestName(id);
    const bytes = this.#bytes(name);
    if (bytes === undefined) throw new NotFoundError('object', name, `${name} is missing`);
    if (!equalBytes(sha256(bytes), id)) throw new CorruptError(name, 'its bytes do not fit its name');
    const { envelope, head, sealed } = decodeEnvelope(bytes, name);
    if (!equalBytes(envelope.repository, this.#keys.id)) throw new CorruptError(name, 'belongs to another repository');
    return { envelope, headDigest: sha256(head), sealed };
  }

  /** @throws CorruptError for one object that cannot be read, StoreError when the store answers nothing */
  #bytes(name: string): Uint8Array | undefined {
    try {
      return this.#read(name);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Throws in its turn when the trouble is not this object's.
      this.#read(GENESIS_NAME);
      throw new CorruptError(name, `cannot be read (${error.message})`, {}, error);
    }
  }

  #resolve(envelope: Envelope, name: string): Uint8Array {
    const { pins, pinCount } = envelope;
    let ids: Uint8Array;
    if ('ids' in pins) ids = pins.ids;
    else {
      const base = this.#envelope(pins.base).envelope;
      if (base.pins.depth !== pins.depth - 1) throw new CorruptError(name, 'its pins build on a manifest of another depth');
      ids = applyDifference(this.#resolve(base, name), pins.removed, pins.added, name);
    }
    if (ids.byteLength / 32 !== pinCount) throw new CorruptError(name, 'its pin count does not fit its pins');
    return ids;
  }
}
