/** What a restore has done so far: counts and problems, turned into progress and the report. */
import { getSystemErrorName } from 'node:util';
import { lossyUtf8, toHex } from '../bytes.js';
import { CorruptError, StoreError } from '../errors.js';
import { MAX_PROBLEMS, type RestoreOptions, type RestoreProblem, type RestoreReport } from './options.js';

const AGAIN = 'make room and run the same command again: what is whole is left as it is';
/** Errors that will meet every further file too, and what to do. */
const FATAL: Readonly<Record<string, string>> = {
  ENOSPC: `no space is left (ENOSPC); ${AGAIN}`,
  EDQUOT: `the quota is used up (EDQUOT); ${AGAIN}`,
  EROFS: 'it is read-only (EROFS)',
};

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
  readonly #problems: RestoreProblem[] = [];
  readonly #refusedAttributes = new Set<string>();
  readonly #options: RestoreOptions;

  constructor(options: RestoreOptions) {
    this.#options = options;
  }

  /** @param path - below the target, Latin-1 */
  problem(path: string, code: string, message: string): void {
    this.#problemCount++;
    const problem = { path: new Uint8Array(Buffer.from(path, 'latin1')), code, message };
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem);
    this.#options.onProblem?.(problem);
  }

  /** Lists an error of the system or of the repository under `path`. @throws what no further work can mend, and what is neither */
  failure(path: string, error: unknown): void {
    if (error instanceof CorruptError) {
      this.problem(path, 'CORRUPT', error.message);
      return;
    }
    if (error instanceof StoreError) throw error;
    const { code, errno, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || errno === undefined) throw error;
    this.errno(path, Math.abs(errno), syscall ?? 'write');
  }

  /** Lists what the system refused. @throws StoreError when it will refuse everything else too */
  errno(path: string, errno: number, what: string): void {
    const code = getSystemErrorName(-errno);
    const fatal = FATAL[code];
    if (fatal !== undefined) throw new StoreError(this.#options.targetPath, 'write to', new Error(fatal));
    this.problem(path, code, `${what}: ${code}`);
  }

  /** Lists a device that this user may not make. */
  device(path: string): void {
    this.problem(path, 'DEVICE', 'a device, which only root may make; restore again as root to have it');
  }

  /** Lists an extended attribute that the target does not take, once for each name. */
  attribute(path: string, name: Uint8Array, errno: number): void {
    const code = getSystemErrorName(-errno);
    const fatal = FATAL[code];
    if (fatal !== undefined) throw new StoreError(this.#options.targetPath, 'write to', new Error(fatal));
    const key = toHex(name);
    if (this.#refusedAttributes.has(key)) return;
    this.#refusedAttributes.add(key);
    this.problem(path, code, `extended attribute ${lossyUtf8(name)} is not taken here: ${code} (listed once)`);
  }

  report(): RestoreReport {
    const { restored, directories, skipped, deleted, bytes, verified } = this;
    return {
      restored,
      directories,
      skipped,
      deleted,
      bytes,
      verified,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }
}
