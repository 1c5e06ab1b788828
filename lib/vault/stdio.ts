/** What a forced command of SSH runs: says to the vault whom it speaks for, by its own command line, and pumps bytes. What the client says is never looked at. */
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { NoRepositoryError } from '../errors.js';
import { badSocketPath } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import { announcement, controlSocket } from './announce.js';

/** A client that sends nothing more is gone, or is about to be: what is on its way to it gets so long. */
const ENDING_MS = 1000;

/** Joins `input` and `output` to the vault with this state folder until either side ends. @throws NoRepositoryError when no vault runs */
export function pumpToVault(stateDir: string, caller: Caller, input: Readable, output: Writable): Promise<void> {
  const path = controlSocket(stateDir);
  const why = badSocketPath(path);
  if (why !== undefined) return Promise.reject(new NoRepositoryError(path, why));
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let connected = false;
    let ending: NodeJS.Timeout | undefined;
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
    input.on('end', () => {
      // The vault keeps a connection that broke the protocol until its first request would have been due; nobody is there to make it.
      ending = setTimeout(() => socket.destroy(), ENDING_MS);
    });
    input.on('error', () => socket.destroy());
    output.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(ending);
      input.destroy();
      resolve();
    });
  });
}
