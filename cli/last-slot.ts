/** The key slot that opened a repository last, remembered where the ledger is remembered, so that it is tried first. Best effort: not knowing it costs time only. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idHex, makeFolders, type RepositoryId, strangersIn } from '../lib/index.js';
import { stateBase } from './places.js';

const FILE = 'key-slot';

function folderOf(id: RepositoryId): string | undefined {
  const base = stateBase();
  return base === undefined ? undefined : join(base, idHex(id).slice(0, 32));
}

export function recallSlot(id: RepositoryId): string | undefined {
  const folder = folderOf(id);
  try {
    if (folder === undefined || strangersIn(folder) !== undefined) return undefined;
    return /^[0-9a-f]{16}/.exec(readFileSync(join(folder, FILE), 'latin1'))?.[0];
  } catch {
    return undefined;
  }
}

export function rememberSlot(id: RepositoryId, slotId: string): void {
  const folder = folderOf(id);
  if (folder === undefined) return;
  try {
    makeFolders(folder);
    if (strangersIn(folder) !== undefined) return;
    const temporary = join(folder, `${FILE}.${process.pid}`);
    writeFileSync(temporary, `${slotId}\n`, { mode: 0o600 });
    renameSync(temporary, join(folder, FILE));
  } catch {
    // The next one tries the slots in another order.
  }
}
