/**
 * Writes data to standard output, whatever that is. Pipes, sockets and terminals are Node's; into files and devices it is written here, since of what Node does
 * not know, such as a block device, it makes a stream that swallows everything.
 */
import { fstatSync, fsync, write as writeFd } from 'node:fs';
import { promisify } from 'node:util';
import { Exit } from './exit.js';
import { type Output, OutputClosed } from './output.js';
import { ReportedError } from './reported-error.js';

export interface Writer {
  /** @throws ReportedError when it cannot be written */
  (bytes: Uint8Array): Promise<void>;
  /** To be called after the last byte: says whether all of it has arrived. @throws ReportedError */
  finish(): Promise<void>;
}

const STDOUT = 1;

/** A writer to standard output that throws when something cannot be written. */
export function stdoutWriter(out: Output): Writer {
  const stat = fstatSync(STDOUT);
  if (stat.isFIFO() || stat.isSocket() || process.stdout.isTTY) return throughNode(out);
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.byteLength; ) {
      const { bytesWritten } = await promisify(writeFd)(STDOUT, bytes, at, bytes.byteLength - at, null).catch(failed);
      if (bytesWritten === 0) throw notWritten('it takes nothing more');
      at += bytesWritten;
    }
  };
  // What a device could not take may show only here.
  const finish = async (): Promise<void> => (stat.isBlockDevice() ? promisify(fsync)(STDOUT).catch(failed) : undefined);
  return Object.assign(write, { finish });
}

function throughNode(out: Output): Writer {
  const write = async (bytes: Uint8Array): Promise<void> => {
    try {
      await out.write(bytes);
    } catch (error) {
      throw error instanceof OutputClosed ? notWritten('its reader has gone') : error;
    }
  };
  const finish = async (): Promise<void> => {
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    if (out.closed) throw notWritten('its reader has gone');
  };
  return Object.assign(write, { finish });
}

function failed(cause: Error): never {
  throw notWritten(cause.message);
}

function notWritten(reason: string): ReportedError {
  const message = `not everything was written to standard output: ${reason}`;
  return new ReportedError({ message, error: 'FAILED', code: Exit.failed });
}
