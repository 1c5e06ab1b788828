/**
 * What stored and coming manifests pin, resolved through the manifests that they build on and kept for a while: a manifest is checked when it comes, and again when an entry
 * names it. The check itself stands in accept.ts.
 */
import { toHex } from '../bytes.js';
import { VarveError } from '../errors.js';
import { decodeEnvelope, type Envelope } from '../format/manifest.js';
import { resolvePins } from '../ledger/pins.js';
import { nameOfRef } from '../store/vault-protocol.js';
import { checkPins, refuse } from './accept.js';
import type { Chains } from './chains.js';
import { domainOf, type StoredObjects } from './object-domain.js';

const PINS_KEPT_BYTES = 8 << 20;

export interface PinParts extends StoredObjects {
  /** @throws NoRepositoryError before there is a ledger */
  chains(): Chains;
}

/** Resolved pins by manifest, the newest of them kept. */
export class ManifestPins {
  readonly #parts: PinParts;
  readonly #resolved = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(parts: PinParts) {
    this.#parts = parts;
  }

  /** Checks that all that a manifest pins is there and stays. @param hex - id of the manifest @throws RefusedError */
  async check(object: string, hex: string, envelope: Envelope): Promise<void> {
    const chains = this.#parts.chains();
    const shelf = this.#parts.catalog.shelves.pack;
    let pins = this.#resolved.get(hex);
    if (pins === undefined) {
      pins = await this.#resolve(object, envelope);
      this.#resolved.set(hex, pins);
      this.#bytes += pins.byteLength;
      for (const [key, old] of this.#resolved) {
        if (this.#bytes <= PINS_KEPT_BYTES || key === hex) break;
        this.#resolved.delete(key);
        this.#bytes -= old.byteLength;
      }
    }
    await checkPins(object, envelope, pins, {
      find: async (id) => {
        const row = shelf.find(id);
        const domain = row === undefined ? undefined : await domainOf(this.#parts, 'pack', row);
        return row === undefined || domain === undefined ? undefined : { sizeBytes: shelf.sizeOf(row), domain };
      },
      isIntended: (pack) => chains.isIntended(pack),
    });
  }

  async #resolve(object: string, envelope: Envelope): Promise<Uint8Array> {
    const base = async (id: Uint8Array): Promise<Envelope> => {
      const ref = { kind: 'manifest', id: toHex(id), sequence: 0 } as const;
      if (this.#parts.catalog.shelves.manifest.find(id) === undefined)
        refuse(object, `builds on manifest ${ref.id.slice(0, 16)}, which is not there`);
      const { envelope: other } = decodeEnvelope(await this.#parts.store.get(nameOfRef(ref)), nameOfRef(ref));
      if (toHex(other.domain) !== toHex(envelope.domain)) refuse(object, 'builds on a manifest of another domain');
      return other;
    };
    try {
      return await resolvePins(envelope, base, object);
    } catch (error) {
      if (error instanceof VarveError && error.code === 'CORRUPT')
        refuse(object, `has pins that do not resolve: ${error.message}`);
      throw error;
    }
  }

  /** A stored manifest's envelope, its pins checked again. */
  async envelopeOf(object: string, id: Uint8Array): Promise<Envelope> {
    const hex = toHex(id);
    const name = nameOfRef({ kind: 'manifest', id: hex, sequence: 0 });
    if (this.#parts.catalog.shelves.manifest.find(id) === undefined)
      refuse(object, `names manifest ${hex.slice(0, 16)}, which is not there`);
    const { envelope } = decodeEnvelope(await this.#parts.store.get(name), name);
    await this.check(object, hex, envelope);
    return envelope;
  }

  /** Forgets the pins of a manifest that is deleted. */
  forget(hex: string): void {
    const pins = this.#resolved.get(hex);
    if (pins === undefined) return;
    this.#resolved.delete(hex);
    this.#bytes -= pins.byteLength;
  }

  /** Bytes of the pins that are kept. */
  get keptBytes(): number {
    return this.#bytes;
  }
}
