/**
 * What this machine saw of a ledger, in a file outside the repository: the length and last hash of every chain. A repository in which a remembered entry
 * is missing or different was rolled back, and nothing proceeds until an admin says in the ledger that it was on purpose (accept-fork).
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toHex } from '../bytes.js';
import { CorruptError, RolledBackError } from '../errors.js';
import { payloadOf } from '../format/payload.js';
import type { ChainState, HeadMemory, RepositoryPlace } from '../repository/repository.js';

interface Remembered {
  /** Author, hex → entries seen, and the hash of the last. */
  readonly chains: Record<string, { count: number; head: string }>;
  /** Hashes of the accept-fork entries that were taken into account. */
  readonly accepted: string[];
}

/** Path of the file with what is remembered of a repository. */
export function headsPath(stateDir: string, repository: Uint8Array): string {
  return join(stateDir, toHex(repository).slice(0, 32), 'heads.json');
}

/** The memory in `stateDir` (`~/.local/state/varve`), made when there is something to remember. */
export function rememberHeads(place: RepositoryPlace, stateDir: string): HeadMemory {
  const path = headsPath(stateDir, place.id);
  // One after another: a run that loads the ledger twice at once must not write the older state last.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <R>(work: () => Promise<R>): Promise<R> => {
    const mine = turn.then(work, work);
    turn = mine.catch(() => undefined);
    return mine;
  };
  return {
    compare: (chains) =>
      inTurn(async () => {
        const before = await read(path);
        const problems = differences(before, chains);
        const news = acceptances(chains).filter((hash) => !before.accepted.includes(hash));
        if (problems.length > 0 && !news.some((hash) => fits(chains, hash)))
          throw new RolledBackError(place.store.location, problems);
        const after: Remembered = { chains: {}, accepted: [...before.accepted, ...news] };
        for (const { author, hashes } of chains)
          if (hashes.length > 0) after.chains[toHex(author)] = { count: hashes.length, head: toHex(hashes.at(-1)!) };
        if (JSON.stringify(after) !== JSON.stringify(before)) await write(path, after);
      }),
    grown: ({ author, count, head }) =>
      inTurn(async () => {
        const before = await read(path);
        const hex = toHex(author);
        if ((before.chains[hex]?.count ?? 0) >= count) return;
        await write(path, { ...before, chains: { ...before.chains, [hex]: { count, head: toHex(head) } } });
      }),
  };
}

/** What is missing or different, in words; nothing when all chains go on from what is remembered. */
function differences(before: Remembered, chains: readonly ChainState[]): string[] {
  const problems: string[] = [];
  for (const [hex, { count, head }] of Object.entries(before.chains)) {
    const hashes = chains.find(({ author }) => toHex(author) === hex)?.hashes ?? [];
    const name = `ledger/${hex}`;
    if (hashes.length < count) problems.push(`${name} had ${count} entries and has ${hashes.length}`);
    else if (toHex(hashes[count - 1]!) !== head) problems.push(`${name} is another chain up to entry ${count - 1}`);
  }
  return problems;
}

/** Hashes of the accept-fork entries that count. */
function acceptances(chains: readonly ChainState[]): string[] {
  return chains.flatMap(({ entries, hashes, limit }) =>
    entries.flatMap(({ payload }, i) => (i < limit && payloadOf(payload, 'acceptFork') !== undefined ? [toHex(hashes[i]!)] : [])),
  );
}

/** Whether the chains go on from what the accept-fork entry with this hash names. */
function fits(chains: readonly ChainState[], acceptance: string): boolean {
  for (const { entries, hashes } of chains) {
    const at = hashes.findIndex((hash) => toHex(hash) === acceptance);
    const accepted = at < 0 ? undefined : payloadOf(entries[at]!.payload, 'acceptFork');
    if (accepted === undefined) continue;
    return accepted.heads.every(({ author, count, head }) => {
      if (count === 0) return true;
      const there = chains.find((chain) => toHex(chain.author) === toHex(author))?.hashes[count - 1];
      return there !== undefined && toHex(there) === toHex(head);
    });
  }
  return false;
}

async function read(path: string): Promise<Remembered> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { chains: {}, accepted: [] };
    throw error;
  }
  try {
    const { chains, accepted } = JSON.parse(text) as Remembered;
    for (const { count, head } of Object.values(chains))
      if (!Number.isSafeInteger(count) || !/^[0-9a-f]{64}$/.test(head)) throw new Error('not a head');
    if (!Array.isArray(accepted)) throw new Error('no list');
    return { chains, accepted };
  } catch {
    // Not taken for empty: that would switch the protection off silently.
    throw new CorruptError(
      path,
      'is damaged; it remembers what this machine saw of the repository. Delete it to start anew from what is there now',
    );
  }
}

async function write(path: string, remembered: Remembered): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(remembered)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
