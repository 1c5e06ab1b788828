/**
 * Putting a new key in the place of one in hand (docs/format.md §5, §11). The new key is kept durably first, then the ledger makes it count, then the copies of the old one
 * go: a process that dies anywhere between leaves one of the two working, and what it left is finished later. Every step looks first whether it was done already.
 */
import { randomBytes } from 'node:crypto';
import { equalBytes, toHex } from '../bytes.js';
import { readerSignSeed, x25519Public } from '../crypto/roles.js';
import { authorOf, publicKeyOf, sign } from '../crypto/sign.js';
import { RefusedError, RoleError, WrongKeyError } from '../errors.js';
import type { Keyring } from '../format/key-slot.js';
import { EntryType, payloadOf, RotatedRole } from '../format/payload.js';
import { rfc3339, timeOfMs } from '../format/time.js';
import type { AuthorId } from '../id.js';
import { type UnlockOptions, unlockWithPassphrase } from '../repository/keys.js';
import type { Repository, RepositoryPlace } from '../repository/repository.js';
import { appendEntry } from './append.js';
import { READER_ROTATION_LABEL, readerRotationMessage } from './authority.js';
import { authoritiesOf, type Ledger, loadLedger, readAdmins, readLedger } from './ledger.js';
import { adminInHand, certifiedAs, certifyWriter, headOf, holdsReaderKeys, newWriterKey, type RoleOptions } from './roles.js';
import { slotWords } from './slots.js';

/** Which key of a keyring a rotation replaces. */
export type RotatedKey = 'reader' | 'admin' | 'writer';

/** A new key that is made, and may not count yet. */
export interface Rotation {
  readonly role: RotatedKey;
  /** Everything in hand, with the new key in it: to be kept durably, beside the old one, before `commit`. */
  readonly keyring: Keyring;
  /** Author id of the new admin or writer. */
  readonly author?: AuthorId;
  /** Makes it count, and ends the old one. */
  commit(): Promise<void>;
}

export interface RotationOptions extends RoleOptions {
  readonly newDomain?: boolean;
  readonly reason?: string;
}

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/**
 * Makes a new reader, admin or writer key in place of the one in hand.
 *
 * @throws RoleError unless an admin's key is in hand, and the key to be replaced
 */
export async function prepareRotation(
  repository: Repository,
  role: RotatedKey,
  options: RotationOptions = {},
): Promise<Rotation> {
  const { keyring } = repository;
  adminInHand(repository, await loadLedger(repository), 'rotating a key');
  if (role === 'admin') return rotation(repository, role, keyring, { ...keyring, adminSeed: random(32) }, options);
  if (role === 'reader') {
    if (keyring.root === null) throw new RoleError('reader', 'rotating the reader key');
    return rotation(repository, role, keyring, { ...keyring, readers: [...(keyring.readers ?? []), random(32)] }, options);
  }
  if (keyring.writer === null) throw new RoleError('writer', 'rotating the writer key');
  const { writer } = newWriterKey(repository, { shareDomain: options.newDomain !== true });
  return rotation(repository, role, keyring, { ...keyring, writer }, options);
}

/** The rotation that leads from one keyring to another, as it was left behind. */
export interface LeftRotation {
  readonly role: RotatedKey;
  /** Whether the keyring in hand is the new one. */
  readonly isNewInHand: boolean;
  /** Nothing needs to be made; `commit` does what is still missing. */
  readonly rotation: Rotation;
}

/**
 * Finds out whether the keyring in hand and `other` are the two sides of a rotation: the same but for one key.
 *
 * @returns undefined when they are not
 */
export async function findRotation(
  repository: Repository,
  other: Keyring,
  options: RotationOptions = {},
): Promise<LeftRotation | undefined> {
  const { genesis, keyring } = repository;
  const role = differingKey(keyring, other);
  if (role === undefined) return undefined;
  const authors = authoritiesOf(genesis, await loadLedger(repository)).map(({ author }) => toHex(author));
  // Who comes later in the ledger is newer, and newer still who is not in it yet. Rotations of the reader key add up in the keyring.
  const age = (one: Keyring): number => {
    if (role === 'reader') return one.readers?.length ?? 0;
    const at = authors.indexOf(toHex(authorIn(one, role)!));
    return at < 0 ? Number.POSITIVE_INFINITY : at;
  };
  const [mine, others] = [age(keyring), age(other)];
  if (mine === others) return undefined;
  const isNewInHand = mine > others;
  const [old, fresh] = isNewInHand ? [other, keyring] : [keyring, other];
  return { role, isNewInHand, rotation: rotation(repository, role, old, fresh, options) };
}

const same = (a: Uint8Array | null, b: Uint8Array | null): boolean => (a === null || b === null ? a === b : equalBytes(a, b));

/** The one key in which two keyrings differ, undefined if it is none or several. */
function differingKey(a: Keyring, b: Keyring): RotatedKey | undefined {
  if (!same(a.repository, b.repository) || !same(a.root, b.root)) return undefined;
  if (!same(a.auditorSeed ?? null, b.auditorSeed ?? null)) return undefined;
  const [shorter, longer] = [a.readers ?? [], b.readers ?? []].sort((x, y) => x.length - y.length) as [
    Uint8Array[],
    Uint8Array[],
  ];
  const readers = longer.length - shorter.length;
  if (readers > 1 || !shorter.every((key, i) => equalBytes(key, longer[i]!))) return undefined;
  const admin = !same(a.adminSeed, b.adminSeed);
  const writer = !same(a.writer?.seed ?? null, b.writer?.seed ?? null);
  if ((admin && (a.adminSeed === null || b.adminSeed === null)) || (writer && (a.writer === null || b.writer === null)))
    return undefined;
  const found: RotatedKey[] = [
    ...(readers === 1 ? (['reader'] as const) : []),
    ...(admin ? (['admin'] as const) : []),
    ...(writer ? (['writer'] as const) : []),
  ];
  return found.length === 1 ? found[0] : undefined;
}

function authorIn(keyring: Keyring, role: RotatedKey): AuthorId | undefined {
  const seed = role === 'admin' ? keyring.adminSeed : role === 'writer' ? (keyring.writer?.seed ?? null) : null;
  return seed === null ? undefined : authorOf(publicKeyOf(seed));
}

function rotation(repository: Repository, role: RotatedKey, old: Keyring, fresh: Keyring, options: RotationOptions): Rotation {
  const author = authorIn(fresh, role);
  return {
    role,
    keyring: fresh,
    ...(author === undefined ? {} : { author }),
    commit: () => (role === 'writer' ? commitWriter : commitKey)(repository, role, old, fresh, options),
  };
}

/** Says that a reader or admin key took the place of another, unless the ledger has it. */
async function commitKey(
  repository: Repository,
  role: RotatedKey,
  old: Keyring,
  fresh: Keyring,
  { nowMs = Date.now() }: RotationOptions,
): Promise<void> {
  const isAdmin = role === 'admin';
  const publicKey = isAdmin ? publicKeyOf(fresh.adminSeed!) : x25519Public(fresh.readers!.at(-1)!);
  // A reader signs that it holds the new key's place: an admin alone could rotate to a key that nobody has.
  const signer =
    isAdmin || repository.genesis.readerSigner === undefined ? undefined : readerSignSeed(old.root!, repository.genesis.salt);
  const payload = {
    type: EntryType.keyRotate,
    role: isAdmin ? RotatedRole.admin : RotatedRole.reader,
    publicKey,
    ...(signer === undefined
      ? {}
      : { signature: sign(signer, READER_ROTATION_LABEL, readerRotationMessage(repository.id, publicKey)) }),
  };
  const { entries } = await loadLedger(repository);
  const isDone = entries.some((entry) => {
    const rotated = payloadOf(entry.payload, 'keyRotate');
    return rotated?.role === payload.role && equalBytes(rotated.publicKey, publicKey);
  });
  if (!isDone) await appendEntry(repository, old.adminSeed, timeOfMs(nowMs), () => payload);
}

/** Certifies the new writer and retires the old one, as far as the ledger does not say so. */
async function commitWriter(
  repository: Repository,
  _role: RotatedKey,
  old: Keyring,
  fresh: Keyring,
  options: RotationOptions,
): Promise<void> {
  const [before, after] = [authorIn(old, 'writer')!, authorIn(fresh, 'writer')!];
  const stateOf = (ledger: Ledger, author: AuthorId) =>
    authoritiesOf(repository.genesis, ledger).find((one) => equalBytes(one.author, author));
  const ledger = await loadLedger(repository);
  // The new key speaks for whom the old one spoke.
  if (stateOf(ledger, after) === undefined)
    await certifyWriter(repository, fresh, { ...options, ...certifiedAs(repository, ledger, old.writer!) });
  else if (stateOf(ledger, after)!.retired !== undefined)
    throw new RefusedError(`the new writer ${toHex(after).slice(0, 8)} was revoked meanwhile`, { author: toHex(after) });
  const now = await loadLedger(repository);
  const ended = stateOf(now, before);
  if (ended === undefined || ended.limit !== Number.POSITIVE_INFINITY) return;
  await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(options.nowMs ?? Date.now()), () => ({
    type: EntryType.retire,
    ...headOf(now, before),
    reason: options.reason ?? `replaced by ${toHex(after).slice(0, 8)}`,
  }));
}

/** Whether every key in a keyring counts by the ledger: none was rotated away or revoked, and none is still to be made to count. */
export function allKeysCount(
  { id, genesis }: Pick<RepositoryPlace, 'id' | 'genesis'>,
  keyring: Keyring,
  ledger: Ledger,
): boolean {
  const authors = authoritiesOf(genesis, ledger);
  const counts = (role: 'admin' | 'writer'): boolean => {
    const author = authorIn(keyring, role);
    if (author === undefined) return true;
    return authors.some((one) => equalBytes(one.author, author) && one.limit === Number.POSITIVE_INFINITY);
  };
  return counts('admin') && counts('writer') && holdsReaderKeys({ id, genesis, keyring }, ledger);
}

/** A keyring that a passphrase opened. */
export interface Unlocked {
  readonly keyring: Keyring;
  readonly slotId: string;
  /** The ledger lists slots, and this one is not among them. */
  readonly unlisted: boolean;
}

/**
 * Tries a passphrase on every key slot. Where a rotation was interrupted, two slots of one name open: the one whose keys count is taken. A slot that an admin removed opens
 * nothing.
 *
 * @throws WrongKeyError if none opens
 */
export async function unlockCounting(
  place: RepositoryPlace,
  passphrase: string,
  options: Omit<UnlockOptions, 'isWanted'> = {},
): Promise<Unlocked> {
  let ledger: Promise<Ledger | undefined> | undefined;
  // A ledger that does not load is no matter of keys: whoever works with it says so.
  const loaded = (): Promise<Ledger | undefined> => (ledger ??= readLedger(place).catch(() => undefined));
  const isWanted = async (keyring: Keyring): Promise<boolean> => {
    const known = await loaded();
    return known === undefined || allKeysCount(place, keyring, known);
  };
  const found = await unlockWithPassphrase(place, passphrase, { ...options, isWanted });
  // By all that the ledger says: the order of two words on a slot is that in which a vault received them.
  const words = await loaded()
    .then(async (known) => slotWords(known ?? (await readAdmins(place))))
    .catch(() => undefined);
  const word = words?.get(found.slotId);
  if (word?.listed !== false) return { ...found, unlisted: words !== undefined && word === undefined };
  // Perhaps another opens with the same passphrase: it must not stand in the shadow of the one that was removed.
  const isRemoved = (name: string): boolean => words!.get(name.slice('keys/'.length))?.listed === false;
  try {
    const other = await unlockWithPassphrase({ ...place, store: without(place.store, isRemoved) }, passphrase, {
      ...options,
      isWanted,
    });
    return { ...other, unlisted: words!.get(other.slotId) === undefined };
  } catch (error) {
    if (!(error instanceof WrongKeyError)) throw error;
    const when = rfc3339({ sec: word.sinceSec, nsec: 0 }).slice(0, 10);
    throw new WrongKeyError(
      `key slot ${found.slotId} opens with this passphrase, but an admin removed it on ${when}: open the repository with another passphrase or key file. While its object is there an admin can take that back with: varve key restore ${found.slotId}`,
      error,
    );
  }
}

/** A store without some of its slots. */
function without(store: RepositoryPlace['store'], isLeftOut: (name: string) => boolean): RepositoryPlace['store'] {
  return {
    location: store.location,
    get: (name, range) => store.get(name, range),
    stat: (name) => store.stat(name),
    async *list(prefix) {
      for await (const info of store.list(prefix)) if (!isLeftOut(info.name)) yield info;
    },
    put: (name, parts) => store.put(name, parts),
    remove: (name) => store.remove(name),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
