/**
 * What a vault is made of: the repository's directory, the ledger and a catalog of objects in memory, its own key, clocks and quotas; how it starts, and whom it lets do
 * what. The verbs that clients ask for stand in reading.ts, listing.ts, storing.ts and removing.ts; nothing is ever replaced, and only key slots can be removed on demand.
 */
import { join } from 'node:path';
import { toHex } from '../bytes.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { NoRepositoryError, RolledBackError, VarveError } from '../errors.js';
import { GENESIS_NAME } from '../format/names.js';
import { EntryType } from '../format/payload.js';
import { rememberHeads } from '../ledger/heads.js';
import { readLedger } from '../ledger/ledger.js';
import { locateRepository, type RepositoryPlace } from '../repository/repository.js';
import { planPrune } from '../retention/prune.js';
import { createDirectoryStore, type DirectoryStore } from '../store/directory.js';
import { type Hello, type ObjectKind, PROTOCOL, type VaultRole } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import { Alerts } from './alerts.js';
import { Catalog } from './catalog.js';
import { Chains } from './chains.js';
import type { Reading } from './clock.js';
import { Commits } from './commits.js';
import { type Account, Holdings } from './holdings.js';
import { Budget } from './incoming.js';
import { VaultClock } from './machine-clock.js';
import { ManifestPins } from './manifest-pins.js';
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

const READING_BYTES = 64 << 20;

interface Baseline {
  readonly counts: Record<string, number>;
}

export class Guard {
  readonly store: DirectoryStore;
  readonly vaultKey: Uint8Array;
  readonly alerts: Alerts;
  readonly clock: VaultClock;
  readonly options: GuardOptions;
  readonly quotas: Quotas;
  readonly catalog: Catalog;
  readonly #holdings = new Holdings();
  readonly pins: ManifestPins;
  /** Large manifests are read from the disk, where they wait, into this much memory. */
  readonly reading = new Budget(READING_BYTES);
  /** Ends what takes long when the vault ends. */
  readonly #ending = new AbortController();
  readonly #accounts = new WeakMap<Caller, Account>();
  readonly #seed: Uint8Array;
  readonly #author: string;
  #open: { readonly chains: Chains; readonly commits: Commits } | undefined;
  #rolledBack: RolledBackError | undefined;
  #unreadable: VarveError | undefined;

  private constructor(
    options: GuardOptions,
    parts: { store: DirectoryStore; seed: Uint8Array; clock: VaultClock; quotas: Quotas; catalog: Catalog },
  ) {
    this.options = options;
    this.store = parts.store;
    this.clock = parts.clock;
    this.#seed = parts.seed;
    this.quotas = parts.quotas;
    this.catalog = parts.catalog;
    this.pins = new ManifestPins({ store: parts.store, catalog: parts.catalog, chains: () => this.opened().chains });
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
    // What a process that was killed had begun to store: it counts for nobody.
    await store.sweepLeftOvers();
    const seed = await vaultSeed(stateDir);
    const clock = await VaultClock.open(stateDir, options.readClock);
    const quotas = await Quotas.open(stateDir);
    const catalog = await Catalog.read(store.list(''));
    const guard = new Guard(options, { store, seed, clock, quotas, catalog });
    if ((await store.stat(GENESIS_NAME)) !== undefined) await guard.#start();
    return guard;
  }

  /** A ledger that does not read stops nobody from reading what is stored: the vault starts, says what is wrong, and takes nothing in. */
  async #start(): Promise<void> {
    try {
      await this.openLedger(await locateRepository(this.store));
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      this.#unreadable = error;
      this.alerts.tell('ledger-refused', error.message);
    }
  }

  /** Reads the ledger of a repository that is there from now on: at the start, or when its genesis was stored. @throws CorruptError, StoreError */
  async openLedger(place: RepositoryPlace): Promise<void> {
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
      catalog: this.catalog,
      quotas: this.quotas,
      heads,
      seed: this.#seed,
      author: this.#author,
      lateMs: () => this.clock.now().lateMs,
      planAt: async (nowSec) => {
        const cacheDir = join(stateDir, 'cache');
        return await planPrune(
          { ...chains.place, store: this.store, cacheDir },
          { seed: this.#seed, nowMs: () => nowSec * 1000 },
        );
      },
      envelope: (object, id, judge) => this.pins.envelopeOf(object, id, judge),
      tell: (code, detail, author) => this.alerts.tell(code, detail, author),
      onCertified: saveBaseline,
    });
    this.#open = { chains, commits };
    await this.compareHeads();
    if (!commits.certified || this.#rolledBack !== undefined) return;
    if (baseline === undefined && !inGenesis && !certifiedNow) await saveBaseline();
    await commits.recover(from);
  }

  /** Finds out whether the ledger continues what the vault saw before; see `rolledBack`. */
  async compareHeads(): Promise<void> {
    const { chains } = this.opened();
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
  opened(): { readonly chains: Chains; readonly commits: Commits } {
    if (this.#open !== undefined) return this.#open;
    if (this.#unreadable !== undefined) throw this.#unreadable;
    throw new NoRepositoryError(
      this.options.repository,
      'there is no repository behind this vault yet; create one through its admin connection with: varve init -r PLACE',
    );
  }

  /** Whether there is no repository yet, so that an init may bring its parts. */
  get isFounding(): boolean {
    return this.#open === undefined && this.#unreadable === undefined;
  }

  get chains(): Chains | undefined {
    return this.#open?.chains;
  }

  get commits(): Commits | undefined {
    return this.#open?.commits;
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

  /** Lets a request pass that the caller's role allows; each verb asks before it looks at anything. @throws VarveError with code ROLE */
  require(caller: Caller, right: Right, kind: ObjectKind): void {
    if (mayDo(caller.role, right, kind)) return;
    const what = { read: 'read', parts: 'read', list: 'list', put: 'store', remove: 'remove' }[right];
    const message = `a connection with the ${caller.role} role may not ${what} ${NOUNS[kind]}`;
    if (right === 'remove') this.alerts.tell('refused-deletion', message, caller.writer ?? caller.role);
    else if (right === 'put') this.alerts.tell('refused-object', message, caller.writer ?? caller.role);
    throw new VarveError('ROLE', message, { role: caller.role });
  }

  /** What a connection makes the vault hold in memory. @param end - ends the connection when its role holds too much */
  accountOf(caller: Caller, end: () => void = () => undefined): Account {
    let account = this.#accounts.get(caller);
    if (account === undefined) this.#accounts.set(caller, (account = this.#holdings.open(caller, end)));
    return account;
  }

  /** Bytes that the vault holds in memory for connections of a role. */
  heldBytes(role: VaultRole): number {
    return this.#holdings.heldBytes(role);
  }

  /** Aborted when the vault is about to end. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The vault's own seed, for what it signs by itself. */
  get seed(): Uint8Array {
    return this.#seed;
  }

  async #incident(code: string, detail: string): Promise<void> {
    const commits = this.#open?.commits;
    if (commits === undefined || !commits.certified || this.#rolledBack !== undefined) return;
    await commits.serial(() => commits.append({ type: EntryType.incident, code, detail }));
  }

  /** Writes down clocks. */
  async save(): Promise<void> {
    await this.clock.save();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.alerts.close();
    await this.#open?.commits.serial(async () => undefined);
    await this.save();
    await this.quotas.close();
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

function isBaseline(value: unknown): value is Baseline {
  const { counts } = value as Partial<Baseline>;
  return typeof counts === 'object' && counts !== null && Object.values(counts).every((n) => Number.isSafeInteger(n));
}
