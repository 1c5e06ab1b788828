/** One vault at a time serves a repository: LevelDB's lock on a database in the repository's `tmp/`, which the system drops with the process. */

import { join } from 'node:path';
import { Level } from 'level';
import { BusyError, StoreError } from '../errors.js';
import { makeFolders } from '../folders.js';

export interface Lock {
  release(): Promise<void>;
}

/** @throws BusyError when another process holds it */
export async function lockRepository(folder: string): Promise<Lock> {
  const path = join(folder, 'tmp', 'vault.lock');
  makeFolders(path);
  const database = new Level(path);
  try {
    await database.open();
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (cause?.code === 'LEVEL_LOCKED') throw new BusyError('vault', `another vault serves ${folder} already`);
    throw new StoreError(path, 'lock', cause ?? error);
  }
  return { release: () => database.close() };
}
