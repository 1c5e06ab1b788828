/**
 * What connections make the vault hold in memory: answers that wait to be read, and small bodies of which the rest is still to come. Counted for each connection and for
 * each role. A connection that has its share waits for itself; when a role has its share, whoever holds most of it loses a connection. Knows no requests.
 */
import type { VaultRole } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';

/** What one connection may make the vault hold. */
export const CONNECTION_BYTES = 2 << 20;
/** What all connections of a role may make it hold together. */
export const ROLE_BYTES = 64 << 20;

/** Something that ends, after which nothing is held for it: a stream of HTTP/2. */
export interface Ending {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
}

interface Waiting {
  readonly bytes: number;
  readonly go: (granted: boolean) => void;
}

/** All connections of all roles. */
export class Holdings {
  readonly #roles = new Map<VaultRole, Set<Account>>();

  /** Opens the account of a connection. @param end - ends the connection */
  open(caller: Caller, end: () => void): Account {
    let accounts = this.#roles.get(caller.role);
    if (accounts === undefined) this.#roles.set(caller.role, (accounts = new Set()));
    const account = new Account(caller.writer ?? '', accounts, end);
    accounts.add(account);
    return account;
  }

  /** Bytes that are held for a role. */
  heldBytes(role: VaultRole): number {
    return totalOf(this.#roles.get(role) ?? []);
  }
}

/** What one connection makes the vault hold. */
export class Account {
  readonly peer: string;
  readonly #all: Set<Account>;
  readonly #end: () => void;
  #waiting: Waiting[] = [];
  /** Since when each of what is held has been held; the first is the oldest. */
  readonly #since = new Set<{ readonly ms: number }>();
  #bytes = 0;
  #closed = false;

  constructor(peer: string, all: Set<Account>, end: () => void) {
    this.peer = peer;
    this.#all = all;
    this.#end = end;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Since when the oldest of what is held has been held; Infinity when nothing is. */
  get oldestMs(): number {
    for (const { ms } of this.#since) return ms;
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Counts `bytes` as held for `ending`, when the connection has room for them; something larger than all of its share is held alone.
   *
   * @returns what to call when they are not held any more; undefined if `ending` or the connection ended before
   */
  async hold(bytes: number, ending?: Ending): Promise<(() => void) | undefined> {
    if (this.#closed || ending?.closed === true) return undefined;
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      if (!(await this.#wait(bytes, ending))) return undefined;
    } else this.#bytes += bytes;
    const mark = { ms: performance.now() };
    this.#since.add(mark);
    const release = (): void => {
      if (!this.#since.delete(mark)) return;
      ending?.off('close', release);
      this.#bytes -= bytes;
      this.#letWaitingIn();
    };
    ending?.once('close', release);
    if (bytes > 0) this.#keepRoleWithinItsShare();
    return this.#closed ? undefined : release;
  }

  /** The connection is gone, and all that was held for it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#all.delete(this);
    this.#since.clear();
    this.#bytes = 0;
    for (const { go } of this.#waiting.splice(0)) go(false);
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= CONNECTION_BYTES;
  }

  #wait(bytes: number, ending: Ending | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const gone = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== mine);
        resolve(false);
        this.#letWaitingIn();
      };
      const mine: Waiting = {
        bytes,
        go: (granted) => {
          ending?.off('close', gone);
          resolve(granted);
        },
      };
      ending?.once('close', gone);
      this.#waiting.push(mine);
    });
  }

  #letWaitingIn(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes += next.bytes;
      next.go(true);
    }
  }

  #keepRoleWithinItsShare(): void {
    while (totalOf(this.#all) > ROLE_BYTES) {
      const victim = victimOf(this.#all);
      if (victim === undefined) return;
      victim.close();
      victim.#end();
    }
  }
}

function totalOf(accounts: Iterable<Account>): number {
  let total = 0;
  for (const { bytes } of accounts) total += bytes;
  return total;
}

/** Of the peer that holds most, the connection that has held something for longest: one that reads its answers holds nothing for long. */
function victimOf(accounts: Iterable<Account>): Account | undefined {
  const peers = new Map<string, number>();
  for (const { peer, bytes } of accounts) peers.set(peer, (peers.get(peer) ?? 0) + bytes);
  let most: string | undefined;
  for (const [peer, bytes] of peers) if (most === undefined || bytes > peers.get(most)!) most = peer;
  let victim: Account | undefined;
  for (const account of accounts)
    if (account.peer === most && (victim === undefined || account.oldestMs < victim.oldestMs)) victim = account;
  return victim;
}
