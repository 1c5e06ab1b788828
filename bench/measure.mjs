// Runs one command and says what it cost: wall time here, CPU and peak memory by /usr/bin/time, and how busy others kept the machine
// meanwhile. A daemon (a mount's server) is watched through /proc instead.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TICK_S = 1 / Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout.trim() || 100);
const folder = mkdtempSync(join(tmpdir(), 'varve-bench-time-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** The command that runs now; in a process group of its own, so that a time limit ends all of it. */
let running;

/** Ends the command that runs now, if any. */
export function stopRunning() {
  if (running !== undefined) process.kill(-running, 'SIGKILL');
}

/** A command that did not do what it was told; `message` holds the end of its stderr. */
export class CommandFailed extends Error {
  constructor(argv, why, stderr) {
    super(
      `${argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ')}: ${why}\n${stderr.slice(-3000).trim()}`,
    );
  }
}

/** CPU seconds that the machine has been busy since it started, all cores, and those stolen by other machines. */
function machineBusyS() {
  const [user, nice, system, , , irq, softirq, steal] = /^cpu +(.*)$/m
    .exec(readFileSync('/proc/stat', 'utf8'))[1]
    .split(' ')
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * TICK_S;
}

function ownCpuS() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Pids of `root` and everything below it. */
function processTree(root) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = Number(
        readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')[1],
      );
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {}
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) tree.push(...(children.get(tree[i]) ?? []));
  return tree;
}

/** CPU seconds and peak memory (VmHWM, MiB) so far of a running process and its children. */
export function watch(pid) {
  let cpuS = 0;
  let peakMiB = 0;
  for (const member of processTree(pid)) {
    try {
      const fields = readFileSync(`/proc/${member}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      cpuS += (Number(fields[11]) + Number(fields[12])) * TICK_S;
      peakMiB += Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${member}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    } catch {}
  }
  return { cpuS, peakMiB };
}

/**
 * Runs `argv` to its end.
 *
 * @param options.daemon - pid of a server that works for it: its CPU is counted as ours and reported beside
 * @returns wallS, cpuS (user+sys of the command), rssMiB, foreignS, daemonCpuS, daemonMiB, stdout
 * @throws CommandFailed on any exit status but 0, or after `timeoutS`
 */
export async function timed(argv, { env = {}, cwd, timeoutS = 1800, daemon } = {}) {
  const file = join(folder, 'time');
  writeFileSync(file, '');
  const daemonBefore = daemon === undefined ? { cpuS: 0 } : watch(daemon);
  const busyBefore = machineBusyS();
  const ownBefore = ownCpuS();
  const started = process.hrtime.bigint();
  const child = spawn('/usr/bin/time', ['-q', '-f', '%U %S %M', '-o', file, '--', ...argv], {
    env: { ...process.env, ...env },
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running = child.pid;
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout = (stdout + data).slice(-100_000)));
  child.stderr.on('data', (data) => (stderr = (stderr + data).slice(-10_000)));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stopRunning();
  }, timeoutS * 1000);
  let wallS = 0;
  const status = await new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', () => {
      wallS = Number(process.hrtime.bigint() - started) / 1e9;
      running = undefined;
    });
    child.on('close', (code, signal) => done(code ?? signal));
  });
  clearTimeout(timer);
  if (late) throw new CommandFailed(argv, `stopped after ${timeoutS} s`, stderr);
  if (status !== 0) throw new CommandFailed(argv, `exit ${status}`, stderr || stdout);
  const [user, system, rssKib] = readFileSync(file, 'utf8').trim().split('\n').at(-1).split(' ').map(Number);
  const cpuS = user + system;
  const run = { wallS, cpuS, rssMiB: rssKib / 1024, stdout, stderr };
  if (daemon !== undefined) {
    const after = watch(daemon);
    run.daemonCpuS = after.cpuS - daemonBefore.cpuS;
    run.daemonMiB = after.peakMiB;
  }
  run.foreignS = machineBusyS() - busyBefore - cpuS - (ownCpuS() - ownBefore) - (run.daemonCpuS ?? 0);
  return run;
}

/** Runs `argv` untimed. @throws CommandFailed */
export async function must(argv, options = {}) {
  return (await timed(argv, options)).stdout;
}

/** Reads everything below `path` once, so that it is in the page cache. */
export async function warm(path) {
  await must(['bash', '-c', 'set -o pipefail; tar cf - -C "$(dirname "$1")" "$(basename "$1")" | cat >/dev/null', 'warm', path]);
}

/** Writes back what earlier runs left dirty, so that nobody pays for another. */
export function settle() {
  spawnSync('sync');
}

export function canDropCaches() {
  return process.getuid() === 0;
}

/** Makes the next reads cold. Without root it cannot, and the report says so. */
export function dropCaches() {
  settle();
  if (canDropCaches()) writeFileSync('/proc/sys/vm/drop_caches', '3');
}
