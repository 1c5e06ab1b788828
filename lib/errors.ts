/**
 * Every error Varve throws on purpose. A code is stable and may be matched by programs; a message may improve.
 * Wrong arguments are TypeError or RangeError; an expected absence is `undefined`, not an error.
 * Only cli/exit.ts turns a code into an exit status.
 */

export type ErrorCode =
  | 'FAILED'
  | 'NO_REPOSITORY'
  | 'REPOSITORY_EXISTS'
  | 'NEWER_FORMAT'
  | 'BUSY'
  | 'WRONG_KEY'
  | 'REFUSED'
  | 'ROLLED_BACK'
  | 'BAD_SIGNATURE'
  | 'CORRUPT'
  | 'NOT_FOUND'
  | 'OBJECT_EXISTS'
  | 'ROLE'
  | 'STORE'
  | 'SOURCE'
  | 'MOUNT'
  | 'INTERRUPTED';

/** Ids a person needs to act on an error: hex, paths and names, never secrets. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Base of every error class below. */
export class VarveError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.details = details;
  }
}

/** The place named is not a repository, or not reachable as one. */
export class NoRepositoryError extends VarveError {
  constructor(location: string, message: string, cause?: unknown) {
    super('NO_REPOSITORY', message, { location }, cause);
  }
}

/** `init` where a repository already is. */
export class RepositoryExistsError extends VarveError {
  constructor(location: string) {
    super('REPOSITORY_EXISTS', `there is already a repository at ${location}; choose another place, or use it as it is`, {
      location,
    });
  }
}

/** An object written by a newer version than this one understands. */
export class NewerFormatError extends VarveError {
  constructor(object: string, version: number) {
    super('NEWER_FORMAT', `${object} has format version ${version}, newer than this program reads; upgrade varve`, {
      object,
      version,
    });
  }
}

/** No key slot or key file opens with what was given. */
export class WrongKeyError extends VarveError {
  constructor(message: string, cause?: unknown) {
    super('WRONG_KEY', message, {}, cause);
  }
}

/** Stored bytes that do not verify. `object` is a store name, `details` says what in it. */
export class CorruptError extends VarveError {
  constructor(object: string, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super('CORRUPT', `${object}: ${message}`, { object, ...details }, cause);
  }
}

/** A signature that does not belong to its bytes or its author. */
export class BadSignatureError extends VarveError {
  constructor(object: string, message: string) {
    super('BAD_SIGNATURE', `${object}: ${message}`, { object });
  }
}

/** The ledger is not a continuation of what this machine saw before, or of what an admin's retirement says: entries are gone or others stand in their place. */
export class RolledBackError extends VarveError {
  constructor(
    location: string,
    problems: readonly string[],
    advice = 'if it was restored on purpose, the admin says so with: varve ledger accept-fork',
  ) {
    super(
      'ROLLED_BACK',
      `${location} was rolled back, truncated or forked: ${problems.slice(0, 5).join('; ')}${problems.length > 5 ? `; and ${problems.length - 5} more` : ''}. Nothing was done. Find out what happened to the storage; ${advice}`,
      { location, problems },
    );
  }
}

/** Something named by the user or by another object does not exist. */
export class NotFoundError extends VarveError {
  constructor(what: string, name: string, message?: string) {
    super('NOT_FOUND', message ?? `no ${what} ${name}`, { what, name });
  }
}

/** A put under a name that already holds other bytes. Objects are never replaced. */
export class ObjectExistsError extends VarveError {
  constructor(name: string) {
    super('OBJECT_EXISTS', `${name} already exists with other bytes; objects are never replaced`, { object: name });
  }
}

/** The key in hand does not hold the role that the work needs, or no longer counts. */
export class RoleError extends VarveError {
  constructor(role: string, what: string, message?: string) {
    super(
      'ROLE',
      message ??
        `${what} needs a key with the ${role} role; this key does not hold it. Where one does, a file for here is made by: varve key export FILE --role ${role}`,
      { role },
    );
  }
}

/** The store failed: disk full, I/O error, permission. `cause` is the system's own error. */
export class StoreError extends VarveError {
  constructor(object: string, operation: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super('STORE', `${operation} ${object}: ${reason}`, { object, operation }, cause);
  }
}

/** A source given to backup cannot be used at all (one unreadable file inside it is not an error but exit 3). */
export class SourceError extends VarveError {
  constructor(path: string, message: string, cause?: unknown) {
    super('SOURCE', `${path}: ${message}`, { path }, cause);
  }
}

/** Mounting or unmounting failed. */
export class MountError extends VarveError {
  constructor(mountpoint: string, message: string, cause?: unknown) {
    super('MOUNT', `${mountpoint}: ${message}`, { mountpoint }, cause);
  }
}

/** Refused by retention, by a hold, or because it would destroy what must be kept. */
export class RefusedError extends VarveError {
  constructor(message: string, details: ErrorDetails = {}) {
    super('REFUSED', message, details);
  }
}

/** Something another process holds exclusively. */
export class BusyError extends VarveError {
  constructor(what: string, message: string) {
    super('BUSY', message, { what });
  }
}

/** What an interruption leaves, where a person would ask. */
const AFTER: Readonly<Record<string, string>> = {
  backup: '; nothing became visible, and what was stored is reused by the next run',
  restore: '; run it again and it completes what is there',
  prune: '; run it again and it goes on',
};

/** The caller's AbortSignal fired. */
export class InterruptedError extends VarveError {
  constructor(what: string) {
    super('INTERRUPTED', `${what} was interrupted${AFTER[what] ?? ''}`);
  }
}
