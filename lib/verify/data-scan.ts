/** The results of reading packs in full: which are damaged, in which frames, and where an index says something else than the pack itself. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { packName } from '../format/names.js';
import { MAX_FRAME_BYTES } from '../format/pack.js';
import type { Repository } from '../repository/repository.js';
import { blockingPlace, openBlocking } from '../store/blocking.js';
import type { Damage } from './damage.js';
import { findLiars, type IndexedPack, indexDigests } from './index-check.js';
import type { IsGone } from './meanwhile.js';
import { damagedFrames, type OwnDirectory, ownDirectory, type PackKeys } from './pack-check.js';
import { type Scan, scanPacks } from './pack-scan.js';
import type { Findings } from './report.js';
import { readWhole, type ScannedPack } from './worker.js';

export class DataScan {
  /** Packs found damaged that were not known to be, hex. */
  readonly newlyDamaged = new Set<string>();
  bytes = 0;
  readonly #repository: Repository;
  readonly #keys: PackKeys;
  readonly #findings: Findings;
  readonly #digests = new Map<string, string>();
  readonly #failed = new Map<string, ScannedPack>();
  readonly #scan: Scan;

  /** Starts reading `packs`, hex. */
  constructor(
    repository: Repository,
    keys: PackKeys,
    packs: readonly string[],
    findings: Findings,
    onProgress: (done: number, total: number, bytes: number) => void,
  ) {
    this.#repository = repository;
    this.#keys = keys;
    this.#findings = findings;
    const { root, readers = [] } = repository.keyring;
    const secrets = { repository: repository.id, salt: repository.genesis.salt, root: root!, readers };
    let done = 0;
    this.#scan = scanPacks(repository.store, secrets, packs, (hex, scanned) => {
      this.bytes += scanned.bytes;
      if (scanned.digest === undefined) this.#failed.set(hex, scanned);
      else this.#digests.set(hex, toHex(scanned.digest));
      onProgress(++done, packs.length, this.bytes);
    });
  }

  /** Waits for the threads, reports what they found, and adds it to `damage`. `findGone`: asked, when packs are missing, what was pruned meanwhile. */
  async finish(
    index: ChunkIndex,
    indexed: ReadonlyMap<string, IndexedPack>,
    damage: Damage,
    breathe: () => Promise<void>,
    findGone: () => Promise<IsGone>,
  ): Promise<void> {
    let over = false;
    const finished = this.#scan.finished.finally(() => {
      over = true;
    });
    finished.catch(() => undefined);
    while (!over) {
      await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 50).unref())]);
      await breathe();
    }
    await finished;
    const doubtful = new Map<string, string>();
    for (const { hex, digest } of indexDigests(index)) {
      const own = this.#digests.get(hex);
      if (own !== undefined && own !== digest) doubtful.set(hex, own);
    }
    if (doubtful.size > 0) {
      const liars = await findLiars(this.#repository, new Set([...indexed.values()].flatMap(({ objects }) => objects)), doubtful);
      for (const [hex, objects] of liars)
        for (const object of objects.length > 0 ? objects : [packName(Buffer.from(hex, 'hex'))])
          this.#findings.error(
            object,
            'CORRUPT',
            `says something else of ${packName(Buffer.from(hex, 'hex'))} than that pack itself`,
          );
    }
    const scratch = new Uint8Array(MAX_FRAME_BYTES);
    const isGone = [...this.#failed.values()].some(({ code }) => code === 'NOT_FOUND') ? await findGone() : () => false;
    for (const [hex, { code, message }] of this.#failed) {
      const object = packName(Buffer.from(hex, 'hex'));
      // The listing, or an index object, already gave this pack an error.
      if (damage.has(hex) || isGone({ object, code })) continue;
      await breathe();
      this.#findings.error(object, code, message);
      damage.set(hex, { code, message, frames: this.#framesOf(hex, index, scratch) });
      this.newlyDamaged.add(hex);
    }
  }

  /** Which frames of a damaged pack do not verify; undefined when none can be opened. */
  #framesOf(hex: string, index: ChunkIndex, scratch: Uint8Array): ReadonlySet<number> | undefined {
    const { store } = this.#repository;
    const name = packName(Buffer.from(hex, 'hex'));
    try {
      const reads = openBlocking(blockingPlace(store));
      const bytes = readWhole(reads, name, new Uint8Array(0));
      reads.close();
      const known = indexedDirectory(hex, index) ?? ownDirectory(bytes, name, this.#keys);
      return new Set(damagedFrames(bytes, name, known, this.#keys, scratch).frames);
    } catch {
      return undefined;
    }
  }

  stop(): Promise<void> {
    return this.#scan.stop();
  }
}

function indexedDirectory(hex: string, index: ChunkIndex): OwnDirectory | undefined {
  for (const { packIndex, packId } of index.packs()) {
    if (toHex(packId) === hex) return { header: index.header(packIndex), directory: index.directory(packIndex) };
  }
  return undefined;
}
