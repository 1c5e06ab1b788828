/**
 * One init at a time: whoever makes a repository first stores a claim of its own and goes on only when no other is there. Nothing but claims is looked
 * at or removed here. A claim whose process is gone counts for nothing, so an init that was killed does not stand in the way of the next.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { toHex, utf8 } from '../bytes.js';
import { NotFoundError, RefusedError, RepositoryExistsError } from '../errors.js';
import { GENESIS_NAME, INIT_CLAIM_PREFIX, isInitClaim } from '../format/names.js';
import type { Store } from '../store/store.js';

/** How long a claim of another machine is believed, whose processes cannot be asked about. */
const FOREIGN_MS = 10 * 60_000;
const PATIENCE_MS = 60_000;

/** Claims that this process holds: a process id may be that of a process before it. */
const held = new Set<string>();

interface Claim {
  readonly host: string;
  readonly pid: number;
  readonly ms: number;
}

/** Whether whoever stored this claim may still be at work. */
function mayLive(name: string, claim: Claim | undefined): boolean {
  if (held.has(name)) return true;
  if (claim === undefined) return false;
  if (claim.host !== hostname()) return Math.abs(Date.now() - claim.ms) < FOREIGN_MS;
  if (claim.pid === process.pid) return false;
  try {
    process.kill(claim.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function readClaim(store: Store, name: string): Promise<Claim | undefined> {
  try {
    const { host, pid, ms } = JSON.parse(Buffer.from(await store.get(name)).toString()) as Partial<Claim>;
    return typeof host === 'string' && typeof pid === 'number' && typeof ms === 'number' ? { host, pid, ms } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** A claim of another init that may be under way. Those that count for nothing are removed. */
async function otherClaim(store: Store, mine: string): Promise<string | undefined> {
  const names: string[] = [];
  for await (const { name } of store.list(INIT_CLAIM_PREFIX)) if (isInitClaim(name) && name !== mine) names.push(name);
  for (const name of names) {
    if (mayLive(name, await readClaim(store, name))) return name;
    await store.remove(name);
  }
  return undefined;
}

/**
 * Runs `work` while no other init is at work on `store`. When several begin at once, each waits until it is alone or a repository is there.
 *
 * @throws RepositoryExistsError if one is there, RefusedError if another init does not end
 */
export async function whileAlone<T>(store: Store, work: () => Promise<T>): Promise<T> {
  const mine = `${INIT_CLAIM_PREFIX}${toHex(randomBytes(16))}`;
  const began = performance.now();
  held.add(mine);
  try {
    for (;;) {
      if ((await store.stat(GENESIS_NAME)) !== undefined) throw new RepositoryExistsError(store.location);
      // Stored before others are looked for: of two, at least one sees the other.
      await store.put(mine, [utf8(JSON.stringify({ host: hostname(), pid: process.pid, ms: Date.now() }))]);
      const other = await otherClaim(store, mine);
      // Another may have been done between the first look and the claim.
      if (other === undefined && (await store.stat(GENESIS_NAME)) === undefined) return await work();
      await store.remove(mine);
      if (other === undefined) continue;
      if (performance.now() - began > PATIENCE_MS)
        throw new RefusedError(
          `another init seems to be at work in ${store.location}; if there is none, remove ${other} there and try again`,
          { object: other },
        );
      await sleep(20 + Math.random() * 180);
    }
  } finally {
    // Also when storing it seemed to fail. What cannot be removed is worth nothing once this process has ended.
    await store.remove(mine).catch(() => undefined);
    held.delete(mine);
  }
}
