/**
 * Whether all that a manifest needs is there and stays: its packs, its index objects, and the manifests that it builds on, down to the last. Looked at when the manifest
 * comes, and anew when an entry names it, in one queue with the sweep that deletes. The check of packs stands in accept.ts.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { NotFoundError, VarveError } from '../errors.js';
import { decodeEnvelope, type Envelope, MAX_PIN_DEPTH } from '../format/manifest.js';
import { resolvePins } from '../ledger/pins.js';
import { nameOfRef } from '../store/vault-protocol.js';
import { checkPins, refuse } from './accept.js';
import type { Chains } from './chains.js';
import { Intents } from './intents.js';
import { domainOf, type StoredObjects } from './object-domain.js';

/** What is a few too many is named. */
const SPARE = 1024;
/** A base and the differences that build on it, all together. */
const BASES_BYTES = 128 << 20;
const KEPT_BYTES = 8 << 20;

export interface PinParts extends StoredObjects {
  /** @throws NoRepositoryError before there is a ledger */
  chains(): Chains;
}

export class ManifestPins {
  readonly #parts: PinParts;
  #intents: Intents | undefined;
  readonly #resolved = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(parts: PinParts) {
    this.#parts = parts;
  }

  /** Checks that all that a manifest needs is there and stays. @param hex - id of the manifest @throws RefusedError, StoreError */
  async check(object: string, hex: string, envelope: Envelope): Promise<void> {
    const intents = this.#currentIntents();
    if (intents.names('snapshots', hex)) refuse(object, `is manifest ${hex.slice(0, 16)}, which is to be pruned`);
    this.#checkCounts(object, envelope);
    const bases = await this.#bases(object, envelope, intents);
    const shelf = this.#parts.catalog.shelves.pack;
    await checkPins(object, envelope, await this.#pinsOf(object, hex, envelope, bases), {
      find: async (id) => {
        const row = shelf.find(id);
        const domain = row === undefined ? undefined : await domainOf(this.#parts, 'pack', row);
        return row === undefined || domain === undefined ? undefined : { sizeBytes: shelf.sizeOf(row), domain };
      },
      isIntended: (pack) => intents.names('packs', pack),
    });
    await this.#checkIndexes(object, envelope, intents);
  }

  #currentIntents(): Intents {
    const chains = this.#parts.chains();
    if (this.#intents?.chains !== chains) this.#intents = new Intents(chains);
    this.#intents.catchUp();
    return this.#intents;
  }

  /** So much more than there is cannot be right, and would take memory and time to find out. */
  #checkCounts(object: string, { pins, indexIds }: Envelope): void {
    const { pack, index } = this.#parts.catalog.shelves;
    const most = 'ids' in pins ? pins.ids.byteLength : Math.max(pins.added.byteLength, pins.removed.byteLength);
    if (most / 32 > pack.size + SPARE) refuse(object, 'pins more packs than there are');
    if (indexIds.length > index.size + SPARE) refuse(object, 'names more index objects than there are');
  }

  async #checkIndexes(object: string, { indexIds, domain }: Envelope, intents: Intents): Promise<void> {
    const shelf = this.#parts.catalog.shelves.index;
    for (const id of indexIds) {
      const hex = toHex(id);
      const row = shelf.find(id);
      if (row === undefined) return refuse(object, `names index object ${hex.slice(0, 16)}, which is not there`);
      if (intents.names('indexes', hex)) refuse(object, `names index object ${hex.slice(0, 16)}, which is to be pruned`);
      if ((await domainOf(this.#parts, 'index', row)) !== toHex(domain))
        refuse(object, `names index object ${hex.slice(0, 16)}, which is of another domain`);
    }
  }

  /** The envelopes of the manifests that one builds on, read from the disk: what is remembered of them would not say that they are gone. */
  async #bases(object: string, envelope: Envelope, intents: Intents): Promise<ReadonlyMap<string, Envelope>> {
    const { store, catalog } = this.#parts;
    const bases = new Map<string, Envelope>();
    let left = BASES_BYTES;
    for (let at = envelope; 'base' in at.pins; ) {
      const hex = toHex(at.pins.base);
      const base = `manifest ${hex.slice(0, 16)}`;
      if (bases.size === MAX_PIN_DEPTH) return refuse(object, 'builds on too many manifests');
      const row = catalog.shelves.manifest.find(at.pins.base);
      if (row === undefined) return refuse(object, `builds on ${base}, which is not there`);
      if (intents.names('snapshots', hex)) refuse(object, `builds on ${base}, which is to be pruned`);
      const name = nameOfRef({ kind: 'manifest', id: hex, sequence: 0 });
      // The sender of a few bytes must not have a gigabyte read, nor keep others waiting while it is.
      left -= catalog.shelves.manifest.sizeOf(row);
      if (left < 0) refuse(object, 'builds on manifests that are larger together than they may be');
      await nextTurn();
      const bytes = await store.get(name).catch((error: unknown) => {
        if (error instanceof NotFoundError) return refuse(object, `builds on ${base}, which is not there`);
        throw error;
      });
      if (toHex(sha256(bytes)) !== hex) refuse(object, `builds on ${base}, which is damaged`);
      const { envelope: next } = decodeEnvelope(bytes, name);
      if (toHex(next.domain) !== toHex(envelope.domain)) refuse(object, 'builds on a manifest of another domain');
      bases.set(hex, next);
      at = next;
    }
    return bases;
  }

  /** A stored manifest's envelope, all that it needs looked at anew. Call it when nothing else changes the ledger. @throws RefusedError, StoreError */
  async envelopeOf(object: string, id: Uint8Array, judge: (envelope: Envelope) => void): Promise<Envelope> {
    const hex = toHex(id);
    const name = nameOfRef({ kind: 'manifest', id: hex, sequence: 0 });
    if (this.#parts.catalog.shelves.manifest.find(id) === undefined)
      refuse(object, `names manifest ${hex.slice(0, 16)}, which is not there`);
    const bytes = await this.#parts.store.get(name);
    if (toHex(sha256(bytes)) !== hex) refuse(object, `names manifest ${hex.slice(0, 16)}, which is damaged`);
    const { envelope } = decodeEnvelope(bytes, name);
    // Before anything that it builds on is read.
    judge(envelope);
    await this.check(object, hex, envelope);
    return envelope;
  }

  /** Pins follow from bytes that never change, so they are worked out once; that all those bytes are there was seen before this is asked. */
  async #pinsOf(object: string, hex: string, envelope: Envelope, bases: ReadonlyMap<string, Envelope>): Promise<Uint8Array> {
    if (bases.size === 0) return await resolved(object, envelope, bases);
    const known = this.#resolved.get(hex);
    if (known !== undefined) return known;
    const pins = await resolved(object, envelope, bases);
    this.#resolved.set(hex, pins);
    this.#bytes += pins.byteLength;
    for (const [key, old] of this.#resolved) {
      if (this.#bytes <= KEPT_BYTES || key === hex) break;
      this.#resolved.delete(key);
      this.#bytes -= old.byteLength;
    }
    return pins;
  }
}

async function resolved(object: string, envelope: Envelope, bases: ReadonlyMap<string, Envelope>): Promise<Uint8Array> {
  try {
    return await resolvePins(envelope, async (id) => bases.get(toHex(id))!, object);
  } catch (error) {
    if (error instanceof VarveError && error.code === 'CORRUPT') refuse(object, `has pins that do not resolve: ${error.message}`);
    throw error;
  }
}
