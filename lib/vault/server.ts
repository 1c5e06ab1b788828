/**
 * The vault's process: one unix socket for each role, a private control socket for the forced commands of SSH, the lock on the repository, and the timer that looks at
 * clocks, expected snapshots and pruning.
 */

import { chmodSync, rmSync, statSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { BusyError, StoreError } from '../errors.js';
import { makeFolders } from '../folders.js';
import { native } from '../native.js';
import { badSocketPath, VAULT_ROLES, type VaultRole } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import { announced, controlSocket } from './announce.js';
import { Connections } from './connections.js';
import { Guard, type GuardOptions } from './guard.js';
import { Immutable } from './immutable.js';
import { type Lock, lockRepository } from './lock.js';
import { LIMITS, type SessionLimits, serveSession } from './session.js';
import { Watch } from './watch.js';

export interface VaultOptions extends Omit<GuardOptions, 'onStored' | 'onRemove'> {
  /** Paths of the sockets that clients connect to. */
  readonly sockets: Partial<Record<VaultRole, string>>;
  /** Seconds between two looks at clocks and snapshots. */
  readonly everySec?: number;
  readonly limits?: Partial<SessionLimits>;
  readonly immutable?: boolean;
}

export interface Vault {
  readonly guard: Guard;
  /** Ends it: no new connections, what is under way is cut off, state is written down. */
  close(): Promise<void>;
}

/** With more connections than this, each gets a smaller window, so that all windows together stay small. */
const WIDE_CONNECTIONS = 8;
const NARROW_WINDOW_BYTES = 512 << 10;

/** Starts a vault. @throws BusyError when another serves the repository; RolledBackError only against a retirement: against its own memory it refuses writers and says why */
export async function startVault(options: VaultOptions): Promise<Vault> {
  for (const path of [controlSocket(resolve(options.stateDir)), ...Object.values(options.sockets).map((one) => resolve(one))]) {
    const why = badSocketPath(path);
    if (why !== undefined) throw new StoreError(path, 'make the socket', new Error(why));
  }
  // For how it sets malloc when it is loaded: without, what many large puts have freed stays with the process.
  native();
  makeFolders(options.repository);
  const repository = await realpath(options.repository);
  const lock = await lockRepository(repository);
  try {
    return await start({ ...options, repository, stateDir: resolve(options.stateDir) }, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function start(options: VaultOptions, lock: Lock): Promise<Vault> {
  const flags = options.immutable === true ? new Immutable(options.onLog ?? (() => undefined)) : undefined;
  const guard = await Guard.open({
    ...options,
    ...(flags === undefined
      ? {}
      : { onStored: (path: string) => flags.set(path), onRemove: (path: string) => flags.clear(path) }),
  });
  const connections = new Connections(options.limits?.heldMs ?? LIMITS.heldMs);
  const serve = (socket: Socket, caller: Caller): void => {
    if (!connections.makeRoom(caller)) {
      socket.destroy();
      return;
    }
    const windowBytes = connections.size < WIDE_CONNECTIONS ? LIMITS.windowBytes : NARROW_WINDOW_BYTES;
    const session = serveSession(guard, caller, socket, { ...LIMITS, windowBytes, ...options.limits });
    socket.once('close', connections.enter(caller, session));
  };
  const servers: Server[] = [];
  const watch = new Watch(guard, options.everySec);
  const close = async (): Promise<void> => {
    watch.stop();
    const closed = servers.map((server) => new Promise((done) => server.close(done)));
    connections.end();
    await Promise.all(closed);
    await guard.close();
    await flags?.settle();
    await lock.release();
  };
  try {
    const control = createServer((socket) =>
      announced(socket, (caller, rest) => pushBack(socket, rest, () => serve(socket, caller))),
    );
    servers.push(await listen(control, controlSocket(options.stateDir), 0o600));
    for (const role of VAULT_ROLES) {
      const path = options.sockets[role];
      if (path !== undefined)
        servers.push(
          await listen(
            createServer((socket) => serve(socket, { role })),
            resolve(path),
            0o660,
          ),
        );
    }
  } catch (error) {
    await close();
    throw error;
  }
  watch.start();
  return { guard, close };
}

/** Binds a unix socket; one that a dead process left is replaced. @throws BusyError, StoreError */
async function listen(server: Server, path: string, mode: number): Promise<Server> {
  server.on('connection', (socket) => socket.on('error', () => undefined));
  const bind = (): Promise<void> =>
    new Promise((done, failed) => {
      server.once('error', failed);
      server.listen(path, () => {
        server.off('error', failed);
        done();
      });
    });
  // Nobody else may enter between bind and chmod.
  const mask = process.umask(0o177);
  try {
    try {
      await bind();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (await answers(path)) throw new BusyError(path, `another process serves ${path}`);
      if (statSync(path).isSocket()) rmSync(path);
      await bind();
    }
    chmodSync(path, mode);
  } catch (error) {
    if (error instanceof BusyError) throw error;
    throw new StoreError(path, `make a socket in ${dirname(path)}:`, error);
  } finally {
    process.umask(mask);
  }
  server.on('error', () => undefined);
  return server;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = netConnect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Puts bytes that were read too early before the rest, then goes on. */
function pushBack(socket: Socket, rest: Buffer, go: () => void): void {
  if (rest.byteLength > 0) socket.unshift(rest);
  go();
}
