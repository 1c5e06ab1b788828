/**
 * A store that goes wrong on request, around any store that works: it fails the n-th call of an operation with a system error, or
 * hands out damaged bytes. For tests of what stands above the stores.
 */
import { StoreError } from '../../lib/errors.js';
import { isMendableStore, type MendableStore, type ObjectInfo, type Store } from '../../lib/store/store.js';

export type Operation = 'put' | 'replace' | 'get' | 'stat' | 'list' | 'remove';

export interface Fault {
  readonly operation: Operation;
  /** Only names that start with this; all without. */
  readonly prefix?: string;
  /** Which matching call goes wrong, from 1; every one without. */
  readonly nth?: number;
  /**
   * ENOSPC, EIO: the call throws StoreError, and a put leaves nothing. `lost`: a put throws though the object is there, as when a
   * connection breaks after the work. `corrupt`: a get flips one bit. `truncate`: a get drops the last byte.
   */
  readonly effect: 'ENOSPC' | 'EIO' | 'lost' | 'corrupt' | 'truncate';
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code, errno: code === 'ENOSPC' ? -28 : -5 });
}

export class FaultyStore implements MendableStore {
  readonly location: string;
  readonly #inner: Store;
  readonly #faults: { readonly fault: Fault; calls: number }[] = [];
  /** Every call in order, for tests that assert the order of writes. */
  readonly calls: { readonly operation: Operation; readonly name: string }[] = [];

  constructor(inner: Store, ...faults: readonly Fault[]) {
    this.#inner = inner;
    this.location = inner.location;
    for (const fault of faults) this.inject(fault);
  }

  inject(fault: Fault): void {
    this.#faults.push({ fault, calls: 0 });
  }

  /** Works from now on. */
  heal(): void {
    this.#faults.length = 0;
  }

  #effect(operation: Operation, name: string): Fault['effect'] | undefined {
    this.calls.push({ operation, name });
    let effect: Fault['effect'] | undefined;
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (fault.operation !== operation || !name.startsWith(fault.prefix ?? '')) continue;
      entry.calls += 1;
      if (fault.nth === undefined || entry.calls === fault.nth) effect ??= fault.effect;
    }
    if (effect === 'ENOSPC' || effect === 'EIO') throw new StoreError(name, operation, systemError(effect));
    return effect;
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const effect = this.#effect('put', name);
    await this.#inner.put(name, parts);
    if (effect === 'lost') throw new StoreError(name, 'put', systemError('EIO'));
  }

  async replaceDamaged(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const effect = this.#effect('replace', name);
    if (!isMendableStore(this.#inner)) throw new TypeError('the store below replaces nothing');
    await this.#inner.replaceDamaged(name, parts);
    if (effect === 'lost') throw new StoreError(name, 'replace', systemError('EIO'));
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    const effect = this.#effect('get', name);
    const bytes = await this.#inner.get(name, range);
    if (effect === 'truncate') return bytes.slice(0, -1);
    if (effect === 'corrupt' && bytes.byteLength > 0) {
      const damaged = bytes.slice();
      const at = damaged.byteLength >> 1;
      damaged[at] = damaged[at]! ^ 1;
      return damaged;
    }
    return bytes;
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    this.#effect('stat', name);
    return this.#inner.stat(name);
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    this.#effect('list', prefix);
    yield* this.#inner.list(prefix);
  }

  async remove(name: string): Promise<void> {
    this.#effect('remove', name);
    await this.#inner.remove(name);
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
