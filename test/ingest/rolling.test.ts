/** A few directories are read again in every run however unchanged they look, so that what a disk has silently changed is found some day. */
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { mustReread } from '../../lib/ingest/scan-directory.js';
import type { WalkContext } from '../../lib/ingest/walk-context.js';
import { differences, makeRepository, readLatest, scratch } from '../helpers/backup-repository.js';

const RUNS = 512;
/** Whether run number `runs` of a stream, from 0 on, reads `path` again. */
const isDue = (path: string, runs: number): boolean =>
  mustReread({ options: {}, run: { cache: { runs } } } as unknown as WalkContext, utf8(path));

t.test('each directory is due once in 512 runs, and no run has them all', async (t) => {
  const perRun = new Array<number>(RUNS).fill(0);
  for (let n = 0; n < 500; n++) {
    const due = Array.from({ length: RUNS }, (_, runs) => runs).filter((runs) => isDue(`/home/ann/folder ${n}`, runs));
    t.equal(due.length, 1, `folder ${n}`);
    perRun[due[0]!]!++;
  }
  t.ok(Math.max(...perRun) < 12, `${Math.max(...perRun)} of 500 at most`);
});

t.test('a run reads the files of directories that are due, and of no others', async (t) => {
  const folder = scratch(t);
  const repo = await makeRepository(folder);
  const source = join(folder, 'source');
  const named = (wanted: (path: string) => boolean): string => {
    for (let n = 0; ; n++) if (wanted(join(source, `d${n}`))) return join(source, `d${n}`);
  };
  const [second, third, neither] = [
    named((path) => isDue(path, 1)),
    named((path) => isDue(path, 2)),
    named((path) => !isDue(path, 1) && !isDue(path, 2)),
  ] as const;
  for (const [at, sizeBytes] of [
    [second, 1001],
    [third, 2002],
    [neither, 4004],
  ] as const) {
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, 'file'), Buffer.alloc(sizeBytes, at));
    utimesSync(join(at, 'file'), 1, 1);
  }
  await sleep(2100);
  const read: number[] = [];
  for (let run = 0; run < 4; run++) read.push((await repo.backup({ paths: [source] })).counts.readBytes);
  t.same(read, [7007, 1001, 2002, 0]);
  t.same(differences(await readLatest(await repo.open()), source), []);
});
