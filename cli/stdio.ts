/**
 * `serve --stdio` without the rest of the program: it is the forced command of SSH, started anew for every connection while a client waits. Whatever is not
 * exactly that, or goes wrong, is left to the program, which knows what to say.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pumpToVault, type VaultRole } from '../lib/index.js';

const ROLES: readonly VaultRole[] = ['writer', 'reader', 'admin'];

interface Joining {
  readonly state: string;
  readonly role: VaultRole;
  readonly writer: string | undefined;
}

function parse(argv: readonly string[]): Joining | undefined {
  if (argv[0] !== 'serve' || !argv.includes('--stdio')) return undefined;
  const text = { type: 'string' } as const;
  const options = { stdio: { type: 'boolean' }, state: text, role: text, writer: text } as const;
  try {
    const { state, role: name, writer } = parseArgs({ args: argv.slice(1), options }).values;
    const role = ROLES.find((one) => one === name);
    if (state === undefined || role === undefined) return undefined;
    if (writer !== undefined && (role !== 'writer' || !/^[0-9a-f]{32}$/i.test(writer))) return undefined;
    return { state, role, writer: writer?.toLowerCase() };
  } catch {
    return undefined;
  }
}

/** Joins standard input and output to a vault if that is what `argv` asks for. @returns false if nothing was done, because it asks for something else or no vault runs */
export async function joinVault(argv: readonly string[]): Promise<boolean> {
  const joining = parse(argv);
  if (joining === undefined) return false;
  const { state, role, writer } = joining;
  try {
    await pumpToVault(resolve(state), { role, ...(writer === undefined ? {} : { writer }) }, process.stdin, process.stdout);
    return true;
  } catch {
    return false;
  }
}
