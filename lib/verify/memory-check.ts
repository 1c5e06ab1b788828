/** Holds a ledger, as far as it can be read, against what this machine remembers of it: what is gone or different was rolled back. */
import { RolledBackError } from '../errors.js';
import { differences } from '../ledger/heads.js';
import type { RememberedHeads, Repository } from '../repository/repository.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

/** Reports what is missing or different; remembers the ledger if nothing is. `before`: what was recalled before the ledger was listed. */
export async function checkMemory(
  repository: Repository,
  before: RememberedHeads | undefined,
  ledger: ReadableLedger,
  findings: Findings,
): Promise<void> {
  if (before === undefined) return;
  for (const problem of await problemsOf(repository, before, ledger)) {
    const [object, ...words] = problem.split(' ');
    findings.error(object!, 'ROLLED_BACK', words.join(' '));
  }
}

async function problemsOf(repository: Repository, before: RememberedHeads, ledger: ReadableLedger): Promise<readonly string[]> {
  // What is damaged was reported as such; it is not remembered, and says nothing of an acceptance.
  if (ledger.broken.size > 0) return differences(before, ledger.read).map(({ text }) => text);
  try {
    await repository.heads?.compare(ledger.chains, before);
    return [];
  } catch (error) {
    if (error instanceof RolledBackError) return error.details.problems as readonly string[];
    throw error;
  }
}
