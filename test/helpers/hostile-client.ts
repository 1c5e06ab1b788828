/** A client of a vault that reads nothing, sends half of what it announced, goes away in the middle, or asks without end; and what a vault's process uses meanwhile. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { unlockWithKeyFile } from '../../lib/repository/keys.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { openVaultStore } from '../../lib/store/vault.js';
import { MAIN, type Place } from './vault-process.js';

export interface HostileOptions {
  /** How much of each answer it takes; 0: nothing. */
  readonly windowBytes?: number;
}

/** A connection to a socket, whose answers are not read beyond its window. */
export function hostile(t: Test, socketPath: string, { windowBytes = 0 }: HostileOptions = {}): http2.ClientHttp2Session {
  const session = http2.connect('http://vault', {
    createConnection: () => connect(socketPath).on('error', () => undefined),
    settings: { enablePush: false, initialWindowSize: windowBytes },
  });
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  return session;
}

/** One request, whose answer nobody waits for. */
export function ask(
  session: http2.ClientHttp2Session,
  verb: string,
  headers: Record<string, string> = {},
  endStream = true,
): http2.ClientHttp2Stream | undefined {
  if (session.destroyed || session.closed) return undefined;
  try {
    const stream = session.request({ ':method': 'POST', ':path': verb, ...headers }, { endStream });
    stream.on('error', () => undefined);
    return stream;
  } catch {
    return undefined;
  }
}

/** Resident memory of a process, MiB. */
export function residentMiB(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kib) / 1024;
}

/** The program as a process beside this one, which goes on meanwhile. @returns what it wrote to standard output */
export async function varve(it: Place, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args], { env: it.env, timeout: 120_000 });
  return stdout;
}

/** The repository behind a vault's socket, with all keys of the file that `init` wrote. */
export async function openAt(t: Test, it: Place, role: 'writer' | 'reader' | 'admin', keyFile: string): Promise<Repository> {
  const store = await openVaultStore(`vault:${it.sockets[role]}`);
  t.teardown(() => store.close());
  const located = await locateRepository(store);
  const keyring = await unlockWithKeyFile(located, readFileSync(keyFile), keyFile);
  return openRepository(located, keyring, join(it.folder, `cache-${role}`));
}
