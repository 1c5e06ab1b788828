/**
 * What all parts of one walk share: its run and options, what it counts, the problems it met, and the failure that ends it. Does nothing with files or
 * directories itself.
 */
import type { Problem } from '../format/manifest.js';
import { Owners } from './owners.js';
import type { Run } from './run.js';
import { ScanAhead } from './scan-ahead.js';
import { identityMask } from './scan-record.js';
import type { Surroundings } from './surroundings.js';
import type { WalkNode } from './walk-node.js';

/** Decides what is left out. `path` is absolute. */
export interface Exclusion {
  /** `itself`: only patterns that match the path by itself count, not those that match a directory above it. */
  excludes(
    path: Uint8Array,
    record: { readonly isDirectory: boolean; readonly sizeBytes: number },
    options?: { readonly itself?: boolean },
  ): boolean;
  /** Whether everything in a directory is left out because of what it holds (cache tags and the like); the names that are kept all the same. */
  keepsOnly?(path: Uint8Array, names: readonly Uint8Array[]): readonly Uint8Array[] | undefined;
  /** Patterns that would take back something beneath a directory that is left out as a whole; each is returned once. */
  withoutEffect?(path: Uint8Array): readonly string[];
}

/** What became of a file that was read. */
export type FileState = 'new' | 'changed' | 'read again';

/** Something in the sources that is not stored because of what it is. */
export interface Omission {
  readonly path: Uint8Array;
  readonly reason: string;
}

export interface WalkOptions {
  readonly exclusion?: Exclusion;
  readonly oneFileSystem?: boolean;
  /** Read every file again. */
  readonly force?: boolean;
  /** Take a file with another inode number, or another time of change, for the one that was seen before. */
  readonly ignoreInode?: boolean;
  readonly ignoreCtime?: boolean;
  /** What of the run's own is not to be stored. */
  readonly surroundings?: Surroundings;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: WalkCounts) => void;
  readonly onProblem?: (problem: Problem) => void;
  /** Called for every regular file that was read. */
  readonly onFile?: (path: Uint8Array, state: FileState) => void;
  /** Something that a person should know although nothing is missing. Without a path it is about the run. */
  readonly onWarning?: (message: string, path?: Uint8Array) => void;
}

export interface WalkCounts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  /** Of those unmodified: read again all the same. */
  filesReadAgain: number;
  directoriesNew: number;
  directoriesChanged: number;
  directoriesUnmodified: number;
  /** Bytes of the files passed, read or not. */
  processedBytes: number;
  readBytes: number;
  current: Uint8Array;
}

export function newCounts(): WalkCounts {
  return {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    filesReadAgain: 0,
    directoriesNew: 0,
    directoriesChanged: 0,
    directoriesUnmodified: 0,
    processedBytes: 0,
    readBytes: 0,
    current: new Uint8Array(0),
  };
}

export class WalkContext {
  readonly run: Run;
  readonly namesKey: Uint8Array;
  readonly options: WalkOptions;
  readonly ahead = new ScanAhead();
  readonly owners: Owners;
  readonly problems: Problem[] = [];
  readonly omissions: Omission[] = [];
  /** Mount points that -x kept out. */
  readonly mountsNotEntered: Uint8Array[] = [];
  /** Bytes of a scan record that do not say whether a file changed; undefined when all do. */
  readonly mask: Uint8Array | undefined;
  /** Entries changed at this second or later may change again unseen. */
  readonly settledBeforeSec = Math.floor(Date.now() / 1000) - 1;
  readonly counts = newCounts();
  /** Why the walk cannot go on, once something says so. */
  failure: unknown;
  /** Sizes of all files in the trees so far: what the totals of the root will add up to. */
  #totalBytes = 0;

  constructor(run: Run, namesKey: Uint8Array, options: WalkOptions) {
    this.run = run;
    this.namesKey = namesKey;
    this.options = options;
    this.mask = identityMask(options.ignoreInode === true, options.ignoreCtime === true);
    this.owners = new Owners(() =>
      options.onWarning?.('the name service does not answer; names of users and groups are missing where no local file has them'),
    );
  }

  /** Counts bytes that were read. */
  read(bytes: number): void {
    this.counts.readBytes += bytes;
    this.counts.processedBytes += bytes;
    this.options.onProgress?.(this.counts);
  }

  /** Adds `bytes` to the totals. @returns false, and adds nothing, if they cannot hold so much */
  addTotal(bytes: number): boolean {
    if (bytes > Number.MAX_SAFE_INTEGER - this.#totalBytes) return false;
    this.#totalBytes += bytes;
    return true;
  }

  /** Leaves the `i`-th entry of `node` out, to be looked at again by the next run. */
  fail(node: WalkNode, i: number, path: Uint8Array, code: string): void {
    node.unsure[i] = 2;
    node.entries[i] = undefined;
    this.problem(path, code);
  }

  /** Reports what could not be backed up, or not as it was. */
  problem(path: Uint8Array, code: string): void {
    const problem = { path, code };
    this.problems.push(problem);
    this.options.onProblem?.(problem);
  }

  /** Notes that something of the run's own is left out. */
  omit(path: Uint8Array, reason: string): void {
    this.omissions.push({ path, reason });
  }

  warn(message: string, path?: Uint8Array): void {
    this.options.onWarning?.(message, path);
  }
}
