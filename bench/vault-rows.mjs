// The rows about a vault: what it costs to back up through one, beside the same backup into a bare directory in the same repetition, and how much memory
// it takes with many packs, connections and large puts at once.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { contents } from './bench.mjs';
import { must, settle, timed, warm, watch } from './measure.mjs';
import { atMost, cpu, stored, wall } from './rows.mjs';
import { startSsh, startVault } from './vault-server.mjs';

const sourceOf = (bench) => bench.options.vaultSource ?? bench.corpus('linux')[0];

/** Which of the two goes first, so that what drifts does not always favour the same. */
let bareFirst = false;

function repositoryIn(folder, path) {
  const home = join(folder, 'home');
  mkdirSync(home, { recursive: true });
  return { path, home, keyFile: join(folder, 'key') };
}

/** A timed first backup of the source into `repo`. @param directory - where it ends up */
async function backup(bench, tool, repo, directory, { env, ...more } = {}) {
  settle();
  const argv = tool.backup(repo, sourceOf(bench));
  const run = await bench.run(tool, repo, argv, { env: { ...tool.env(repo), ...env }, ...more });
  return { ...run, storedMB: contents(directory).bytes / 1e6 };
}

async function intoDirectory(bench, tool, folder) {
  const repo = repositoryIn(folder, join(folder, 'repository'));
  await must(tool.init(repo), { env: tool.env(repo) });
  return backup(bench, tool, repo, repo.path);
}

/** Starts a vault with a repository in `folder`, and runs `use` with it. */
async function withVault(bench, tool, folder, use) {
  const vault = await startVault(bench, folder);
  try {
    const repo = repositoryIn(folder, `vault:${vault.sockets.admin}`);
    await must(tool.init(repo), { env: tool.env(repo) });
    return await use(vault, repo);
  } finally {
    await vault.close();
  }
}

function throughSocket(bench, tool, folder) {
  return withVault(bench, tool, folder, ({ sockets, repository, pid }, repo) =>
    backup(bench, tool, { ...repo, path: `vault:${sockets.writer}` }, repository, { daemon: pid }),
  );
}

function throughSsh(bench, tool, folder) {
  return withVault(bench, tool, folder, async ({ state, repository, pid }, repo) => {
    const { place, env, close } = await startSsh(bench, join(folder, 'ssh'), state);
    try {
      return await backup(bench, tool, { ...repo, path: place }, repository, { daemon: pid, env });
    } finally {
      await close();
    }
  });
}

/** One repetition: a backup the given way and one into a bare directory, each in a folder of its own. */
async function besideBare(bench, tool, way) {
  const runs = new Map();
  bareFirst = !bareFirst;
  for (const one of bareFirst ? [intoDirectory, way] : [way, intoDirectory]) {
    const folder = mkdtempSync(join(bench.scratch, 'vault-'));
    try {
      runs.set(one, await one(bench, tool, folder));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const bare = runs.get(intoDirectory);
  return { ...runs.get(way), bareS: bare.wallS, bareCpuS: bare.cpuS };
}

function vaultRow(name, title, way, factor) {
  return {
    name,
    title,
    long: true,
    only: ['varve'],
    round: (bench) => warm(sourceOf(bench)),
    run: (bench, tool) => besideBare(bench, tool, way),
    figures: [
      wall(),
      { title: 'wall, bare directory', unit: 's', of: (run) => run.bareS, reaches: [] },
      { title: 'vault : bare directory', unit: '×', of: (run) => run.wallS / run.bareS, reaches: [atMost(factor, '×')] },
      cpu(),
      { title: 'CPU, bare directory', unit: 's', of: (run) => run.bareCpuS, reaches: [] },
      { title: 'CPU of the vault', unit: 's', of: (run) => run.daemonCpuS, reaches: [] },
      { title: 'memory of the vault', unit: 'MiB', of: (run) => run.daemonMiB, reaches: [atMost(200, 'MiB')] },
      stored(),
    ],
  };
}

const memory = {
  name: 'vault-memory',
  title: 'peak memory of a vault with 100,000 packs: 50 connections list all of them, then 25 puts of 16 MiB come at once',
  only: ['varve'],
  async run(bench, tool) {
    const folder = mkdtempSync(join(bench.scratch, 'vault-'));
    const load = (...args) => [process.execPath, join(bench.options.root, 'bench', 'vault-load.mjs'), ...args];
    try {
      // The first vault takes the init; what is laid into its folder afterwards is seen by the second.
      await withVault(bench, tool, folder, async () => undefined);
      await must(load('packs', join(folder, 'repository')));
      const vault = await startVault(bench, folder);
      try {
        const before = watch(vault.pid);
        const run = await timed(load('clients', `vault:${vault.sockets.writer}`, join(folder, 'key')), {
          daemon: vault.pid,
          timeoutS: bench.options.timeoutS,
        });
        return { ...run, startMiB: before.peakMiB };
      } finally {
        await vault.close();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  figures: [
    { title: 'memory of the vault', unit: 'MiB', of: (run) => run.daemonMiB, reaches: [atMost(200, 'MiB')] },
    { title: 'memory when it had started', unit: 'MiB', of: (run) => run.startMiB, reaches: [] },
    wall(),
  ],
};

export const vaultRows = [
  vaultRow('vault-socket', 'first backup through a vault’s unix socket, beside one into a bare directory', throughSocket, 1.15),
  vaultRow('vault-ssh', 'first backup through SSH on loopback, beside one into a bare directory', throughSsh, 1.3),
  memory,
];
