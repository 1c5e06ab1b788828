/**
 * The ledger as far as it can be read: every entry's bytes, signature and place in its chain (docs/format.md §11). Where loadLedger throws, this reports
 * and goes on, so that one bad entry does not hide what the others say.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, verifySignature } from '../crypto/sign.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, EntryType, type LedgerEntry, MAX_ENTRY_BYTES, misplaced } from '../format/entry.js';
import { entryName, parseEntryName } from '../format/names.js';
import type { AuthorId } from '../id.js';
import { type Chain, type Ledger, mergeChains } from '../ledger/ledger.js';
import type { Repository } from '../repository/repository.js';
import type { Listing } from './listing.js';
import type { Findings } from './report.js';

/** The readable part of a ledger. */
export interface ReadableLedger extends Ledger {
  /** Authors, hex, in whose chain something is missing or damaged. */
  readonly broken: ReadonlySet<string>;
}

interface Listed {
  readonly author: AuthorId;
  readonly sequences: Map<number, number>;
  max: number;
}

function chainsOf(listing: Listing): Map<string, Listed> {
  const chains = new Map<string, Listed>();
  for (const [name, sizeBytes] of listing.entries) {
    const { author, sequence } = parseEntryName(name)!;
    const hex = toHex(author);
    let chain = chains.get(hex);
    if (chain === undefined) chains.set(hex, (chain = { author, sequences: new Map(), max: -1 }));
    chain.sequences.set(sequence, sizeBytes);
    chain.max = Math.max(chain.max, sequence);
  }
  return chains;
}

/** Reads and verifies every entry, reporting each that does not verify. */
export async function walkLedger(repository: Repository, listing: Listing, findings: Findings): Promise<ReadableLedger> {
  const listed = chainsOf(listing);
  const broken = new Set<string>();
  const chains: Chain[] = [];

  const take = async (publicKey: Uint8Array | undefined, author: AuthorId, role: Chain['role']): Promise<void> => {
    const hex = toHex(author);
    const found = listed.get(hex);
    if (found === undefined) return;
    listed.delete(hex);
    const entries: LedgerEntry[] = [];
    let previous: Uint8Array | undefined = new Uint8Array(32);
    let expected = 0;
    const bad = (name: string, error: unknown): void => {
      broken.add(hex);
      previous = undefined;
      findings.thrown(error, name);
    };
    for (const sequence of [...found.sequences.keys()].sort((a, b) => a - b)) {
      const name = entryName(author, sequence);
      if (sequence !== expected) {
        const more = sequence - expected - 1;
        bad(entryName(author, expected), new NotFoundError('object', name));
        if (more > 0) findings.error(`ledger/${hex}`, 'NOT_FOUND', `${more} more entries are missing before entry ${sequence}`);
      }
      expected = sequence + 1;
      try {
        if (found.sequences.get(sequence)! > MAX_ENTRY_BYTES) throw new CorruptError(name, 'larger than a ledger entry may be');
        const bytes = await repository.store.get(name);
        const { entry, signed, signature } = decodeEntry(bytes, name);
        if (!equalBytes(entry.repository, repository.id)) throw new CorruptError(name, 'belongs to another repository');
        if (!equalBytes(entry.author, author) || entry.sequence !== sequence)
          throw new CorruptError(name, 'is not the entry its name says');
        if (publicKey !== undefined && !verifySignature(publicKey, ENTRY_LABEL, signed, signature)) {
          throw new CorruptError(name, 'its signature is not its author’s');
        }
        const why = misplaced(entry, role === 'admin' && publicKey === repository.genesis.admins[0] ? 'founder' : role);
        if (why !== undefined) throw new CorruptError(name, why);
        if (previous !== undefined && !equalBytes(entry.previous, previous)) {
          broken.add(hex);
          findings.error(name, 'CORRUPT', 'does not continue its chain');
        }
        previous = sha256(bytes);
        entries.push(entry);
      } catch (error) {
        bad(name, error);
      }
    }
    chains.push({ author, publicKey: publicKey ?? new Uint8Array(32), role, entries, head: previous ?? new Uint8Array(32) });
  };

  for (const admin of repository.genesis.admins) {
    const author = authorOf(admin);
    if (!listed.has(toHex(author)))
      findings.error(entryName(author, 0), 'NOT_FOUND', 'is missing: an admin’s chain has no entries');
    await take(admin, author, 'admin');
  }
  const certified = chains.flatMap((chain) => chain.entries.map(({ payload }) => payload));
  for (const payload of certified) {
    if (payload.type === EntryType.writerCert && 'publicKey' in payload)
      await take(payload.publicKey, authorOf(payload.publicKey), 'writer');
  }
  for (const [hex, { author }] of [...listed]) {
    findings.error(`ledger/${hex}`, 'BAD_SIGNATURE', 'its author is certified by no admin: its entries cannot be trusted');
    broken.add(hex);
    // A damaged certificate must not hide what its writer stored: the entries are read for what they say, unsigned as they are.
    await take(undefined, author, 'writer');
  }
  return { chains, entries: mergeChains(chains), broken };
}
