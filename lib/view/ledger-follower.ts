/**
 * Follows a ledger that was loaded and verified once: asks each chain for its next entry, verifies it like lib/ledger does, and merges again. Blocking and
 * cheap (one failed open a chain), so that every serving thread can follow by itself. Never writes.
 */
import { equalBytes, fromHex, toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, VarveError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, type LedgerEntry } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { decodeEnvelope, type Envelope } from '../format/manifest.js';
import { entryName, manifestName } from '../format/names.js';
import { type Authority, authorized, type Retirement } from '../ledger/authority.js';
import { belied, rivalClaims } from '../ledger/claims.js';
import { assembleFor, entryKey, type Ledger } from '../ledger/state.js';
import type { Repository } from '../repository/repository.js';
import type { ObjectReader } from './objects.js';

/** A chain as far as it was read. */
interface GrowingChain {
  readonly entries: LedgerEntry[];
  readonly hashes: Uint8Array[];
  /** When each was seen first: the store took it before. */
  readonly storedMs: (number | undefined)[];
}

export class LedgerFollower {
  readonly #repositoryId: Uint8Array;
  readonly #genesis: Genesis;
  readonly #read: ObjectReader;
  readonly #chains = new Map<string, GrowingChain>();
  #authorities: Authority[] = [];
  #strangers: Retirement[] = [];
  #ledger: Ledger;

  constructor({ id, genesis }: Pick<Repository, 'id' | 'genesis'>, ledger: Ledger, read: ObjectReader) {
    this.#repositoryId = id;
    this.#genesis = genesis;
    this.#read = read;
    for (const { author, entries, hashes, storedMs } of ledger.chains)
      this.#chains.set(toHex(author), { entries: [...entries], hashes: [...hashes], storedMs: [...(storedMs ?? [])] });
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
    const failed = new Set<string>();
    for (let again = true; again; ) {
      again = false;
      // Those of before: an entry may certify another author.
      for (const authority of this.#authorities) {
        const hex = toHex(authority.author);
        if (failed.has(hex)) continue;
        try {
          while (this.#advance(authority, hex)) again = true;
        } catch (error) {
          failure = error;
          failed.add(hex);
        }
      }
      grew ||= again;
      // Whoever was read may be more than he was when this pass began, and have said who else writes.
      if (again) this.#authorize();
    }
    if (grew) this.#ledger = this.#merge();
    if (failure !== undefined) throw failure;
    return grew;
  }

  #merge(): Ledger {
    const { authorities: _, wrongEnds: __, ...ledger } = assembleFor(this.#authorities, this.#strangers, this.#chains);
    const falseClaims = new Set<string>();
    for (const [hex, claims] of rivalClaims(ledger.entries)) {
      const said = this.#envelope(hex);
      if (said !== undefined) for (const { entry } of belied(claims, said)) falseClaims.add(entryKey(entry));
    }
    return falseClaims.size === 0 ? ledger : { ...ledger, falseClaims };
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

  #advance({ author, publicKey }: Authority, hex: string): boolean {
    const chain = this.#chains.get(hex) ?? { entries: [], hashes: [], storedMs: [] };
    const name = entryName(author, chain.entries.length);
    const bytes = this.#read(name);
    if (bytes === undefined) return false;
    const { entry, signed, signature } = decodeEntry(bytes, name);
    if (!equalBytes(entry.repository, this.#repositoryId)) throw new CorruptError(name, 'belongs to another repository');
    if (!equalBytes(entry.author, author) || entry.sequence !== chain.entries.length)
      throw new CorruptError(name, 'is not the entry its name says');
    if (!equalBytes(entry.previous, chain.hashes.at(-1) ?? new Uint8Array(32)))
      throw new CorruptError(name, 'does not continue its chain');
    if (!verifySignature(publicKey, ENTRY_LABEL, signed, signature))
      throw new BadSignatureError(name, 'not signed by its author');
    chain.entries.push(entry);
    chain.hashes.push(sha256(bytes));
    chain.storedMs[entry.sequence] = Date.now();
    this.#chains.set(hex, chain);
    return true;
  }

  /** Who has authority by what was read so far. */
  #authorize(): void {
    const { authorities, strangers } = authorized(this.#genesis, (author) => this.#chains.get(toHex(author)));
    this.#authorities = authorities;
    this.#strangers = strangers;
  }
}
