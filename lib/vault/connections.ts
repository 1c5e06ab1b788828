/**
 * Who is connected, and who gives way when all places of a role are taken: whoever holds most of them, and of theirs what is used least. A connection is as good as
 * the next one to a client of ours, which makes a new one when it needs it. Node does not tell which user is at the other end of a unix socket, so those who come through
 * one, or through a forced command without a writer, count as one peer.
 */
import type { VaultRole } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Session } from './session.js';

/** Connections of one role at a time. */
const MAX_CONNECTIONS = 256;
/** Within this time a client's first request should have been answered. */
const NEW_MS = 1000;

export class Connections {
  /** By role, then by peer; a session stands behind those that came before it. */
  readonly #peers = new Map<VaultRole, Map<string, Set<Session>>>();
  readonly #heldMs: number;
  #size = 0;

  /** @param heldMs - a request that runs for so long, while its connection finished no other, does not keep its place */
  constructor(heldMs: number) {
    this.#heldMs = heldMs;
  }

  get size(): number {
    return this.#size;
  }

  /** Makes sure that there is room for one more connection of `caller`, at the cost of another where that is just. @returns false if there is none */
  makeRoom({ role, writer = '' }: Caller): boolean {
    const peers = this.#of(role);
    let total = 0;
    const mine = peers.get(writer) ?? new Set();
    let largest = mine;
    for (const sessions of peers.values()) {
      total += sessions.size;
      if (sessions.size > largest.size) largest = sessions;
    }
    if (total < MAX_CONNECTIONS) return true;
    // Whoever has as many as anybody gives way itself, with what it does not need now.
    const victim = leastUsed(largest, largest === mine ? this.#heldMs : 0);
    if (victim === undefined) return false;
    // At once: its end is told later, and until then others may come.
    largest.delete(victim);
    this.#size--;
    victim.end();
    return true;
  }

  /** Counts a connection. @returns what to call when it is gone */
  enter({ role, writer = '' }: Caller, session: Session): () => void {
    const peers = this.#of(role);
    const sessions = peers.get(writer) ?? new Set();
    peers.set(writer, sessions.add(session));
    this.#size++;
    return () => {
      if (!sessions.delete(session)) return;
      this.#size--;
      if (sessions.size === 0 && peers.get(writer) === sessions) peers.delete(writer);
    };
  }

  /** Ends all of them. */
  end(): void {
    for (const peers of this.#peers.values())
      for (const sessions of peers.values()) for (const session of sessions) session.end();
  }

  #of(role: VaultRole): Map<string, Set<Session>> {
    let peers = this.#peers.get(role);
    if (peers === undefined) this.#peers.set(role, (peers = new Map()));
    return peers;
  }
}

/**
 * First what never asked for anything in order, then what is idle, then what works; of each, what has been so for longest. What came just now counts as idle, or those
 * who come at the same time would end one another. What works for less than `heldMs` is spared.
 */
function leastUsed(sessions: Iterable<Session>, heldMs: number): Session | undefined {
  const nowMs = performance.now();
  const rank = ({ use: { answered, running, sinceMs } }: Session): number =>
    !answered && nowMs - sinceMs > NEW_MS ? 0 : running === 0 || !answered ? 1 : 2;
  let found: Session | undefined;
  for (const session of sessions) {
    const { running, sinceMs } = session.use;
    if (running > 0 && nowMs - sinceMs < heldMs) continue;
    if (found === undefined || rank(session) < rank(found) || (rank(session) === rank(found) && sinceMs < found.use.sinceMs))
      found = session;
  }
  return found;
}
