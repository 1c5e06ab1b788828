// Starts what the rows about a vault need: `varve serve` over a folder, and an OpenSSH server on loopback whose forced command joins it. Neither is part of
// what is timed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandFailed, must } from './measure.mjs';

const SSHD = '/usr/sbin/sshd';
const START_MS = 20_000;

/** Waits until `ready`, as long as `child` runs. @throws CommandFailed */
async function started(child, argv, ready) {
  const until = performance.now() + START_MS;
  while (!ready()) {
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > until) {
      child.kill();
      throw new CommandFailed(argv, 'did not start', '');
    }
    await sleep(20);
  }
}

/** Starts a process that `close` ends, also when the harness is interrupted. */
function launch(bench, argv) {
  const child = spawn(argv[0], argv.slice(1), { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const kill = () => child.kill();
  bench.cleanups.add(kill);
  const close = async () => {
    kill();
    await exited;
    bench.cleanups.delete(kill);
  };
  return { child, close };
}

/** A vault over `folder`/repository with a socket for admins and one for writers. @returns its places, pid, and `close` */
export async function startVault(bench, folder) {
  const at = (name) => join(folder, name);
  const sockets = { admin: at('admin.sock'), writer: at('writer.sock') };
  const named = Object.entries(sockets).flatMap(([role, path]) => ['--socket', `${role}=${path}`]);
  mkdirSync(at('repository'), { recursive: true });
  const argv = [process.execPath, bench.options.varve, 'serve', '-r', at('repository'), '--state', at('vault'), ...named];
  const { child, close } = launch(bench, argv);
  await started(child, argv, () => Object.values(sockets).every((path) => existsSync(path)));
  return { repository: at('repository'), state: at('vault'), sockets, pid: child.pid, close };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** An SSH server whose only key is a writer's at the vault with the folder `state`. @returns place and environment for a client, and `close` */
export async function startSsh(bench, folder, state) {
  if (!existsSync(SSHD)) throw new Error(`no ${SSHD} here`);
  const at = (name) => join(folder, name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of ['host', 'writer']) await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  const command = `${process.execPath} ${bench.options.varve} serve --stdio --state ${state} --role writer`;
  writeFileSync(at('keys'), `restrict,command="${command}" ${readFileSync(at('writer.pub'), 'utf8')}`);
  const port = await freePort();
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${at('host')}`,
    `PidFile ${at('pid')}`,
    `AuthorizedKeysFile ${at('keys')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
  ];
  writeFileSync(at('config'), `${config.join('\n')}\n`);
  if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true });
  const argv = [SSHD, '-D', '-f', at('config')];
  const { child, close } = launch(bench, argv);
  await started(child, argv, () => existsSync(at('pid')));
  const options = [
    `-i ${at('writer')}`,
    ...['IdentitiesOnly=yes', 'BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'].map(
      (option) => `-o ${option}`,
    ),
  ];
  return {
    place: `ssh://${userInfo().username}@127.0.0.1:${port}/`,
    env: { VARVE_SSH: `ssh -F none ${options.join(' ')}` },
    close,
  };
}
