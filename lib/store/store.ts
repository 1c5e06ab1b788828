/**
 * The store contract: names → immutable bytes. A store knows no keys and no formats; it never replaces what is whole, and `put` returns only
 * when the bytes would survive a power cut. `test/contract/store.ts` is the suite that every store passes.
 *
 * Names are slash-separated, `[a-z0-9]` with `.`, `-` and `_` inside a segment, e.g. `packs/3f/3f9a…`, `ledger/<author>/0000000000000001`.
 */

/** What a listing says of one object. */
export interface ObjectInfo {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was stored, by the store's own clock, milliseconds since 1970; absent where a store cannot tell. */
  readonly storedMs?: number;
}

export interface Store {
  /** For people and messages: where this store is. */
  readonly location: string;

  /**
   * Stores `parts`, concatenated, under `name`, durably.
   * Storing the same bytes again under the same name is not an error.
   *
   * @throws ObjectExistsError if `name` holds other bytes
   * @throws StoreError if it could not be made durable; nothing is then visible under `name`
   */
  put(name: string, parts: readonly Uint8Array[]): Promise<void>;

  /**
   * All bytes of `name`, or the `length` bytes from `offset` (fewer when the object ends before).
   *
   * @throws NotFoundError if there is no such object
   * @throws StoreError on any other failure
   */
  get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array>;

  /** Size and age of `name`, or undefined if there is no such object. */
  stat(name: string): Promise<ObjectInfo | undefined>;

  /** Every object whose name starts with `prefix` (a name or a folder ending in `/`), in no order. Temporary files are never listed. */
  list(prefix: string): AsyncIterable<ObjectInfo>;

  /** Removes `name`; absence is not an error. Only key slots and expired objects are ever removed. */
  remove(name: string): Promise<void>;

  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A store whose objects are plain files, which other processes and threads may open by path. */
export interface LocalStore extends Store {
  /** Absolute path of the file that holds `name`. */
  pathOf(name: string): string;
}

/** Whether `store` can hand out paths. */
export function isLocalStore(store: Store): store is LocalStore {
  return typeof (store as Partial<LocalStore>).pathOf === 'function';
}

/** A store in which a damaged object can be made whole again. Every store of this program is one. */
export interface MendableStore extends Store {
  /**
   * Stores `parts`, concatenated, in place of the damaged bytes under `name`, durably. For names that are the SHA-256 of their bytes only: packs, index objects and
   * manifests. An entry, a key slot or the genesis is never replaced. The store judges by its own look at what it holds: bytes that cannot be read count as damaged.
   * Readers get the old bytes or the new ones, never a mixture. This is the only replacement that there is, and it can only restore what a name promises.
   *
   * @throws ObjectExistsError if what is stored fits its name: nothing is replaced. A replacement that was repeated ends so too
   * @throws NotFoundError if there is no such object; put it
   * @throws RefusedError if the new bytes do not fit the name, or the name says nothing of its bytes
   * @throws StoreError if it could not be made durable
   */
  replaceDamaged(name: string, parts: readonly Uint8Array[]): Promise<void>;
}

/** Whether damaged objects of `store` can be replaced. */
export function isMendableStore(store: Store): store is MendableStore {
  return typeof (store as Partial<MendableStore>).replaceDamaged === 'function';
}

/** What a vault promised for a snapshot's entry that it stored. */
export interface Receipted {
  readonly timeSec: number;
  readonly retainUntilSec: number;
  readonly slots: number;
}

/** A store behind a vault. */
export interface GuardedStore extends Store {
  /** Ed25519 public key that signs the vault's receipts. */
  readonly vaultKey: Uint8Array;
  /** The promise for an entry that was put through this store; undefined when the vault gave none. */
  receiptOf(name: string): Receipted | undefined;
  /** Has the vault do a step of pruning, by its own clock; what it says of it is plain data. @throws RoleError, RefusedError, CorruptError, StoreError */
  prune(step: 'plan' | 'announce' | 'sweep'): Promise<unknown>;
}

/** Whether `store` stands behind a vault. */
export function isGuardedStore(store: Store): store is GuardedStore {
  return typeof (store as Partial<GuardedStore>).receiptOf === 'function';
}

const NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:\/[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)*$/;

/** @throws RangeError unless `name` is a valid object name (so no `..`, no absolute path, nothing hidden, and nothing in `tmp/`, which stores keep for themselves) */
export function checkName(name: string): void {
  if (name.length > 200 || !NAME.test(name) || name.includes('..') || name === 'tmp' || name.startsWith('tmp/'))
    throw new RangeError(`not an object name: ${name}`);
}

/** @throws RangeError unless `prefix` is empty, a name, a folder ending in `/`, or the beginning of a name */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkName(/[/._-]$/.test(prefix) ? `${prefix}0` : prefix);
}

/** @throws RangeError unless `range` holds two non-negative safe integers */
export function checkRange(range: { readonly offset: number; readonly length: number }): void {
  if (!(Number.isSafeInteger(range.offset) && range.offset >= 0 && Number.isSafeInteger(range.length) && range.length >= 0))
    throw new RangeError(`not a byte range: ${range.offset}+${range.length}`);
}
