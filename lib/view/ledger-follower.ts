/**
 * Follows a ledger that was loaded and verified once: asks each chain for its next entry, verifies it like lib/ledger does, and merges again. Blocking and
 * cheap (one failed open a chain), so that every serving thread can follow by itself. Never writes.
 */
import { equalBytes } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError } from '../errors.js';
import { decodeEntry, ENTRY_LABEL, EntryType, type LedgerEntry, misplaced } from '../format/entry.js';
import { entryName } from '../format/names.js';
import { asId } from '../id.js';
import { type Chain, type Ledger, mergeChains } from '../ledger/ledger.js';
import type { ObjectReader } from './objects.js';

interface GrowingChain extends Chain {
  readonly entries: LedgerEntry[];
  head: Uint8Array;
}

export class LedgerFollower {
  readonly #repositoryId: Uint8Array;
  readonly #read: ObjectReader;
  readonly #chains: GrowingChain[];
  #ledger: Ledger;

  constructor(repositoryId: Uint8Array, ledger: Ledger, read: ObjectReader) {
    this.#repositoryId = repositoryId;
    this.#read = read;
    this.#chains = ledger.chains.map((chain) => ({
      ...chain,
      author: asId('author', chain.author),
      entries: [...chain.entries],
    }));
    this.#ledger = { chains: this.#chains, entries: mergeChains(this.#chains) };
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
    for (let i = 0; i < this.#chains.length; i++) {
      try {
        while (this.#advance(this.#chains[i]!)) grew = true;
      } catch (error) {
        failure = error;
      }
    }
    if (grew) this.#ledger = { chains: this.#chains, entries: mergeChains(this.#chains) };
    if (failure !== undefined) throw failure;
    return grew;
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
    const why = misplaced(entry, chain.role === 'writer' ? 'writer' : chain === this.#chains[0] ? 'founder' : 'admin');
    if (why !== undefined) throw new CorruptError(name, why);
    if (!verifySignature(chain.publicKey, ENTRY_LABEL, signed, signature))
      throw new BadSignatureError(name, 'not signed by its author');
    chain.entries.push(entry);
    chain.head = sha256(bytes);
    const { payload } = entry;
    if (payload.type === EntryType.writerCert && 'publicKey' in payload && chain.role === 'admin')
      this.#welcome(payload.publicKey);
    return true;
  }

  #welcome(publicKey: Uint8Array): void {
    const author = authorOf(publicKey);
    if (this.#chains.some((chain) => equalBytes(chain.author, author))) return;
    this.#chains.push({ author, publicKey, role: 'writer', entries: [], head: new Uint8Array(32) });
  }
}
