/**
 * The verb `check`: whether everything that was stored is there and is what it says. The structure always; with `readData` every byte of every pack too.
 * It never writes to the repository, and damage never ends it: every object is looked at, and what is wrong is named with the files it touches.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { InterruptedError, RoleError } from '../errors.js';
import { indexName, manifestName, packNameOf } from '../format/names.js';
import { hexesOf } from '../id.js';
import { requireReader } from '../ledger/roles.js';
import { type SnapshotRecord, snapshotRecords, type TagChanges, tagChanges } from '../ledger/snapshots.js';
import type { Ranges } from '../repository/ranges.js';
import type { Repository } from '../repository/repository.js';
import { rangesOf } from '../repository/snapshot-reader.js';
import { chunksOf } from './chunks.js';
import type { Damage } from './damage.js';
import { DataScan } from './data-scan.js';
import { DomainCheck } from './domain-check.js';
import { checkEntries } from './entry-check.js';
import { checkIndexObjects, checkPackSizes, fillIndex, openCheckedIndex } from './index-check.js';
import { type ReadableLedger, walkLedger } from './ledger-walk.js';
import { reportOrphans, reportUnreferenced } from './leftovers.js';
import { type Listing, listStore } from './listing.js';
import { ManifestReader, pinBytesFit } from './manifests.js';
import { findGone, type Later, lookAgain } from './meanwhile.js';
import { checkMemory } from './memory-check.js';
import { checkGenesis, checkSlots } from './objects.js';
import { PackKeys } from './pack-check.js';
import { checkSubset, choosePacks, type Subset } from './pack-scan.js';
import { checkPruned, checkPrunedPacks, type Pruned } from './prune-check.js';
import { type CheckReport, Findings } from './report.js';
import { RetentionCheck } from './retention-check.js';
import { checkListedSlots } from './slot-check.js';
import { TreeWalk } from './tree-walk.js';

export type { Subset } from './pack-scan.js';
export type { Affected, CheckCounts, CheckError, CheckReport, CheckWarning } from './report.js';

export interface CheckProgress {
  /** `objects`, then `trees` (counted in snapshots), then `data` (counted in packs). */
  readonly phase: 'objects' | 'trees' | 'data';
  readonly done: number;
  readonly total: number;
  /** Bytes of packs read so far. */
  readonly bytes: number;
}

export interface CheckOptions {
  /** Read every pack in full and verify every chunk in it. */
  readonly readData?: boolean;
  /** Which packs to read; implies `readData`. */
  readonly subset?: Subset;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CheckProgress) => void;
}

/**
 * Checks a repository.
 *
 * @returns what was found; the repository is sound if `errorCount` is 0
 * @throws RoleError without the reader's key, InterruptedError when the signal fired, StoreError if the store cannot be listed
 * @throws RangeError for a subset that cannot be
 */
export async function check(repository: Repository, options: CheckOptions = {}): Promise<CheckReport> {
  if (options.subset !== undefined) checkSubset(options.subset);
  if (repository.keyring.root === null) throw new RoleError('reader', 'checking');
  const job = new CheckJob(repository, options);
  try {
    return await job.run();
  } finally {
    await job.close();
  }
}

class CheckJob {
  readonly #repository: Repository;
  readonly #options: CheckOptions;
  readonly #findings = new Findings();
  readonly #damage: Damage = new Map();
  readonly #keys: PackKeys;
  readonly #ranges: Ranges;
  #index: ChunkIndex | undefined;
  #scan: DataScan | undefined;
  #treePages = 0;
  #rebuilt = false;
  /** Packs that some snapshot pins, hex. */
  readonly #pinned = new Set<string>();
  /** Those of snapshots that were rightly said to be deleted, before a hold or an extension came. */
  readonly #overtaken = new Set<string>();

  constructor(repository: Repository, options: CheckOptions) {
    this.#repository = repository;
    this.#options = options;
    const { root, readers } = repository.keyring;
    this.#keys = new PackKeys({ repository: repository.id, salt: repository.genesis.salt, root: root!, readers });
    this.#ranges = rangesOf(repository.store);
  }

  async close(): Promise<void> {
    await this.#scan?.stop();
    this.#ranges.close();
    await this.#index?.close();
  }

  /** Lets timers, signals and threads have their turn. @throws InterruptedError */
  readonly #breathe = async (): Promise<void> => {
    await nextTurn();
    if (this.#options.signal?.aborted === true) throw new InterruptedError('check');
  };

  async run(): Promise<CheckReport> {
    const repository = this.#repository;
    const findings = this.#findings;
    this.#progress('objects', 0, 0);
    const before = await repository.heads?.recall();
    const listing = await listStore(repository.store, findings);
    const readData = this.#options.readData === true || this.#options.subset !== undefined;
    if (readData) {
      const chosen = choosePacks(listing.packs, this.#options.subset);
      this.#scan = new DataScan(repository, this.#keys, chosen, findings, (done, total, bytes) =>
        this.#options.onProgress?.({ phase: 'data', done, total, bytes }),
      );
    }
    await checkGenesis(repository, listing, findings);
    await checkSlots(repository, listing, findings);
    const ledger = await walkLedger(repository, listing, findings);
    requireReader(repository, ledger, 'checking');
    await checkMemory(repository, before, ledger, findings);
    checkEntries(repository, ledger, findings);
    const indexed = await checkIndexObjects(repository, listing, findings, this.#breathe);
    const { index, rebuilt } = await openCheckedIndex(repository, this.#ranges, listing, this.#damage, findings);
    this.#index = index;
    this.#rebuilt = rebuilt;
    checkPackSizes(repository, this.#ranges, indexed, index, listing, this.#damage, findings);

    const pruned = checkPruned(ledger, findings);
    const records = await this.#trees(listing, ledger, pruned);
    checkPrunedPacks(ledger, this.#pinned, findings);
    for (const hex of this.#overtaken) this.#pinned.add(hex);
    let later: Later | undefined;
    if (this.#scan !== undefined) {
      await this.#scan.finish(index, indexed, this.#damage, this.#breathe, async () => {
        later = await lookAgain(repository, ledger);
        return await findGone(repository, listing, later);
      });
      if (this.#scan.newlyDamaged.size > 0) await this.#walk(listing, records, ledger, this.#scan.newlyDamaged);
    }
    later = await lookAgain(repository, later?.now ?? ledger);
    if (findings.errorCount > 0) findings.takeBack(await findGone(repository, listing, later));
    await checkListedSlots(repository, listing, later.now, findings);
    await reportOrphans(repository, listing, ledger, later, this.#pinned, findings);
    reportUnreferenced(listing, indexed, this.#pinned, later.pruned, findings);
    return {
      errors: findings.errors,
      errorCount: findings.errorCount,
      warnings: findings.warnings,
      warningCount: findings.warningCount,
      counts: {
        snapshots: snapshotRecords(ledger).length,
        packs: listing.packs.size,
        packBytes: listing.packBytes,
        chunks: index.rowCount,
        treePages: this.#treePages,
        readBytes: this.#scan?.bytes ?? 0,
      },
      rebuiltIndex: this.#rebuilt,
    };
  }

  #progress(phase: CheckProgress['phase'], done: number, total: number): void {
    this.#options.onProgress?.({ phase, done, total, bytes: this.#scan?.bytes ?? 0 });
  }

  /** Checks every manifest and walks its tree. @returns the snapshots whose trees could be begun */
  async #trees(listing: Listing, ledger: ReadableLedger, pruned: Pruned): Promise<SnapshotRecord[]> {
    const findings = this.#findings;
    const reader = new ManifestReader(this.#repository, listing);
    const tags = this.#tags(ledger);
    const retention = new RetentionCheck(ledger);
    const domains = new DomainCheck(this.#repository, ledger, this.#index!, findings);
    domains.checkKeyring();
    const readable: SnapshotRecord[] = [];
    const missingIndexes = new Set<string>();
    for (const record of snapshotRecords(ledger)) {
      await this.#breathe();
      const affected = { snapshot: toHex(record.id), path: '/' };
      const name = manifestName(record.id);
      if (record.overtaken && !listing.manifests.has(name)) {
        findings.warning(name, 'was pruned, rightly, before a hold or an extension came, which so has no effect');
        continue;
      }
      try {
        const snapshot = await reader.open(record, tags);
        const { envelope } = snapshot;
        retention.check(record, envelope.started, findings);
        const pins = await reader.pins(record.id, envelope);
        domains.check(snapshot, pins);
        for (const id of envelope.indexIds)
          if (!listing.index.has(indexName(id)) && !pruned.indexes.has(toHex(id))) missingIndexes.add(indexName(id));
        let lost = false;
        for (const hex of hexesOf(pins)) {
          (record.overtaken ? this.#overtaken : this.#pinned).add(hex);
          if (listing.packs.has(hex)) {
            lost ||= this.#damage.has(hex);
            continue;
          }
          lost = true;
          findings.error(packNameOf(hex), 'NOT_FOUND', 'is missing');
          this.#damage.set(hex, { code: 'NOT_FOUND', message: 'is missing', frames: undefined });
        }
        if (!lost && !pinBytesFit(envelope, pins, listing.packs))
          findings.error(name, 'CORRUPT', 'its packs do not have the size that it says', affected);
        readable.push(record);
      } catch (error) {
        findings.thrown(error, name, affected);
      }
    }
    const [missing] = missingIndexes;
    if (missing !== undefined) {
      const others = missingIndexes.size === 1 ? 'is' : `and ${missingIndexes.size - 1} more index objects are`;
      findings.warning(missing, `${others} missing; what was said there is read from the packs`);
    }
    await this.#walk(listing, readable, ledger, undefined);
    return readable;
  }

  /** The tag entries that open; the others are reported, and their changes left out. */
  #tags(ledger: ReadableLedger): TagChanges {
    return tagChanges(this.#repository, ledger, (error) => this.#findings.thrown(error, 'ledger'));
  }

  /** Walks the trees of `records`; with `only`, of those that pin one of these packs. */
  async #walk(
    listing: Listing,
    records: readonly SnapshotRecord[],
    ledger: ReadableLedger,
    only: ReadonlySet<string> | undefined,
  ): Promise<void> {
    const index = this.#index!;
    for (let attempt = 0; ; attempt++) {
      const covered = index.covered().size;
      const found = new Findings();
      await this.#walkOnce(listing, records, ledger, only, found);
      // The local index is only a cache: when part of it proved damaged on the way, it is filled again and the walk repeated.
      if (found.errorCount === 0 || index.covered().size >= covered || attempt > 0) {
        this.#findings.takeErrors(found);
        return;
      }
      this.#rebuilt = true;
      await fillIndex(this.#repository, this.#ranges, index, listing, this.#damage, this.#findings);
    }
  }

  async #walkOnce(
    listing: Listing,
    records: readonly SnapshotRecord[],
    ledger: ReadableLedger,
    only: ReadonlySet<string> | undefined,
    found: Findings,
  ): Promise<void> {
    const manifests = new ManifestReader(this.#repository, listing);
    const tags = this.#tags(ledger);
    const walk = new TreeWalk(this.#index!, chunksOf(this.#index!, this.#ranges, this.#keys), this.#damage, found, this.#breathe);
    try {
      let done = 0;
      for (const record of records) {
        if (only === undefined) this.#progress('trees', done++, records.length);
        const object = manifestName(record.id);
        try {
          const { envelope, body } = await manifests.open(record, tags);
          const pins = await manifests.pins(record.id, envelope);
          if (only !== undefined && ![...hexesOf(pins)].some((hex) => only.has(hex))) continue;
          const chunkIdKey = this.#repository.domainKeys(envelope.domain).chunkId;
          await walk.walk({ hex: toHex(record.id), object, root: body.root, pins, chunkIdKey });
        } catch (error) {
          found.thrown(error, object, { snapshot: toHex(record.id), path: '/' });
        }
      }
      if (only === undefined) {
        this.#treePages = walk.pages;
        this.#progress('trees', done, records.length);
      }
    } finally {
      walk.close();
    }
  }
}
