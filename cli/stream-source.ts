/** Streams that a backup stores as one file: standard input, or what a command prints. */
import { spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { SourceError, type StreamSource } from '../lib/index.js';
import { UsageError } from './usage-error.js';

/** Standard input. @throws UsageError when it is a terminal */
export function stdinSource(name: string): StreamSource {
  if (process.stdin.isTTY === true) throw new UsageError('--stdin: standard input is a terminal; pipe something into it');
  return { name, stream: process.stdin };
}

/** Starts `argv` without a shell. `finished` rejects when it does not end with status 0, so that half an output never becomes a snapshot. */
export function commandSource(name: string, argv: readonly string[], signal: AbortSignal): StreamSource {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['inherit', 'pipe', 'inherit'] });
  const kill = (): void => void child.kill();
  signal.addEventListener('abort', kill);
  const finished = new Promise<void>((resolve, reject) => {
    child.on('error', (cause) => reject(new SourceError(argv[0]!, `cannot be started: ${cause.message}`, cause)));
    child.on('close', (status, killed) => {
      signal.removeEventListener('abort', kill);
      if (status === 0) resolve();
      else reject(new SourceError(argv.join(' '), `ended with ${killed ?? `status ${status}`}; no snapshot was stored`));
    });
  });
  // Whoever awaits it learns of the failure; until then it must not count as unhandled.
  finished.catch(() => undefined);
  // Node throws away what a child printed and nobody has begun to read when the child ends; a pipe that is read from the start keeps it.
  const stream = child.stdout.pipe(new PassThrough());
  return { name, stream, finished };
}
