/**
 * Keys of a repository: unlocking with a passphrase or a key file, and managing the slots and files that hold keyrings (docs/format.md §12).
 * A slot only wraps keys. Removing one takes away a way in; it does not undo what was read with it before.
 */
import { equalBytes, toHex } from '../bytes.js';
import { CorruptError, NotFoundError, RoleError, WrongKeyError } from '../errors.js';
import { decodeKeyFileText, decodeSlot, encodeKeyFileText, type Keyring } from '../format/key-slot.js';
import { slotName } from '../format/names.js';
import { Kind } from '../format/preamble.js';
import { clearKeyring, derivationCost, describeSlot, openKeyring, sealKeyring } from './keyring.js';
import type { RepositoryPlace } from './repository.js';

/** A key slot as its clear header describes it. */
export interface KeySlot {
  /** Slot id, 16 hex digits. */
  readonly id: string;
  readonly label: string;
  readonly createdSec: number;
}

/** What a key holds, in the words of `--role`. */
export type Role = 'admin' | 'reader' | 'writer' | 'auditor';

/** Options of sealing; `log2N` (scrypt's cost) is lowered by tests only. */
export interface SealOptions {
  readonly label: string;
  readonly nowMs?: number;
  readonly log2N?: number;
}

const nowSec = (options: SealOptions): number => Math.floor((options.nowMs ?? Date.now()) / 1000);

/** The roles that `keyring` holds. */
export function rolesOf(keyring: Keyring): Role[] {
  const roles: Role[] = [];
  if (keyring.adminSeed !== null) roles.push('admin');
  if (keyring.root !== null) roles.push('reader');
  if (keyring.writer !== null) roles.push('writer');
  if (keyring.auditorSeed !== undefined) roles.push('auditor');
  return roles;
}

/** The part of `keyring` that one role needs, and nothing besides. @throws RoleError if it is not there */
export function keyringOfRole(keyring: Keyring, role: 'admin' | 'reader'): Keyring {
  const { repository, root, adminSeed, readers } = keyring;
  const nothing = { repository, root: null, adminSeed: null, writer: null };
  if (role === 'admin') {
    if (adminSeed === null) throw new RoleError('admin', 'exporting an admin’s key');
    return { ...nothing, adminSeed };
  }
  if (root === null) throw new RoleError('reader', 'exporting a reader’s key');
  return { ...nothing, root, ...(readers === undefined ? {} : { readers }) };
}

async function slotNames(place: RepositoryPlace): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of place.store.list('keys/')) names.push(name);
  return names.sort();
}

/** All readable slots, oldest first. Damaged ones are left out: `check` reports them. @throws NewerFormatError, StoreError */
export async function listKeys(place: RepositoryPlace): Promise<KeySlot[]> {
  const slots: KeySlot[] = [];
  for (const name of await slotNames(place)) {
    try {
      const header = describeSlot(await place.store.get(name), Kind.keySlot, name);
      slots.push({ id: toHex(header.id), label: header.label, createdSec: header.createdSec });
    } catch (error) {
      if (!(error instanceof CorruptError) && !(error instanceof NotFoundError)) throw error;
    }
  }
  return slots.sort((a, b) => a.createdSec - b.createdSec || (a.id < b.id ? -1 : 1));
}

/** How often the slots are tried while others take their places. */
const TRIALS = 5;
/** What all derivations of one opening may cost, in derivations as this program's own slots ask for: eight seconds or so. */
const MAX_COST = 16;
/** How many slots are looked at: a storage could list any number. */
const MAX_SLOTS = 256;
/** From this number of derivations on it is told. */
const TOLD_DERIVATIONS = 4;

/** How the slots of a repository are tried. */
export interface UnlockOptions {
  /** Id of the slot to try first: the one that opened last. */
  readonly first?: string;
  /** Id, or its first digits, of the only slot to try, whatever it costs. */
  readonly only?: string;
  /** Called with what a person should know: that it took long, and why. */
  readonly onNote?: (message: string) => void;
  /** Asked about a keyring that opens when another slot has the same label; when it says no, those are tried too, and the first one stands if none is wanted. */
  readonly isWanted?: (keyring: Keyring) => Promise<boolean>;
}

/** What was spent on slots so far, and which were passed over because of it. */
interface Spending {
  cost: number;
  derivations: number;
  readonly passedOver: Set<string>;
}

/** A slot as its header, which nobody signed, describes it. */
interface Candidate {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly label: string;
  readonly cost: number;
}

const idOf = (name: string): string => name.slice('keys/'.length);

/**
 * Tries `passphrase` on the slots: the one that opened last, then cheap ones first, as far as all together cost no more than MAX_COST derivations of this program's own slots (128 MiB and
 * about half a second each). Whoever may write to the storage can add slots that cost up to a thousand times that.
 *
 * @returns the keyring, and the id of the slot that opened
 * @throws WrongKeyError if none opens; it names the slots that were passed over
 * @throws CorruptError if the right slot is damaged
 */
export async function unlockWithPassphrase(
  place: RepositoryPlace,
  passphrase: string,
  options: UnlockOptions = {},
): Promise<{ keyring: Keyring; slotId: string }> {
  const spent: Spending = { cost: 0, derivations: 0, passedOver: new Set() };
  let names = await namesToTry(place, options);
  for (let trial = 1; ; trial++) {
    try {
      const opened = await trySlots(place, names, passphrase, options, spent);
      if (spent.derivations >= TOLD_DERIVATIONS)
        options.onNote?.(
          `${spent.derivations} key slots were tried before ${opened.slotId} opened; --key-slot ${opened.slotId} tries that one alone. To see all: varve key list`,
        );
      return opened;
    } catch (error) {
      if (!(error instanceof WrongKeyError) || trial === TRIALS) throw error;
      // Perhaps another took the place of one that was listed.
      const again = await namesToTry(place, options);
      if (again.join() === names.join()) throw error;
      names = again;
    }
  }
}

/** Names of the slots that may be tried, the one that opened last in front. @throws NotFoundError if the only one is not there */
async function namesToTry(place: RepositoryPlace, { first, only }: UnlockOptions): Promise<string[]> {
  const names = await slotNames(place);
  if (only !== undefined) {
    const found = names.filter((name) => only !== '' && idOf(name).startsWith(only.toLowerCase()));
    if (found.length !== 1)
      throw new NotFoundError(
        'key slot',
        only,
        `${found.length === 0 ? `no key slot ${only}` : `key slot ${only} is ambiguous`}; varve key list shows them`,
      );
    return found;
  }
  return [...names.filter((name) => idOf(name) === first), ...names.filter((name) => idOf(name) !== first)];
}

/** A slot that is there and readable. @throws StoreError, NewerFormatError */
async function candidateOf(place: RepositoryPlace, name: string): Promise<Candidate | CorruptError | undefined> {
  try {
    const bytes = await place.store.get(name);
    const header = describeSlot(bytes, Kind.keySlot, name);
    return { name, bytes, label: header.label, cost: derivationCost(header) };
  } catch (error) {
    // A slot removed meanwhile, or damaged, must not hide one that opens.
    if (error instanceof CorruptError) return error;
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

async function trySlots(
  place: RepositoryPlace,
  names: readonly string[],
  passphrase: string,
  { first: last, only, isWanted }: UnlockOptions,
  spent: Spending,
): Promise<{ keyring: Keyring; slotId: string }> {
  let damaged: CorruptError | undefined;
  let first: { keyring: Keyring; slotId: string; label: string } | undefined;
  const candidates: Candidate[] = [];
  for (const name of names.slice(MAX_SLOTS)) spent.passedOver.add(idOf(name));
  for (const name of names.slice(0, MAX_SLOTS)) {
    const found = await candidateOf(place, name);
    if (found instanceof CorruptError) damaged = found;
    else if (found !== undefined) candidates.push(found);
  }
  const isLast = ({ name }: Candidate): number => Number(idOf(name) === last);
  candidates.sort((a, b) => isLast(b) - isLast(a) || a.cost - b.cost || (a.name < b.name ? -1 : 1));
  for (const { name, bytes, label, cost } of candidates) {
    if (first !== undefined && label !== first.label) continue;
    if (only === undefined && spent.cost + cost > MAX_COST) {
      spent.passedOver.add(idOf(name));
      continue;
    }
    spent.cost += cost;
    if (cost > 0) spent.derivations++;
    try {
      const keyring = await openKeyring(bytes, Kind.keySlot, place.id, passphrase, name);
      if (keyring === undefined) continue;
      if (!equalBytes(keyring.repository, place.id)) throw new CorruptError(name, 'holds keys of another repository');
      const found = { keyring, slotId: idOf(name), label };
      const isAlone = candidates.filter((other) => other.label === label).length < 2;
      if (isWanted === undefined || isAlone || (await isWanted(keyring))) return { keyring, slotId: found.slotId };
      first ??= found;
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      damaged = error;
    }
  }
  if (first !== undefined) return { keyring: first.keyring, slotId: first.slotId };
  if (names.length === 0) throw new WrongKeyError('this repository has no passphrase; open it with its key file (--key-file)');
  const passed = [...spent.passedOver];
  const untried =
    passed.length === 0
      ? ''
      : `. Not tried, because trying all would take too long: ${passed.slice(0, 5).join(', ')}${passed.length > 5 ? ` and ${passed.length - 5} more` : ''}; to try one: --key-slot ID`;
  if (damaged !== undefined)
    throw new WrongKeyError(`no key slot opens with this passphrase, but one is damaged: ${damaged.message}${untried}`, damaged);
  throw new WrongKeyError(
    only === undefined
      ? `wrong passphrase: no key slot of this repository opens with it${untried}`
      : `wrong passphrase: key slot ${idOf(names[0]!)} does not open with it`,
  );
}

/** Every slot that `passphrase` opens, oldest first; each costs a derivation. Damaged ones are left out. */
export async function slotsOf(place: RepositoryPlace, passphrase: string): Promise<(KeySlot & { readonly keyring: Keyring })[]> {
  const found: (KeySlot & { readonly keyring: Keyring })[] = [];
  for (const slot of await listKeys(place)) {
    const name = `keys/${slot.id}`;
    try {
      const keyring = await openKeyring(await place.store.get(name), Kind.keySlot, place.id, passphrase, name);
      if (keyring !== undefined) found.push({ ...slot, keyring });
    } catch (error) {
      if (!(error instanceof CorruptError) && !(error instanceof NotFoundError)) throw error;
    }
  }
  return found;
}

/** The label of the key file in `text`. @throws WrongKeyError, CorruptError, NewerFormatError */
export function keyFileLabel(text: Uint8Array, file: string): string {
  return decodeSlot(decodeKeyFileText(text, file), Kind.keyFile, file).header.label;
}

/** Whether the key file in `text` is protected by a passphrase. @throws WrongKeyError, CorruptError, NewerFormatError */
export function keyFileNeedsPassphrase(text: Uint8Array, file: string): boolean {
  return decodeSlot(decodeKeyFileText(text, file), Kind.keyFile, file).header.kdf !== 0;
}

/**
 * Opens a key file.
 *
 * @param file - its path, for messages
 * @throws WrongKeyError if it is not one, belongs to another repository, or needs another passphrase
 */
export async function unlockWithKeyFile(
  place: RepositoryPlace,
  text: Uint8Array,
  file: string,
  passphrase?: string,
): Promise<Keyring> {
  const binary = decodeKeyFileText(text, file);
  let keyring: Keyring | undefined;
  try {
    keyring = await openKeyring(binary, Kind.keyFile, place.id, passphrase, file);
  } catch (error) {
    if (error instanceof CorruptError) throw new WrongKeyError(error.message, error);
    throw error;
  }
  if (keyring === undefined) {
    throw new WrongKeyError(
      passphrase === undefined ? `${file} is protected by a passphrase; give that too` : `wrong passphrase for ${file}`,
    );
  }
  if (!equalBytes(keyring.repository, place.id)) {
    throw new WrongKeyError(
      `${file} belongs to repository ${toHex(keyring.repository).slice(0, 16)}, not to this one (${toHex(place.id).slice(0, 16)})`,
    );
  }
  return keyring;
}

/** Stores a new slot that `passphrase` opens, after checking that it does; an admin lists it in the ledger (lib/ledger/slots.ts). @throws RangeError for an empty passphrase */
export async function addKey(
  place: RepositoryPlace,
  keyring: Keyring,
  passphrase: string,
  options: SealOptions,
): Promise<KeySlot> {
  if (passphrase === '') throw new RangeError('the passphrase must not be empty');
  const createdSec = nowSec(options);
  const { id, bytes } = await sealKeyring(keyring, passphrase, Kind.keySlot, options.label, createdSec, options.log2N);
  const name = slotName(id);
  if ((await openKeyring(bytes, Kind.keySlot, place.id, passphrase, name)) === undefined)
    throw new Error('a new key slot does not open; nothing was stored');
  await place.store.put(name, [bytes]);
  return { id: toHex(id), label: options.label, createdSec };
}

/** The slot whose id starts with `prefix`. @throws NotFoundError if there is none, or several */
export async function findKey(place: RepositoryPlace, prefix: string): Promise<KeySlot> {
  const slots = await listKeys(place);
  const found = slots.filter(({ id }) => prefix !== '' && id.startsWith(prefix.toLowerCase()));
  if (found.length > 1)
    throw new NotFoundError('key', prefix, `key ${prefix} is ambiguous: ${found.map(({ id }) => id).join(', ')}`);
  if (found.length === 0) throw new NotFoundError('key', prefix, `no key ${prefix}; varve key list shows them`);
  return found[0]!;
}

/** The text of a key file for `keyring`: whoever has it (and its passphrase, if given one) has the keys. */
export async function exportKeyFile(keyring: Keyring, passphrase: string | undefined, options: SealOptions): Promise<Uint8Array> {
  if (passphrase === '') throw new RangeError('the passphrase must not be empty');
  const createdSec = nowSec(options);
  const binary =
    passphrase === undefined
      ? clearKeyring(keyring, options.label, createdSec)
      : (await sealKeyring(keyring, passphrase, Kind.keyFile, options.label, createdSec, options.log2N)).bytes;
  const text = encodeKeyFileText(binary);
  const reread = await openKeyring(decodeKeyFileText(text, 'key file'), Kind.keyFile, keyring.repository, passphrase, 'key file');
  if (reread === undefined) throw new Error('a new key file does not open; nothing was written');
  return text;
}
