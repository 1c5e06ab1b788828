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
    entry: ['read', 'list'],
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

/** Whether a connection with `role` may bring an entry of `type` by an author who is all of `by`. Which authors may write it is the format's business (`misplaced`). */
export function mayEnter(role: VaultRole, by: ReadonlySet<Author>, type: number): boolean {
  if (role === 'writer') return by.has('writer') && BY_WRITERS.includes(type);
  // One person's key holds both: tags are signed with its writer's key, whatever connection it came through.
  return role === 'admin' && (by.has('admin') || (by.has('writer') && type === EntryType.tags));
}
