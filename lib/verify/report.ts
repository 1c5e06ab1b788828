/**
 * What a check found: the report's types, and the collector that keeps it bounded however much is damaged. Findings about one object with one
 * message are one error; the files that it touches are counted, and the first of them listed.
 */
import { NotFoundError, VarveError } from '../errors.js';
import { adviceFor } from './advice.js';

/** A file (or directory) of a snapshot that an error touches. */
export interface Affected {
  /** Snapshot id, hex. */
  readonly snapshot: string;
  /** Absolute path, ill-formed UTF-8 replaced; `/` when all of the snapshot is meant. */
  readonly path: string;
}

export interface CheckError {
  /** Store name of the object that is damaged, missing or does not belong. */
  readonly object: string;
  /** A VarveError code: `NOT_FOUND` missing, `CORRUPT` damaged, `BAD_SIGNATURE`, `ROLLED_BACK` gone since this machine saw it, `NEWER_FORMAT`, `STORE` unreadable. */
  readonly code: string;
  readonly message: string;
  /** The first MAX_AFFECTED of them. */
  readonly affects: readonly Affected[];
  readonly affectedCount: number;
  /** What a person can do about it. */
  readonly advice: string;
}

/** Something worth knowing that costs no data. */
export interface CheckWarning {
  readonly object: string;
  readonly message: string;
}

export interface CheckCounts {
  readonly snapshots: number;
  readonly packs: number;
  readonly packBytes: number;
  /** Chunks in all packs that are known; one in two packs counts twice. */
  readonly chunks: number;
  /** Distinct tree pages decoded. */
  readonly treePages: number;
  /** Bytes of packs read in full. */
  readonly readBytes: number;
}

export interface CheckReport {
  /** The first MAX_FINDINGS, in the order found. */
  readonly errors: readonly CheckError[];
  /** How many there are, listed or not. */
  readonly errorCount: number;
  readonly warnings: readonly CheckWarning[];
  readonly warningCount: number;
  readonly counts: CheckCounts;
  /** Whether the local chunk index lacked something and was filled from the repository. */
  readonly rebuiltIndex: boolean;
}

export const MAX_AFFECTED = 100;
export const MAX_FINDINGS = 1000;
/** More are kept than are listed, since what was pruned meanwhile is taken back at the end. */
export const MAX_KEPT = 50_000;

interface OpenError extends CheckError {
  readonly affects: Affected[];
  affectedCount: number;
}

/** Collects findings. */
export class Findings {
  readonly #errors = new Map<string, OpenError>();
  /** Those whose files are listed too. */
  readonly #detailed = new Set<OpenError>();
  readonly #warnings: CheckWarning[] = [];
  #errorCount = 0;
  #warningCount = 0;

  get errors(): readonly CheckError[] {
    return [...this.#errors.values()].slice(0, MAX_FINDINGS);
  }
  get errorCount(): number {
    return this.#errorCount;
  }
  get warnings(): readonly CheckWarning[] {
    return this.#warnings;
  }
  get warningCount(): number {
    return this.#warningCount;
  }

  /** Adds an error, or one more file to an error that is known. */
  error(object: string, code: string, message: string, affected?: Affected): void {
    const found = this.#open(object, code, message);
    if (found === undefined || affected === undefined) return;
    // Several pieces of one file are found one after another.
    const last = found.affects.at(-1);
    if (last !== undefined && last.path === affected.path && last.snapshot === affected.snapshot) return;
    found.affectedCount++;
    if (found.affects.length < MAX_AFFECTED && this.#detailed.has(found)) found.affects.push(affected);
  }

  /** The error that is known, or a new one without files; undefined beyond the limit, where it is counted at each finding, since there is no telling it from the others. */
  #open(object: string, code: string, message: string): OpenError | undefined {
    const key = `${object} ${message}`;
    const known = this.#errors.get(key);
    if (known !== undefined) return known;
    this.#errorCount++;
    if (this.#errors.size >= MAX_KEPT) return undefined;
    const added: OpenError = { object, code, message, affects: [], affectedCount: 0, advice: adviceFor(object, code) };
    this.#errors.set(key, added);
    if (this.#detailed.size < MAX_FINDINGS) this.#detailed.add(added);
    return added;
  }

  /** Adds what was thrown. `object` names it when the error does not. @throws what ends a check: see `described` */
  thrown(error: unknown, object: string, affected?: Affected): void {
    const found = described(error, object);
    this.error(found.object, found.code, found.message, affected);
  }

  warning(object: string, message: string): void {
    this.#warningCount++;
    if (this.#warnings.length < MAX_FINDINGS) this.#warnings.push({ object, message });
  }

  /** Takes back the errors for which `isNone` holds. */
  takeBack(isNone: (error: CheckError) => boolean): void {
    for (const [key, error] of this.#errors)
      if (isNone(error)) {
        this.#errors.delete(key);
        this.#detailed.delete(error);
        this.#errorCount--;
      }
  }

  /** Takes over all errors of `other`. */
  takeErrors(other: Findings): void {
    for (const { object, code, message, affects, affectedCount } of other.#errors.values()) {
      const mine = this.#open(object, code, message);
      if (mine === undefined) continue;
      mine.affectedCount += affectedCount;
      if (this.#detailed.has(mine)) mine.affects.push(...affects.slice(0, MAX_AFFECTED - mine.affects.length));
    }
    this.#errorCount += other.#errorCount - other.#errors.size;
  }
}

/**
 * What a check says of an error that was thrown while it looked at `object`. Nothing about one object ends a check: what is no VarveError, such as an allocation that a
 * made-up length asks for, is about that object too.
 *
 * @throws InterruptedError, RoleError
 */
export function described(error: unknown, object: string): { object: string; code: string; message: string } {
  if (error instanceof NotFoundError) return { object, code: error.code, message: 'is missing' };
  if (!(error instanceof VarveError)) return { object, code: 'FAILED', message: `could not be checked: ${String(error)}` };
  if (error.code === 'INTERRUPTED' || error.code === 'ROLE') throw error;
  const named = typeof error.details.object === 'string' ? error.details.object : object;
  // Errors from below may name a session or a page; people need the object that holds it.
  const isStored = /^(genesis$|(keys|packs|index|snapshots|ledger)\/)/.test(named);
  const text = isStored && error.message.startsWith(`${named}: `) ? error.message.slice(named.length + 2) : error.message;
  return { object: isStored ? named : object, code: error.code, message: text };
}
