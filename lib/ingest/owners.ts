/** Names of users and groups by number: from the local files, then from the system's name services, each asked once. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Owner } from '../format/tree.js';

type Database = 'passwd' | 'group';

function readFile(database: Database): Map<number, string> {
  const names = new Map<number, string>();
  try {
    for (const line of readFileSync(`/etc/${database}`, 'utf8').split('\n')) {
      const [name, , id] = line.split(':');
      if (name !== undefined && id !== undefined && /^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
    }
  } catch {
    // Without the file there are numbers only.
  }
  return names;
}

function ask(database: Database, id: number): string | undefined {
  const { status, stdout } = spawnSync('getent', [database, String(id)], { encoding: 'utf8', timeout: 5000 });
  return status === 0 ? stdout.split(':')[0] : undefined;
}

/** Returns the owner record of a user and group id; equal ids give the same object. */
export function ownerNames(): (uid: number, gid: number) => Owner {
  const databases = { passwd: readFile('passwd'), group: readFile('group') };
  const asked = { passwd: new Map<number, string | null>(), group: new Map<number, string | null>() };
  const name = (database: Database, id: number): string | null => {
    const local = databases[database].get(id);
    if (local !== undefined) return local;
    let answer = asked[database].get(id);
    if (answer === undefined) {
      answer = ask(database, id) ?? null;
      asked[database].set(id, answer);
    }
    return answer;
  };
  const owners = new Map<number, Map<number, Owner>>();
  return (uid, gid) => {
    let groups = owners.get(uid);
    if (groups === undefined) owners.set(uid, (groups = new Map()));
    let owner = groups.get(gid);
    if (owner === undefined) groups.set(gid, (owner = { uid, gid, user: name('passwd', uid), group: name('group', gid) }));
    return owner;
  };
}
