/**
 * How a client reaches a vault: over a unix socket, or through `ssh` to a forced command on the vault's machine. It hands out a duplex stream of bytes; who may do
 * what is decided at the other end of it, by the socket or the key that was used.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { NoRepositoryError } from '../errors.js';

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
  readonly stream: Duplex;
  /** What the other end said before it went away: the tail of ssh's error output. */
  reason(): string;
  close(): void;
}

export function openTransport(place: VaultPlace): Transport {
  if (place.kind === 'socket') {
    const stream: Socket = connect(place.path);
    return { stream, reason: () => '', close: () => stream.destroy() };
  }
  return overSsh(place);
}

const REASON_BYTES = 2048;

function overSsh({ command, destination, port, path }: Extract<VaultPlace, { kind: 'ssh' }>): Transport {
  const args = [...command.slice(1), '-T', '-o', 'ServerAliveInterval=30', ...(port === undefined ? [] : ['-p', port])];
  const child = spawn(command[0]!, [...args, '--', destination, `varve-vault ${quoted(path)}`], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said = (said + text).slice(-REASON_BYTES);
  });
  child.on('error', (error) => {
    said = `${command[0]}: ${error.message}`;
  });
  const stream = new ChildStream(child);
  return {
    stream,
    reason: () => said.trim(),
    close() {
      stream.destroy();
      child.kill();
    },
  };
}

const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;

/** A child's standard output and input as one stream. */
class ChildStream extends Duplex {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    super({ allowHalfOpen: false });
    this.#child = child;
    const { stdin, stdout } = child;
    stdout!.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) stdout!.pause();
    });
    stdout!.on('end', () => this.push(null));
    child.on('error', (error) => this.destroy(error));
    for (const pipe of [stdin!, stdout!]) pipe.on('error', () => this.destroy());
  }

  override _read(): void {
    this.#child.stdout!.resume();
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#child.stdin!.write(bytes, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const { stdin } = this.#child;
    stdin!.cork();
    chunks.forEach(({ chunk }, i) => void stdin!.write(chunk, i === chunks.length - 1 ? done : undefined));
    stdin!.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#child.stdin!.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#child.stdin!.destroy();
    this.#child.stdout!.destroy();
    done(error);
  }
}
