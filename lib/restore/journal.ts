/** What a restore has done so far: counts and problems, turned into progress and the report. */
import { getSystemErrorName } from 'node:util';
import { lossyUtf8, toHex } from '../bytes.js';
import { CorruptError, StoreError } from '../errors.js';
import { MAX_PROBLEMS, type RestoreAction, type RestoreOptions, type RestoreProblem, type RestoreReport } from './options.js';
import type { TargetDirectory } from './target-directory.js';

const AGAIN = 'make room and run the same command again: what is whole is left as it is';
/** Errors that will meet every further file of the same file system too, and what to do. */
const FATAL: Readonly<Record<string, string>> = {
  ENOSPC: `no space is left (ENOSPC); ${AGAIN}`,
  EDQUOT: `the quota is used up (EDQUOT); ${AGAIN}`,
  EROFS: 'it is read-only (EROFS)',
};
const ESTALE = 116;

/** The target itself, as far as it matters which file system an error is about. */
export interface TargetPlace {
  readonly dev: bigint;
  /** Whether the target itself can still be written to: a mount in it may be read-only on its own. */
  isReadOnly(): boolean;
  /** Whether other file systems are mounted in it. */
  readonly holdsMounts: boolean;
}

export class Journal {
  restored = 0;
  directories = 0;
  skipped = 0;
  deleted = 0;
  bytes = 0;
  verified = 0;
  /** Files, and bytes of content, that no writing thread counted. */
  otherFiles = 0;
  otherBytes = 0;
  #problemCount = 0;
  #missing = 0;
  #refusedSteps = 0;
  readonly #problems: RestoreProblem[] = [];
  readonly #told = new Set<string>();
  /** File systems that take nothing more. */
  readonly #full = new Set<bigint>();
  #stopped: StoreError | undefined;
  readonly #options: RestoreOptions;
  readonly #place: TargetPlace;

  readonly #targetPath: string;

  constructor(options: RestoreOptions, targetPath: string, place: TargetPlace) {
    this.#options = options;
    this.#targetPath = targetPath;
    this.#place = place;
  }

  /** @param path - below the target, Latin-1 */
  problem(path: string, code: string, message: string, lacks: RestoreProblem['lacks'] = 'data'): void {
    this.#problemCount++;
    if (lacks === 'data') this.#missing++;
    const problem = { path: new Uint8Array(Buffer.from(path, 'latin1')), code, message, lacks };
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem);
    this.#options.onProblem?.(problem);
  }

  /**
   * Lists an error of the system or of the repository under `path`.
   *
   * @param directory - where it was written
   * @throws what no further work can mend, and what is neither
   */
  failure(path: string, error: unknown, directory?: TargetDirectory): void {
    if (error instanceof CorruptError) {
      this.problem(path, 'CORRUPT', error.message);
      return;
    }
    if (error instanceof StoreError) throw error;
    const { code, errno, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || errno === undefined) throw error;
    this.errno(path, Math.abs(errno), syscall ?? 'write', directory);
  }

  /** Lists what the system refused. @throws StoreError when it will refuse everything else too */
  errno(path: string, errno: number, what: string, directory?: TargetDirectory): void {
    if (errno === ESTALE) {
      this.problem(path, 'ESTALE', 'another entry has taken its place while it was being restored; it was left alone');
      return;
    }
    const code = getSystemErrorName(-errno);
    if (code === 'EEXIST') {
      this.taken(path);
      return;
    }
    const fatal = FATAL[code];
    const dev = directory?.dev ?? this.#place.dev;
    if (fatal === undefined || (code === 'EROFS' && dev === this.#place.dev && !this.#place.isReadOnly()))
      this.problem(path, code, `${what}: ${code}`);
    else this.#stopAt(path, code, fatal, dev);
  }

  /** A file system takes nothing more: all that is left for it is passed over. @throws StoreError when there is no other */
  #stopAt(path: string, code: string, fatal: string, dev: bigint): void {
    const first = !this.#full.has(dev);
    this.#full.add(dev);
    if (dev !== this.#place.dev) {
      if (first) this.problem(path, code, `the file system that it is on takes nothing more: ${fatal}`);
      else this.#missing++;
      return;
    }
    this.#stopped ??= new StoreError(this.#targetPath, 'write to', new Error(fatal));
    if (!this.#place.holdsMounts) throw this.#stopped;
    this.#missing++;
  }

  /** Says of one entry what became of it, or would in a dry run. */
  item(action: RestoreAction, path: string): void {
    this.#options.onItem?.(action, new Uint8Array(Buffer.from(path, 'latin1')));
  }

  /** Says something of the target that is as it should be, and that a person should know. '' is the target itself. */
  note(path: string, message: string): void {
    this.#options.onNote?.(message, path === '' ? undefined : new Uint8Array(Buffer.from(path, 'latin1')));
  }

  /** Whether the file system of `directory` takes more; counts what it does not take. */
  isWritable(directory: TargetDirectory): boolean {
    if (this.#full.size === 0 || !this.#full.has(directory.dev)) return true;
    this.#missing++;
    return false;
  }

  /** Lists an entry that was not restored because this run has made another one that the target finds under its name. */
  taken(path: string): void {
    this.problem(
      path,
      'NAME',
      'the target takes its name for that of another entry, which stays; restore it by itself to another target',
    );
  }

  /** Lists a device that this user may not make. */
  device(path: string): void {
    this.problem(path, 'DEVICE', 'a device, which only root may make; restore again as root to have it', 'device');
  }

  /** Lists metadata that the target does not take, once for each kind; `what` is the name of an attribute, or says what it is. The data is there. */
  metadata(path: string, what: Uint8Array | string, errno: number): void {
    this.#refusedSteps++;
    const code = getSystemErrorName(-errno);
    const key = `${code} ${typeof what === 'string' ? what : toHex(what)}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    const name = typeof what === 'string' ? what : `extended attribute ${lossyUtf8(what)}`;
    this.problem(path, code, `the target does not take ${name}: ${code} (said once; the summary has the count)`, 'metadata');
  }

  /** @throws StoreError when the target itself was full or read-only */
  report(): RestoreReport {
    if (this.#stopped !== undefined) throw this.#stopped;
    const { restored, directories, skipped, deleted, bytes, verified } = this;
    return {
      targetPath: this.#targetPath,
      restored,
      directories,
      skipped,
      deleted,
      bytes,
      verified,
      problems: this.#problems,
      problemCount: this.#problemCount,
      missing: this.#missing,
      refusedMetadata: this.#refusedSteps,
    };
  }
}
