/**
 * The store contract over a vault: what is asked for by name goes out as verb, kind and id. The vault decides what this connection may do; a name that no object
 * of a repository has is refused here.
 */
import { Worker } from 'node:worker_threads';
import { fromHex, toHex, viewOf } from '../bytes.js';
import { NoRepositoryError, NotFoundError, StoreError, VarveError } from '../errors.js';
import { workerFile } from '../native.js';
import type { BridgedStore } from './blocking.js';
import { closeBridge, createBridge } from './bridge.js';
import type { BridgeStart } from './bridge-worker.js';
import { promisedDigest } from './mending.js';
import {
  checkName,
  checkPrefix,
  checkRange,
  type GuardedStore,
  type MendableStore,
  type ObjectInfo,
  type Receipted,
} from './store.js';
import { VaultClient } from './vault-client.js';
import {
  type Acknowledged,
  decodeRows,
  Header,
  type Hello,
  kindsOfPrefix,
  MAX_BYTES,
  nameOfRef,
  type ObjectKind,
  type ObjectRef,
  PROTOCOL,
  refOfName,
  Verb,
} from './vault-protocol.js';
import { parseVaultPlace, type Transport, type VaultPlace } from './vault-transport.js';

const GENESIS: ObjectRef = { kind: 'genesis', id: '', sequence: 0 };
/** Entries that came with one that was asked for wait here to be asked for themselves. */
const AHEAD_BYTES = 8 << 20;

/** Connects to the vault at `vault:/path.sock` or `ssh://user@host/path`. @throws NoRepositoryError, StoreError */
export async function openVaultStore(location: string): Promise<VaultStore> {
  return VaultStore.open(parseVaultPlace(location));
}

/**
 * As openVaultStore, for a place that was parsed.
 *
 * @param begun - a connection that is already being made
 * @param meanwhile - called once, when the first requests are on their way
 */
export function openVaultAt(place: VaultPlace, begun?: Transport, meanwhile?: () => void): Promise<VaultStore> {
  return VaultStore.open(place, begun, meanwhile);
}

export class VaultStore implements GuardedStore, BridgedStore, MendableStore {
  readonly location: string;
  readonly place: VaultPlace;
  readonly #client: VaultClient;
  readonly #ahead = new Map<string, Uint8Array>();
  #aheadBytes = 0;
  readonly #receipts = new Map<string, Receipted>();
  #hello: Hello;
  /** The genesis that was asked for when the store was opened, until it is taken; undefined if there was none yet. */
  #genesis: Promise<Uint8Array | undefined> | undefined;
  #bridge: { readonly memory: SharedArrayBuffer; readonly worker: Worker } | undefined;

  private constructor(client: VaultClient, hello: Hello) {
    this.#client = client;
    this.place = client.place;
    this.location = client.place.location;
    this.#hello = hello;
  }

  static async open(place: VaultPlace, begun?: Transport, meanwhile?: () => void): Promise<VaultStore> {
    const client = new VaultClient(place, begun);
    try {
      const hello = sayHello(client);
      // Whoever opens a store asks for it next, and it never changes.
      const genesis = client.request(Verb.get, headersOf(GENESIS), 'genesis').then(
        ({ bytes }) => bytes,
        () => undefined,
      );
      meanwhile?.();
      const store = new VaultStore(client, await hello);
      store.#genesis = genesis;
      return store;
    } catch (error) {
      await client.close();
      if (error instanceof StoreError)
        throw new NoRepositoryError(
          place.location,
          `no vault answers at ${place.location}: ${(error.cause as Error | undefined)?.message ?? error.message}`,
          error,
        );
      throw error;
    }
  }

  /** What the vault said of itself when the connection was made, or since `refresh`. */
  get hello(): Hello {
    return this.#hello;
  }

  get vaultKey(): Uint8Array {
    return fromHex(this.#hello.vault);
  }

  async refresh(): Promise<Hello> {
    this.#hello = await sayHello(this.#client);
    return this.#hello;
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const ref = wanted(name);
    const bytes = await this.#send(Verb.put, ref, name, parts);
    if (ref.kind !== 'entry') return;
    const { receipt } = parse<Acknowledged>(bytes, name);
    if (receipt !== undefined) this.#receipts.set(name, receipt);
  }

  async replaceDamaged(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const ref = wanted(name);
    promisedDigest(name);
    await this.#send(Verb.replaceDamaged, ref, name, parts);
  }

  /** Sends an object, and gives what the vault said of it. */
  async #send(verb: Verb, ref: ObjectRef, name: string, parts: readonly Uint8Array[]): Promise<Uint8Array> {
    const sizeBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (sizeBytes > MAX_BYTES[ref.kind]) throw new RangeError(`${name} is larger than a ${ref.kind} may be`);
    return (await this.#client.request(verb, { ...headersOf(ref), [Header.size]: String(sizeBytes) }, name, parts)).bytes;
  }

  /** What the vault promised for an entry that was put through this connection. */
  receiptOf(name: string): Receipted | undefined {
    return this.#receipts.get(name);
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    checkName(name);
    if (range !== undefined) checkRange(range);
    const ref = refOfName(name);
    if (ref === undefined) throw new NotFoundError('object', name);
    if (ref.kind === 'entry' && range === undefined) return this.#entry(name, ref);
    if (ref.kind === 'genesis' && range === undefined) {
      const asked = this.#genesis;
      this.#genesis = undefined;
      const bytes = await asked;
      if (bytes !== undefined) return bytes;
    }
    const bounds = range === undefined ? {} : { [Header.offset]: String(range.offset), [Header.length]: String(range.length) };
    return (await this.#client.request(Verb.get, { ...headersOf(ref), ...bounds }, name)).bytes;
  }

  /** Chains are read one entry after the other, so those behind it come along. */
  async #entry(name: string, ref: ObjectRef): Promise<Uint8Array> {
    const known = this.#ahead.get(name);
    if (known !== undefined) {
      this.#ahead.delete(name);
      this.#aheadBytes -= known.byteLength;
      return known;
    }
    const { bytes } = await this.#client.request(Verb.entries, headersOf(ref), name);
    const entries = splitEntries(bytes, name);
    if (entries.length === 0) throw new NotFoundError('object', name);
    if (this.#aheadBytes + bytes.byteLength > AHEAD_BYTES) {
      this.#ahead.clear();
      this.#aheadBytes = 0;
    }
    for (let i = 1; i < entries.length; i++) {
      const next = nameOfRef({ ...ref, sequence: ref.sequence + i });
      if (this.#ahead.has(next)) continue;
      this.#ahead.set(next, entries[i]!);
      this.#aheadBytes += entries[i]!.byteLength;
    }
    return entries[0]!;
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    checkName(name);
    const ref = refOfName(name);
    if (ref === undefined) return undefined;
    try {
      const { headers } = await this.#client.request(Verb.stat, headersOf(ref), name);
      return infoOf(name, Number(headers['varve-object-size']), Number(headers['varve-stored']));
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    for (const kind of kindsOfPrefix(prefix)) {
      if (kind === 'genesis') {
        const info = await this.stat('genesis');
        if (info !== undefined) yield info;
      } else {
        const author = /^ledger\/([0-9a-f]{32})\//.exec(prefix)?.[1];
        for await (const info of this.#listKind(kind, kind === 'entry' ? author : undefined))
          if (info.name.startsWith(prefix)) yield info;
      }
    }
  }

  async *#listKind(kind: ObjectKind, author: string | undefined): AsyncGenerator<ObjectInfo> {
    let from = '0';
    for (;;) {
      const { headers, bytes } = await this.#client.request(
        Verb.list,
        { [Header.kind]: kind, [Header.from]: from, ...(author === undefined ? {} : { [Header.author]: author }) },
        kind,
      );
      for (const { ref, sizeBytes, storedMs } of decodeRows(kind, bytes)) yield infoOf(nameOfRef(ref), sizeBytes, storedMs);
      const next = headers['varve-next'];
      if (next === undefined) return;
      from = String(next);
    }
  }

  /** How many entries each author has. */
  async heads(): Promise<Map<string, number>> {
    const { bytes } = await this.#client.request(Verb.heads, {}, 'ledger');
    const counts = new Map<string, number>();
    const view = viewOf(bytes);
    for (let at = 0; at + 24 <= bytes.byteLength; at += 24)
      counts.set(toHex(bytes.subarray(at, at + 16)), Number(view.getBigUint64(at + 16, true)));
    return counts;
  }

  /** Asks the vault to prune: what its timer does, now. @returns what it says, plain data */
  async prune(step: 'plan' | 'announce' | 'sweep'): Promise<unknown> {
    return parse((await this.#client.request(Verb.prune, { [Header.step]: step }, 'prune')).bytes, 'prune');
  }

  async remove(name: string): Promise<void> {
    checkName(name);
    const ref = refOfName(name);
    if (ref !== undefined) await this.#client.request(Verb.remove, headersOf(ref), name);
  }

  /** Memory through which threads that wait read this store; a thread with a connection of its own answers there. */
  bridge(): SharedArrayBuffer {
    if (this.#bridge === undefined) {
      const memory = createBridge();
      const worker = new Worker(workerFile('lib/store/bridge-worker'), {
        workerData: { memory, place: this.place } satisfies BridgeStart,
        execArgv: [],
      });
      worker.unref();
      worker.on('error', () => closeBridge(memory));
      worker.on('exit', () => closeBridge(memory));
      this.#bridge = { memory, worker };
    }
    return this.#bridge.memory;
  }

  async close(): Promise<void> {
    if (this.#bridge !== undefined) {
      closeBridge(this.#bridge.memory);
      await this.#bridge.worker.terminate();
    }
    await this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function sayHello(client: VaultClient): Promise<Hello> {
  const { bytes } = await client.request(Verb.hello, { [Header.protocol]: String(PROTOCOL) }, client.place.location);
  const hello = parse<Hello>(bytes, 'hello');
  if (hello.protocol !== PROTOCOL || !/^[0-9a-f]{64}$/.test(hello.vault))
    throw new NoRepositoryError(client.place.location, `${client.place.location} is no vault of this version`);
  return hello;
}

const infoOf = (name: string, sizeBytes: number, storedMs: number): ObjectInfo => ({
  name,
  sizeBytes,
  ...(storedMs > 0 ? { storedMs } : {}),
});

function wanted(name: string): ObjectRef {
  checkName(name);
  const ref = refOfName(name);
  if (ref === undefined) throw new VarveError('REFUSED', `a vault keeps no object called ${name}`, { object: name });
  return ref;
}

function headersOf({ kind, id, sequence }: ObjectRef): Record<string, string> {
  if (kind === 'entry') return { [Header.kind]: kind, [Header.author]: id, [Header.sequence]: String(sequence) };
  return kind === 'genesis' ? { [Header.kind]: kind } : { [Header.kind]: kind, [Header.id]: id };
}

function parse<T>(bytes: Uint8Array, what: string): T {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as T;
  } catch (cause) {
    throw new StoreError(what, 'understand the vault about', cause);
  }
}

/** Splits u32 length ‖ bytes, repeated. @throws StoreError */
function splitEntries(bytes: Uint8Array, name: string): Uint8Array[] {
  const entries: Uint8Array[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.byteLength; ) {
    const length = at + 4 <= bytes.byteLength ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    if (at + 4 + length > bytes.byteLength)
      throw new StoreError(name, 'get', new Error('the vault answered with entries that do not fit their lengths'));
    entries.push(bytes.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return entries;
}
