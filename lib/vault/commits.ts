/**
 * Entries coming into the ledger, one after another: checked (check-entry.ts), made durable, acknowledged by a receipt in the vault's own chain, and only then
 * answered. What waits together shares a receipt entry. A crash between an entry and its receipt is mended by the next start.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { ObjectExistsError, RefusedError } from '../errors.js';
import { decodeEntry, type LedgerEntry } from '../format/entry.js';
import { entryName } from '../format/names.js';
import { CertifiedRole, EntryType, type Payload, type PolicyPayload, payloadOf } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import { asId } from '../id.js';
import { signEntry } from '../ledger/append.js';
import { slotWords } from '../ledger/slots.js';
import type { HeadMemory } from '../repository/repository.js';
import { termsOf } from '../retention/policy.js';
import type { DirectoryStore } from '../store/directory.js';
import { type Acknowledged, MAX_WRITER_ENTRY_BYTES } from '../store/vault-protocol.js';
import { type Acceptable, type Caller, refuse } from './accept.js';
import type { Catalog } from './catalog.js';
import type { Chains } from './chains.js';
import { newsOf, policyChangeText } from './change-text.js';
import { checkEntry, type EntryContext, type SentEntry } from './check-entry.js';
import { receiptsFor, takeForReceipt } from './receipts.js';

const BATCH = 256;
/** What an author who is no admin may write in a day besides snapshots: tags, incidents, checks. */
const DAILY_WORDS = 1000;
const DAILY_WORD_BYTES = 2 << 20;

export interface CommitParts extends EntryContext {
  readonly store: DirectoryStore;
  readonly catalog: Catalog;
  readonly heads: HeadMemory;
  readonly seed: Uint8Array;
  readonly author: string;
  /** After the vault's own key was certified. */
  onCertified(): Promise<void>;
}

interface Job extends SentEntry {
  readonly done: (answer: Acknowledged) => void;
  readonly failed: (error: unknown) => void;
}

export class Commits {
  readonly #parts: CommitParts;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting: Job[] = [];
  #scheduled = false;
  /** Entries without a receipt. */
  #pending: Acceptable[] = [];

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /** Runs `work` when nothing else changes the ledger. */
  serial<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Whether the vault's word counts: genesis or an admin certify its key, whatever else they certify it for, and it took note of no retirement. */
  get certified(): boolean {
    return this.#parts.chains.authority(this.#parts.author)?.receiptLimit === Number.POSITIVE_INFINITY;
  }

  /** Takes an entry up; resolves when it and its receipt are durable. */
  enter(caller: Caller, author: string, sequence: number, bytes: Uint8Array): Promise<Acknowledged> {
    return new Promise((done, failed) => {
      this.#waiting.push({ caller, author, sequence, bytes, done, failed });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.serial(() => this.#takeWaiting());
  }

  async #takeWaiting(): Promise<void> {
    this.#scheduled = false;
    const batch = this.#waiting.splice(0, BATCH);
    if (this.#waiting.length > 0) this.#schedule();
    const stored: Job[] = [];
    for (const job of batch) {
      try {
        await this.#store(job);
        stored.push(job);
      } catch (error) {
        job.failed(error);
      }
    }
    try {
      await this.#acknowledge();
      await this.#remember(new Set([...stored.map(({ author }) => author), this.#parts.author]));
    } catch (error) {
      for (const job of stored) job.failed(error);
      return;
    }
    for (const { author, sequence, done } of stored) {
      const receipt = this.#parts.chains.receipt(author, sequence);
      done(receipt === undefined ? {} : { receipt });
    }
  }

  async #store(job: Job): Promise<void> {
    const { store, chains, catalog, quotas } = this.#parts;
    const accepted = await checkEntry(job, this.#parts);
    if (accepted === undefined) return;
    const { author, sequence, bytes } = job;
    const { entry, hash } = accepted;
    // Entries count like everything else: nobody fills the disk with incidents and tags.
    const isBounded = chains.authority(author)?.roles.has('admin') === false;
    if (isBounded && bytes.byteLength > MAX_WRITER_ENTRY_BYTES)
      refuse(
        entryName(asId('author', entry.author), sequence),
        `is larger than the ${MAX_WRITER_ENTRY_BYTES} bytes that a writer’s or auditor’s entry may have`,
      );
    const snapshots = payloadOf(entry.payload, 'snapshot') === undefined ? 0 : 1;
    if (isBounded && snapshots === 0) this.#boundWords(author, bytes.byteLength);
    const amount = { bytes: bytes.byteLength, snapshots };
    const taken = isBounded ? await quotas.take(entry.author, amount, termsOf(chains.policy()), this.#parts.lateMs()) : undefined;
    try {
      await store.put(entryName(asId('author', entry.author), sequence), [bytes]);
    } catch (error) {
      if (taken !== undefined) quotas.give(taken);
      throw error;
    }
    // What came before a policy is acknowledged before it: else its author's clock would say which of two policies that goes by.
    if (payloadOf(entry.payload, 'policy') !== undefined) await this.#acknowledge();
    const before = chains.policy();
    const slots = payloadOf(entry.payload, 'retire') === undefined ? undefined : listedSlots(chains);
    chains.append(entry, hash);
    catalog.addEntry(author, sequence, bytes.byteLength, Date.now());
    this.#pending.push(accepted);
    // What is judged next goes by a new policy, not by what its author's clock said.
    if (payloadOf(entry.payload, 'policy') !== undefined) await this.#acknowledge();
    await this.#noteMeaning(entry, before);
    if (slots !== undefined) this.#noteUndone(entry, before, slots);
  }

  /**
   * Entries stay for ever, and every reader holds them in memory: tags, incidents and what auditors say are few, whatever a policy allows.
   *
   * @throws RefusedError when the author has had its share of a day
   */
  #boundWords(author: string, bytes: number): void {
    const { chains, catalog, lateMs } = this.#parts;
    const { entries } = chains.chain(author);
    const sizes = catalog.entrySizes.get(author) ?? [];
    const since = lateMs() / 1000 - 86_400;
    let count = 1;
    let sum = bytes;
    for (let i = entries.length - 1; i >= 0 && (chains.receipt(author, i)?.timeSec ?? Number.POSITIVE_INFINITY) > since; i--) {
      if (payloadOf(entries[i]!.payload, 'snapshot') !== undefined) continue;
      count++;
      sum += sizes[i] ?? 0;
      if (count > DAILY_WORDS || sum > DAILY_WORD_BYTES)
        throw new RefusedError(
          `author ${author.slice(0, 8)} has written the ${DAILY_WORDS} entries, or ${DAILY_WORD_BYTES} bytes of them, that it may besides snapshots in a day`,
          { quota: 'entries', writer: author },
        );
    }
  }

  async #noteMeaning(entry: LedgerEntry, before: PolicyPayload): Promise<void> {
    const cert = payloadOf(entry.payload, 'cert');
    if (cert?.role === CertifiedRole.vault && toHex(cert.publicKey) === this.#publicKey()) await this.#parts.onCertified();
    const news = newsOf(entry, before, this.#parts.chains.policy());
    if (news !== undefined) this.#parts.tell(news.code, news.text, toHex(entry.author));
  }

  /** A retirement takes back what its author said behind its end: that is a change of policy or of key slots too. */
  #noteUndone({ author, sequence }: LedgerEntry, before: PolicyPayload, slots: readonly string[]): void {
    const { chains, tell } = this.#parts;
    const where = `entry ${sequence} of ${toHex(author)} takes back what was said: `;
    const after = chains.policy();
    if (JSON.stringify(after) !== JSON.stringify(before))
      tell('policy-change', `${where}the policy falls back: ${policyChangeText(before, after)}`, toHex(author));
    const now = listedSlots(chains);
    const changed = [
      ...slots.filter((id) => !now.includes(id)).map((id) => `key slot ${id} is listed no more`),
      ...now.filter((id) => !slots.includes(id)).map((id) => `key slot ${id} is listed again`),
    ];
    if (changed.length > 0) tell('slot-change', `${where}${changed.join(', ')}`, toHex(author));
  }

  #publicKey(): string {
    const { chains, author } = this.#parts;
    return toHex(chains.authority(author)?.publicKey ?? new Uint8Array(0));
  }

  /** Finds entries that were stored and not acknowledged before the last end. `from`: of each author, the first entry that is the vault's to acknowledge. */
  async recover(from: (author: string) => number): Promise<void> {
    const { chains, author: own } = this.#parts;
    for (const author of chains.authors()) {
      if (author === own) continue;
      const { entries, hashes } = chains.chain(author);
      const limit = Math.min(entries.length, chains.authority(author)?.limit ?? 0);
      for (let i = from(author); i < limit; i++)
        if (chains.receipt(author, i) === undefined) this.#pending.push({ entry: entries[i]!, hash: hashes[i]! });
    }
    await this.serial(() => this.#acknowledge());
    await this.#remember(new Set([own]));
  }

  /** Writes receipts for all that has none. */
  async #acknowledge(): Promise<void> {
    const { chains } = this.#parts;
    while (this.#pending.length > 0) {
      const { some, rest } = takeForReceipt(this.#pending);
      if (!this.certified) {
        for (const { entry } of some) this.#receive(entry, entry.time.sec);
        this.#pending = rest;
        continue;
      }
      const time = timeOfMs(this.#parts.lateMs());
      const receipts = receiptsFor(some, chains, time.sec);
      await this.append({ type: EntryType.receipt, receipts }, time);
      for (const { entry } of some) this.#receive(entry, time.sec);
      this.#pending = rest;
    }
  }

  #receive(entry: LedgerEntry, receivedSec: number): void {
    const snapshot = payloadOf(entry.payload, 'snapshot');
    if (snapshot !== undefined) this.#parts.chains.noteReceived(entry, snapshot, receivedSec);
  }

  /** Appends an entry to the vault's own chain; call it inside `serial`. */
  async append(payload: Payload, time = timeOfMs(this.#parts.lateMs())): Promise<LedgerEntry> {
    const { store, chains, catalog, author, seed } = this.#parts;
    const { hashes } = chains.chain(author);
    const entry: LedgerEntry = {
      repository: chains.place.id,
      author: Buffer.from(author, 'hex'),
      sequence: hashes.length,
      previous: hashes.at(-1) ?? new Uint8Array(32),
      time,
      payload,
    };
    const { name, bytes, decoded } = signEntry(entry, seed);
    await store.put(name, [bytes]);
    chains.append(decoded, sha256(bytes));
    catalog.addEntry(author, entry.sequence, bytes.byteLength, Date.now());
    return decoded;
  }

  /** Takes up an entry of the vault's own that pruning made; call it inside `serial`. */
  async adopt(sequence: number, bytes: Uint8Array): Promise<void> {
    const { store, chains, catalog, author } = this.#parts;
    const name = entryName(asId('author', Buffer.from(author, 'hex')), sequence);
    const { entry } = decodeEntry(bytes, name);
    if (toHex(entry.author) !== author || sequence !== chains.chain(author).hashes.length) throw new ObjectExistsError(name);
    await store.put(name, [bytes]);
    chains.append(entry, sha256(bytes));
    catalog.addEntry(author, sequence, bytes.byteLength, Date.now());
    await this.#remember(new Set([author]));
  }

  /** Writes down how far the chains of these authors have come. */
  async #remember(authors: ReadonlySet<string>): Promise<void> {
    const { chains, heads } = this.#parts;
    const grown = [...authors].flatMap((author) => {
      const { entries, hashes } = chains.chain(author);
      const last = entries.at(-1);
      return last === undefined ? [] : [{ author: last.author, count: hashes.length, head: hashes.at(-1)!, time: last.time }];
    });
    await heads.grown(grown);
  }
}

/** Ids, hex, of the key slots that the ledger lists. */
function listedSlots(chains: Chains): string[] {
  return [...(slotWords(chains.ledger()) ?? [])].flatMap(([id, { listed }]) => (listed ? [id] : []));
}
