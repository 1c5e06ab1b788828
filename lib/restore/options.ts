/** What a restore can be asked for and what it reports. Types only, and the few judgements that follow from them alone. */
import type { VarveError } from '../errors.js';

/** Which existing entries may be replaced. `always` leaves alone what already holds the right bytes. */
export type Overwrite = 'always' | 'if-changed' | 'if-newer' | 'never';

/**
 * Says of a path whether it matches: 'yes' (with everything beneath), 'no', or 'maybe-below': not itself, but something beneath it may.
 * Asked about every entry with each of its absolute paths: in the snapshot, in the target, and in what is restored (`/` is what lands in the target itself).
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

/** `skipped`: left as it was. */
export type RestoreAction = 'restored' | 'skipped' | 'deleted' | 'directory';

/** Something that was not restored as the snapshot has it. */
export interface RestoreProblem {
  /** Relative to the target. */
  readonly path: Uint8Array;
  /** An errno name, or CORRUPT, VERIFY, KIND, LINK, NAME (the target takes it for another entry's), DEVICE (only root may make one). */
  readonly code: string;
  readonly message: string;
  /** What is not as in the snapshot: the entry or its content, only some of its metadata, or a device that this user may not make. */
  readonly lacks: 'data' | 'metadata' | 'device';
}

export interface RestoreOptions {
  /** Folder to restore into; made, with its parents, if missing. May be reached through symlinks. Absent with `inPlace`. */
  readonly targetPath?: string;
  /** Restores to where `subPath` was. The directory that it is in must be there. */
  readonly inPlace?: boolean;
  /** Absolute path in the snapshot: its children land directly in the target. A file lands there itself. */
  readonly subPath?: Uint8Array;
  readonly include?: Matcher;
  readonly exclude?: Matcher;
  /** Default 'always'. */
  readonly overwrite?: Overwrite;
  /** Removes from restored directories what the snapshot knows not to be there: nothing excluded, unread when it was taken, or on another mount. */
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
  /** Called for every entry when it is known what became of it, or would in a dry run; paths are relative to the target. */
  readonly onItem?: (action: RestoreAction, path: Uint8Array) => void;
  /** Called for what is as it should be but may surprise: what `delete` kept, names that changed numbers. */
  readonly onNote?: (message: string, path: Uint8Array | undefined) => void;
  /** Called every now and then; nothing more is planned until it resolves. */
  readonly onTurn?: () => Promise<void>;
  /** Called for every problem, as it is met; the report holds the first MAX_PROBLEMS. */
  readonly onProblem?: (problem: RestoreProblem) => void;
  /** Called for index objects, and packs that are needed, whose directories cannot be taken up. Files that want for it are problems besides. */
  readonly onDamaged?: (error: VarveError) => void;
}

export const MAX_PROBLEMS = 10_000;

export interface RestoreReport {
  readonly targetPath: string;
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
  /** Entries that are not there, or not with the right content. */
  readonly missing: number;
  /** Owners, modes, times and attributes that the target did not take; each kind is listed once. */
  readonly refusedMetadata: number;
}
