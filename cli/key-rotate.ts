/**
 * `varve key rotate`: a new key where the user keeps the old one, in a key file or a slot. The new one is kept beside the old one before the ledger makes it count; one that was
 * interrupted is found there and finished.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  addKey,
  exportKeyFile,
  findRotation,
  findSlot,
  type Keyring,
  type LeftRotation,
  listSlots,
  loadLedger,
  prepareRotation,
  type Repository,
  type RotatedKey,
  type Rotation,
  replaceSlot,
  slotsOf,
  toHex,
  unlockWithKeyFile,
} from '../lib/index.js';
import { safeText } from './human.js';
import { replaceKeyFile, successorOf, writeKeyFile } from './key-file.js';
import type { KeyInHand, Opened, Run } from './run.js';
import { UsageError } from './usage-error.js';

type FileWay = Extract<KeyInHand, { kind: 'file' }>;
type SlotWay = Extract<KeyInHand, { kind: 'slot' }>;

/** What else may hold the old key, in words for each role. */
const OTHERS = {
  reader: 'cannot open what is stored from now on; replace them with: varve key export FILE --role reader',
  admin: 'hold an admin key that counts no more; replace them with: varve key export FILE --role admin',
  writer: 'hold a writer key that counts no more; a host that uses one needs a new one: varve key export FILE --role writer',
} as const;

export async function rotate(run: Run, { repository, way }: Opened, role: RotatedKey, newDomain: boolean): Promise<void> {
  const { out } = run;
  const { rotation, resumed, slotId } =
    way.kind === 'file' ? await rotateFile(repository, way, role, newDomain) : await rotateSlot(repository, way, role, newDomain);
  const place = slotId === undefined ? resolve((way as FileWay).path) : `slot ${slotId}`;
  const inForce = (await listSlots(repository, await loadLedger(repository))).filter(({ state }) => OPENS.has(state));
  const slots = inForce.filter(({ id }) => id !== slotId);
  out.record('key_rotated', {
    role,
    resumed,
    ...(rotation.author === undefined ? {} : { author: toHex(rotation.author) }),
    ...(slotId === undefined ? { file: place } : { key: slotId }),
    other_slots: slots.map(({ id }) => id),
  });
  if (resumed) out.info('A rotation that was interrupted is finished; no other key was made.');
  out.info(`The ${role} key is a new one, in ${place}.`);
  const others = slots.map(({ id, label }) => `slot ${id} (${safeText(Buffer.from(label))})`).join(', ');
  out.info(
    `Other keys with the ${role} role (${others === '' ? '' : `${others}, and `}every key file exported before) ${OTHERS[role]}`,
  );
}

interface Rotated {
  readonly rotation: Rotation;
  readonly resumed: boolean;
  /** Undefined for a key file. */
  readonly slotId?: string;
}

async function rotateFile(repository: Repository, way: FileWay, role: RotatedKey, newDomain: boolean): Promise<Rotated> {
  const successor = successorOf(way.path);
  const left = await leftInFile(repository, successor, way.passphrase);
  if (left !== undefined && (left.role !== role || left.isNewInHand))
    throw new UsageError(
      left.isNewInHand
        ? `${successor} holds an older key than ${way.path}; put it away`
        : `${successor} is what an interrupted rotation of the ${left.role} key left; finish that first: varve key rotate --role ${left.role}`,
    );
  const rotation = left?.rotation ?? (await prepareRotation(repository, role, { newDomain }));
  if (left === undefined)
    await writeKeyFile(successor, async () => ({
      text: await exportKeyFile(rotation.keyring, way.passphrase, { label: way.label }),
      result: undefined,
    }));
  await committed(rotation, `the new key is in ${successor}, and the old one still in ${way.path}`);
  replaceKeyFile(way.path);
  return { rotation, resumed: left !== undefined };
}

const FIRST_LINE = 'varve key file v1';

/** What an interrupted rotation left beside a key file. One that was not written to its end never counted, and goes. @throws UsageError for any other file there */
async function leftInFile(
  repository: Repository,
  file: string,
  passphrase: string | undefined,
): Promise<LeftRotation | undefined> {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file);
  let keyring: Keyring | undefined;
  try {
    keyring = await unlockWithKeyFile(repository, text, file, passphrase);
  } catch (error) {
    const begin = text.subarray(0, FIRST_LINE.length).toString('latin1');
    const isWhole = text.toString('latin1').endsWith('\n') && begin === FIRST_LINE;
    const isOurs = text.every((byte) => byte === 0) || FIRST_LINE.startsWith(begin);
    if (isWhole || !isOurs)
      throw new UsageError(`${file} exists already; a key file never replaces another (${(error as Error).message})`);
    rmSync(file);
    return undefined;
  }
  const left = await findRotation(repository, keyring);
  if (left === undefined) throw new UsageError(`${file} exists already; a key file never replaces another`);
  return left;
}

/** States of slots that open something, or may. */
const OPENS: ReadonlySet<string> = new Set(['listed', 'unlisted']);

async function rotateSlot(repository: Repository, way: SlotWay, role: RotatedKey, newDomain: boolean): Promise<Rotated> {
  const slots = await listSlots(repository, await loadLedger(repository));
  const { label } = await findSlot(slots, way.id);
  const opens = new Set(slots.flatMap(({ id, state }) => (OPENS.has(state) ? [id] : [])));
  // By the new keys: those of an admin that was replaced say nothing any more.
  const replace = async ({ keyring }: Rotation, fresh: string, old: string): Promise<void> =>
    await replaceSlot({ ...repository, keyring }, fresh, old);
  for (const slot of await slotsOf(repository, way.passphrase)) {
    const isOther = slot.id !== way.id && slot.label === label && opens.has(slot.id);
    const left = isOther ? await findRotation(repository, slot.keyring) : undefined;
    if (left === undefined) continue;
    if (left.role !== role)
      throw new UsageError(
        `slot ${slot.id} is what an interrupted rotation of the ${left.role} key left; finish that first: varve key rotate --role ${left.role}`,
      );
    const [fresh, old] = left.isNewInHand ? [way.id, slot.id] : [slot.id, way.id];
    await committed(left.rotation, `the new key is in slot ${fresh}, and the old one still in slot ${old}`);
    await replace(left.rotation, fresh, old);
    return { rotation: left.rotation, resumed: true, slotId: fresh };
  }
  const rotation = await prepareRotation(repository, role, { newDomain });
  const { id } = await addKey(repository, rotation.keyring, way.passphrase, { label });
  await committed(rotation, `the new key is in slot ${id}, and the old one still in slot ${way.id}`);
  await replace(rotation, id, way.id);
  return { rotation, resumed: false, slotId: id };
}

/** Commits, and says where the keys are when it is not known whether that took place. */
async function committed(rotation: Rotation, where: string): Promise<void> {
  try {
    await rotation.commit();
  } catch (error) {
    if (error instanceof Error)
      error.message += `. It is not certain that the ledger has the rotation: ${where}. Keep both, and run the same command again`;
    throw error;
  }
}
