/** Runs that end at a random moment (kill -9): whatever was committed stays readable, and the next run goes on. VARVE_KILLS sets how many. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { initRepository } from '../../lib/ledger/init.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore } from '../../lib/store/directory.js';
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
import { changeSource, idsOf, makeSource, usable } from '../helpers/fault-source.js';

const KILLS = Number(process.env.VARVE_KILLS ?? 100);

/** Kills `child` so long after it has begun its work, unless it ends before. */
async function killChild(child: ChildProcess, afterMs: number): Promise<{ code: number | null; signal: string | null }> {
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  const begun = Promise.race([once(child.stdout!, 'data'), ended]);
  child.stdin?.write('now\n');
  await begun;
  await Promise.race([sleep(afterMs), ended]);
  child.kill('SIGKILL');
  const [code, signal] = await ended;
  return { code, signal };
}

t.test(`a backup killed at any moment, ${KILLS} times`, { timeout: KILLS * 5000 + 60_000 }, async (t) => {
  const folder = scratch(t);
  const source = join(folder, 'source');
  const start = async (): Promise<TestRepository> => {
    for (const name of ['repo', 'cache', 'key']) rmSync(join(folder, name), { recursive: true, force: true });
    const fresh = await makeRepository(folder);
    await fresh.backup({ paths: [source], threads: 1 });
    return fresh;
  };
  makeSource(source);
  let repo = await start();
  let committed = await idsOf(repo);
  // Children of the next rounds load their modules while this round is looked at: it is always the work that is killed, not the loading.
  const ready: ChildProcess[] = [];
  const prepare = (threads: number): void =>
    void ready.push(startChild({ repo, options: { paths: [source], threads }, waits: true }));
  t.teardown(() => {
    for (const child of ready) child.kill('SIGKILL');
  });
  for (let i = 0; i < 3; i++) prepare(1);
  // When to kill, in milliseconds after the work begins: adjusted as we go, so that about every third run has just committed.
  let horizonMs = await (async () => {
    const child = ready.shift()!;
    const ended = once(child, 'close');
    child.stdin!.write('now\n');
    await once(child.stdout!, 'data');
    const began = performance.now();
    await ended;
    return performance.now() - began;
  })();
  committed = await idsOf(repo);
  let killed = 0;
  const outcomes = { before: 0, after: 0 };
  const failures: string[] = [];
  for (let round = 0; round < KILLS && failures.length === 0; round++) {
    changeSource(source, round);
    const afterMs = horizonMs * (round % 3 === 0 ? Math.random() : 0.7 + Math.random() * 0.4);
    const { code, signal } = await killChild(ready.shift()!, afterMs);
    prepare(round % 4 === 0 ? 2 : 1);
    if (signal === 'SIGKILL') killed++;
    else if (code !== 0) failures.push(`round ${round}: the child failed with ${code}`);
    try {
      const repository = await repo.open();
      const snapshots = await snapshotsOf(repository);
      const now = snapshots.map(({ id }) => toHex(id));
      if (now.slice(0, committed.length).join() !== committed.join()) failures.push(`round ${round}: the ledger lost a snapshot`);
      if (now.length > committed.length + 1) failures.push(`round ${round}: more than one snapshot came of one run`);
      outcomes[now.length > committed.length ? 'after' : 'before']++;
      horizonMs = Math.max(5, horizonMs * (now.length > committed.length ? 0.85 : 1.12));
      committed = now;
      // Everything every tenth time, else the newest and one of the others.
      const chosen = round % 10 === 9 ? snapshots : [snapshots.at(-1)!, snapshots[Math.floor(Math.random() * snapshots.length)]!];
      const trees = await readSnapshots(repository, chosen);
      if (trees.some((tree) => tree.size < 30)) failures.push(`round ${round}: a snapshot lacks files`);
      if (round % 10 === 9) failures.push(...(await danglingPins(repository)));
      if (signal !== 'SIGKILL') failures.push(...differences(trees[chosen.indexOf(snapshots.at(-1)!)]!, source));
      if (round % 10 === 4) {
        const report = await repo.backup({ paths: [source] });
        if (report.state !== 'complete') failures.push(`round ${round}: the next run was partial`);
        failures.push(...differences(await readLatest(await repo.open()), source));
        committed = await idsOf(repo);
      }
      // Long runs start anew now and then, or the histories would be what takes the time.
      if (committed.length > 12) {
        repo = await start();
        committed = await idsOf(repo);
      }
    } catch (error) {
      failures.push(`round ${round}: ${(error as Error).message}`);
    }
    if (round % 100 === 99) t.comment(`${round + 1} rounds, ${killed} killed, ${outcomes.after} committed`);
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
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 12; i++) writeFileSync(join(source, `file ${i}`), randomBytes(8 << 20));
  const packs = ({ location }: TestRepository): string[] =>
    existsSync(join(location, 'packs'))
      ? readdirSync(join(location, 'packs'), { recursive: true })
          .map(String)
          .filter((name) => name.length > 60)
      : [];
  /** A repository in which a run was killed behind its third pack. */
  const killed = async (name: string): Promise<TestRepository> => {
    mkdirSync(join(folder, name));
    const made = await makeRepository(join(folder, name));
    const child = startChild({ repo: made, options: { paths: [source] } });
    child.stdout!.resume();
    while (packs(made).length < 3 && child.exitCode === null) await sleep(5);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    return made;
  };
  let repo = await killed('first');
  // On a busy machine a run may have committed before anybody sees how far it is; not every time.
  for (let i = 0; i < 10 && (await idsOf(repo)).length > 0; i++) repo = await killed(`again-${i}`);
  const reusable = packs(repo).reduce((sum, name) => sum + statSync(join(repo.location, 'packs', name)).size, 0);
  t.ok(reusable > 30 << 20);
  t.same(await idsOf(repo), [], 'and nothing of it is visible');
  const report = await repo.backup({ paths: [source] });
  t.ok(report.newBytes < (99 << 20) - reusable, `${report.newBytes} new bytes beside ${reusable}`);
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
