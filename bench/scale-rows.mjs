// The rows about what grows: memory at ten times the data, the chunk index of many chunks, the planning of a prune of many snapshots. The last two
// measure programs of their own, not the one that people run.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { contents } from './bench.mjs';
import { timed } from './measure.mjs';
import { atMost, cpu, stored, wall } from './rows.mjs';
import { generateTree } from './ten-times.mjs';

const tenTimes = {
  name: 'ten-times',
  title: 'peak memory of a first backup, and at ten times the data and files',
  long: true,
  async run(bench, tool) {
    const peaks = [];
    let run;
    for (const times of [1, 10]) {
      const tree = join(bench.work, `times-${times}`);
      generateTree(tree, bench.options.tenTimesMb * times);
      const repo = await bench.freshRepository(tool, 'ten-times');
      run = await bench.backup(tool, repo, tool.backup(repo, tree));
      peaks.push(run.rssMiB);
    }
    rmSync(join(bench.scratch, tool.name, 'ten-times'), { recursive: true });
    return { ...run, onceMiB: peaks[0], growth: peaks[1] / peaks[0] };
  },
  figures: [
    { title: 'peak memory, small tree', unit: 'MiB', of: (run) => run.onceMiB, reaches: [atMost(250, 'MiB')] },
    { title: 'peak memory, ten times', unit: 'MiB', of: (run) => run.rssMiB, reaches: [atMost(250, 'MiB')] },
    { title: 'ten times : small', unit: '×', of: (run) => run.growth, reaches: [atMost(1.25, '×')] },
  ],
};

const index = {
  name: 'index-100m',
  title: 'chunk index of many chunks: built, then opened by a fresh process that looks up a million ids',
  long: true,
  only: ['varve'],
  async run(bench) {
    const folder = join(bench.scratch, 'index');
    mkdirSync(folder);
    const program = [
      process.execPath,
      join(bench.options.root, 'bench', 'index-100m.mjs'),
      '--folder',
      folder,
      '--rows',
      `${bench.options.indexChunks}`,
    ];
    const more = { timeoutS: bench.options.timeoutS };
    try {
      const built = await timed([...program, '--step', 'build'], more);
      const storedMB = contents(folder).bytes / 1e6;
      const asked = await timed([...program, '--step', 'measure'], more);
      return { ...asked, buildMiB: built.rssMiB, buildS: built.wallS, storedMB, answers: JSON.parse(asked.stdout) };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  figures: [
    { title: 'chunks', unit: 'M', of: (run) => run.answers.rows / 1e6, reaches: [] },
    { title: 'memory, looking up', unit: 'MiB', of: (run) => run.rssMiB, reaches: [atMost(300, 'MiB')] },
    { title: 'memory, building', unit: 'MiB', of: (run) => run.buildMiB, reaches: [atMost(300, 'MiB')] },
    { title: 'build', unit: 's', of: (run) => run.buildS, reaches: [] },
    { title: 'look-ups of known ids', unit: 'k/s', of: (run) => run.answers.knownPerSecond / 1e3, reaches: [] },
    { title: 'look-ups of new ids', unit: 'k/s', of: (run) => run.answers.newPerSecond / 1e3, reaches: [] },
    stored(),
  ],
};

const prunePlan = {
  name: 'prune-plan',
  title:
    'planning a prune of 10,000 snapshots over 100,000 packs without any content key; the store is generated in memory first and not measured',
  only: ['varve'],
  async run(bench) {
    const program = [process.execPath, '--expose-gc', join(bench.options.root, 'bench', 'prune.mjs')];
    const { rssMiB, foreignS, stdout } = await timed(program, { timeoutS: bench.options.timeoutS });
    const answers = JSON.parse(stdout);
    return { wallS: answers.planS, cpuS: answers.planCpuS, rssMiB, foreignS, answers };
  },
  figures: [
    { title: 'snapshots', unit: '', of: (run) => run.answers.snapshots, reaches: [] },
    { title: 'packs', unit: '', of: (run) => run.answers.packs, reaches: [] },
    wall(atMost(5, 's')),
    cpu(),
    { title: 'memory of the generated store', unit: 'MiB', of: (run) => run.answers.storeMiB, reaches: [] },
    { title: 'memory while planning, with it', unit: 'MiB', of: (run) => run.rssMiB, reaches: [] },
  ],
};

export const scaleRows = [index, prunePlan, tenTimes];
