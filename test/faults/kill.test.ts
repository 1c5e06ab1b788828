/**
 * Runs that end at a random moment (kill -9), and stores that fail at every single operation: whatever was committed stays readable, nothing half
 * done is visible, and the next run goes on. VARVE_KILLS sets the number of kills.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { RepositoryExistsError, StoreError } from '../../lib/errors.js';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { unlockWithPassphrase } from '../../lib/repository/keys.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
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
  startChild,
  type TestRepository,
} from '../helpers/backup-repository.js';
import { FaultyStore } from '../helpers/faulty-store.js';

const KILLS = Number(process.env.VARVE_KILLS ?? 100);

/** A source that is cheap to read and of several packs' worth of steps: small files, a chunked one, directories. */
function makeSource(at: string): void {
  for (let d = 0; d < 4; d++) {
    mkdirSync(join(at, `d${d}`), { recursive: true });
    for (let f = 0; f < 6; f++) writeFileSync(join(at, `d${d}`, `f${f}`), randomBytes(700));
  }
  writeFileSync(join(at, 'large'), randomBytes(150_000));
}

/** Changes a little of everything. */
function changeSource(at: string, round: number): void {
  writeFileSync(join(at, `d${round % 4}`, `f${round % 6}`), randomBytes(700 + (round % 50)));
  appendFileSync(join(at, 'large'), randomBytes(1000));
  if (statSync(join(at, 'large')).size > 400_000) writeFileSync(join(at, 'large'), randomBytes(150_000));
  if (round % 5 === 0) renameSync(join(at, `d${(round + 1) % 4}`, 'f0'), join(at, `d${(round + 1) % 4}`, 'f0 moved'));
  if (round % 5 === 1) writeFileSync(join(at, `d${round % 4}`, 'f0'), randomBytes(300));
}

/** Kills `child` so long after it has begun its work, unless it ends before. */
async function killChild(child: ChildProcess, afterMs: number): Promise<{ code: number | null; signal: string | null }> {
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  await Promise.race([once(child.stdout!, 'data'), ended]);
  await Promise.race([sleep(afterMs), ended]);
  child.kill('SIGKILL');
  const [code, signal] = await ended;
  return { code, signal };
}

const idsOf = async (repo: TestRepository): Promise<string[]> =>
  snapshotRecords(await loadLedger(await repo.open(), true)).map(({ id }) => toHex(id));

t.test(`a backup killed at any moment, ${KILLS} times`, { timeout: KILLS * 5000 + 60_000 }, async (t) => {
  const folder = scratch(t);
  let repo = await makeRepository(folder);
  const source = join(folder, 'source');
  makeSource(source);
  await repo.backup({ paths: [source] });
  let committed = await idsOf(repo);
  // When to kill, in milliseconds after the work begins: adjusted as we go, so that about every third run has just committed.
  let horizonMs = 0;
  {
    const child = startChild({ repo, options: { paths: [source] } });
    await once(child.stdout!, 'data');
    const began = performance.now();
    await once(child, 'close');
    horizonMs = performance.now() - began;
    committed = await idsOf(repo);
  }
  let killed = 0;
  const outcomes = { before: 0, after: 0 };
  const failures: string[] = [];
  for (let round = 0; round < KILLS; round++) {
    changeSource(source, round);
    const { code, signal } = await killChild(
      startChild({ repo, options: { paths: [source] } }),
      horizonMs * (round % 3 === 0 ? Math.random() : 0.7 + Math.random() * 0.4),
    );
    if (signal === 'SIGKILL') killed++;
    else if (code !== 0) failures.push(`round ${round}: the child failed with ${code}`);

    const now = await idsOf(repo);
    if (now.slice(0, committed.length).join() !== committed.join()) failures.push(`round ${round}: the ledger lost a snapshot`);
    if (now.length > committed.length + 1) failures.push(`round ${round}: more than one snapshot came of one run`);
    outcomes[now.length > committed.length ? 'after' : 'before']++;
    horizonMs = Math.max(20, horizonMs * (now.length > committed.length ? 0.85 : 1.12));
    committed = now;
    try {
      const repository = await repo.open();
      const snapshots = await snapshotsOf(repository);
      // Everything every tenth time, else the newest and one of the others.
      const chosen = round % 10 === 9 ? snapshots : [snapshots.at(-1)!, snapshots[Math.floor(Math.random() * snapshots.length)]!];
      const trees = await readSnapshots(repository, chosen);
      if (trees.some((tree) => tree.size < 30)) failures.push(`round ${round}: a snapshot lacks files`);
      if (round % 10 === 9) failures.push(...(await danglingPins(repository)));
      if (signal !== 'SIGKILL') failures.push(...differences(trees[chosen.indexOf(snapshots.at(-1)!)]!, source));
      if (round % 4 === 3) {
        const report = await repo.backup({ paths: [source] });
        if (report.state !== 'complete') failures.push(`round ${round}: the next run was partial`);
        failures.push(...differences(await readLatest(await repo.open()), source));
        committed = await idsOf(repo);
      }
    } catch (error) {
      failures.push(`round ${round}: ${(error as Error).message}`);
    }
    if (failures.length > 0) break;
    // Long runs start anew now and then, or the histories would be what takes the time.
    if (committed.length > 60) {
      for (const name of ['repo', 'cache', 'key']) rmSync(join(folder, name), { recursive: true, force: true });
      repo = await makeRepository(folder);
      await repo.backup({ paths: [source] });
      committed = await idsOf(repo);
    }
  }
  t.same(failures, []);
  t.comment(
    `${killed} of ${KILLS} runs were killed; ${outcomes.after} snapshots were committed, ${outcomes.before} not; the last kills came within ${Math.round(horizonMs)} ms`,
  );
  t.ok(killed > KILLS / 4, `${killed} of ${KILLS} were killed`);
  if (KILLS >= 50) t.ok(outcomes.after > 0 && outcomes.before > 0, 'some before their commit, some after');
});

t.test('what a killed run had stored is not stored again', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 12; i++) writeFileSync(join(source, `file ${i}`), randomBytes(8 << 20));
  const child = startChild({ repo, options: { paths: [source] } });
  child.stdout!.resume();
  const packs = (): string[] =>
    existsSync(join(repo.location, 'packs'))
      ? readdirSync(join(repo.location, 'packs'), { recursive: true })
          .map(String)
          .filter((name) => name.length > 60)
      : [];
  while (packs().length < 3 && child.exitCode === null) await sleep(5);
  child.kill('SIGKILL');
  await once(child, 'close');
  const reusable = packs().reduce((sum, name) => sum + statSync(join(repo.location, 'packs', name)).size, 0);
  t.ok(reusable > 30 << 20);
  t.same(await idsOf(repo), [], 'and nothing of it is visible');
  const report = await repo.backup({ paths: [source] });
  t.ok(report.newBytes < (97 << 20) - reusable, `${report.newBytes} new bytes beside ${reusable}`);
  t.same(differences(await readLatest(await repo.open()), source), []);
});

t.test('init killed at any moment leaves either a repository or a place for one', async (t) => {
  const folder = scratch(t);
  const outcomes = { whole: 0, none: 0 };
  let horizonMs = 150;
  for (let round = 0; round < Math.min(40, Math.ceil(KILLS / 5)); round++) {
    const location = join(folder, `repo-${round}`);
    await killChild(
      startChild({ repo: { location, keyFile: '', cacheDir: '' }, options: {}, init: true }),
      horizonMs * (0.3 + Math.random() * 0.8),
    );
    const there = existsSync(join(location, 'genesis'));
    outcomes[there ? 'whole' : 'none']++;
    horizonMs = Math.max(5, horizonMs * (there ? 0.7 : 1.5));
    if (!there)
      await initRepository(await createDirectoryStore(location), {
        label: 'again',
        policy: DEFAULT_POLICY,
        passphrase: 'secret',
        log2N: 4,
      });
    await usable(t, location, `round ${round}`);
  }
  t.comment(`${outcomes.whole} repositories were there, ${outcomes.none} not`);
});

/** The repository opens with the passphrase, and takes a snapshot. */
async function usable(t: Test, location: string, what: string): Promise<void> {
  const source = `${location}.source`;
  mkdirSync(source);
  writeFileSync(join(source, 'file'), 'content');
  const place = await locateRepository(await openDirectoryStore(location));
  const { keyring } = await unlockWithPassphrase(place, 'secret');
  const repository = openRepository(place, keyring, `${location}.cache`);
  await backup(repository, { paths: [source] });
  t.same(differences(await readLatest(repository), source), [], what);
}

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
      const outcome = await repo.backup({ paths: [source] }, wrap).catch((error: unknown) => error);
      const failed = outcome instanceof Error;
      const after = await idsOf(repo);
      t.same(after.slice(0, before.length), before, `${operation} ${nth}: earlier snapshots stay`);
      t.equal(after.length, before.length + (failed ? 0 : 1), 'a failed run shows nothing');
      if (failed) {
        t.ok(outcome instanceof StoreError, `${operation} ${nth}: ${outcome.stack}`);
        t.equal((await repo.backup({ paths: [source] })).state, 'complete', 'and the next one goes on');
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

t.test('a memory store takes no backups, and says why', async (t) => {
  const store = new MemoryStore();
  const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
  const folder = scratch(t);
  await t.rejects(backup(openRepository(place, keyring, join(folder, 'cache')), { paths: [folder] }), StoreError);
});
