/** Exit statuses: the one table of them, printed by `varve --help`, and the only place that turns an error into a status. */
import { type ErrorCode, VarveError } from '../lib/index.js';
import { ReportedError } from './reported-error.js';
import { UsageError } from './usage-error.js';

export const Exit = {
  ok: 0,
  failed: 1,
  usage: 2,
  sourceUnread: 3,
  noRepository: 10,
  busy: 11,
  wrongKey: 12,
  refused: 13,
  rolledBack: 14,
  integrity: 15,
  drill: 16,
  role: 17,
  replica: 18,
  interrupted: 130,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

const MEANINGS: readonly (readonly [Exit, string])[] = [
  [Exit.ok, 'ok'],
  [Exit.failed, 'failed'],
  [Exit.usage, 'the command line is wrong'],
  [Exit.sourceUnread, 'finished, but some of the source was not read, or some metadata or devices were not restored'],
  [Exit.noRepository, 'there is no repository'],
  [Exit.busy, 'another process holds what is needed'],
  [Exit.wrongKey, 'wrong key or passphrase'],
  [Exit.refused, 'refused by retention or a hold'],
  [Exit.rolledBack, 'rollback or bad signature'],
  [Exit.integrity, 'integrity errors found'],
  [Exit.drill, 'a restore drill failed or missed its time'],
  [Exit.role, 'the key does not hold the role'],
  [Exit.replica, 'a replica or its immutability is behind'],
  [Exit.interrupted, 'interrupted'],
];

const STATUS: Readonly<Record<ErrorCode, Exit>> = {
  FAILED: Exit.failed,
  NO_REPOSITORY: Exit.noRepository,
  REPOSITORY_EXISTS: Exit.failed,
  NEWER_FORMAT: Exit.failed,
  BUSY: Exit.busy,
  WRONG_KEY: Exit.wrongKey,
  REFUSED: Exit.refused,
  ROLLED_BACK: Exit.rolledBack,
  BAD_SIGNATURE: Exit.rolledBack,
  CORRUPT: Exit.integrity,
  NOT_FOUND: Exit.failed,
  OBJECT_EXISTS: Exit.failed,
  ROLE: Exit.role,
  STORE: Exit.failed,
  SOURCE: Exit.failed,
  MOUNT: Exit.failed,
  INTERRUPTED: Exit.interrupted,
};

/** The exit status for an error that ended a command. Unknown errors are failures. */
export function statusOf(error: unknown): Exit {
  if (error instanceof UsageError) return Exit.usage;
  if (error instanceof ReportedError) return error.status as Exit;
  if (error instanceof VarveError) return STATUS[error.code] ?? Exit.failed;
  if (error instanceof Error && (error.name === 'AbortError' || (error as { code?: unknown }).code === 'ABORT_ERR'))
    return Exit.interrupted;
  return Exit.failed;
}

/** The table as text, for `varve --help`. */
export function exitTable(): string {
  return ['Exit status:', ...MEANINGS.map(([status, meaning]) => `  ${String(status).padStart(3)}  ${meaning}`)].join('\n');
}
