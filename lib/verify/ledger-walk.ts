/**
 * The ledger as far as it can be read: every entry's bytes, signature and place in its chain (docs/format.md §11). Where loadLedger throws, this reports
 * and goes on, so that one bad entry does not hide what the others say.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, verifySignature } from '../crypto/sign.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry, MAX_ENTRY_BYTES, misplaced } from '../format/entry.js';
import { entryName, parseEntryName } from '../format/names.js';
import type { AuthorId } from '../id.js';
import { type Authority, authorities } from '../ledger/authority.js';
import { type Chain, type Ledger, mergeChains } from '../ledger/ledger.js';
import type { Repository } from '../repository/repository.js';
import type { Listing } from './listing.js';
import type { Findings } from './report.js';

/** The readable part of a ledger. */
export interface ReadableLedger extends Ledger {
  /** Authors, hex, in whose chain something is missing or damaged. */
  readonly broken: ReadonlySet<string>;
  /** Of every chain the SHA-256 of each entry by its number, undefined for one that is damaged. */
  readonly read: readonly { readonly author: AuthorId; readonly hashes: readonly (Uint8Array | undefined)[] }[];
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
  const read: { author: AuthorId; hashes: (Uint8Array | undefined)[] }[] = [];

  const take = async ({
    author,
    publicKey,
    role,
    by,
    limit,
    retired,
  }: Omit<Authority, 'publicKey'> & { publicKey?: Uint8Array }): Promise<void> => {
    const hex = toHex(author);
    const found = listed.get(hex);
    if (found === undefined) {
      if (retired !== undefined && retired.count > 0)
        findings.error(`ledger/${hex}`, 'ROLLED_BACK', `had ${retired.count} entries when its author was retired and has 0`);
      return;
    }
    listed.delete(hex);
    const entries: LedgerEntry[] = [];
    const hashes: Uint8Array[] = [];
    const numbered: (Uint8Array | undefined)[] = new Array(found.max + 1).fill(undefined);
    read.push({ author, hashes: numbered });
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
        const why = publicKey === undefined ? undefined : misplaced(entry, by);
        if (why !== undefined) throw new CorruptError(name, why);
        if (previous !== undefined && !equalBytes(entry.previous, previous)) {
          broken.add(hex);
          findings.error(name, 'CORRUPT', 'does not continue its chain');
        }
        previous = sha256(bytes);
        hashes.push(previous);
        numbered[sequence] = previous;
        entries.push(entry);
      } catch (error) {
        bad(name, error);
      }
    }
    if (retired !== undefined && !broken.has(hex)) {
      const there = retired.count === 0 ? new Uint8Array(32) : hashes[retired.count - 1];
      if (there === undefined || !equalBytes(there, retired.head))
        findings.error(
          `ledger/${hex}`,
          'ROLLED_BACK',
          `had ${retired.count} entries when its author was retired and has ${there === undefined ? entries.length : 'others'}`,
        );
      if (entries.length > retired.count)
        findings.warning(
          `ledger/${hex}`,
          `${entries.length - retired.count} entries after its author was retired count for nothing`,
        );
    }
    const head = previous ?? new Uint8Array(32);
    chains.push({ author, publicKey: publicKey ?? new Uint8Array(32), role, entries, hashes, limit, head });
  };

  for (const admin of repository.genesis.admins) {
    const author = authorOf(admin);
    if (!listed.has(toHex(author)))
      findings.error(entryName(author, 0), 'NOT_FOUND', 'is missing: an admin’s chain has no entries');
  }
  const taken = new Set<string>();
  let authors: Authority[] = [];
  for (let grown = true; grown; ) {
    grown = false;
    authors = authorities(repository.genesis, (author) => chains.find((chain) => equalBytes(chain.author, author))?.entries);
    for (const authority of authors) {
      const hex = toHex(authority.author);
      if (taken.has(hex)) continue;
      taken.add(hex);
      await take(authority);
      grown = true;
    }
  }
  const ordered = authors.flatMap(({ author, role, limit }) =>
    chains.filter((chain) => equalBytes(chain.author, author)).map((chain) => ({ ...chain, role, limit })),
  );
  chains.length = 0;
  chains.push(...ordered);
  for (const [hex, { author }] of [...listed]) {
    findings.error(`ledger/${hex}`, 'BAD_SIGNATURE', 'its author is certified by no admin: its entries cannot be trusted');
    broken.add(hex);
    // A damaged certificate must not hide what its writer stored: the entries are read for what they say, unsigned as they are.
    await take({ author, role: 'writer', by: 'writer', limit: Number.POSITIVE_INFINITY });
  }
  return { chains, entries: mergeChains(chains), broken, read };
}
