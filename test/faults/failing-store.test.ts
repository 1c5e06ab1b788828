/** Stores that fail at every single operation, full disks, wrong clocks: an error that says so, nothing half done visible, and the next run goes on. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { RepositoryExistsError, StoreError } from '../../lib/errors.js';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { blockingPlace } from '../../lib/store/blocking.js';
import { createDirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import { MemoryStore } from '../../lib/store/memory.js';
import type { Store } from '../../lib/store/store.js';
import {
  danglingPins,
  differences,
  makeRepository,
  readLatest,
  readSnapshots,
  scratch,
  snapshotsOf,
  type TestRepository,
} from '../helpers/backup-repository.js';
import { changeSource, idsOf, makeSource, usable } from '../helpers/fault-source.js';
import { FaultyStore } from '../helpers/faulty-store.js';

t.test('init on a store that fails at any operation leaves a place where init works', async (t) => {
  const folder = scratch(t);
  for (let nth = 1; ; nth++) {
    for (const effect of ['ENOSPC', 'lost'] as const) {
      const location = join(folder, `repo-${nth}-${effect}`);
      const store = new FaultyStore(await createDirectoryStore(location), { operation: 'put', nth, effect });
      const options = { label: 'test', policy: DEFAULT_POLICY, passphrase: 'secret', log2N: 4 };
      const outcome = await initRepository(store, options).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) {
        t.ok(nth > 3, `${nth - 1} operations failed`);
        return;
      }
      t.ok(outcome instanceof StoreError, String(outcome));
      const again = await initRepository(await openDirectoryStore(location), options).catch((error: unknown) => error);
      // When only the answer was lost, the repository may be there already: its passphrase is what the user typed.
      if (again instanceof Error) t.ok(effect === 'lost' && again instanceof RepositoryExistsError, String(again));
      await usable(t, location, `put ${nth}: ${effect}`);
    }
  }
});

t.test('a store that fails at the n-th operation, for every n', async (t) => {
  const folder = scratch(t);
  const source = join(folder, 'source');
  makeSource(source);
  mkdirSync(join(folder, 'template'));
  const template = await makeRepository(join(folder, 'template'));
  await template.backup({ paths: [source] });
  changeSource(source, 1);
  await template.backup({ paths: [source] });
  const before = await idsOf(template);
  changeSource(source, 2);
  for (const operation of ['put', 'get', 'list'] as const) {
    for (let nth = 1; ; nth++) {
      const at = join(folder, `${operation}-${nth}`);
      cpSync(join(folder, 'template'), at, { recursive: true });
      // Without the index cache every second time, so that more is fetched.
      if (nth % 2 === 0) rmSync(join(at, 'cache', 'index'), { recursive: true, force: true });
      const repo = atFolder(template, at);
      const wrap = (store: Store): Store =>
        withPaths(
          new FaultyStore(store, {
            operation,
            nth: operation === 'get' ? Math.ceil(nth / 2) : nth,
            effect: nth % 4 < 2 ? 'EIO' : 'ENOSPC',
          }),
          store,
        );
      const outcome = await repo.backup({ paths: [source], threads: 1 + (nth % 2) }, wrap).catch((error: unknown) => error);
      const failed = outcome instanceof Error;
      const after = await idsOf(repo);
      t.same(after.slice(0, before.length), before, `${operation} ${nth}: earlier snapshots stay`);
      t.equal(after.length, before.length + (failed ? 0 : 1), 'a failed run shows nothing');
      if (failed) {
        t.ok(outcome instanceof StoreError, `${operation} ${nth}: ${outcome.stack}`);
        t.equal((await repo.backup({ paths: [source], threads: 1 })).state, 'complete', 'and the next one goes on');
      }
      const repository = await repo.open();
      const trees = await readSnapshots(repository, await snapshotsOf(repository));
      t.same(differences(trees.at(-1)!, source), []);
      t.same(await danglingPins(repository), []);
      rmSync(at, { recursive: true });
      if (!failed && nth > 2) {
        t.ok(nth > 3, `${nth - 1} failures of ${operation}`);
        break;
      }
    }
  }
});

/** `template`, copied to `folder`. */
function atFolder(template: TestRepository, folder: string): TestRepository {
  const open: TestRepository['open'] = async (wrap = (store) => store) => {
    const place = await locateRepository(await openDirectoryStore(join(folder, 'repo')));
    return openRepository({ ...place, store: wrap(place.store) }, template.keyring, join(folder, 'cache'));
  };
  return {
    ...template,
    location: join(folder, 'repo'),
    cacheDir: join(folder, 'cache'),
    open,
    backup: async (options, wrap) => backup(await open(wrap), options),
  };
}

/** A store whose operations are `faulty`'s and whose files are `inner`'s. */
function withPaths(faulty: FaultyStore, inner: object): FaultyStore {
  return Object.assign(faulty, { pathOf: (name: string) => (inner as { pathOf(name: string): string }).pathOf(name) });
}

t.test('a put whose answer is lost: the run fails or the snapshot is whole, and the next run stands behind it', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  makeSource(source);
  for (const prefix of ['packs/', 'index/', 'snapshots/', 'ledger/']) {
    changeSource(source, prefix.length);
    const outcome = await repo
      .backup({ paths: [source] }, (store) =>
        withPaths(new FaultyStore(store, { operation: 'put', prefix, nth: 1, effect: 'lost' }), store),
      )
      .catch((error: unknown) => error);
    t.ok(outcome instanceof StoreError, prefix);
    t.equal((await repo.backup({ paths: [source] })).state, 'complete');
    const repository = await repo.open();
    const snapshots = await snapshotsOf(repository);
    await readSnapshots(repository, snapshots);
    t.same(differences(await readLatest(repository), source), []);
  }
});

t.test('a full disk is an error that says so; what was there stays, and with room the next run goes on', async (t) => {
  const folder = scratch(t);
  const small = join(folder, 'small');
  mkdirSync(small);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'varve-test', small]).status !== 0) {
    t.pass('a tmpfs of 6 MB', { skip: 'mounting needs root' });
    return;
  }
  t.teardown(() => void spawnSync('umount', [small]));
  const plain = await makeRepository(small);
  const repo = plain;
  const source = join(folder, 'source');
  makeSource(source);
  await repo.backup({ paths: [source] });
  const before = await idsOf(repo);
  writeFileSync(join(source, 'too large'), randomBytes(20 << 20));
  const error = await repo.backup({ paths: [source] }).catch((failure: unknown) => failure);
  t.ok(error instanceof StoreError, String(error));
  t.match(String(error), /ENOSPC|no space/);
  t.same(await idsOf(repo), before);
  const repository = await repo.open();
  await readSnapshots(repository, await snapshotsOf(repository));
  spawnSync('mount', ['-o', 'remount,size=64m', small]);
  t.equal((await repo.backup({ paths: [source] })).state, 'complete');
  t.same(differences(await readLatest(await repo.open()), source), []);
});

t.test('a wrong clock loses nothing: order is the chain’s, latest is the last', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder, Date.UTC(2024, 0, 1));
  const source = join(folder, 'source');
  mkdirSync(source);
  const clocks = [
    Date.UTC(2024, 5, 1),
    Date.UTC(1999, 0, 1),
    Date.UTC(2100, 0, 1),
    -5_000_000_000,
    0,
    Date.UTC(2024, 5, 2),
    Date.UTC(9999, 0, 1),
    Date.UTC(2024, 5, 3),
  ];
  const expected: string[] = [];
  for (const [round, clock] of clocks.entries()) {
    writeFileSync(join(source, 'file'), `round ${round}`);
    const report = await repo.backup({ paths: [source], nowMs: () => clock });
    expected.push(toHex(report.snapshotId!));
    t.ok(report.retainUntilSec >= Math.max(0, clock / 1000) + 86_400, 'kept at least a day by the clock there was');
    t.equal(toHex((await selectSnapshot(await repo.open(), 'latest')).id), expected.at(-1));
  }
  t.same(await idsOf(repo), expected);
  const repository = await repo.open();
  t.equal((await readSnapshots(repository, await snapshotsOf(repository))).length, clocks.length);
});

t.test('a memory store takes backups; threads that wait cannot read it, which is said', async (t) => {
  const store = new MemoryStore();
  const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
  const folder = scratch(t);
  mkdirSync(join(folder, 'source'));
  writeFileSync(join(folder, 'source', 'f'), 'content');
  const repository = openRepository(place, keyring, join(folder, 'cache'));
  t.match(await backup(repository, { paths: [join(folder, 'source')] }), { state: 'complete', totalFiles: 1 });
  t.throws(() => blockingPlace(store), StoreError);
});
