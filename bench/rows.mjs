// The rows about backups, restores and checks: what each runs, and the figures it is judged by (docs: the table of speed, size and
// memory to reach). A row's `run` does one repetition for one tool and returns what was measured; `round` runs before each repetition.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { contents } from './bench.mjs';
import { must, settle, warm } from './measure.mjs';

/** At most `factor` times restic's figure. */
export const timesRestic = (factor) => ({
  text: `≤ ${factor.toFixed(2)} × restic`,
  met: (mine, restic) => (restic === undefined ? undefined : mine <= factor * restic),
});
/** At most `limit`, in the figure's unit. */
export const atMost = (limit, unit) => ({ text: `≤ ${limit} ${unit}`, met: (mine) => mine <= limit });
/** At least `limit`, in the figure's unit. */
export const atLeast = (limit, unit) => ({ text: `≥ ${limit} ${unit}`, met: (mine) => mine >= limit });

export const wall = (...reaches) => ({ title: 'wall', unit: 's', of: (run) => run.wallS, reaches });
export const cpu = (...reaches) => ({ title: 'CPU', unit: 's', of: (run) => run.cpuS, reaches });
export const stored = (limitMB) => ({
  title: 'stored',
  unit: 'MB',
  of: (run) => run.storedMB,
  reaches: limitMB === undefined ? [] : [atMost(limitMB, 'MB')],
});
const memory = { title: 'peak memory', unit: 'MiB', of: (run) => run.rssMiB, reaches: [atMost(250, 'MiB')] };

/** First backup of a tree into a new repository, which later rows use. */
function firstBackup(name, title, corpusName, figures) {
  return {
    name,
    title,
    long: true,
    round: (bench) => warm(bench.corpus(corpusName)[0]),
    async run(bench, tool) {
      const repo = await bench.freshRepository(tool, corpusName);
      return bench.backup(tool, repo, tool.backup(repo, bench.corpus(corpusName)[0]));
    },
    figures,
  };
}

function backupAgain(name, title, corpusName, figures) {
  return {
    name,
    title,
    round: (bench) => warm(bench.corpus(corpusName)[0]),
    async run(bench, tool) {
      const repo = await bench.treeRepository(tool, corpusName);
      return bench.backup(tool, repo, tool.backup(repo, bench.corpus(corpusName)[0]));
    },
    figures,
  };
}

const releases = {
  name: 'ts',
  title: 'six TypeScript releases, one after another',
  async run(bench, tool) {
    const repo = await bench.freshRepository(tool, 'ts');
    const tree = join(bench.work, 'typescript');
    const total = { wallS: 0, cpuS: 0, rssMiB: 0, foreignS: 0 };
    for (const release of bench.corpus('ts')) {
      rmSync(tree, { recursive: true, force: true });
      await must(['cp', '-a', release, tree]);
      const run = await bench.backup(tool, repo, tool.backup(repo, tree));
      for (const key of ['wallS', 'cpuS', 'foreignS']) total[key] += run[key];
      total.rssMiB = Math.max(total.rssMiB, run.rssMiB);
      total.storedMB = run.storedMB;
    }
    return total;
  },
  figures: [stored(27), { title: 'wall, all six', unit: 's', of: (run) => run.wallS, reaches: [] }, memory],
};

const imageRows = [
  {
    name: 'image-first',
    title: '2 GiB disk image, first backup',
    long: true,
    run: async (bench, tool) => bench.backupImage(tool, await bench.freshRepository(tool, 'image'), 1),
    figures: [wall(timesRestic(0.4)), cpu(), stored(), memory],
  },
  {
    name: 'image-growth',
    title: 'the image after an upgrade of the system in it',
    long: true,
    async run(bench, tool) {
      const repo = await bench.imageRepository(tool, 1);
      const before = contents(repo.path).bytes / 1e6;
      const run = await bench.backupImage(tool, repo, 2);
      return { ...run, growthMB: run.storedMB - before };
    },
    figures: [{ title: 'growth', unit: 'MB', of: (run) => run.growthMB, reaches: [atMost(140, 'MB')] }, wall(), memory],
  },
  imageAgain('image-again', 'the image unchanged, every byte read again', 'rereadImage', 1.6),
  imageAgain(
    'image-again-trusted',
    'the image unchanged, size and times trusted (Borg re-reads the newest file)',
    'backupImage',
    0.4,
  ),
];

function imageAgain(name, title, command, limitS) {
  return {
    name,
    title,
    async run(bench, tool) {
      const repo = await bench.imageRepository(tool, 2);
      // a copy made since for another tool has a new inode: let this tool see it once before it is timed
      if (bench.imageHeld !== 2 || repo.imageCopy !== bench.imageCopies) await bench.backupImage(tool, repo, 2);
      // after a growth, Varve reads the image again until it has rewritten what is left of sparse packs
      if (command === 'backupImage') await bench.backupImage(tool, repo, 2);
      return bench.backupImage(tool, repo, 2, command);
    },
    figures: [wall(atMost(limitS, 's')), memory],
  };
}

/** Restores the last snapshot into a new folder below `place`, checks what came out, and removes it. */
async function restored(bench, tool, repo, place, verify) {
  await warm(repo.path);
  const target = mkdtempSync(join(place, 'restored-'));
  try {
    settle();
    const run = await bench.run(tool, repo, tool.restore(repo, target), { cwd: target });
    await verify(target);
    return run;
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

async function restoreTree(bench, tool, place) {
  const [source] = bench.corpus('linux');
  const repo = await bench.treeRepository(tool, 'linux');
  const expected = contents(source);
  return restored(bench, tool, repo, place, async (target) => {
    const found = contents(target);
    if (found.files !== expected.files || found.bytes !== expected.bytes)
      throw new Error(`restored ${found.files} files and ${found.bytes} bytes, not ${expected.files} and ${expected.bytes}`);
  });
}

/** A folder in memory: a tmpfs of our own as root, else /dev/shm. */
async function inMemory(bench, use) {
  const folder = join(bench.scratch, 'tmpfs');
  mkdirSync(folder, { recursive: true });
  if (process.getuid() === 0) {
    await must(['mount', '-t', 'tmpfs', '-o', 'size=4g', 'none', folder]);
    const unmount = () => spawnSync('umount', [folder]);
    bench.cleanups.add(unmount);
    try {
      return await use(folder);
    } finally {
      unmount();
      bench.cleanups.delete(unmount);
    }
  }
  const { bavail, bsize } = statfsSync('/dev/shm');
  if (bavail * bsize < 2e9) throw new Error('no tmpfs with 2 GB free, and only root can mount one');
  return use('/dev/shm');
}

const restoreRows = [
  {
    name: 'restore-linux-ext4',
    title: 'restore the linux tree to the scratch disk',
    long: true,
    run: (bench, tool) => restoreTree(bench, tool, bench.work),
    figures: [wall(timesRestic(0.8)), cpu(), memory],
  },
  {
    name: 'restore-linux-tmpfs',
    title: 'restore the linux tree to memory',
    long: true,
    run: (bench, tool) => inMemory(bench, (folder) => restoreTree(bench, tool, folder)),
    figures: [wall(timesRestic(0.5)), cpu(), memory],
  },
  {
    name: 'restore-image',
    title: 'restore the disk image to the scratch disk (each tool as it does by itself about holes)',
    long: true,
    async run(bench, tool) {
      const repo = await bench.imageRepository(tool, 2);
      return restored(bench, tool, repo, bench.work, async (target) => {
        const found = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
        if (found.length !== 1) throw new Error(`restored ${found.length} files, not one image`);
        await must(['cmp', join(found[0].parentPath ?? found[0].path, found[0].name), bench.corpus('vm')[1]]);
      });
    },
    figures: [wall(timesRestic(0.5)), cpu(), memory],
  },
];

const check = {
  name: 'check',
  title: 'check the linux repository, all data',
  async run(bench, tool) {
    const repo = await bench.treeRepository(tool, 'linux');
    await warm(repo.path);
    return bench.run(tool, repo, tool.check(repo));
  },
  figures: [wall(timesRestic(0.5)), cpu(), memory],
};

export const dataRows = [
  firstBackup('linux-first', 'first backup of the linux tree', 'linux', [
    wall(timesRestic(0.4)),
    cpu(atMost(9, 's')),
    stored(228),
    memory,
  ]),
  backupAgain('linux-again', 'the linux tree again, unchanged', 'linux', [
    wall(timesRestic(0.25), atMost(0.9, 's')),
    cpu(),
    memory,
  ]),
  releases,
  ...imageRows,
  firstBackup('tiny-first', '100,000 tiny files, first backup', 'tiny', [wall(timesRestic(0.5)), cpu(), stored(150), memory]),
  backupAgain('tiny-again', '100,000 tiny files again, unchanged', 'tiny', [wall(timesRestic(0.3)), cpu(), memory]),
  ...restoreRows,
  check,
];
