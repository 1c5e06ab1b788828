/** Whose the restored entries become: by name where this system knows the name, else by number; an ordinary user keeps them for himself. */
import { readFileSync } from 'node:fs';
import type { Owner } from '../format/tree.js';

export interface TargetOwner {
  readonly uid: number;
  readonly gid: number;
  /** Whether to ask for it at all. */
  readonly change: boolean;
  /** Mode bits that this owner may have: set-id bits only for whom they were meant. */
  readonly modeMask: number;
}

function readIds(file: string): Map<string, number> {
  const ids = new Map<string, number>();
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // A system without the file has no names: numbers it is.
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name !== undefined && id !== undefined && /^\d+$/.test(id) && !ids.has(name)) ids.set(name, Number(id));
  }
  return ids;
}

/** A name that has another number here than where the snapshot was taken. */
export interface Renumbered {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** The owners to give, as a function of the owners recorded. `onRenumbered` is called for each name once an owner has it. */
export function ownerMap(numericIds: boolean, onRenumbered: (renumbered: Renumbered) => void): (owner: Owner) => TargetOwner {
  const users = numericIds ? new Map<string, number>() : readIds('/etc/passwd');
  const groups = numericIds ? new Map<string, number>() : readIds('/etc/group');
  const self = process.geteuid?.() ?? -1;
  const privileged = self === 0;
  const ownGroups = new Set([process.getegid?.() ?? -1, ...(process.getgroups?.() ?? [])]);
  const known = new WeakMap<Owner, TargetOwner>();
  return (owner) => {
    let target = known.get(owner);
    if (target === undefined) {
      const uid = (owner.user === null ? undefined : users.get(owner.user)) ?? owner.uid;
      const gid = (owner.group === null ? undefined : groups.get(owner.group)) ?? owner.gid;
      if (privileged && uid !== owner.uid) onRenumbered({ name: owner.user!, from: owner.uid, to: uid });
      if (privileged && gid !== owner.gid) onRenumbered({ name: owner.group!, from: owner.gid, to: gid });
      // chown(2): without privilege one may only give a file of one's own to a group that one is in.
      const ours = uid === self && ownGroups.has(gid);
      target = { uid, gid, change: privileged || ours, modeMask: privileged || ours ? 0o7777 : 0o1777 };
      known.set(owner, target);
    }
    return target;
  };
}
