/**
 * What belongs to the run itself and is no source although it may lie in one: the repository that is written to (by its place, or wherever its genesis is
 * found), the caches, and mounts of any repository, through which a run would store its own snapshots again.
 */
import { readFileSync } from 'node:fs';
import { equalBytes, utf8 } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import type { RepositoryId } from '../id.js';
import { native } from '../native.js';
import { readStat, type ScanRecord, ScanType } from './scan-record.js';
import { childPath } from './walk-node.js';

/** docs/format.md §4. */
const MAX_GENESIS_BYTES = 65_536;
const MOUNT_TYPE = 'fuse.varve';

export class Surroundings {
  readonly #repository: RepositoryId;
  /** Reasons by device and inode. */
  readonly #folders = new Map<string, string>();
  /** `major:minor` of mounts of repositories. */
  readonly #mounts: ReadonlySet<string>;

  /** `folders`: directories of the run's own, each with what it is; those that are not there are passed over. */
  constructor(repository: RepositoryId, folders: readonly { readonly path: string; readonly what: string }[]) {
    this.#repository = repository;
    this.#mounts = repositoryMounts();
    for (const { path, what } of folders) {
      try {
        this.#folders.set(keyOf(readStat(native().statPath(utf8(path), true))), what);
      } catch {
        // Not there, or no folder of this machine: nothing of it can be met.
      }
    }
  }

  /** Why the directory with this record is not a source; undefined when it is one. */
  reasonFor(record: ScanRecord): string | undefined {
    if (this.#mounts.has(record.device)) return 'a mount of a repository';
    return this.#folders.size === 0 ? undefined : this.#folders.get(keyOf(record));
  }

  /** Whether a scanned directory is a repository with the genesis of the one that is written to. */
  isRepository(path: Uint8Array, records: readonly ScanRecord[]): boolean {
    let hasLedger = false;
    let genesis: ScanRecord | undefined;
    // Few directories have few entries and these among them: names are looked at only where the number fits.
    if (records.length < 2 || records.length > 64) return false;
    for (const record of records) {
      if (record.type === ScanType.directory && record.hasName('ledger')) hasLedger = true;
      else if (record.type === ScanType.regular && record.hasName('genesis')) genesis = record;
    }
    if (!hasLedger || genesis === undefined || genesis.sizeBytes > MAX_GENESIS_BYTES) return false;
    try {
      return equalBytes(sha256(readFileSync(Buffer.from(childPath(path, genesis.name)))), this.#repository);
    } catch {
      return false;
    }
  }
}

function keyOf(record: ScanRecord): string {
  return `${record.device}:${record.ino}`;
}

function repositoryMounts(): ReadonlySet<string> {
  const devices = new Set<string>();
  try {
    // proc_pid_mountinfo(5): the third field is the device, the first behind the dash the type.
    for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
      const [before, after] = line.split(' - ');
      const device = before?.split(' ')[2];
      if (device !== undefined && after?.split(' ')[0] === MOUNT_TYPE) devices.add(device);
    }
  } catch {
    // A system without /proc.
  }
  return devices;
}
