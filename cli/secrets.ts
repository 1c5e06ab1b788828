/**
 * Where passphrases come from: a file, a command, a descriptor, the environment, or the terminal. Never the command line, where every other process could
 * read it.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { WrongKeyError } from '../lib/index.js';
import type { Globals } from './globals.js';
import { handedSecrets } from './handed-secrets.js';
import type { Output } from './output.js';
import { type Secret, secretOf, secretOfLine, toBeSet, toOpenWith, whatMayDiffer } from './passphrase-text.js';
import { askNewSecret, askSecret, canAsk, discardTyped } from './prompt.js';
import { variableBytes } from './raw-arguments.js';
import { UsageError } from './usage-error.js';

const WAYS =
  'give it with -p FILE, --password-command, VARVE_PASSWORD, VARVE_PASSWORD_FILE, VARVE_PASSWORD_COMMAND or VARVE_PASSWORD_FD, or run on a terminal';
/** How often a person is asked. */
const TRIES = 3;

function fromFile(file: string, what: string): Secret {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw new WrongKeyError(`${what}: ${(cause as Error).message}`, cause);
  }
  return secretOfLine(bytes, what);
}

function fromCommand(command: string, what: string): Secret {
  // The command may ask on the terminal, but must not eat the data of `backup --stdin`.
  const input = process.stdin.isTTY === true ? 'inherit' : 'ignore';
  const { status, signal, stdout, error } = spawnSync('/bin/sh', ['-c', command], {
    stdio: [input, 'pipe', 'inherit'],
    maxBuffer: 1 << 20,
  });
  if (error !== undefined) throw new WrongKeyError(`${what}: ${error.message}`, error);
  if (status !== 0) throw new WrongKeyError(`${what}: the command ended with ${signal ?? `status ${status}`}`);
  return secretOfLine(stdout, what);
}

function fromDescriptor(text: string, what: string): Secret {
  const fd = Number(text);
  if (!Number.isInteger(fd) || fd < 0) throw new UsageError(`${what}: ${text} is not the number of a descriptor`);
  let bytes: Buffer;
  try {
    bytes = readFileSync(fd);
    if (fd > 2) closeSync(fd);
  } catch (cause) {
    throw new WrongKeyError(`${what}: ${(cause as Error).message}`, cause);
  }
  return secretOfLine(bytes, what);
}

/** Passphrase from `PREFIX_FD`, `PREFIX_FILE`, `PREFIX_COMMAND` or `PREFIX`. */
function fromEnvironment(prefix: string): Secret | undefined {
  const read = (suffix: string): string | undefined => process.env[`${prefix}${suffix}`] || undefined;
  const [fd, file, command] = [read('_FD'), read('_FILE'), read('_COMMAND')];
  if (fd !== undefined) return fromDescriptor(fd, `${prefix}_FD`);
  if (file !== undefined) return fromFile(file, `${prefix}_FILE`);
  if (command !== undefined) return fromCommand(command, `${prefix}_COMMAND`);
  if (process.env[prefix] === undefined) return undefined;
  // Bytes that Node replaced and that are nowhere else to be had are as good as not UTF-8.
  return secretOf(variableBytes(prefix) ?? Uint8Array.of(0xff), prefix);
}

interface Sources {
  readonly file?: string | undefined;
  readonly command?: string | undefined;
  readonly prefix: string;
  /** `--password`, `--new-password`. */
  readonly flag: string;
}

function given({ file, command, prefix, flag }: Sources): Secret | undefined {
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

/** A try to open something with a passphrase, whose refusal says what may differ. */
async function attempt<T>(passphrase: string, open: (passphrase: string) => Promise<T>): Promise<T> {
  try {
    return await open(passphrase);
  } catch (error) {
    if (isWrongPassphrase(error)) error.message += whatMayDiffer(passphrase);
    throw error;
  }
}

/** Not for a repository that no passphrase opens, or a slot that is damaged: asking again is no use there. */
function isWrongPassphrase(error: unknown): error is Error {
  return error instanceof Error && (error as { code?: unknown }).code === 'WRONG_KEY' && /^wrong passphrase/.test(error.message);
}

/**
 * Opens something with the passphrase that options or environment give; a person on a terminal is asked, three times if need be.
 *
 * @throws UsageError when nobody can be asked, WrongKeyError
 */
export async function openWithPassphrase<T>(
  { globals, out }: { readonly globals: Globals; readonly out: Output },
  what: string,
  open: (passphrase: string) => Promise<T>,
): Promise<T> {
  const handed = handedSecrets()?.passphrase;
  if (handed !== undefined) return await attempt(handed, open);
  const known = given(sourcesOf(globals));
  if (known !== undefined) return await attempt(toOpenWith(known), open);
  if (!canAsk()) throw new UsageError(`a passphrase is needed for ${what}; ${WAYS}`);
  for (let left = TRIES - 1; ; left--) {
    const secret = await askSecret(out, `Passphrase for ${what}: `);
    try {
      if (secret.text === '') throw new WrongKeyError('wrong passphrase: it is empty');
      return await attempt(secret.text, open);
    } catch (error) {
      // What was typed for another try must not go to the shell.
      if (left === 0) discardTyped();
      if (left === 0 || !isWrongPassphrase(error)) throw error;
      out.ask(secret.text === '' ? 'It is empty; try again.' : 'That is not right; try again.', '\n');
    }
  }
}

/** A new passphrase for `init`, as given; undefined when none is. @throws UsageError */
export function givenFirstPassphrase(globals: Globals): string | undefined {
  const known = given(sourcesOf(globals));
  return known === undefined ? undefined : toBeSet(known);
}

/** A new passphrase for `init`: as given, or asked for twice. @throws UsageError */
export async function firstPassphrase({ globals, out }: { readonly globals: Globals; readonly out: Output }): Promise<string> {
  return givenFirstPassphrase(globals) ?? (await askNew(out, 'Passphrase for the new repository', WAYS));
}

export interface NewPassphraseOptions {
  readonly newPasswordFile?: string;
  readonly newPasswordCommand?: string;
}

/** A passphrase that is to be, beside the one that opens the repository. @param otherwise - what else can be done. @throws UsageError */
export async function newPassphrase(out: Output, options: NewPassphraseOptions, otherwise = ''): Promise<string> {
  const ways = `give it with --new-password-file, --new-password-command, VARVE_NEW_PASSWORD or VARVE_NEW_PASSWORD_FILE, _COMMAND or _FD, or run on a terminal${otherwise}`;
  return givenNewPassphrase(options) ?? (await askNew(out, 'New passphrase', ways));
}

/** The new passphrase that options or environment give, or undefined. @throws UsageError */
export function givenNewPassphrase(options: NewPassphraseOptions): string | undefined {
  const known = given({
    file: options.newPasswordFile,
    command: options.newPasswordCommand,
    prefix: 'VARVE_NEW_PASSWORD',
    flag: '--new-password',
  });
  return known === undefined ? undefined : toBeSet(known);
}

async function askNew(out: Output, question: string, ways: string): Promise<string> {
  if (!canAsk()) throw new UsageError(`a new passphrase is needed; ${ways}`);
  const secret = await askNewSecret(out, question);
  if (secret === undefined) throw new UsageError('no passphrase was agreed on; nothing was changed');
  return toBeSet(secret);
}
