/** Streams that a backup stores as one file: standard input, or what a command prints. */
import { spawn } from 'node:child_process';
import { createReadStream, fstatSync, type Stats } from 'node:fs';
import { PassThrough } from 'node:stream';
import { SourceError, type StreamSource } from '../lib/index.js';
import { UsageError } from './usage-error.js';

/** Standard input, whatever it is. @throws UsageError when it is a terminal or a directory, SourceError when it is closed */
export function stdinSource(name: string, allowEmpty: boolean): StreamSource {
  if (process.stdin.isTTY === true) throw new UsageError('--stdin: standard input is a terminal; pipe something into it');
  let stat: Stats;
  try {
    stat = fstatSync(0);
  } catch (cause) {
    throw new SourceError('--stdin', `standard input cannot be read: ${(cause as Error).message}`, cause);
  }
  if (stat.isDirectory()) throw new UsageError('--stdin: standard input is a directory; name it as a path instead');
  // Of what it does not know, such as a block device, Node makes a stream that ends at once. Pipes and sockets it reads without holding up the process' end.
  const isKnown = stat.isFIFO() || stat.isSocket();
  return {
    name,
    stream: isKnown ? process.stdin : createReadStream('', { fd: 0, autoClose: false, highWaterMark: 1 << 20 }),
    allowEmpty,
  };
}

/** Starts `argv` without a shell. `finished` rejects when it does not end with status 0, so that half an output never becomes a snapshot. */
export function commandSource(name: string, argv: readonly string[], signal: AbortSignal, allowEmpty: boolean): StreamSource {
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
  return { name, stream, finished, allowEmpty };
}
