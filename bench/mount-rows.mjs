// The rows about mounts. Every repetition mounts anew with cold caches and drops them again before it reads, so that neither the kernel
// nor the server remembers anything; the client is timed, and the server's CPU and peak memory come from /proc.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { contents } from './bench.mjs';
import { CommandFailed, dropCaches, timed, watch } from './measure.mjs';
import { atLeast, atMost } from './rows.mjs';

const POLL_MS = 5;

/**
 * Mounts `repo` in the foreground with cold caches, waits for what `locate` finds below the mount point, runs `use`, unmounts.
 *
 * @param use - gets { path, pid, readyS }; its result is returned
 */
async function mounted(bench, tool, repo, locate, use) {
  const mountpoint = mkdtempSync(join(bench.scratch, 'mnt-'));
  dropCaches();
  const argv = tool.mount(repo, mountpoint);
  const started = process.hrtime.bigint();
  const child = spawn(argv[0], argv.slice(1), {
    env: { ...process.env, ...tool.env(repo) },
    cwd: bench.scratch,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  let status;
  child.stderr.on('data', (data) => (stderr = (stderr + data).slice(-10_000)));
  const ended = new Promise((done) => {
    child.on('error', (error) => done((status = error.message)));
    child.on('exit', (code, signal) => done((status = code ?? signal)));
  });
  const cleanup = () => {
    if (spawnSync('mountpoint', ['-q', mountpoint]).status === 0) spawnSync('umount', ['-l', mountpoint]);
    if (status === undefined && child.pid !== undefined) child.kill('SIGKILL');
  };
  bench.cleanups.add(cleanup);
  try {
    let path;
    for (;;) {
      path = locate(mountpoint);
      if (path !== undefined) break;
      if (status !== undefined) throw new CommandFailed(argv, `exit ${status} before anything could be seen`, stderr);
      if (Number(process.hrtime.bigint() - started) > 120e9)
        throw new CommandFailed(argv, 'nothing to be seen after 120 s', stderr);
      await wait(POLL_MS);
    }
    const readyS = Number(process.hrtime.bigint() - started) / 1e9;
    return await use({ path, pid: child.pid, readyS });
  } finally {
    for (let i = 0; i < 20 && spawnSync('mountpoint', ['-q', mountpoint]).status === 0; i++) {
      spawnSync(process.getuid() === 0 ? 'umount' : 'fusermount3', process.getuid() === 0 ? [mountpoint] : ['-u', mountpoint]);
      await Promise.race([ended, wait(100 * (i + 1))]);
    }
    await Promise.race([ended, wait(10_000)]);
    cleanup();
    bench.cleanups.delete(cleanup);
    await ended;
    rmdirSync(mountpoint);
  }
}

async function mountedTree(bench, tool, use) {
  const [source] = bench.corpus('linux');
  const repo = await bench.treeRepository(tool, 'linux');
  return mounted(bench, tool, repo, (mountpoint) => tool.mountedTree(mountpoint, source), use);
}

async function mountedImage(bench, tool, use) {
  const repo = await bench.imageRepository(tool, 2);
  return mounted(bench, tool, repo, (mountpoint) => tool.mountedImage(mountpoint, join(bench.work, 'vm.img')), use);
}

/** Times a client of a mount, caches dropped first. */
function read(bench, { pid }, argv) {
  dropCaches();
  return timed(argv, { daemon: pid, timeoutS: bench.options.timeoutS });
}

const tar = (folder) => ['bash', '-c', 'set -o pipefail; tar cf - -C "$1" . | cat >/dev/null', 'tar', folder];
const fio = (file, seconds) =>
  [
    'fio',
    '--name=r',
    `--filename=${file}`,
    '--readonly',
    '--rw=randread',
    '--bs=4k',
    '--ioengine=psync',
    `--runtime=${seconds}`,
    '--time_based',
  ].concat(['--randrepeat=1', '--randseed=7', '--fadvise_hint=0', '--invalidate=0', '--output-format=json']);

/** Lists the whole tree, and makes sure that the whole tree was there. */
async function find(bench, mount) {
  const run = await read(bench, mount, ['bash', '-c', 'set -o pipefail; find "$1" -type f | wc -l', 'find', mount.path]);
  const { files } = contents(bench.corpus('linux')[0]);
  if (Number(run.stdout) !== files) throw new Error(`find saw ${run.stdout.trim()} files, not ${files}`);
  return run;
}

const wall = (limitS) => ({ title: 'wall', unit: 's', of: (run) => run.wallS, reaches: [atMost(limitS, 's')] });
const daemon = { title: 'memory of the server', unit: 'MiB', of: (run) => run.daemonMiB, reaches: [atMost(256, 'MiB')] };

export const mountRows = [
  {
    name: 'mount-ready',
    title: 'mounted: from the command to the first path that can be seen, cold',
    run: (bench, tool) =>
      mountedTree(bench, tool, ({ readyS, pid }) => {
        const { cpuS, peakMiB } = watch(pid);
        return { wallS: readyS, cpuS, daemonMiB: peakMiB };
      }),
    figures: [wall(0.3), daemon],
  },
  {
    name: 'mount-find',
    title: 'mounted: find of the linux tree, cold',
    run: (bench, tool) => mountedTree(bench, tool, (mount) => find(bench, mount)),
    figures: [wall(0.8), daemon],
  },
  {
    name: 'mount-tar',
    title: 'mounted: tar of drivers/net, cold',
    run: (bench, tool) => mountedTree(bench, tool, (mount) => read(bench, mount, tar(join(mount.path, 'drivers/net')))),
    figures: [wall(1.2), daemon],
  },
  {
    name: 'mount-dd',
    title: 'mounted: dd of the 2 GiB image, cold',
    long: true,
    run: (bench, tool) =>
      mountedImage(bench, tool, async (mount) => {
        const run = await read(bench, mount, ['dd', `if=${mount.path}`, 'of=/dev/null', 'bs=1M']);
        return { ...run, megabytesPerS: statSync(mount.path).size / 1e6 / run.wallS };
      }),
    figures: [{ title: 'rate', unit: 'MB/s', of: (run) => run.megabytesPerS, reaches: [atLeast(1000, 'MB/s')] }, daemon],
  },
  {
    name: 'mount-rand4k',
    title: 'mounted: random 4 KiB reads of the image, one job, cold',
    long: true,
    run: (bench, tool) =>
      mountedImage(bench, tool, async (mount) => {
        const run = await read(bench, mount, fio(mount.path, bench.options.fioSeconds));
        const { iops, clat_ns: latency } = JSON.parse(run.stdout.slice(run.stdout.indexOf('{'))).jobs[0].read;
        return { ...run, iops, p99Ms: latency.percentile['99.000000'] / 1e6 };
      }),
    figures: [
      { title: 'rate', unit: 'IOPS', of: (run) => run.iops, reaches: [atLeast(3500, 'IOPS')] },
      { title: 'p99', unit: 'ms', of: (run) => run.p99Ms, reaches: [] },
      daemon,
    ],
  },
  {
    name: 'mount-memory',
    title: 'mounted: peak memory of the server after find, two tars and, on another mount, dd and random reads',
    long: true,
    async run(bench, tool) {
      const tree = await mountedTree(bench, tool, async (mount) => {
        await find(bench, mount);
        await read(bench, mount, tar(join(mount.path, 'fs')));
        return read(bench, mount, tar(join(mount.path, 'drivers/net')));
      });
      const image = await mountedImage(bench, tool, async (mount) => {
        await read(bench, mount, ['dd', `if=${mount.path}`, 'of=/dev/null', 'bs=1M']);
        return read(bench, mount, fio(mount.path, Math.min(5, bench.options.fioSeconds)));
      });
      return { daemonMiB: Math.max(tree.daemonMiB, image.daemonMiB), treeMiB: tree.daemonMiB, imageMiB: image.daemonMiB };
    },
    figures: [daemon],
  },
];
