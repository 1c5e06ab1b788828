/** Runs the compiled program as people do, with an environment of the test's own. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../lib/native.js';

export const MAIN = join(packageRoot(), 'dist', 'cli', 'main.js');

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON lines. */
  readonly records: Record<string, never>[];
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs several command lines that open nothing (help, usage errors) in one process, without any environment of ours. */
export function batch(lines: readonly (readonly string[])[]): Omit<Ran, 'records'>[] {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(packageRoot(), 'test/cli/batch.mjs'), JSON.stringify(lines)],
    { env: clean(), encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(`the batch ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Omit<Ran, 'records'>[];
}

/** The environment without what is ours, the user's or tap's. */
function clean(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VARVE_|XDG_|NODE_OPTIONS|TAP)/.test(name)));
}

/** A function that runs `varve ARGS` with `environment` and nothing of ours or the user's. */
export function runner(environment: Readonly<Record<string, string>>) {
  return (args: readonly string[], options: RunOptions = {}): Ran => {
    const result: SpawnSyncReturns<Buffer> = spawnSync(process.execPath, [MAIN, ...args], {
      env: { ...clean(), ...environment, ...options.env },
      input: options.input ?? '',
      maxBuffer: 1 << 28,
    });
    const stdout = result.stdout.toString();
    return {
      status: result.status,
      stdout,
      stderr: result.stderr.toString(),
      get records() {
        return stdout
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as Record<string, never>);
      },
    };
  };
}
