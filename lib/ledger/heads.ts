/**
 * What this machine saw of a ledger, kept outside the repository: the length and last hash of every chain. A repository in which a remembered entry is
 * missing or different was rolled back, and nothing proceeds until an admin says in the ledger that it was on purpose (accept-fork, docs/format.md §11).
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { RolledBackError, StoreError, VarveError } from '../errors.js';
import { MAX_SECOND, payloadOf } from '../format/payload.js';
import type { Timestamp } from '../format/time.js';
import type { ChainState, HeadMemory, RememberedHead, RememberedHeads, RepositoryPlace } from '../repository/repository.js';
import { changeHeads, prepareFolder, readHeads } from './head-file.js';

export interface HeadOptions {
  /**
   * Called once when the memory cannot be read or written: reading then goes on without it. Whatever signs an entry fails all the same.
   * Absent, everything fails.
   */
  readonly onUnusable?: (error: StoreError) => void;
}

/** Folder with what is remembered of a repository. */
export function headsFolder(stateDir: string, repository: Uint8Array): string {
  return join(stateDir, toHex(repository).slice(0, 32), 'heads');
}

/** Of a user for whom there is no folder to remember in: what signs is refused, because it could be taken away unnoticed. */
const NO_MEMORY: HeadMemory = {
  async recall(toWrite = false) {
    if (toWrite)
      throw new StoreError(
        'ledger',
        'remember the',
        new Error('this user has no home folder; VARVE_STATE_DIR names a folder for what this machine remembers'),
      );
    return { chains: {}, accepted: [] };
  },
  async compare() {},
  async grown() {},
};

/** The memory in `stateDir` (`~/.local/state/varve`), made when there is something to remember; none when it is null. */
export function rememberHeads(place: RepositoryPlace, stateDir: string | null, options: HeadOptions = {}): HeadMemory {
  if (stateDir === null) return NO_MEMORY;
  const folder = headsFolder(stateDir, place.id);
  let told = false;
  const unusable = (cause: unknown): StoreError =>
    new StoreError(
      folder,
      'remember the ledger in',
      new Error(
        `${cause instanceof Error ? cause.message : String(cause)}; VARVE_STATE_DIR names another place for what this machine remembers`,
        { cause },
      ),
    );
  /** Tells of a memory that fails, once; what a comparison found is no failure of the memory. */
  const leniently = async <T>(work: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof VarveError) throw error;
      if (options.onUnusable === undefined) throw unusable(error);
      if (!told) options.onUnusable(unusable(error));
      told = true;
      return otherwise;
    }
  };
  return {
    async recall(toWrite = false) {
      if (!toWrite) return leniently(async () => (await readHeads(folder)).heads, { chains: {}, accepted: [] });
      try {
        await prepareFolder(folder);
        return (await readHeads(folder)).heads;
      } catch (error) {
        throw error instanceof VarveError ? error : unusable(error);
      }
    },
    async compare(chains, before) {
      const problems = differences(before, chains);
      const accepted = acceptances(chains);
      const news = accepted.filter((one) => !before.accepted.includes(one.hash));
      const way = problems.length === 0 ? undefined : news.find((one) => excuses(one, chains, problems));
      if (problems.length > 0 && way === undefined)
        throw new RolledBackError(
          place.store.location,
          problems.map(({ text }) => text),
        );
      const known = accepted.map(({ hash }) => hash);
      await leniently(() => changeHeads(folder, (now) => merged(place.store.location, now, chains, known, way?.hash)), undefined);
    },
    async grown(grown) {
      await leniently(
        () =>
          changeHeads(folder, (now) => {
            const longer = grown.filter(({ author, count }) => (now.chains[toHex(author)]?.count ?? 0) < count);
            const heads = longer.map(({ author, count, head, time: { sec } }) => [
              toHex(author),
              { count, head: toHex(head), sec: boundedSec(sec) },
            ]);
            return { ...now, chains: { ...now.chains, ...Object.fromEntries(heads) } };
          }),
        undefined,
      );
    },
  };
}

/** An acceptance has to be younger than what it covers, and can be no younger than the last second that an entry may say. */
export function boundedSec(sec: number): number {
  return Math.min(sec, MAX_SECOND - 1);
}

/** How a chain differs from what is remembered of it. */
export interface HeadProblem {
  /** Author, hex. */
  readonly author: string;
  readonly remembered: RememberedHead;
  /** In words. */
  readonly text: string;
}

/** What is missing or different; nothing when all chains go on from what is remembered. An entry that cannot be read is passed over. */
export function differences(
  before: RememberedHeads,
  chains: readonly { readonly author: Uint8Array; readonly hashes: readonly (Uint8Array | undefined)[] }[],
): HeadProblem[] {
  const problems: HeadProblem[] = [];
  for (const [author, remembered] of Object.entries(before.chains)) {
    const { count, head } = remembered;
    const hashes = chains.find((chain) => toHex(chain.author) === author)?.hashes ?? [];
    const name = `ledger/${author}`;
    const last = hashes[count - 1];
    if (hashes.length < count)
      problems.push({ author, remembered, text: `${name} had ${count} entries and has ${hashes.length}` });
    else if (last !== undefined && toHex(last) !== head)
      problems.push({ author, remembered, text: `${name} has another entry ${count - 1} than it had` });
  }
  return problems;
}

interface Acceptance {
  readonly hash: string;
  readonly time: Timestamp;
  readonly heads: readonly { readonly author: Uint8Array; readonly count: number; readonly head: Uint8Array }[];
}

/** The accept-fork entries that count. */
function acceptances(chains: readonly ChainState[]): Acceptance[] {
  return chains.flatMap(({ role, entries, hashes, limit }) =>
    entries.flatMap(({ payload, time }, i) => {
      const accepted = role === 'admin' && i < limit ? payloadOf(payload, 'acceptFork') : undefined;
      return accepted === undefined ? [] : [{ hash: toHex(hashes[i]!), time, heads: accepted.heads }];
    }),
  );
}

/**
 * Whether an acceptance is about these differences: the chains go on from what it names, and what is gone was there before it. So a storage cannot keep an
 * acceptance back, and bring it out to cover what it takes away later.
 */
function excuses({ time, heads }: Acceptance, chains: readonly ChainState[], problems: readonly HeadProblem[]): boolean {
  return (
    problems.every(({ remembered }) => boundedSec(remembered.sec) <= time.sec) &&
    heads.every(({ author, count, head }) => {
      if (count === 0) return true;
      const there = chains.find((chain) => toHex(chain.author) === toHex(author))?.hashes[count - 1];
      return there !== undefined && toHex(there) === toHex(head);
    })
  );
}

/**
 * What to remember: of every chain the longer of what another process remembered meanwhile and what is there, if the one goes on from the other. With an
 * acceptance that `now` does not know, what is there.
 *
 * @throws RolledBackError when another process saw another history
 */
function merged(
  location: string,
  now: RememberedHeads,
  chains: readonly ChainState[],
  accepted: readonly string[],
  acceptance: string | undefined,
): RememberedHeads {
  const anew = acceptance !== undefined && !now.accepted.includes(acceptance);
  const result: Record<string, RememberedHead> = anew ? {} : { ...now.chains };
  const forks: string[] = [];
  for (const { author, hashes, entries } of chains) {
    const hex = toHex(author);
    const other = result[hex];
    if (other !== undefined && other.count > hashes.length) continue;
    if (other !== undefined && toHex(hashes[other.count - 1]!) !== other.head)
      forks.push(`ledger/${hex} has another entry ${other.count - 1} than another process of this machine saw`);
    if (hashes.length > 0)
      result[hex] = { count: hashes.length, head: toHex(hashes.at(-1)!), sec: boundedSec(entries.at(-1)!.time.sec) };
  }
  if (forks.length > 0) throw new RolledBackError(location, forks);
  return { chains: result, accepted: [...new Set([...now.accepted, ...accepted])] };
}
