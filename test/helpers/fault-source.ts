/** What the fault tests share: a source that is quick to read, the ledger's list of snapshots, and whether a repository works. */

import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { unlockWithPassphrase } from '../../lib/repository/keys.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { differences, readLatest, type TestRepository } from './backup-repository.js';

/** A source that is cheap to read and of several packs' worth of steps: small files, a chunked one, directories. */
export function makeSource(at: string): void {
  for (let d = 0; d < 4; d++) {
    mkdirSync(join(at, `d${d}`), { recursive: true });
    for (let f = 0; f < 6; f++) writeFileSync(join(at, `d${d}`, `f${f}`), randomBytes(700));
  }
  writeFileSync(join(at, 'large'), randomBytes(150_000));
}

/** Changes a little of everything. */
export function changeSource(at: string, round: number): void {
  writeFileSync(join(at, `d${round % 4}`, `f${round % 6}`), randomBytes(700 + (round % 50)));
  appendFileSync(join(at, 'large'), randomBytes(1000));
  if (statSync(join(at, 'large')).size > 400_000) writeFileSync(join(at, 'large'), randomBytes(150_000));
  if (round % 5 === 0) renameSync(join(at, `d${(round + 1) % 4}`, 'f0'), join(at, `d${(round + 1) % 4}`, 'f0 moved'));
  if (round % 5 === 1) writeFileSync(join(at, `d${round % 4}`, 'f0'), randomBytes(300));
}

/** Ids of all snapshots in order, every signature checked. */
export const idsOf = async (repo: TestRepository): Promise<string[]> =>
  snapshotRecords(await loadLedger(await repo.open(), true)).map(({ id }) => toHex(id));

/** The repository opens with the passphrase, and takes a snapshot. */
export async function usable(t: Test, location: string, what: string): Promise<void> {
  const source = `${location}.source`;
  mkdirSync(source);
  writeFileSync(join(source, 'file'), 'content');
  const place = await locateRepository(await openDirectoryStore(location));
  const { keyring } = await unlockWithPassphrase(place, 'secret');
  const repository = openRepository(place, keyring, `${location}.cache`);
  await backup(repository, { paths: [source] });
  t.same(differences(await readLatest(repository), source), [], what);
}
