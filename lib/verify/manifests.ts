/** Snapshots one after another: manifest, ledger entry and pins, each checked against the others (docs/format.md §10). */
import { equalBytes, toHex } from '../bytes.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { type Envelope, MAX_MANIFEST_BYTES } from '../format/manifest.js';
import { manifestName } from '../format/names.js';
import { applyDifference } from '../ledger/pins.js';
import { openSnapshot, readEnvelope, type Snapshot, type SnapshotRecord, type TagChanges } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import type { Listing } from './listing.js';

/** Resolved pins kept for the next snapshot; a chain of differences has at most 16 links. */
const KEPT_PINS = 18;
const KEPT_BYTES = 64 << 20;

/** Reads manifests and resolves their pins, each manifest about once. */
export class ManifestReader {
  readonly #repository: Repository;
  readonly #listing: Pick<Listing, 'manifests'>;
  readonly #pins = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(repository: Repository, listing: Pick<Listing, 'manifests'>) {
    this.#repository = repository;
    this.#listing = listing;
  }

  /** @throws CorruptError if the object is too large to be one */
  #checkSize(id: Uint8Array): string {
    const name = manifestName(id);
    if ((this.#listing.manifests.get(name) ?? 0) > MAX_MANIFEST_BYTES)
      throw new CorruptError(name, 'larger than a manifest may be');
    return name;
  }

  /** Checks name and envelope only: for a manifest that no ledger entry names. @throws CorruptError, NotFoundError */
  async envelope(id: Uint8Array): Promise<Envelope> {
    this.#checkSize(id);
    return (await readEnvelope(this.#repository, id)).envelope;
  }

  /** Opens a committed snapshot. @throws CorruptError, NotFoundError */
  async open(record: SnapshotRecord, tags: TagChanges): Promise<Snapshot> {
    const name = this.#checkSize(record.id);
    let snapshot: Snapshot;
    try {
      snapshot = await openSnapshot(this.#repository, record, tags);
    } catch (error) {
      // What its session's key says is about this object.
      if (error instanceof CorruptError && error.details.object !== name) throw new CorruptError(name, error.message, {}, error);
      throw error;
    }
    if (snapshot.envelope.state !== record.payload.state) throw new CorruptError(name, 'is not what its ledger entry says');
    return snapshot;
  }

  /** Joined pack ids that the manifest pins. @throws CorruptError, also when a manifest it builds on is missing */
  async pins(id: Uint8Array, envelope: Envelope, depthLeft = 16): Promise<Uint8Array> {
    const hex = toHex(id);
    const known = this.#pins.get(hex);
    if (known !== undefined) return known;
    const { pins, pinCount } = envelope;
    const name = manifestName(id);
    let ids: Uint8Array;
    if ('ids' in pins) ids = pins.ids;
    else {
      if (depthLeft === 0) throw new CorruptError(name, 'its pins build on too many manifests');
      const base = await this.#base(name, pins.base);
      if (!equalBytes(base.domain, envelope.domain))
        throw new CorruptError(name, 'its pins build on a manifest of another domain');
      if (base.pins.depth !== pins.depth - 1) throw new CorruptError(name, 'its pins build on a manifest of another depth');
      ids = applyDifference(await this.pins(pins.base, base, depthLeft - 1), pins.removed, pins.added, name);
    }
    if (ids.byteLength / 32 !== pinCount) throw new CorruptError(name, 'its pin count does not fit its pins');
    this.#pins.set(hex, ids);
    this.#bytes += ids.byteLength;
    for (const [old, dropped] of this.#pins) {
      if ((this.#pins.size <= KEPT_PINS && this.#bytes <= KEPT_BYTES) || old === hex) break;
      this.#pins.delete(old);
      this.#bytes -= dropped.byteLength;
    }
    return ids;
  }

  async #base(name: string, id: Uint8Array): Promise<Envelope> {
    try {
      return await this.envelope(id);
    } catch (error) {
      if (error instanceof NotFoundError)
        throw new CorruptError(name, `its pins build on ${manifestName(id)}, which is missing`, {}, error);
      throw error;
    }
  }
}

/** Whether the packs that `pins` names, as far as they are there, have the size that the manifest says. */
export function pinBytesFit(envelope: Envelope, pins: Uint8Array, packs: ReadonlyMap<string, number>): boolean {
  let bytes = 0;
  for (let at = 0; at < pins.byteLength; at += 32) {
    const size = packs.get(toHex(pins.subarray(at, at + 32)));
    if (size === undefined) return true;
    bytes += size;
  }
  return bytes === envelope.pinBytes;
}
