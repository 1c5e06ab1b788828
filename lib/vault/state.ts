/** Files of a vault's own state: its key, clocks, quotas. Each is written whole, durably, and read back with a check of what it holds. */

import { randomBytes } from 'node:crypto';
import { chmod, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromHex, toHex } from '../bytes.js';
import { CorruptError, StoreError } from '../errors.js';
import { makeFolders } from '../folders.js';
import { codeOf, syncDirectory } from '../store/durable.js';

/** As writeState names what it has not finished. */
const TEMPORARY = /^[a-z]+\.json\.\d+\.[0-9a-f]{12}$/;

/** Makes the state folder, for its owner alone. @throws StoreError when others could enter it */
export async function prepareStateFolder(path: string): Promise<void> {
  try {
    makeFolders(path);
    const info = await stat(path);
    if (process.getuid !== undefined && info.uid !== process.getuid()) throw new Error('it belongs to another user');
    if ((info.mode & 0o077) !== 0) await chmod(path, 0o700);
    // Of a process that was killed: its files are of no use to anybody.
    for (const name of await readdir(path)) if (TEMPORARY.test(name)) await unlink(join(path, name));
  } catch (cause) {
    throw new StoreError(path, 'use the state folder', cause);
  }
}

/** What a file of state holds; undefined when there is none. @throws CorruptError when it is not what `isGood` says */
export async function readState<T>(path: string, isGood: (value: unknown) => value is T): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new StoreError(path, 'read', error);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && isGood(value)) return value;
  } catch {}
  throw new CorruptError(path, 'is damaged; see docs/security.md for what it remembers before you delete it');
}

export async function writeState(path: string, value: unknown): Promise<void> {
  await writeFileDurably(path, `${JSON.stringify(value)}\n`);
}

async function writeFileDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.${toHex(randomBytes(6))}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    throw new StoreError(path, 'write', cause);
  }
}

interface KeyFile {
  readonly seed: string;
}

/** The vault's Ed25519 seed, made when there is none. */
export async function vaultSeed(stateDir: string): Promise<Uint8Array> {
  const path = join(stateDir, 'key.json');
  const isKey = (value: unknown): value is KeyFile => /^[0-9a-f]{64}$/.test((value as Partial<KeyFile>).seed ?? '');
  const known = await readState(path, isKey);
  if (known !== undefined) return fromHex(known.seed);
  const seed = new Uint8Array(randomBytes(32));
  await writeState(path, { seed: toHex(seed) });
  return seed;
}
