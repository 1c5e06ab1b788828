// What a vault costs: first backups of one source into a bare directory, through a vault's unix socket, and through SSH on loopback, interleaved.
//   node bench/vault.mjs SOURCE [ROUNDS]      (needs a compiled checkout; SSH needs /usr/sbin/sshd, and root or one's own key)
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const [source, rounds = '3'] = process.argv.slice(2);
if (source === undefined) {
  process.stderr.write('usage: node bench/vault.mjs SOURCE [ROUNDS]\n');
  process.exit(2);
}
const main = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist/cli/main.js');
const base = process.env.VARVE_BENCH_SCRATCH ?? tmpdir();
const SSHD = '/usr/sbin/sshd';

function varve(folder, args, more = {}) {
  const env = { ...process.env, VARVE_CACHE_DIR: join(folder, 'cache'), VARVE_STATE_DIR: join(folder, 'state'), ...more };
  const result = spawnSync(process.execPath, [main, ...args], { env, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`varve ${args.join(' ')}: ${result.stderr}`);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Peak resident memory of a process, MiB. */
const peak = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

async function withVault(folder, work) {
  const [repository, state, socket] = ['repository', 'vault', 'admin.sock'].map((name) => join(folder, name));
  mkdirSync(repository);
  const writer = join(folder, 'writer.sock');
  const args = ['serve', '-r', repository, '--state', state, '--socket', `admin=${socket}`, '--socket', `writer=${writer}`];
  const vault = spawn(process.execPath, [main, ...args], { stdio: 'ignore' });
  try {
    while (!existsSync(socket) || !existsSync(writer)) await sleep(50);
    varve(folder, ['init', '-r', `vault:${socket}`, '--key-file', join(folder, 'key')]);
    const seconds = await work(writer, state);
    return { seconds, memory: peak(vault.pid) };
  } finally {
    vault.kill();
    await once(vault, 'exit');
  }
}

function timed(folder, place, more) {
  const began = performance.now();
  varve(folder, ['backup', '-r', place, '--key-file', join(folder, 'key'), source], more);
  return (performance.now() - began) / 1000;
}

async function overSsh(folder, state) {
  const ssh = join(folder, 'ssh');
  mkdirSync(ssh, { mode: 0o700 });
  for (const name of ['host', 'writer']) spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(ssh, name)]);
  const command = `${process.execPath} ${main} serve --stdio --state ${state} --role writer`;
  writeFileSync(join(ssh, 'keys'), `restrict,command="${command}" ${readFileSync(join(ssh, 'writer.pub'), 'utf8')}`);
  const port = await freePort();
  const config = `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${ssh}/host\nPidFile ${ssh}/pid\nAuthorizedKeysFile ${ssh}/keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n`;
  writeFileSync(join(ssh, 'config'), config);
  mkdirSync('/run/sshd', { recursive: true });
  const sshd = spawn(SSHD, ['-D', '-f', join(ssh, 'config')], { stdio: 'ignore' });
  while (!existsSync(join(ssh, 'pid'))) await sleep(50);
  const options = `-i ${ssh}/writer -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`;
  return {
    place: `ssh://${userInfo().username}@127.0.0.1:${port}/`,
    env: { VARVE_SSH: `ssh -F none ${options}` },
    async close() {
      sshd.kill();
      await once(sshd, 'exit');
    },
  };
}

const ways = {
  directory: async (folder) => {
    varve(folder, ['init', '-r', join(folder, 'repository'), '--key-file', join(folder, 'key')]);
    return { seconds: timed(folder, join(folder, 'repository')) };
  },
  socket: (folder) => withVault(folder, (socket) => timed(folder, `vault:${socket}`)),
  ssh: (folder) =>
    withVault(folder, async (_, state) => {
      const { place, env, close } = await overSsh(folder, state);
      try {
        return timed(folder, place, env);
      } finally {
        await close();
      }
    }),
};
if (!existsSync(SSHD)) delete ways.ssh;

readdirSync(source);
const results = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round++)
  for (const [name, run] of Object.entries(ways)) {
    const folder = mkdtempSync(join(base, 'varve-vault-bench-'));
    try {
      results[name].push(await run(folder));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const bare = median(results.directory.map(({ seconds }) => seconds));
for (const [name, list] of Object.entries(results)) {
  const seconds = list.map((one) => one.seconds);
  const memory = list.map((one) => one.memory).filter((one) => one !== undefined);
  const of = memory.length === 0 ? '' : `, vault at most ${Math.max(...memory).toFixed(0)} MiB`;
  process.stdout.write(
    `${name.padEnd(9)} ${median(seconds).toFixed(2)} s (${seconds.map((one) => one.toFixed(2)).join(', ')}), ${(median(seconds) / bare).toFixed(2)} × the directory${of}\n`,
  );
}
