/** `varve serve`: guards a repository in a process of its own, or joins an SSH forced command to it. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { pumpToVault, startVault, type VaultRole } from '../lib/index.js';
import { repositoryPlace } from './globals.js';
import type { Run } from './run.js';
import { collect } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

interface Flags {
  readonly state: string;
  readonly socket?: string[];
  readonly stdio?: boolean;
  readonly role?: VaultRole;
  readonly writer?: string;
  readonly alertCommand?: string;
  readonly immutable?: boolean;
}

const ROLES = ['writer', 'reader', 'admin'] as const;

export function configure(command: Command, run: Run): void {
  command
    .requiredOption('--state <dir>', 'folder for the vault’s own key, clocks and quotas; its owner’s alone')
    .option('--socket <role=path>', 'unix socket for a role: writer, reader or admin (repeatable)', collect)
    .option('--alert-command <command>', 'run for each alert, with a JSON line on its standard input')
    .option('--immutable', 'set the immutable flag on stored objects (chattr +i); needs CAP_LINUX_IMMUTABLE')
    .option('--stdio', 'for a forced command of SSH: join standard input and output to the running vault')
    .addOption(new Option('--role <role>', 'with --stdio: what the connection may do').choices([...ROLES]))
    .option('--writer <author>', 'with --stdio: the only writer whose snapshots this connection may bring (author id)')
    .addHelpText(
      'after',
      `
The vault owns the repository's directory; nobody else needs access to it. Who may do what is decided by the socket, or by the forced command:

  varve serve -r /srv/backup --state /var/lib/varve-vault --socket writer=/run/varve/writer.sock
  # ~/.ssh/authorized_keys of the vault's user:
  restrict,command="varve serve --stdio --state /var/lib/varve-vault --role writer --writer 3f9a…" ssh-ed25519 AAAA…`,
    )
    .action((flags: Flags) => (flags.stdio === true ? pump(flags) : serve(run, flags)));
}

async function pump({ state, role, writer, socket }: Flags): Promise<void> {
  if (role === undefined) throw new UsageError('--stdio needs --role');
  if (socket !== undefined) throw new UsageError('--stdio joins a vault that runs; --socket is for the vault itself');
  if (writer !== undefined && !/^[0-9a-f]{32}$/i.test(writer)) throw new UsageError(`${writer} is not an author id of 32 digits`);
  if (writer !== undefined && role !== 'writer') throw new UsageError('--writer goes with --role writer');
  const caller = { role, ...(writer === undefined ? {} : { writer: writer.toLowerCase() }) };
  await pumpToVault(resolve(state), caller, process.stdin, process.stdout);
}

function socketsOf(list: readonly string[]): Partial<Record<VaultRole, string>> {
  const sockets: Partial<Record<VaultRole, string>> = {};
  for (const text of list) {
    const at = text.indexOf('=');
    const role = ROLES.find((name) => name === text.slice(0, at));
    if (role === undefined || at === text.length - 1)
      throw new UsageError(`${text} is not of the form writer=PATH, reader=PATH or admin=PATH`);
    if (sockets[role] !== undefined) throw new UsageError(`two sockets for ${role}`);
    sockets[role] = resolve(text.slice(at + 1));
  }
  return sockets;
}

async function serve(run: Run, flags: Flags): Promise<void> {
  if (flags.role !== undefined || flags.writer !== undefined) throw new UsageError('--role and --writer go with --stdio');
  const sockets = socketsOf(flags.socket ?? []);
  const repository = resolve(repositoryPlace(run.globals));
  const vault = await startVault({
    repository,
    stateDir: resolve(flags.state),
    sockets,
    alertCommand: flags.alertCommand,
    immutable: flags.immutable === true,
    onLog: (line) => run.out.warn(line),
  });
  try {
    run.out.record('serving', {
      repository,
      sockets,
      vault: Buffer.from(vault.guard.vaultKey).toString('hex'),
      pid: process.pid,
    });
    run.out.info(`Guarding ${repository} with key ${Buffer.from(vault.guard.vaultKey).toString('hex')}.`);
    await run.out.flush();
    await new Promise<void>((ended) => {
      if (run.signal.aborted) ended();
      run.signal.addEventListener('abort', () => ended());
    });
  } finally {
    await vault.close();
  }
}
