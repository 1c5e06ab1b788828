/**
 * Keys of a repository: unlocking with a passphrase or a key file, and managing the slots and files that hold keyrings (docs/format.md §12).
 * A slot only wraps keys. Removing one takes away a way in; it does not undo what was read with it before.
 */
import { equalBytes, toHex } from '../bytes.js';
import { CorruptError, NotFoundError, RoleError, WrongKeyError } from '../errors.js';
import { decodeKeyFileText, decodeSlot, encodeKeyFileText, type Keyring } from '../format/key-slot.js';
import { slotName } from '../format/names.js';
import { Kind } from '../format/preamble.js';
import { clearKeyring, describeSlot, openKeyring, sealKeyring } from './keyring.js';
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

/**
 * Tries `passphrase` on every slot. Each try costs a scrypt derivation: 128 MiB and about half a second.
 *
 * @param isWanted - asked about a keyring that opens when another slot has the same label; when it says no, those are tried too, and the first one stands if none is wanted
 * @returns the keyring, and the id of the slot that opened
 * @throws WrongKeyError if none opens
 * @throws CorruptError if the right slot is damaged
 */
export async function unlockWithPassphrase(
  place: RepositoryPlace,
  passphrase: string,
  isWanted?: (keyring: Keyring) => Promise<boolean>,
): Promise<{ keyring: Keyring; slotId: string }> {
  let names = await slotNames(place);
  for (let trial = 1; ; trial++) {
    try {
      return await trySlots(place, names, passphrase, isWanted);
    } catch (error) {
      if (!(error instanceof WrongKeyError) || trial === TRIALS) throw error;
      // Perhaps another took the place of one that was listed.
      const again = await slotNames(place);
      if (again.join() === names.join()) throw error;
      names = again;
    }
  }
}

async function trySlots(
  place: RepositoryPlace,
  names: readonly string[],
  passphrase: string,
  isWanted: ((keyring: Keyring) => Promise<boolean>) | undefined,
): Promise<{ keyring: Keyring; slotId: string }> {
  let damaged: CorruptError | undefined;
  let first: { keyring: Keyring; slotId: string; label: string } | undefined;
  const labels = new Map<string, string>();
  if (isWanted !== undefined && names.length > 1)
    for (const { id, label } of await listKeys(place)) labels.set(`keys/${id}`, label);
  for (const name of names) {
    if (first !== undefined && labels.get(name) !== first.label) continue;
    try {
      const bytes = await place.store.get(name);
      const keyring = await openKeyring(bytes, Kind.keySlot, place.id, passphrase, name);
      if (keyring === undefined) continue;
      if (!equalBytes(keyring.repository, place.id)) throw new CorruptError(name, 'holds keys of another repository');
      const found = { keyring, slotId: name.slice('keys/'.length), label: labels.get(name) ?? '' };
      const isAlone = [...labels.values()].filter((label) => label === found.label).length < 2;
      if (isWanted === undefined || isAlone || (await isWanted(keyring))) return { keyring, slotId: found.slotId };
      first ??= found;
    } catch (error) {
      // A slot removed meanwhile, or damaged, must not hide one that opens.
      if (error instanceof CorruptError) damaged = error;
      else if (!(error instanceof NotFoundError)) throw error;
    }
  }
  if (first !== undefined) return { keyring: first.keyring, slotId: first.slotId };
  if (names.length === 0) throw new WrongKeyError('this repository has no passphrase; open it with its key file (--key-file)');
  if (damaged !== undefined)
    throw new WrongKeyError(`no key slot opens with this passphrase, but one is damaged: ${damaged.message}`, damaged);
  throw new WrongKeyError('wrong passphrase: no key slot of this repository opens with it');
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
