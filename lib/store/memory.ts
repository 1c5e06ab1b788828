/**
 * A store in this process's memory, for tests and for trying things out. It copies bytes in and out, so neither the caller's buffers
 * nor what it hands out can change an object. Nothing survives the process.
 */
import { concat, equalBytes } from '../bytes.js';
import { NotFoundError, ObjectExistsError } from '../errors.js';
import { checkReplacement, digestOf, promisedDigest } from './mending.js';
import { checkName, checkPrefix, checkRange, type MendableStore, type ObjectInfo } from './store.js';

export class MemoryStore implements MendableStore {
  readonly location = 'memory:';
  readonly #objects = new Map<string, { readonly bytes: Uint8Array; readonly storedMs: number }>();
  readonly #nowMs: () => number;

  /** @param nowMs - its clock */
  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    checkName(name);
    const bytes = concat(...parts);
    const existing = this.#objects.get(name);
    if (existing === undefined) this.#objects.set(name, { bytes, storedMs: this.#nowMs() });
    else if (!equalBytes(existing.bytes, bytes)) throw new ObjectExistsError(name);
  }

  async replaceDamaged(name: string, parts: readonly Uint8Array[]): Promise<void> {
    checkName(name);
    const digest = promisedDigest(name);
    checkReplacement(name, digestOf(parts));
    const existing = this.#objects.get(name);
    if (existing === undefined) throw new NotFoundError('object', name);
    if (digestOf([existing.bytes]) === digest) throw new ObjectExistsError(name);
    this.#objects.set(name, { bytes: concat(...parts), storedMs: this.#nowMs() });
  }

  async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    checkName(name);
    if (range !== undefined) checkRange(range);
    const bytes = this.#objects.get(name)?.bytes;
    if (bytes === undefined) throw new NotFoundError('object', name);
    return range === undefined ? bytes.slice() : bytes.slice(range.offset, range.offset + range.length);
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    checkName(name);
    const found = this.#objects.get(name);
    return found === undefined ? undefined : { name, sizeBytes: found.bytes.byteLength, storedMs: found.storedMs };
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    const found: ObjectInfo[] = [];
    for (const [name, { bytes, storedMs }] of this.#objects)
      if (name.startsWith(prefix)) found.push({ name, sizeBytes: bytes.byteLength, storedMs });
    yield* found;
  }

  async remove(name: string): Promise<void> {
    checkName(name);
    this.#objects.delete(name);
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
