/** What a restore can be asked for and what it reports. Types only, and the few judgements that follow from them alone. */
import type { VarveError } from '../errors.js';

/** Which existing entries may be replaced. `always` leaves alone what already holds the right bytes. */
export type Overwrite = 'always' | 'if-changed' | 'if-newer' | 'never';

/**
 * Says of a path whether it matches: 'yes' (with everything beneath), 'no', or 'maybe-below': not itself, but something beneath it may.
 * Paths are those of the restored tree, absolute: `/` is what lands in the target itself.
 */
export type Matcher = (path: Uint8Array, isDirectory: boolean) => 'yes' | 'no' | 'maybe-below';

export interface RestoreProgress {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  /** Of the whole subtree, whatever `include` and `exclude` leave of it. */
  readonly totalFiles: number;
  readonly totalBytes: number;
}

/** Something that was not restored as the snapshot has it. */
export interface RestoreProblem {
  /** Relative to the target. */
  readonly path: Uint8Array;
  /** An errno name, or CORRUPT, VERIFY, KIND, LINK, DEVICE (only root may make one). */
  readonly code: string;
  readonly message: string;
}

export interface RestoreOptions {
  /** Folder to restore into; made, with its parents, if missing. May be reached through symlinks. */
  readonly targetPath: string;
  /** Absolute path in the snapshot: its children land directly in the target. A file lands there itself. */
  readonly subPath?: Uint8Array;
  readonly include?: Matcher;
  readonly exclude?: Matcher;
  /** Default 'always'. */
  readonly overwrite?: Overwrite;
  /** Removes from restored directories what the snapshot does not have. */
  readonly delete?: boolean;
  /** Reads every restored file again and compares its digest. */
  readonly verify?: boolean;
  /** Leaves holes where blocks of zeros stand. Holes that the snapshot knows of are always restored as holes. */
  readonly sparse?: boolean;
  readonly dryRun?: boolean;
  /** Takes user and group ids as they are; otherwise names come first where this system knows them. */
  readonly numericIds?: boolean;
  /** Writing threads, when there is work for them; 0 writes in this one. Default: as many as cores, at most 4. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
  /** Called for every problem, as it is met; the report holds the first MAX_PROBLEMS. */
  readonly onProblem?: (problem: RestoreProblem) => void;
  /** Called for index objects, and packs that are needed, whose directories cannot be taken up. Files that want for it are problems besides. */
  readonly onDamaged?: (error: VarveError) => void;
}

export const MAX_PROBLEMS = 10_000;

export interface RestoreReport {
  /** Files, symlinks and special files made, replaced or mended. */
  readonly restored: number;
  readonly directories: number;
  /** Left as they were: `overwrite` said so, or every byte was already right. */
  readonly skipped: number;
  /** Entries removed because the snapshot does not have them; a directory counts once. */
  readonly deleted: number;
  /** Content of what was restored, holes included. */
  readonly bytes: number;
  /** Files read again and found right. */
  readonly verified: number;
  readonly problems: readonly RestoreProblem[];
  readonly problemCount: number;
}
