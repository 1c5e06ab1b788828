/**
 * What each role may ask of a vault: one table of verbs and kinds, one of entries. A role comes from the socket or the forced command that a connection came
 * through; nothing that a client says changes it.
 */
import type { Author } from '../format/entry.js';
import { EntryType } from '../format/payload.js';
import type { ObjectKind, VaultRole } from '../store/vault-protocol.js';

export type Right = 'read' | 'parts' | 'list' | 'put' | 'remove';

const NOTHING: readonly Right[] = [];

/** `parts`: of packs, the header, directory and footer, never frames. */
const RIGHTS: Readonly<Record<VaultRole, Partial<Record<ObjectKind, readonly Right[]>>>> = {
  writer: {
    genesis: ['read'],
    entry: ['read', 'list', 'put'],
    index: ['read', 'list', 'put'],
    manifest: ['read', 'put'],
    pack: ['parts', 'list', 'put'],
  },
  reader: {
    genesis: ['read', 'list'],
    slot: ['read', 'list'],
    entry: ['read', 'list', 'put'],
    index: ['read', 'list'],
    manifest: ['read', 'list'],
    pack: ['read', 'parts', 'list'],
  },
  admin: {
    genesis: ['read', 'list', 'put'],
    slot: ['read', 'list', 'put', 'remove'],
    entry: ['read', 'list', 'put', 'remove'],
    index: ['read', 'list'],
    manifest: ['read', 'list'],
    pack: ['parts', 'list'],
  },
};

/** Whether a connection with `role` has a right to objects of `kind`. Entries may be removed before there is a repository only; see removing.ts. */
export function mayDo(role: VaultRole, right: Right, kind: ObjectKind): boolean {
  return (RIGHTS[role][kind] ?? NOTHING).includes(right);
}

const BY_WRITERS: readonly number[] = [EntryType.snapshot, EntryType.tags, EntryType.incident];
const BY_AUDITORS: readonly number[] = [EntryType.attest, EntryType.check, EntryType.drill, EntryType.copy, EntryType.incident];
/** What a vault says of pruning and of times it says itself. */
const BY_VAULT_ALONE: readonly number[] = [EntryType.pruneDone, EntryType.receipt];

/**
 * Whether a connection with `role` may bring an entry of `type` by an author with these roles. Which authors may write it is the format's business (`misplaced`). An
 * auditor holds the reader's part and comes through its connection.
 */
export function mayEnter(role: VaultRole, roles: ReadonlySet<Author>, type: number): boolean {
  if (BY_VAULT_ALONE.includes(type)) return false;
  if (role === 'writer') return roles.has('writer') && BY_WRITERS.includes(type);
  const isAuditors = roles.has('auditor') && BY_AUDITORS.includes(type);
  if (role === 'reader') return isAuditors;
  // One person's key holds both: tags are signed with its writer's key, whatever connection it came through.
  return roles.has('admin') || isAuditors || (roles.has('writer') && type === EntryType.tags);
}
