/**
 * The file in which this machine remembers what it saw of a ledger, changed by any number of processes at once. Every state has a number and a file of its own,
 * made whole by link(2), which only one process can do for a number: whoever comes second reads what the first wrote, and goes on from there.
 */

import { randomBytes } from 'node:crypto';
import { access, constants, link, open, readdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CorruptError } from '../errors.js';
import { makeFolders, strangersIn } from '../folders.js';
import type { RememberedHead, RememberedHeads } from '../repository/repository.js';
import { codeOf, syncDirectory } from '../store/durable.js';

const NAME = /^heads-(\d{12})\.json$/;
const NOTHING: RememberedHeads = { chains: {}, accepted: [] };

const nameOf = (number: number): string => `heads-${String(number).padStart(12, '0')}.json`;

async function numbersIn(folder: string): Promise<number[]> {
  try {
    const names = await readdir(folder);
    return names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The newest state and its number; nothing and 0 when there is none. @throws CorruptError, or the system's error */
export async function readHeads(folder: string): Promise<{ number: number; heads: RememberedHeads }> {
  for (;;) {
    const number = Math.max(0, ...(await numbersIn(folder)));
    if (number > 0) mustBeOwn(folder);
    if (number === 0) return { number, heads: NOTHING };
    const path = join(folder, nameOf(number));
    try {
      return { number, heads: parse(await readFile(path, 'utf8'), path) };
    } catch (error) {
      // Another process went on meanwhile and took it away.
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

function parse(text: string, path: string): RememberedHeads {
  try {
    const { chains, accepted } = JSON.parse(text) as RememberedHeads;
    const isHead = ({ count, head, sec }: RememberedHead): boolean =>
      Number.isSafeInteger(count) && Number.isSafeInteger(sec) && /^[0-9a-f]{64}$/.test(head);
    if (!Object.values(chains).every(isHead) || !Array.isArray(accepted)) throw new Error('no heads');
    return { chains, accepted };
  } catch (cause) {
    // Not taken for empty: that would switch the protection off silently.
    throw new CorruptError(
      path,
      'is damaged; it remembers what this machine saw of the repository. Delete its folder to start anew from what is there now',
      {},
      cause,
    );
  }
}

/** @throws Error when others could put another memory in the place of ours: heads of a repository's, in a folder of the repository's, in that of all */
function mustBeOwn(folder: string): void {
  const own = dirname(folder);
  const why = strangersIn(folder) ?? strangersIn(own) ?? strangersIn(dirname(own), true);
  if (why !== undefined) throw new Error(why);
}

/** Makes the folder, and finds out whether files can be made in it, and by us alone. @throws the system's error */
export async function prepareFolder(folder: string): Promise<void> {
  makeFolders(folder);
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  mustBeOwn(folder);
}

/**
 * Replaces the newest state by what `change` makes of it; `change` is asked again when another process was faster.
 *
 * @throws whatever `change` throws, CorruptError, or the system's error; what was remembered is then still there
 */
export async function changeHeads(folder: string, change: (now: RememberedHeads) => RememberedHeads): Promise<void> {
  for (;;) {
    const { number, heads } = await readHeads(folder);
    const next = change(heads);
    if (JSON.stringify(next) === JSON.stringify(heads)) return;
    await prepareFolder(folder);
    if (!(await add(folder, number + 1, next))) continue;
    // A number may be free because it was used and cleared away long ago: then a higher one is there, and ours does not count.
    const numbers = await numbersIn(folder);
    if (Math.max(...numbers) > number + 1) continue;
    // The one before stays: a process may be about to read it.
    for (const old of numbers.filter((other) => other < number)) await unlink(join(folder, nameOf(old))).catch(() => undefined);
    return;
  }
}

/** Writes state `number`, durably. @returns false if another process has that number */
async function add(folder: string, number: number, heads: RememberedHeads): Promise<boolean> {
  const temporary = join(folder, `${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(heads)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, join(folder, nameOf(number)));
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  await syncDirectory(folder);
  return true;
}
