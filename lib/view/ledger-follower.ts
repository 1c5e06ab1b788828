/**
 * Follows a ledger that was loaded and verified once: asks each chain for its next entry, verifies it like lib/ledger does, and merges again. Blocking and
 * cheap (one failed open a chain), so that every serving thread can follow by itself. Never writes.
 */
import { equalBytes, fromHex, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, VarveError } from '../errors.js';
import { type Author, decodeEntry, ENTRY_LABEL, type LedgerEntry, misplaced } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { decodeEnvelope, type Envelope } from '../format/manifest.js';
import { entryName, manifestName } from '../format/names.js';
import { asId } from '../id.js';
import { authorities } from '../ledger/authority.js';
import { belied, rivalClaims } from '../ledger/claims.js';
import { type Chain, type Ledger, mergeChains } from '../ledger/ledger.js';
import { placeOf } from '../ledger/standing.js';
import type { Repository } from '../repository/repository.js';
import type { ObjectReader } from './objects.js';

interface GrowingChain extends Chain {
  readonly entries: LedgerEntry[];
  readonly hashes: Uint8Array[];
  head: Uint8Array;
  /** As `misplaced` wants it. */
  by: Author;
}

export class LedgerFollower {
  readonly #repositoryId: Uint8Array;
  readonly #genesis: Genesis;
  readonly #read: ObjectReader;
  #chains: GrowingChain[];
  #ledger: Ledger;

  constructor({ id, genesis }: Pick<Repository, 'id' | 'genesis'>, ledger: Ledger, read: ObjectReader) {
    this.#repositoryId = id;
    this.#genesis = genesis;
    this.#read = read;
    this.#chains = ledger.chains.map((chain) => ({
      ...chain,
      author: asId('author', chain.author),
      by: 'writer',
      entries: [...chain.entries],
      hashes: [...chain.hashes],
    }));
    this.#authorize();
    this.#ledger = this.#merge();
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /**
   * Takes up entries that appeared since.
   *
   * @returns whether there were any
   * @throws CorruptError, BadSignatureError for an entry that does not continue its chain; what came before it is taken up
   */
  poll(): boolean {
    let grew = false;
    let failure: unknown;
    const failed = new Set<GrowingChain>();
    for (let again = true; again; ) {
      again = false;
      // A copy: an entry may certify another author.
      for (const chain of [...this.#chains]) {
        if (failed.has(chain)) continue;
        try {
          while (this.#advance(chain)) again = true;
        } catch (error) {
          failure = error;
          failed.add(chain);
        }
      }
      grew ||= again;
    }
    if (grew) this.#ledger = this.#merge();
    if (failure !== undefined) throw failure;
    return grew;
  }

  #merge(): Ledger {
    const entries = mergeChains(this.#chains);
    const falseClaims = new Set<string>();
    for (const [hex, claims] of rivalClaims(entries)) {
      const said = this.#envelope(hex);
      if (said !== undefined) for (const { entry } of belied(claims, said)) falseClaims.add(placeOf(entry));
    }
    return { chains: this.#chains, entries, ...(falseClaims.size === 0 ? {} : { falseClaims }) };
  }

  /** What a manifest says in clear; undefined for one that cannot be read. */
  #envelope(hex: string): Envelope | undefined {
    const name = manifestName(fromHex(hex));
    try {
      const bytes = this.#read(name);
      return bytes === undefined || toHex(sha256(bytes)) !== hex ? undefined : decodeEnvelope(bytes, name).envelope;
    } catch (error) {
      if (error instanceof VarveError) return undefined;
      throw error;
    }
  }

  #advance(chain: GrowingChain): boolean {
    const name = entryName(chain.author, chain.entries.length);
    const bytes = this.#read(name);
    if (bytes === undefined) return false;
    const { entry, signed, signature } = decodeEntry(bytes, name);
    if (!equalBytes(entry.repository, this.#repositoryId)) throw new CorruptError(name, 'belongs to another repository');
    if (!equalBytes(entry.author, chain.author) || entry.sequence !== chain.entries.length)
      throw new CorruptError(name, 'is not the entry its name says');
    if (!equalBytes(entry.previous, chain.head)) throw new CorruptError(name, 'does not continue its chain');
    const why = misplaced(entry, chain.by);
    if (why !== undefined) throw new CorruptError(name, why);
    if (!verifySignature(chain.publicKey, ENTRY_LABEL, signed, signature))
      throw new BadSignatureError(name, 'not signed by its author');
    chain.entries.push(entry);
    chain.head = sha256(bytes);
    chain.hashes.push(chain.head);
    if (chain.role === 'admin') this.#authorize();
    return true;
  }

  /** Puts the chains in the order of their authorities, with newly certified ones, each as far as it counts. */
  #authorize(): void {
    const known = new Map(this.#chains.map((chain) => [toHex(chain.author), chain]));
    const entriesOf = (author: Uint8Array): readonly LedgerEntry[] | undefined => known.get(toHex(author))?.entries;
    this.#chains = authorities(this.#genesis, entriesOf).map(({ author, publicKey, role, by, limit }) => {
      const grown = known.get(toHex(author)) ?? { entries: [], hashes: [], head: new Uint8Array(32) };
      return Object.assign(grown, { author, publicKey, role, by, limit });
    });
  }
}
