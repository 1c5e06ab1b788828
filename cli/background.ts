/**
 * A mount in the background: the program starts itself again, detached, and waits until that process says over a pipe that the mount is there, or
 * why it is not. Passphrase and key file go over another pipe, so neither arguments nor environment of the lasting process hold it.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { Exit } from './exit.js';
import { encodeHanded, HANDED_VARIABLE, type HandedSecrets } from './handed-secrets.js';
import { type ErrorReport, ReportedError } from './reported-error.js';

/** Set in the environment of the lasting process: the descriptor to report on. */
export const READY_VARIABLE = 'VARVE_READY_FD';
const READY_FD = 3;
const SECRET_FD = 4;

export type Ready =
  | { readonly ready: { readonly mountpoint: string; readonly driver: string } }
  | { readonly failed: ErrorReport };

/** Tells the waiting process, if there is one. Only the first call says anything. */
export function reportReady(message: Ready): void {
  const fd = Number(process.env[READY_VARIABLE]);
  if (!Number.isInteger(fd) || fd < 3) return;
  delete process.env[READY_VARIABLE];
  try {
    writeSync(fd, JSON.stringify(message));
    closeSync(fd);
  } catch {
    // Whoever started us is gone; the mount serves all the same.
  }
}

export interface BackgroundOptions {
  readonly args: readonly string[];
  readonly secrets: HandedSecrets;
  readonly stateDir: string;
  readonly signal: AbortSignal;
}

/** Starts `varve ARGS` in the background. @returns its process id and log file once it is ready. @throws ReportedError with what it said */
export async function startInBackground(
  options: BackgroundOptions,
): Promise<{ pid: number; log: string; mountpoint: string; driver: string }> {
  const log = join(options.stateDir, `mount-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z-${process.pid}.log`);
  const logFd = openSync(log, 'a', 0o600);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VARVE_(NEW_)?PASSWORD/.test(name)));
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...options.args], {
    detached: true,
    stdio: ['ignore', logFd, logFd, 'pipe', 'pipe'],
    env: {
      ...env,
      [READY_VARIABLE]: String(READY_FD),
      [HANDED_VARIABLE]: String(SECRET_FD),
    },
  });
  closeSync(logFd);
  const stop = (): void => void child.kill('SIGTERM');
  options.signal.addEventListener('abort', stop);
  const secret = child.stdio[SECRET_FD] as Writable;
  secret.on('error', () => undefined);
  secret.end(encodeHanded(options.secrets));
  let said = '';
  const ready = child.stdio[READY_FD] as Readable;
  ready.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (status, signal) => resolve(signal ?? `status ${status}`));
  });
  await new Promise<void>((resolve) => ready.on('close', resolve));
  options.signal.removeEventListener('abort', stop);
  if (said === '')
    throw new ReportedError({
      message: `the mount process ended with ${await ended}; ${log} may say why`,
      error: 'MOUNT',
      code: options.signal.aborted ? Exit.interrupted : Exit.failed,
    });
  const message = JSON.parse(said) as Ready;
  if ('failed' in message) {
    await ended;
    throw new ReportedError(message.failed);
  }
  // The lasting process keeps its end of the pipe for secrets; ours must not keep this one alive.
  secret.destroy();
  child.unref();
  return { pid: child.pid!, log, ...message.ready };
}
