/**
 * How a client reaches a vault: over a unix socket, or through `ssh` to a forced command on the vault's machine. It hands out a socket; who may do what is decided at the other end of it, by the socket or the key that was used.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { NoRepositoryError } from '../errors.js';
import { makeTemporaryFolder } from '../folders.js';
import { badSocketPath } from './vault-protocol.js';

/** Where a vault is. Plain data, so that a thread can open a connection of its own. */
export type VaultPlace =
  | { readonly kind: 'socket'; readonly location: string; readonly path: string }
  | {
      readonly kind: 'ssh';
      readonly location: string;
      readonly destination: string;
      readonly port: string | undefined;
      /** For people; the forced command decides what is served. */
      readonly path: string;
      /** The ssh program and options before ours. */
      readonly command: readonly string[];
    };

const SAFE_NAME = /^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/;

/** Parses `vault:/path.sock` and `ssh://user@host[:port]/path`. @throws NoRepositoryError */
export function parseVaultPlace(location: string): VaultPlace {
  const bad = (why: string): never => {
    throw new NoRepositoryError(location, `${location}: ${why}`);
  };
  if (location.startsWith('vault:')) {
    const path = location.slice('vault:'.length);
    if (!path.startsWith('/')) bad('the path of a vault’s socket must be absolute, as in vault:/run/varve/writer.sock');
    const why = badSocketPath(path);
    if (why !== undefined) bad(why);
    return { kind: 'socket', location, path };
  }
  const match = /^ssh:\/\/(?:([^@/]+)@)?(\[[0-9a-fA-F:.]+\]|[^@/:[\]]+)(?::(\d{1,5}))?(\/.*)?$/.exec(location);
  if (match === null) return bad('not a place of the form ssh://user@host[:port]/path');
  const [, user, host, port, path] = match;
  const name = host!.startsWith('[') ? host!.slice(1, -1) : host!;
  // Nothing that ssh could take for an option.
  if ((user !== undefined && !SAFE_NAME.test(user)) || (!host!.startsWith('[') && !SAFE_NAME.test(name)))
    bad('user and host must be plain names');
  const command = (process.env.VARVE_SSH ?? '').split(' ').filter((word) => word !== '');
  return {
    kind: 'ssh',
    location,
    destination: user === undefined ? name : `${user}@${name}`,
    port,
    path: path ?? '/',
    command: command.length === 0 ? ['ssh'] : command,
  };
}

/** A connection, and why it ended if its other end said so. */
export interface Transport {
  readonly stream: Socket;
  /** What the other end said before it went away: the tail of ssh's error output. */
  reason(): string | Promise<string>;
  close(): void;
}

/** @throws Error when no connection can be made */
export async function openTransport(place: VaultPlace): Promise<Transport> {
  if (place.kind === 'ssh') return await overSsh(place);
  const stream: Socket = connect(place.path);
  return { stream, reason: () => '', close: () => stream.destroy() };
}

/** Two ends of one connection: Node's HTTP/2 wants a real socket, and mixes up what comes from a stream made of two pipes. */
async function socketPair(): Promise<[Socket, Socket]> {
  const folder = makeTemporaryFolder('varve-ssh-');
  // Paused, so that nothing of what is for the child is read here.
  const server = createServer({ pauseOnConnect: true });
  try {
    const path = join(folder, 's');
    const why = badSocketPath(path);
    if (why !== undefined) throw new Error(`${why}, with TMPDIR`);
    server.listen(path);
    await once(server, 'listening');
    const near = connect(path);
    const [far] = (await once(server, 'connection')) as [Socket];
    return [near, far];
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const REASON_BYTES = 2048;
const REASON_MS = 2000;

async function overSsh({ command, destination, port, path }: Extract<VaultPlace, { kind: 'ssh' }>): Promise<Transport> {
  const [near, far] = await socketPair();
  const args = [...command.slice(1), '-T', '-o', 'ServerAliveInterval=30', ...(port === undefined ? [] : ['-p', port])];
  const child = spawn(command[0]!, [...args, '--', destination, `varve-vault ${quoted(path)}`], { stdio: [far, far, 'pipe'] });
  far.destroy();
  // Until a connection is made of it, nobody else listens.
  near.on('error', () => undefined);
  let said = '';
  const { stderr } = child as unknown as { readonly stderr: Readable };
  stderr.setEncoding('utf8');
  stderr.on('data', (text: string) => {
    said = (said + text).slice(-REASON_BYTES);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      said = `${command[0]}: ${error.message}`;
      near.destroy();
      resolve();
    });
  });
  return {
    stream: near,
    async reason() {
      // What ssh says comes after its connection ended.
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, REASON_MS).unref())]);
      return said.trim();
    },
    close() {
      near.destroy();
      child.kill();
    },
  };
}

const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;
