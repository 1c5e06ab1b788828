/**
 * Names of users and groups by number: from the local files, then from the system's name services. Those are asked for many ids at once, in a process of its
 * own, and not again once they did not answer in time.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CborReader, CborWriter } from '../format/cbor.js';
import type { Owner } from '../format/tree.js';

const DATABASES = ['passwd', 'group'] as const;
type Database = (typeof DATABASES)[number];

/** Ids without a name, by database. */
export type Ids = Readonly<Record<Database, readonly number[]>>;

/** As a row of the change cache. */
export function encodeIds({ passwd, group }: Ids): Uint8Array {
  const out = new CborWriter().array(2);
  for (const ids of [passwd, group]) {
    out.array(ids.length);
    for (const id of ids) out.int(id);
  }
  return out.finish();
}

/** What encodeIds made; none of what is no such row. */
export function decodeIds(row: Uint8Array | undefined): Ids {
  try {
    const from = new CborReader(row ?? new Uint8Array(0), 'change cache');
    from.array(2);
    const ids = (): number[] => Array.from({ length: from.array() }, () => from.uint());
    return { passwd: ids(), group: ids() };
  } catch {
    return { passwd: [], group: [] };
  }
}

/** How long name services have for an answer. */
const PATIENCE_MS = 5000;
/** Ids in one command line. */
const IDS_AT_ONCE = 500;

interface NamedOwner {
  readonly uid: number;
  readonly gid: number;
  user: string | null;
  group: string | null;
}

function parse(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name !== undefined && id !== undefined && /^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}

function readFile(database: Database): Map<number, string> {
  try {
    return parse(readFileSync(`/etc/${database}`, 'utf8'));
  } catch {
    // Without the file there are numbers only.
    return new Map();
  }
}

/** Asks for names. @returns what it printed, or undefined when it did not end in time, or `signal` fired */
async function ask(database: Database, ids: readonly number[], signal: AbortSignal | undefined): Promise<string | undefined> {
  return await new Promise((resolve) => {
    // A group of its own: what it starts in turn ends with it, and a Ctrl-C on the terminal is ours to hear.
    const child = spawn('getent', [database, ...ids.map(String)], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let printed = '';
    const stop = (): void => {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // It has ended meanwhile, or never began.
      }
      done(undefined);
    };
    const timer = setTimeout(stop, PATIENCE_MS);
    const done = (answer: string | undefined): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      child.stdout.destroy();
      child.unref();
      resolve(answer);
    };
    signal?.addEventListener('abort', stop, { once: true });
    child.stdout.setEncoding('utf8').on('data', (part: string) => void (printed += part));
    child.on('error', () => done(''));
    child.on('close', () => done(printed));
  });
}

export class Owners {
  readonly #local = { passwd: readFile('passwd'), group: readFile('group') };
  /** What name services said; null: they have no name. */
  readonly #asked = { passwd: new Map<number, string | null>(), group: new Map<number, string | null>() };
  readonly #wanted = { passwd: new Set<number>(), group: new Set<number>() };
  readonly #owners = new Map<number, Map<number, NamedOwner>>();
  #unnamed: NamedOwner[] = [];
  #silent = false;
  readonly #onSilent: () => void;
  /** Ids that have a name now and had none when something was last stored. */
  readonly #named = { passwd: new Set<number>(), group: new Set<number>() };

  /** `onSilent` is called once when name services do not answer. */
  constructor(onSilent: () => void = () => undefined) {
    this.#onSilent = onSilent;
  }

  /** Returns the owner record of a user and group id; equal ids give the same object. Its names may come with the next `settle`. */
  owner(uid: number, gid: number): Owner {
    let groups = this.#owners.get(uid);
    if (groups === undefined) this.#owners.set(uid, (groups = new Map()));
    let owner = groups.get(gid);
    if (owner === undefined) {
      groups.set(gid, (owner = { uid, gid, user: this.#name('passwd', uid), group: this.#name('group', gid) }));
      if (owner.user === null || owner.group === null) this.#unnamed.push(owner);
    }
    return owner;
  }

  #name(database: Database, id: number): string | null {
    const known = this.#local[database].get(id) ?? this.#asked[database].get(id);
    if (known === undefined) this.#wanted[database].add(id);
    return known ?? null;
  }

  /** Whether some ids wait for an answer. */
  get waiting(): boolean {
    return this.#wanted.passwd.size > 0 || this.#wanted.group.size > 0;
  }

  /** Asks for the names of all ids that wait, and fills them in. Nothing may be encoded before. */
  async settle(signal: AbortSignal | undefined): Promise<void> {
    await Promise.all(DATABASES.map((database) => this.#ask(database, signal)));
    for (const owner of this.#unnamed) {
      owner.user ??= this.#name('passwd', owner.uid);
      owner.group ??= this.#name('group', owner.gid);
    }
    this.#unnamed = [];
  }

  async #ask(database: Database, signal: AbortSignal | undefined): Promise<void> {
    const ids = [...this.#wanted[database]];
    this.#wanted[database].clear();
    for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
      const some = ids.slice(at, at + IDS_AT_ONCE);
      const answer = this.#silent || signal?.aborted === true ? undefined : await ask(database, some, signal);
      if (answer === undefined && !this.#silent && signal?.aborted !== true) {
        this.#silent = true;
        this.#onSilent();
      }
      const names = parse(answer ?? '');
      for (const id of some) this.#asked[database].set(id, names.get(id) ?? null);
    }
  }

  /** Asks once for ids that had no name when the last snapshot was stored. */
  async recall(ids: Ids, signal: AbortSignal | undefined): Promise<void> {
    for (const database of DATABASES) for (const id of ids[database]) this.#name(database, id);
    if (this.waiting) await this.settle(signal);
    for (const database of DATABASES)
      for (const id of ids[database]) if (this.#known(database, id)) this.#named[database].add(id);
  }

  #known(database: Database, id: number): boolean {
    return typeof (this.#local[database].get(id) ?? this.#asked[database].get(id)) === 'string';
  }

  /** Whether a name has come since what is known of these ids was stored. */
  hasNewName(uid: number, gid: number): boolean {
    return this.#named.passwd.has(uid) || this.#named.group.has(gid);
  }

  /** Whether `hasNewName` is true of any. */
  get haveNewNames(): boolean {
    return this.#named.passwd.size > 0 || this.#named.group.size > 0;
  }

  /** Ids that have no name, among those asked for. */
  nameless(): Ids {
    const of = (database: Database): number[] => [...this.#asked[database]].filter(([, name]) => name === null).map(([id]) => id);
    return { passwd: of('passwd'), group: of('group') };
  }
}
