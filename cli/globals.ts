/** Options that every command takes, and the environment variables that stand in for them. */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { UsageError } from './usage-error.js';

export interface Globals {
  readonly repo?: string;
  readonly passwordFile?: string;
  readonly passwordCommand?: string;
  readonly keyFile?: string;
  /** The only key slot to try. */
  readonly keySlot?: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: number;
  readonly cacheDir?: string;
  /** False with --no-cache: a private temporary folder is used. */
  readonly cache: boolean;
}

/** Environment, as the help of every command shows it. */
export const ENVIRONMENT = `Environment (enough for every command without any of the options above):
  VARVE_REPOSITORY, VARVE_REPOSITORY_FILE      the repository, or a file that names it
  VARVE_PASSWORD, VARVE_PASSWORD_FILE,
  VARVE_PASSWORD_COMMAND, VARVE_PASSWORD_FD    the passphrase, or where it comes from
  VARVE_NEW_PASSWORD and the same suffixes     the new one, for key add, passwd, export
  VARVE_KEY_FILE                               a key file
  VARVE_CACHE_DIR, VARVE_STATE_DIR             instead of ~/.cache/varve, ~/.local/state/varve
  VARVE_HOST                                   the host name that backups carry`;

export function addGlobalOptions(program: Command): void {
  program
    .option('-r, --repo <place>', 'repository: a directory, vault:/SOCKET or ssh://USER@HOST/PATH (VARVE_REPOSITORY)')
    .option('-p, --password-file <file>', 'read the passphrase from a file')
    .option('--password-command <command>', 'run a command that prints the passphrase')
    .option('--key-file <file>', 'open with a key file (VARVE_KEY_FILE)')
    .option('--key-slot <id>', 'try the passphrase on this key slot only (varve key list)')
    .option('--json', 'JSON lines instead of text', false)
    .option('-q, --quiet', 'say only what was asked for, and errors', false)
    .addOption(
      new Option(
        '-v, --verbose',
        'say more: what a backup did without; twice: each file that it reads, and where in the program an error came from',
      )
        .argParser((_, previous: number) => previous + 1)
        .default(0, '0'),
    )
    .option('--cache-dir <dir>', 'where caches are kept (VARVE_CACHE_DIR)')
    .option('--no-cache', 'keep no cache: use a temporary folder');
}

/** The place of the repository. @throws UsageError when none is given */
export function repositoryPlace(globals: Globals): string {
  const { VARVE_REPOSITORY, VARVE_REPOSITORY_FILE } = process.env;
  if (globals.repo !== undefined) return globals.repo;
  if (VARVE_REPOSITORY) return VARVE_REPOSITORY;
  if (VARVE_REPOSITORY_FILE) return firstLine(VARVE_REPOSITORY_FILE, 'VARVE_REPOSITORY_FILE');
  throw new UsageError('no repository given; name it with -r PLACE, VARVE_REPOSITORY or VARVE_REPOSITORY_FILE');
}

function firstLine(file: string, what: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${what}: ${(cause as Error).message}`);
  }
  const line = text.split(/\r?\n/, 1)[0]!.trim();
  if (line === '') throw new UsageError(`${what}: ${file} is empty`);
  return line;
}
