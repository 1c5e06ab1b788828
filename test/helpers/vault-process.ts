/** A vault as a process of its own, `varve serve`, and the program as its clients run it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Test } from 'tap';
import { packageRoot } from '../../lib/native.js';
import { scratch } from './backup-repository.js';

export const MAIN = join(packageRoot(), 'dist/cli/main.js');

export interface Place {
  readonly folder: string;
  readonly state: string;
  readonly repo: string;
  readonly sockets: Record<'writer' | 'reader' | 'admin', string>;
  readonly env: NodeJS.ProcessEnv;
  run(args: readonly string[], more?: NodeJS.ProcessEnv): { status: number | null; stdout: string; stderr: string };
}

/** Folders and sockets, and the program with caches and memory of its own. */
export async function place(t: Test): Promise<Place> {
  const folder = scratch(t);
  const [state, repo] = [join(folder, 'state'), join(folder, 'repo')];
  const at = (role: string): string => join(folder, `${role}.sock`);
  const sockets = { writer: at('writer'), reader: at('reader'), admin: at('admin') };
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    VARVE_CACHE_DIR: join(folder, 'cache'),
    VARVE_STATE_DIR: join(folder, 'client-state'),
    VARVE_HOST: 'here',
  };
  const run: Place['run'] = (args, more = {}) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
      env: { ...env, ...more },
      encoding: 'utf8',
      timeout: 120_000,
    });
    return { status, stdout, stderr };
  };
  return { folder, state, repo, sockets, env, run };
}

/** Starts the vault; resolves when it serves. It ends with the test. */
export async function serve(t: Test, { repo, state, sockets, env }: Place, more: readonly string[] = []): Promise<ChildProcess> {
  const args = [
    'serve',
    '-r',
    repo,
    '--state',
    state,
    ...Object.entries(sockets).flatMap(([role, path]) => ['--socket', `${role}=${path}`]),
    ...more,
  ];
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => endVault(child));
  await once(child.stdout!, 'data');
  return child;
}

/** Ends the vault as a service manager does. */
export async function endVault(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
