/**
 * A store that dates its objects by a clock of the test's, around any store; and calls back before every operation, so that a test can have something else
 * happen there, or let the operation fail as a kill would.
 */
import type { LocalStore, ObjectInfo, Store } from '../../lib/store/store.js';
import type { Operation } from './faulty-store.js';

/** When objects were stored, by name; shared by all who open the same repository. */
export interface StoreClock {
  nowMs: number;
  readonly stored: Map<string, number>;
}

export class ClockedStore implements LocalStore {
  readonly location: string;
  readonly #inner: Store;
  readonly #clock: StoreClock;
  readonly #before: (operation: Operation, name: string) => Promise<void> | void;

  constructor(
    inner: Store,
    clock: StoreClock,
    before: (operation: Operation, name: string) => Promise<void> | void = () => undefined,
  ) {
    this.#inner = inner;
    this.location = inner.location;
    this.#clock = clock;
    this.#before = before;
  }

  pathOf(name: string): string {
    return (this.#inner as LocalStore).pathOf(name);
  }

  #dated(info: ObjectInfo): ObjectInfo {
    return { ...info, storedMs: this.#clock.stored.get(info.name) ?? 0 };
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    await this.#before('put', name);
    await this.#inner.put(name, parts);
    if (!this.#clock.stored.has(name)) this.#clock.stored.set(name, this.#clock.nowMs);
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    await this.#before('get', name);
    return this.#inner.get(name, range);
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    await this.#before('stat', name);
    const info = await this.#inner.stat(name);
    return info === undefined ? undefined : this.#dated(info);
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    await this.#before('list', prefix);
    for await (const info of this.#inner.list(prefix)) yield this.#dated(info);
  }

  async remove(name: string): Promise<void> {
    await this.#before('remove', name);
    await this.#inner.remove(name);
    this.#clock.stored.delete(name);
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
