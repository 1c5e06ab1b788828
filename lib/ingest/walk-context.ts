/**
 * What all parts of one walk share: its run and options, what it counts, the problems it met, and the failure that ends it. Does nothing with files or
 * directories itself.
 */
import type { Problem } from '../format/manifest.js';
import type { Run } from './run.js';
import { ScanAhead } from './scan-ahead.js';
import type { WalkNode } from './walk-node.js';

/** Decides what is left out. `path` is absolute. */
export interface Exclusion {
  excludes(path: Uint8Array, record: { readonly isDirectory: boolean; readonly sizeBytes: number }): boolean;
  /** Whether everything in a directory is left out because of what it holds (cache tags and the like); the names that are kept all the same. */
  keepsOnly?(path: Uint8Array, names: readonly Uint8Array[]): readonly Uint8Array[] | undefined;
}

export interface WalkOptions {
  readonly exclusion?: Exclusion;
  readonly oneFileSystem?: boolean;
  /** Read every file again. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: WalkCounts) => void;
  readonly onProblem?: (problem: Problem) => void;
  /** Called for every regular file that is going to be read. */
  readonly onFile?: (path: Uint8Array, state: 'new' | 'changed') => void;
}

export interface WalkCounts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  directoriesNew: number;
  directoriesChanged: number;
  directoriesUnmodified: number;
  /** Bytes of the files passed, read or not. */
  processedBytes: number;
  readBytes: number;
  current: Uint8Array;
}

export class WalkContext {
  readonly run: Run;
  readonly namesKey: Uint8Array;
  readonly options: WalkOptions;
  readonly ahead = new ScanAhead();
  readonly problems: Problem[] = [];
  /** Entries changed at this second or later may change again unseen. */
  readonly settledBeforeSec = Math.floor(Date.now() / 1000) - 1;
  readonly counts: WalkCounts = {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    directoriesNew: 0,
    directoriesChanged: 0,
    directoriesUnmodified: 0,
    processedBytes: 0,
    readBytes: 0,
    current: new Uint8Array(0),
  };
  /** Why the walk cannot go on, once something says so. */
  failure: unknown;

  constructor(run: Run, namesKey: Uint8Array, options: WalkOptions) {
    this.run = run;
    this.namesKey = namesKey;
    this.options = options;
  }

  /** Counts bytes that were read. */
  read(bytes: number): void {
    this.counts.readBytes += bytes;
    this.counts.processedBytes += bytes;
    this.options.onProgress?.(this.counts);
  }

  /** Leaves the `i`-th entry of `node` out, to be looked at again by the next run. */
  fail(node: WalkNode, i: number, path: Uint8Array, code: string): void {
    node.unsure[i] = 1;
    node.entries[i] = undefined;
    this.problem(path, code);
  }

  /** Reports what could not be backed up, or not as it was. */
  problem(path: Uint8Array, code: string): void {
    const problem = { path, code };
    this.problems.push(problem);
    this.options.onProblem?.(problem);
  }
}
