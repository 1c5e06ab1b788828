/** What a forced command of SSH runs: says to the vault whom it speaks for, by its own command line, and pumps bytes. What the client says is never looked at. */
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { NoRepositoryError } from '../errors.js';
import type { Caller } from './accept.js';
import { announcement, controlSocket } from './announce.js';

/** Joins `input` and `output` to the vault with this state folder until either side ends. @throws NoRepositoryError when no vault runs */
export function pumpToVault(stateDir: string, caller: Caller, input: Readable, output: Writable): Promise<void> {
  const path = controlSocket(stateDir);
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let connected = false;
    socket.on('error', (cause) => {
      if (connected) resolve();
      else reject(new NoRepositoryError(path, `no vault runs with the state folder ${stateDir}: ${cause.message}`, cause));
    });
    socket.on('connect', () => {
      connected = true;
      socket.write(announcement(caller));
      input.pipe(socket);
      socket.pipe(output);
    });
    input.on('error', () => socket.destroy());
    output.on('error', () => socket.destroy());
    socket.on('close', () => {
      input.destroy();
      resolve();
    });
  });
}
