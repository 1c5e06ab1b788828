/**
 * How a forced command of SSH says to the vault whom it speaks for: a line of JSON on the vault's private control socket, before anything that the client sends. Only
 * the vault's own user can open that socket. Imports next to nothing, because the forced command is started anew for every connection.
 */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { VAULT_ROLES } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';

const ANNOUNCE_BYTES = 256;
const ANNOUNCE_MS = 5000;
const CONTROL = 'control.sock';

/** Where `varve serve --stdio` finds the vault with this state folder. */
export function controlSocket(stateDir: string): string {
  return join(stateDir, CONTROL);
}

export function announcement({ role, writer }: Caller): string {
  return `${JSON.stringify({ role, ...(writer === undefined ? {} : { writer }) })}\n`;
}

/** Reads the line with which a forced command says whom it speaks for. */
export function announced(socket: Socket, go: (caller: Caller, rest: Buffer) => void): void {
  let head = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), ANNOUNCE_MS);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(10);
    if (end < 0 && head.byteLength <= ANNOUNCE_BYTES) return;
    clearTimeout(timer);
    socket.off('data', onData);
    socket.pause();
    const caller = end < 0 ? undefined : parseCaller(head.toString('latin1', 0, end));
    if (caller === undefined) socket.destroy();
    else go(caller, head.subarray(end + 1));
  };
  socket.on('data', onData);
  socket.once('close', () => clearTimeout(timer));
}

function parseCaller(line: string): Caller | undefined {
  try {
    const { role, writer } = JSON.parse(line) as Partial<Caller>;
    if (!VAULT_ROLES.some((known) => known === role)) return undefined;
    if (writer !== undefined && !/^[0-9a-f]{32}$/.test(writer)) return undefined;
    return { role: role!, ...(writer === undefined ? {} : { writer }) };
  } catch {
    return undefined;
  }
}
