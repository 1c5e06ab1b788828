/**
 * The ledger as far as it can be read: every entry's bytes, signature and place in its chain (docs/format.md §11). Where loadLedger throws, this reports
 * and goes on, so that one bad entry does not hide what the others say.
 */
import { equalBytes, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, verifySignature } from '../crypto/sign.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry, MAX_ENTRY_BYTES } from '../format/entry.js';
import { entryName, parseEntryName } from '../format/names.js';
import type { AuthorId } from '../id.js';
import { type Authority, authorized, type Retirement, wrongEnd } from '../ledger/authority.js';
import { falseClaims } from '../ledger/claims.js';
import { assembleFor, type Chain, type Ledger, type RawChain } from '../ledger/state.js';
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
  readonly storedMs: (number | undefined)[];
  max: number;
}

function chainsOf(listing: Pick<Listing, 'entries'>): Map<string, Listed> {
  const chains = new Map<string, Listed>();
  for (const [name, { sizeBytes, storedMs }] of listing.entries) {
    const { author, sequence } = parseEntryName(name)!;
    const hex = toHex(author);
    let chain = chains.get(hex);
    if (chain === undefined) chains.set(hex, (chain = { author, sequences: new Map(), storedMs: [], max: -1 }));
    chain.storedMs[sequence] = storedMs;
    chain.sequences.set(sequence, sizeBytes);
    chain.max = Math.max(chain.max, sequence);
  }
  return chains;
}

function checkRetirements(
  retirements: readonly Retirement[],
  chains: readonly Chain[],
  broken: ReadonlySet<string>,
  findings: Findings,
): void {
  for (const retired of retirements) {
    const hex = toHex(retired.author);
    const hashes = chains.find(({ author }) => equalBytes(author, retired.author))?.hashes ?? [];
    if (broken.has(hex)) continue;
    const wrong = wrongEnd(hashes, retired);
    if (wrong !== undefined) findings.error(`ledger/${hex}`, 'ROLLED_BACK', wrong);
    if (hashes.length > retired.count)
      findings.warning(
        `ledger/${hex}`,
        `${hashes.length - retired.count} entries after its author was retired count for nothing`,
      );
  }
}

/** Reads and verifies every entry, reporting each that does not verify. */
export async function walkLedger(
  repository: Repository,
  listing: Pick<Listing, 'entries'>,
  findings: Findings,
): Promise<ReadableLedger> {
  const listed = chainsOf(listing);
  const broken = new Set<string>();
  const raw = new Map<string, RawChain>();
  const read: { author: AuthorId; hashes: (Uint8Array | undefined)[] }[] = [];

  const take = async (author: AuthorId, publicKey: Uint8Array | undefined): Promise<void> => {
    const hex = toHex(author);
    const found = listed.get(hex);
    if (found === undefined) return;
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
    raw.set(hex, { entries, hashes, storedMs: found.storedMs });
  };

  const founder = authorOf(repository.genesis.admins[0]!);
  if (!listed.has(toHex(founder)))
    findings.error(entryName(founder, 0), 'NOT_FOUND', 'is missing: the chain of the first admin has no entries');
  const taken = new Set<string>();
  let authors: Authority[] = [];
  let strangers: Retirement[] = [];
  for (let grown = true; grown; ) {
    grown = false;
    ({ authorities: authors, strangers } = authorized(repository.genesis, (author) => raw.get(toHex(author))));
    for (const authority of authors) {
      const hex = toHex(authority.author);
      if (taken.has(hex)) continue;
      taken.add(hex);
      await take(authority.author, authority.publicKey);
      grown = true;
    }
  }
  for (const [hex, { author }] of [...listed]) {
    findings.error(`ledger/${hex}`, 'BAD_SIGNATURE', 'its author is certified by no admin: its entries cannot be trusted');
    broken.add(hex);
    // A damaged certificate must not hide what its writer stored: the entries are read for what they say, unsigned as they are.
    await take(author, undefined);
    authors.push(unsigned(author));
  }
  const { authorities: _, wrongEnds: __, ...ledger } = assembleFor(authors, strangers, raw);
  const { chains } = ledger;
  reportVoids(chains, broken, findings);
  // Now that all are known: another admin's chain may have said it, and nothing at all may be left of the author's.
  checkRetirements([...authors.flatMap(({ retired }) => retired ?? []), ...strangers], chains, broken, findings);
  return { ...ledger, broken, read, falseClaims: await falseClaims(repository, ledger.entries) };
}

/** Whom no certificate names. */
function unsigned(author: AuthorId): Authority {
  const limit = Number.POSITIVE_INFINITY;
  return { author, publicKey: new Uint8Array(32), role: 'writer', roles: new Set(['writer']), limit, receiptLimit: 0 };
}

/** Entries that change nothing, because they break a rule or their author may not write them. */
function reportVoids(chains: readonly Chain[], broken: ReadonlySet<string>, findings: Findings): void {
  for (const { author, voids, limit } of chains)
    for (const [sequence, why] of voids)
      if (sequence < limit && !broken.has(toHex(author)))
        findings.error(entryName(author, sequence), 'CORRUPT', `changes nothing: ${why}`);
}
