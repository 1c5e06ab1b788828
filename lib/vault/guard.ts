/**
 * The guard itself: what a vault does for each verb, whoever asked it over whatever connection. Holds the repository's directory, the ledger and a catalog of objects in
 * memory, its own key, clocks and quotas. Nothing is ever replaced, and only key slots can be removed on demand.
 */
import { join } from 'node:path';
import { toHex, viewOf } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { authorOf, publicKeyOf, verifySignature } from '../crypto/sign.js';
import {
  NoRepositoryError,
  NotFoundError,
  ObjectExistsError,
  RefusedError,
  RepositoryExistsError,
  RolledBackError,
  VarveError,
} from '../errors.js';
import { decodeGenesis, GENESIS_LABEL } from '../format/genesis.js';
import { INDEX_HEADER_BYTES } from '../format/index-object.js';
import { decodeSlot } from '../format/key-slot.js';
import { decodeEnvelope, type Envelope } from '../format/manifest.js';
import { GENESIS_NAME } from '../format/names.js';
import { decodePackFooter, PACK_FOOTER_BYTES, PACK_HEADER_BYTES } from '../format/pack.js';
import { EntryType } from '../format/payload.js';
import { Kind } from '../format/preamble.js';
import { asId } from '../id.js';
import { rememberHeads } from '../ledger/heads.js';
import { readLedger } from '../ledger/ledger.js';
import { resolvePins } from '../ledger/pins.js';
import { locateRepository, type RepositoryPlace } from '../repository/repository.js';
import { termsOf } from '../retention/policy.js';
import { createDirectoryStore, type DirectoryStore } from '../store/directory.js';
import {
  type Acknowledged,
  ENTRIES_BYTES,
  encodeRows,
  type Hello,
  MAX_BYTES,
  nameOfRef,
  type ObjectKind,
  type ObjectRef,
  PAGE_ROWS,
  PROTOCOL,
  type Row,
  refOfName,
} from '../store/vault-protocol.js';
import { acceptIndex, acceptManifest, acceptPackFooter, acceptPackHeader, type Caller, checkPins, refuse } from './accept.js';
import { Alerts } from './alerts.js';
import { Catalog, type ShelfKind } from './catalog.js';
import { Chains } from './chains.js';
import type { Reading } from './clock.js';
import { Commits, knownOf } from './commits.js';
import { Budget, gather, Incoming } from './incoming.js';
import { VaultClock } from './machine-clock.js';
import { Quotas } from './quota.js';
import { mayDo, type Right } from './roles.js';
import { prepareStateFolder, readState, vaultSeed, writeState } from './state.js';

export interface GuardOptions {
  /** Folder of the repository; made when it is missing. */
  readonly repository: string;
  /** Folder for its own key, clocks, quotas and remembered heads. */
  readonly stateDir: string;
  readonly alertCommand?: string | undefined;
  readonly onLog?: (line: string) => void;
  /** The machine's clock; for tests. */
  readonly readClock?: () => Reading;
  /** Called with the path of every object that was stored. */
  readonly onStored?: (path: string) => void;
  /** Called before an object's file is removed. */
  readonly onRemove?: (path: string) => Promise<void>;
}

/** Bodies held in memory at a time: manifests, entries, slots. */
const GATHER_BYTES = 64 << 20;
/** Bodies up to this count against what their connection may have in memory: entries, and manifests of up to some 30,000 packs. */
const SMALL_BYTES = 1 << 20;
const CONNECTION_BYTES = 2 << 20;
const PINS_KEPT_BYTES = 8 << 20;
/** What an init may bring before there is a genesis to hold it against. */
const INIT_ENTRIES = 16;
const INIT_SLOTS = 8;

interface Baseline {
  readonly counts: Record<string, number>;
}

export class Guard {
  readonly store: DirectoryStore;
  readonly vaultKey: Uint8Array;
  readonly alerts: Alerts;
  readonly clock: VaultClock;
  readonly options: GuardOptions;
  readonly #seed: Uint8Array;
  readonly #author: string;
  readonly #quotas: Quotas;
  readonly #catalog: Catalog;
  readonly #budget = new Budget(GATHER_BYTES);
  /** By connection. */
  readonly #small = new WeakMap<Caller, Budget>();
  readonly #pins = new Map<string, Uint8Array>();
  #pinsBytes = 0;
  #open: { readonly chains: Chains; readonly commits: Commits } | undefined;
  #rolledBack: RolledBackError | undefined;

  private constructor(
    options: GuardOptions,
    parts: { store: DirectoryStore; seed: Uint8Array; clock: VaultClock; quotas: Quotas; catalog: Catalog },
  ) {
    this.options = options;
    this.store = parts.store;
    this.clock = parts.clock;
    this.#seed = parts.seed;
    this.#quotas = parts.quotas;
    this.#catalog = parts.catalog;
    this.vaultKey = publicKeyOf(parts.seed);
    this.#author = toHex(authorOf(this.vaultKey));
    this.alerts = new Alerts({
      command: options.alertCommand,
      vault: this.#author,
      incident: (code, detail) => this.#incident(code, detail),
      onLog: options.onLog ?? (() => undefined),
      nowMs: () => this.clock.now().lateMs,
    });
  }

  /** @throws StoreError, CorruptError, BadSignatureError */
  static async open(options: GuardOptions): Promise<Guard> {
    const { stateDir } = options;
    await prepareStateFolder(stateDir);
    const store = await createDirectoryStore(options.repository);
    const seed = await vaultSeed(stateDir);
    const clock = await VaultClock.open(stateDir, options.readClock);
    const quotas = await Quotas.open(stateDir);
    const catalog = await Catalog.read(store.list(''));
    const guard = new Guard(options, { store, seed, clock, quotas, catalog });
    if ((await store.stat(GENESIS_NAME)) !== undefined) await guard.#openLedger(await locateRepository(store));
    return guard;
  }

  async #openLedger(place: RepositoryPlace): Promise<void> {
    const { stateDir } = this.options;
    const ledger = await readLedger(place, true);
    const heads = rememberHeads(place, join(stateDir, 'heads'));
    const path = join(stateDir, 'baseline.json');
    let baseline = await readState(path, isBaseline);
    const inGenesis = place.genesis.vault !== null && toHex(place.genesis.vault) === toHex(this.vaultKey);
    const certifiedNow = ledger.chains.some(({ author }) => toHex(author) === this.#author);
    const from = (author: string): number => baseline?.counts[author] ?? 0;
    const chains = new Chains(
      place,
      ledger,
      ({ author, sequence }) => (inGenesis || baseline !== undefined) && sequence >= from(toHex(author)),
    );
    const saveBaseline = async (): Promise<void> => {
      // What stood here before the vault's word counted keeps the time of its entries.
      const counts = Object.fromEntries([...chains.authors()].map((author) => [author, chains.chain(author).entries.length]));
      baseline = { counts };
      await writeState(path, baseline);
    };
    const commits = new Commits({
      store: this.store,
      chains,
      catalog: this.#catalog,
      quotas: this.#quotas,
      heads,
      seed: this.#seed,
      author: this.#author,
      lateMs: () => this.clock.now().lateMs,
      envelope: (object, id) => this.#envelopeOf(object, id),
      tell: (code, detail) => this.alerts.tell(code, detail),
      onCertified: saveBaseline,
    });
    this.#open = { chains, commits };
    await this.#compareHeads();
    if (!commits.certified || this.#rolledBack !== undefined) return;
    if (baseline === undefined && !inGenesis && !certifiedNow) await saveBaseline();
    await commits.recover(from);
  }

  async #compareHeads(): Promise<void> {
    const { chains } = this.#opened();
    try {
      const memory = rememberHeads(chains.place, join(this.options.stateDir, 'heads'));
      await memory.compare(chains.states(), await memory.recall());
      this.#rolledBack = undefined;
    } catch (error) {
      if (!(error instanceof RolledBackError)) throw error;
      this.#rolledBack = error;
      this.alerts.tell('rollback', error.message);
    }
  }

  /** Why writers are refused: the repository is not a continuation of what the vault saw before. */
  get rolledBack(): RolledBackError | undefined {
    return this.#rolledBack;
  }

  /** The ledger and what changes it. @throws NoRepositoryError before `init` */
  #opened(): { readonly chains: Chains; readonly commits: Commits } {
    if (this.#open !== undefined) return this.#open;
    throw new NoRepositoryError(
      this.options.repository,
      'there is no repository behind this vault yet; create one through its admin connection with: varve init -r PLACE',
    );
  }

  get chains(): Chains | undefined {
    return this.#open?.chains;
  }

  get commits(): Commits | undefined {
    return this.#open?.commits;
  }

  get catalog(): Catalog {
    return this.#catalog;
  }

  hello({ role, writer }: Caller): Hello {
    return {
      protocol: PROTOCOL,
      role,
      ...(this.#open === undefined ? {} : { repository: toHex(this.#open.chains.place.id) }),
      vault: toHex(this.vaultKey),
      certified: this.#open?.commits.certified ?? false,
      ...(writer === undefined ? {} : { writer }),
      nowMs: Math.floor(this.clock.now().lateMs),
    };
  }

  /** @throws VarveError with code ROLE */
  #require(caller: Caller, right: Right, kind: ObjectKind): void {
    if (mayDo(caller.role, right, kind)) return;
    const what = { read: 'read', parts: 'read', list: 'list', put: 'store', remove: 'remove' }[right];
    const message = `a connection with the ${caller.role} role may not ${what} ${NOUNS[kind]}`;
    if (right === 'remove') this.alerts.tell('refused-deletion', message);
    else if (right === 'put') this.alerts.tell('refused-object', message);
    throw new VarveError('ROLE', message, { role: caller.role });
  }

  // ---- reading -------------------------------------------------------------------------------------------------------------

  /** Size of an object, and when it was stored (0: not known). @throws NotFoundError */
  async stat(caller: Caller, ref: ObjectRef): Promise<{ sizeBytes: number; storedMs: number }> {
    if (!mayDo(caller.role, 'read', ref.kind)) this.#require(caller, ref.kind === 'pack' ? 'parts' : 'put', ref.kind);
    const sizeBytes = await this.#sizeOf(caller, ref);
    if (ref.kind === 'genesis') return { sizeBytes, storedMs: 0 };
    if (ref.kind === 'entry') return { sizeBytes, storedMs: this.#catalog.entryTimes.get(ref.id)?.[ref.sequence] ?? 0 };
    const shelf = this.#catalog.shelves[ref.kind];
    return { sizeBytes, storedMs: shelf.storedMsOf(shelf.find(Buffer.from(ref.id, 'hex'))!) };
  }

  async #sizeOf(caller: Caller, ref: ObjectRef): Promise<number> {
    const name = nameOfRef(ref);
    if (ref.kind === 'entry') {
      const size = this.#catalog.entrySizes.get(ref.id)?.[ref.sequence];
      if (size !== undefined) return size;
    } else if (ref.kind === 'genesis') {
      const info = await this.store.stat(name);
      if (info !== undefined) return info.sizeBytes;
    } else {
      const shelf = this.#catalog.shelves[ref.kind];
      const row = shelf.find(Buffer.from(ref.id, 'hex'));
      if (row !== undefined && (await this.#isShown(caller, ref.kind, row))) return shelf.sizeOf(row);
    }
    throw new NotFoundError('object', name);
  }

  /** The range of an object that `caller` may read, within its size. @throws NotFoundError, VarveError with code ROLE */
  async range(
    caller: Caller,
    ref: ObjectRef,
    range: { readonly offset: number; readonly length: number } | undefined,
  ): Promise<{ readonly offset: number; readonly length: number }> {
    const whole = mayDo(caller.role, 'read', ref.kind);
    if (!whole) this.#require(caller, 'parts', ref.kind);
    const sizeBytes = await this.#sizeOf(caller, ref);
    const offset = Math.min(range?.offset ?? 0, sizeBytes);
    const length = Math.min(range?.length ?? sizeBytes, sizeBytes - offset);
    if (!whole && !(await this.#isClear(nameOfRef(ref), sizeBytes, offset, length)))
      throw new VarveError('ROLE', `a connection with the ${caller.role} role may not read the content of packs`, {
        role: caller.role,
      });
    return { offset, length };
  }

  /** Whether a range of a pack lies in its header, or in its directory and footer. */
  async #isClear(name: string, sizeBytes: number, offset: number, length: number): Promise<boolean> {
    if (offset + length <= PACK_HEADER_BYTES) return true;
    if (sizeBytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) return false;
    const footer = await this.store.get(name, { offset: sizeBytes - PACK_FOOTER_BYTES, length: PACK_FOOTER_BYTES });
    return offset >= decodePackFooter(footer, sizeBytes, name).offset;
  }

  /** Whether an object is of a domain that a connection with a fixed writer has to do with. */
  async #isShown(caller: Caller, kind: ShelfKind, row: number): Promise<boolean> {
    if (caller.writer === undefined || kind === 'slot' || kind === 'pack') return true;
    const domain = await this.#domainOf(kind, row);
    return domain !== undefined && this.#opened().chains.domains(caller.writer).has(domain);
  }

  /** The domain, hex, that a stored object's clear header names; undefined when it has none that can be read. */
  async #domainOf(kind: Exclude<ShelfKind, 'slot'>, row: number): Promise<string | undefined> {
    const shelf = this.#catalog.shelves[kind];
    const known = shelf.domainOf(row);
    if (known !== undefined) return this.#catalog.domainHex(known);
    try {
      const name = nameOfRef({ kind, id: toHex(shelf.idOf(row)), sequence: 0 });
      const head = await this.store.get(name, { offset: 0, length: 128 });
      const at = DOMAIN_AT[kind];
      if (head.byteLength < at + 16) return undefined;
      const hex = toHex(head.subarray(at, at + 16));
      shelf.setDomain(row, this.#catalog.domainNumber(hex));
      return hex;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  /** A page of a listing, and where the next begins. */
  async list(
    caller: Caller,
    kind: ObjectKind,
    from: number,
    author: string | undefined,
  ): Promise<{ page: Uint8Array; next: number | undefined }> {
    this.#require(caller, 'list', kind);
    if (kind === 'genesis') return { page: new Uint8Array(0), next: undefined };
    const rows: Row[] = [];
    if (kind === 'entry') {
      let number = 0;
      for (const [id, sizes] of this.#catalog.entrySizes) {
        if (author !== undefined && id !== author) continue;
        if (number + sizes.length <= from) {
          number += sizes.length;
          continue;
        }
        for (let sequence = Math.max(0, from - number); sequence < sizes.length; sequence++) {
          if (rows.length === PAGE_ROWS) return { page: encodeRows(kind, rows), next: number + sequence };
          // A gap is damage, and stays visible as one.
          if (sizes[sequence] !== undefined)
            rows.push({
              ref: { kind, id, sequence },
              sizeBytes: sizes[sequence]!,
              storedMs: this.#catalog.entryTimes.get(id)?.[sequence] ?? 0,
            });
        }
        number += sizes.length;
      }
      return { page: encodeRows(kind, rows), next: undefined };
    }
    const shelf = this.#catalog.shelves[kind];
    let row = from;
    for (; row < shelf.end && rows.length < PAGE_ROWS; row++) {
      if (!shelf.has(row) || !(await this.#isShown(caller, kind, row))) continue;
      rows.push({
        ref: { kind, id: toHex(shelf.idOf(row)), sequence: 0 },
        sizeBytes: shelf.sizeOf(row),
        storedMs: shelf.storedMsOf(row),
      });
    }
    return { page: encodeRows(kind, rows), next: row < shelf.end ? row : undefined };
  }

  /** Entries of a chain from `sequence` on, as many as fit: u32 length ‖ bytes, repeated. */
  async entries(caller: Caller, author: string, sequence: number): Promise<Uint8Array> {
    this.#require(caller, 'read', 'entry');
    const parts: Uint8Array[] = [];
    let bytes = 0;
    const sizes = this.#catalog.entrySizes.get(author) ?? [];
    for (let at = sequence; at < sizes.length && bytes < ENTRIES_BYTES; at++) {
      if (sizes[at] === undefined) break;
      const entry = await this.store.get(nameOfRef({ kind: 'entry', id: author, sequence: at }));
      const length = new Uint8Array(4);
      viewOf(length).setUint32(0, entry.byteLength, true);
      parts.push(length, entry);
      bytes += entry.byteLength + 4;
    }
    return Buffer.concat(parts);
  }

  /** Author 16 ‖ u64 count of every chain. */
  heads(caller: Caller): Uint8Array {
    this.#require(caller, 'read', 'entry');
    const all = [...this.#catalog.entrySizes];
    const out = new Uint8Array(all.length * 24);
    all.forEach(([author, sizes], i) => {
      out.set(Buffer.from(author, 'hex'), i * 24);
      viewOf(out).setBigUint64(i * 24 + 16, BigInt(sizes.length), true);
    });
    return out;
  }

  // ---- storing -------------------------------------------------------------------------------------------------------------

  /** Stores an object of `sizeBytes` that comes as `body`. @throws RefusedError, ObjectExistsError, VarveError with code ROLE, StoreError */
  async put(caller: Caller, ref: ObjectRef, sizeBytes: number, body: AsyncIterable<Uint8Array>): Promise<Acknowledged> {
    this.#require(caller, 'put', ref.kind);
    const name = nameOfRef(ref);
    if (sizeBytes > MAX_BYTES[ref.kind]) refuse(name, `is larger than the ${MAX_BYTES[ref.kind]} bytes that it may have`);
    if (this.#rolledBack !== undefined && !(caller.role === 'admin' && ref.kind === 'entry')) throw this.#rolledBack;
    try {
      switch (ref.kind) {
        case 'pack':
        case 'index':
          await this.#putStreamed(caller, ref, ref.kind, name, sizeBytes, body);
          return {};
        default:
          return await this.#budgetOf(caller, sizeBytes).within(sizeBytes, async () =>
            this.#putGathered(caller, ref, name, await gather(body, sizeBytes)),
          );
      }
    } catch (error) {
      if (error instanceof ObjectExistsError && ref.kind !== 'entry')
        this.alerts.tell('refused-overwrite', `other bytes were sent for ${name}`);
      else if (error instanceof RefusedError)
        this.alerts.tell(
          'quota' in error.details ? 'quota' : ref.kind === 'entry' ? 'refused-entry' : 'refused-object',
          error.message,
        );
      throw error;
    }
  }

  /** Small bodies count for their connection alone: nobody keeps the entries of others out by announcing much and sending nothing. */
  #budgetOf(caller: Caller, sizeBytes: number): Budget {
    if (sizeBytes > SMALL_BYTES) return this.#budget;
    let budget = this.#small.get(caller);
    if (budget === undefined) this.#small.set(caller, (budget = new Budget(CONNECTION_BYTES)));
    return budget;
  }

  async #putStreamed(
    caller: Caller,
    ref: ObjectRef,
    kind: 'pack' | 'index',
    name: string,
    sizeBytes: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { chains } = this.#opened();
    const known = knownOf(chains);
    let taken: Uint8Array | undefined;
    let check = (): string => '';
    const onHead = (head: Uint8Array): void => {
      const bytes = head.slice();
      if (kind === 'pack') {
        const fields = acceptPackHeader(name, bytes, caller, known);
        taken = this.#takeQuota(fields.writer, sizeBytes);
        check = () => {
          acceptPackFooter(name, fields, incoming.tail, sizeBytes);
          return toHex(fields.domain);
        };
      } else {
        const fields = acceptIndex(name, bytes, caller, known);
        taken = this.#takeQuota(fields.writer, sizeBytes);
        check = () => toHex(fields.domain);
      }
    };
    const [head, tail] = kind === 'pack' ? [PACK_HEADER_BYTES, PACK_FOOTER_BYTES] : [INDEX_HEADER_BYTES, 0];
    const incoming = new Incoming(body, sizeBytes, head, tail, onHead);
    let domain = '';
    try {
      await this.store.receive(name, incoming, () => {
        if (incoming.digest() !== ref.id) refuse(name, 'has bytes that do not fit its name');
        domain = check();
      });
    } catch (error) {
      if (taken !== undefined) this.#quotas.giveBytes(taken, sizeBytes, this.clock.now().lateMs);
      throw error;
    }
    this.#shelve(kind, ref, sizeBytes, domain);
  }

  /** @returns the writer it was taken from */
  #takeQuota(writer: Uint8Array, bytes: number): Uint8Array {
    this.#quotas.takeBytes(writer, bytes, termsOf(this.#opened().chains.policy()), this.clock.now().lateMs);
    return writer;
  }

  #shelve(kind: ShelfKind, ref: ObjectRef, sizeBytes: number, domain: string | undefined): void {
    const shelf = this.#catalog.shelves[kind];
    const row = shelf.add(Buffer.from(ref.id, 'hex'), sizeBytes, Date.now());
    if (domain !== undefined) shelf.setDomain(row, this.#catalog.domainNumber(domain));
    this.options.onStored?.(this.store.pathOf(nameOfRef(ref)));
  }

  async #putGathered(caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<Acknowledged> {
    switch (ref.kind) {
      case 'manifest':
        await this.#putManifest(caller, ref, name, bytes);
        return {};
      case 'entry':
        return await this.#putEntry(caller, ref, name, bytes);
      case 'slot':
        await this.#putSlot(ref, name, bytes);
        return {};
      default:
        await this.#putGenesis(name, bytes);
        return {};
    }
  }

  async #putManifest(caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<void> {
    if (toHex(sha256(bytes)) !== ref.id) refuse(name, 'has bytes that do not fit its name');
    const envelope = acceptManifest(name, bytes, caller, knownOf(this.#opened().chains));
    await this.#checkPins(name, ref.id, envelope);
    this.#takeQuota(envelope.writer, bytes.byteLength);
    await this.store.put(name, [bytes]);
    this.#shelve('manifest', ref, bytes.byteLength, toHex(envelope.domain));
  }

  async #checkPins(object: string, hex: string, envelope: Envelope): Promise<void> {
    const { chains } = this.#opened();
    const shelf = this.#catalog.shelves.pack;
    let pins = this.#pins.get(hex);
    if (pins === undefined) {
      pins = await this.#resolve(object, envelope);
      this.#pins.set(hex, pins);
      this.#pinsBytes += pins.byteLength;
      for (const [key, old] of this.#pins) {
        if (this.#pinsBytes <= PINS_KEPT_BYTES || key === hex) break;
        this.#pins.delete(key);
        this.#pinsBytes -= old.byteLength;
      }
    }
    await checkPins(object, envelope, pins, {
      find: async (id) => {
        const row = shelf.find(id);
        const domain = row === undefined ? undefined : await this.#domainOf('pack', row);
        return row === undefined || domain === undefined ? undefined : { sizeBytes: shelf.sizeOf(row), domain };
      },
      isIntended: (pack) => chains.isIntended(pack),
    });
  }

  async #resolve(object: string, envelope: Envelope): Promise<Uint8Array> {
    const base = async (id: Uint8Array): Promise<Envelope> => {
      const ref = { kind: 'manifest', id: toHex(id), sequence: 0 } as const;
      if (this.#catalog.shelves.manifest.find(id) === undefined)
        refuse(object, `builds on manifest ${ref.id.slice(0, 16)}, which is not there`);
      const { envelope: other } = decodeEnvelope(await this.store.get(nameOfRef(ref)), nameOfRef(ref));
      if (toHex(other.domain) !== toHex(envelope.domain)) refuse(object, 'builds on a manifest of another domain');
      return other;
    };
    try {
      return await resolvePins(envelope, base, object);
    } catch (error) {
      if (error instanceof VarveError && error.code === 'CORRUPT')
        refuse(object, `has pins that do not resolve: ${error.message}`);
      throw error;
    }
  }

  /** A stored manifest's envelope, its pins checked again. */
  async #envelopeOf(object: string, id: Uint8Array): Promise<Envelope> {
    const hex = toHex(id);
    const name = nameOfRef({ kind: 'manifest', id: hex, sequence: 0 });
    if (this.#catalog.shelves.manifest.find(id) === undefined)
      refuse(object, `names manifest ${hex.slice(0, 16)}, which is not there`);
    const { envelope } = decodeEnvelope(await this.store.get(name), name);
    await this.#checkPins(object, hex, envelope);
    return envelope;
  }

  async #putEntry(caller: Caller, ref: ObjectRef, name: string, bytes: Uint8Array): Promise<Acknowledged> {
    if (this.#open === undefined) {
      if (caller.role !== 'admin') this.#opened();
      if (this.#entryCount() >= INIT_ENTRIES || ref.sequence >= INIT_ENTRIES)
        refuse(name, 'comes before there is a repository, and there are enough of those');
      await this.store.put(name, [bytes]);
      this.#catalog.addEntry(ref.id, ref.sequence, bytes.byteLength, Date.now());
      return {};
    }
    const answer = await this.#open.commits.enter(caller, ref.id, ref.sequence, bytes);
    this.options.onStored?.(this.store.pathOf(name));
    if (this.#rolledBack !== undefined) await this.#compareHeads();
    return answer;
  }

  #entryCount(): number {
    let count = 0;
    for (const sizes of this.#catalog.entrySizes.values()) count += sizes.length;
    return count;
  }

  async #putSlot(ref: ObjectRef, name: string, bytes: Uint8Array): Promise<void> {
    const { header } = decodeSlot(bytes, Kind.keySlot, name);
    if (toHex(header.id) !== ref.id) refuse(name, 'is not the slot that its name says');
    if (this.#open === undefined && this.#catalog.shelves.slot.size >= INIT_SLOTS)
      refuse(name, 'comes before there is a repository, and there are enough of those');
    await this.store.put(name, [bytes]);
    this.#shelve('slot', ref, bytes.byteLength, undefined);
  }

  /** The commit point of an init: from here on there is a repository. */
  async #putGenesis(name: string, bytes: Uint8Array): Promise<void> {
    if (this.#open !== undefined) throw new RepositoryExistsError(this.options.repository);
    const { genesis, signed, signature } = decodeGenesis(bytes);
    if (!verifySignature(genesis.admins[0]!, GENESIS_LABEL, signed, signature)) refuse(name, 'is not signed by its admin key');
    if (genesis.vault === null || toHex(genesis.vault) !== toHex(this.vaultKey)) refuse(name, 'does not name this vault’s key');
    const place = { store: this.store, id: asId('repository', sha256(bytes)), genesis };
    await readLedger(place, true);
    await this.store.put(name, [bytes]);
    this.options.onStored?.(this.store.pathOf(name));
    await this.#openLedger(place);
  }

  /** Removes a key slot, or, before there is a repository, what an interrupted init left. */
  async remove(caller: Caller, ref: ObjectRef): Promise<void> {
    this.#require(caller, 'remove', ref.kind);
    const name = nameOfRef(ref);
    if (ref.kind !== 'slot' && this.#open !== undefined) {
      this.alerts.tell('refused-deletion', `an admin connection asked for the removal of ${name}`);
      throw new RefusedError(`${name} is not to be removed: what a vault keeps goes by retention alone`, { object: name });
    }
    await this.options.onRemove?.(this.store.pathOf(name));
    await this.store.remove(name);
    if (ref.kind === 'slot') this.#catalog.shelves.slot.remove(Buffer.from(ref.id, 'hex'));
    else this.#catalog.entrySizes.delete(ref.id);
  }

  /** Deletes an object that pruning found to be of no use any more, and said so in the ledger. */
  async discard(name: string): Promise<void> {
    const ref = refOfName(name);
    if (ref === undefined || !['pack', 'index', 'manifest'].includes(ref.kind))
      throw new RefusedError(`${name} is nothing that pruning deletes`, { object: name });
    await this.options.onRemove?.(this.store.pathOf(name));
    await this.store.remove(name);
    this.#catalog.shelves[ref.kind as ShelfKind].remove(Buffer.from(ref.id, 'hex'));
    this.#pins.delete(ref.id);
  }

  /** The vault's own seed, for what it signs by itself. */
  get seed(): Uint8Array {
    return this.#seed;
  }

  // ---- its own doing -------------------------------------------------------------------------------------------------------

  async #incident(code: string, detail: string): Promise<void> {
    const commits = this.#open?.commits;
    if (commits === undefined || !commits.certified || this.#rolledBack !== undefined) return;
    await commits.serial(() => commits.append({ type: EntryType.incident, code, detail }));
  }

  /** Writes down clocks and quotas. */
  async save(): Promise<void> {
    await this.clock.save();
    await this.#quotas.save();
  }

  async close(): Promise<void> {
    await this.alerts.settled();
    await this.#open?.commits.serial(async () => undefined);
    await this.save();
    await this.store.close();
  }
}

const NOUNS: Readonly<Record<ObjectKind, string>> = {
  genesis: 'a genesis object',
  slot: 'key slots',
  pack: 'packs',
  index: 'index objects',
  manifest: 'manifests',
  entry: 'ledger entries',
};

/** Where the domain id stands in the clear header of each kind (docs/format.md §7, §8, §10). */
const DOMAIN_AT = { pack: 56, index: 56, manifest: 65 } as const;

function isBaseline(value: unknown): value is Baseline {
  const { counts } = value as Partial<Baseline>;
  return typeof counts === 'object' && counts !== null && Object.values(counts).every((n) => Number.isSafeInteger(n));
}
