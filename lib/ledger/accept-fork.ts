/**
 * The way back after a rollback that was on purpose: an admin says in the ledger that the chains as they are now are the right ones (docs/format.md §11, type
 * 20). Every client that remembers otherwise then goes on from there, once.
 */
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { RefusedError, RoleError } from '../errors.js';
import { EntryType } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import type { Repository } from '../repository/repository.js';
import { appendEntry, requireAuthor } from './append.js';
import { boundedSec, differences } from './heads.js';
import { loadLedger, readLedger } from './ledger.js';

export interface AcceptForkOptions {
  readonly reason: string;
  /** Write the entry although this machine misses nothing, for the sake of others. */
  readonly anyway?: boolean;
  readonly nowMs?: number;
}

/** What is missing or different compared with what this machine remembers, in words. @throws CorruptError, BadSignatureError, StoreError */
export async function rememberedDifferences(repository: Repository): Promise<string[]> {
  const before = await repository.heads?.recall();
  const { chains } = await readLedger(repository, true);
  return before === undefined ? [] : differences(before, chains).map(({ text }) => text);
}

/**
 * Accepts the ledger as it is, and remembers it.
 *
 * @returns what was missing or different
 * @throws RoleError without an admin's key, RefusedError if nothing is missing here and it is not to be written anyway
 */
export async function acceptFork(repository: Repository, options: AcceptForkOptions): Promise<string[]> {
  const { heads, ...unremembering } = repository;
  const { adminSeed } = repository.keyring;
  if (adminSeed === null) throw new RoleError('admin', 'accepting another history');
  const before = await heads?.recall(true);
  const ledger = await readLedger(repository, true);
  requireAuthor(repository.genesis, ledger, authorOf(publicKeyOf(adminSeed)));
  const problems = before === undefined ? [] : differences(before, ledger.chains);
  if (problems.length === 0 && options.anyway !== true)
    throw new RefusedError(
      'the ledger goes on from everything that this machine remembers, so there is nothing to accept; if other machines refuse it, say so with --anyway',
    );
  // An acceptance covers what is older than itself, whatever the clocks of others said.
  const latestMs = Math.max(
    options.nowMs ?? Date.now(),
    ...problems.map(({ remembered }) => (boundedSec(remembered.sec) + 1) * 1000),
  );
  await appendEntry(unremembering, adminSeed, timeOfMs(latestMs), () => ({
    type: EntryType.acceptFork,
    heads: ledger.chains.map(({ author, hashes, head }) => ({ author, count: hashes.length, head })),
    reason: options.reason,
  }));
  await loadLedger(repository);
  return problems.map(({ text }) => text);
}
