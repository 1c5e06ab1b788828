/**
 * Where passphrases come from: a file, a command, a descriptor, the environment, or the terminal. Never the command line, where every other process could
 * read it.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { WrongKeyError } from '../lib/index.js';
import type { Globals } from './globals.js';
import { askNewSecret, askSecret, canAsk } from './prompt.js';
import { UsageError } from './usage-error.js';

const WAYS =
  'give it with -p FILE, --password-command, VARVE_PASSWORD, VARVE_PASSWORD_FILE, VARVE_PASSWORD_COMMAND or VARVE_PASSWORD_FD, or run on a terminal';

/** The passphrase of a file or a command's output: its text without the line end. */
function withoutLineEnd(bytes: Buffer): string {
  return bytes.toString('utf8').replace(/\r?\n$/, '');
}

function fromFile(file: string, what: string): string {
  try {
    return withoutLineEnd(readFileSync(file));
  } catch (cause) {
    throw new WrongKeyError(`${what}: ${(cause as Error).message}`, cause);
  }
}

function fromCommand(command: string, what: string): string {
  // The command may ask on the terminal, but must not eat the data of `backup --stdin`.
  const input = process.stdin.isTTY === true ? 'inherit' : 'ignore';
  const { status, signal, stdout, error } = spawnSync('/bin/sh', ['-c', command], {
    stdio: [input, 'pipe', 'inherit'],
    maxBuffer: 1 << 20,
  });
  if (error !== undefined) throw new WrongKeyError(`${what}: ${error.message}`, error);
  if (status !== 0) throw new WrongKeyError(`${what}: the command ended with ${signal ?? `status ${status}`}`);
  return withoutLineEnd(stdout);
}

function fromDescriptor(text: string, what: string): string {
  const fd = Number(text);
  if (!Number.isInteger(fd) || fd < 0) throw new UsageError(`${what}: ${text} is not the number of a descriptor`);
  try {
    const secret = withoutLineEnd(readFileSync(fd));
    if (fd > 2) closeSync(fd);
    return secret;
  } catch (cause) {
    throw new WrongKeyError(`${what}: ${(cause as Error).message}`, cause);
  }
}

/** Passphrase from `PREFIX_FD`, `PREFIX_FILE`, `PREFIX_COMMAND` or `PREFIX`. */
function fromEnvironment(prefix: string): string | undefined {
  const read = (suffix: string): string | undefined => process.env[`${prefix}${suffix}`] || undefined;
  const [fd, file, command] = [read('_FD'), read('_FILE'), read('_COMMAND')];
  if (fd !== undefined) return fromDescriptor(fd, `${prefix}_FD`);
  if (file !== undefined) return fromFile(file, `${prefix}_FILE`);
  if (command !== undefined) return fromCommand(command, `${prefix}_COMMAND`);
  return process.env[prefix];
}

interface Sources {
  readonly file?: string | undefined;
  readonly command?: string | undefined;
  readonly prefix: string;
  /** `--password`, `--new-password`. */
  readonly flag: string;
}

function given({ file, command, prefix, flag }: Sources): string | undefined {
  if (file !== undefined && command !== undefined) throw new UsageError(`give ${flag}-file or ${flag}-command, not both`);
  if (file !== undefined) return fromFile(file, `${flag}-file`);
  if (command !== undefined) return fromCommand(command, `${flag}-command`);
  return fromEnvironment(prefix);
}

const sourcesOf = (globals: Globals): Sources => ({
  file: globals.passwordFile,
  command: globals.passwordCommand,
  prefix: 'VARVE_PASSWORD',
  flag: '--password',
});

/** The passphrase that options or environment give, or undefined. */
export function givenPassphrase(globals: Globals): string | undefined {
  return given(sourcesOf(globals));
}

/** The passphrase to open something with; asked for when there is a terminal. @throws UsageError when nobody can be asked */
export async function requirePassphrase(globals: Globals, what: string): Promise<string> {
  const known = givenPassphrase(globals);
  if (known !== undefined) return known;
  if (!canAsk()) throw new UsageError(`a passphrase is needed for ${what}; ${WAYS}`);
  return await askSecret(`Passphrase for ${what}: `);
}

/** A new passphrase for `init`: as given, or asked for twice. @throws UsageError */
export async function firstPassphrase(globals: Globals): Promise<string> {
  return checked(givenPassphrase(globals) ?? (await askNew('Passphrase for the new repository', WAYS)));
}

export interface NewPassphraseOptions {
  readonly newPasswordFile?: string;
  readonly newPasswordCommand?: string;
}

/** A passphrase that is to be, beside the one that opens the repository. @param otherwise - what else can be done. @throws UsageError */
export async function newPassphrase(options: NewPassphraseOptions, otherwise = ''): Promise<string> {
  const known = givenNewPassphrase(options);
  const ways = `give it with --new-password-file, --new-password-command, VARVE_NEW_PASSWORD or VARVE_NEW_PASSWORD_FILE, _COMMAND or _FD, or run on a terminal${otherwise}`;
  return checked(known ?? (await askNew('New passphrase', ways)));
}

/** The new passphrase that options or environment give, or undefined. */
export function givenNewPassphrase(options: NewPassphraseOptions): string | undefined {
  return given({
    file: options.newPasswordFile,
    command: options.newPasswordCommand,
    prefix: 'VARVE_NEW_PASSWORD',
    flag: '--new-password',
  });
}

async function askNew(question: string, ways: string): Promise<string> {
  if (!canAsk()) throw new UsageError(`a new passphrase is needed; ${ways}`);
  const secret = await askNewSecret(question);
  if (secret === undefined) throw new UsageError('no passphrase was agreed on; nothing was changed');
  return secret;
}

function checked(secret: string): string {
  if (secret === '') throw new UsageError('the passphrase is empty; it must hold at least one character');
  return secret;
}
