/** The options that name patterns, for backup and restore, in the order in which they were typed: `!` depends on it. */
import type { Command } from 'commander';
import type { Pattern } from '../lib/index.js';
import { isThere, type ListLine, readLines } from './list-file.js';
import { argumentBytes } from './raw-arguments.js';
import { UsageError } from './usage-error.js';

/** Lines of a file of patterns: blanks around them, empty ones and those that begin with # do not count. */
export function patternLines(file: string): ListLine[] {
  return readLines(file)
    .map(({ bytes, from }) => ({ bytes: trimmed(bytes), from }))
    .filter(({ bytes }) => bytes.byteLength > 0 && bytes[0] !== 0x23);
}

/** Without blanks and tabs at either end, and a CR; latin-1 keeps every byte. One that names a file with them keeps them. */
function trimmed(line: Buffer): Buffer {
  const text = line.toString('latin1').replace(/^[ \t]+|[ \t\r]+$/g, '');
  return text.length === line.byteLength || isThere(line) ? line : Buffer.from(text, 'latin1');
}

/**
 * `$NAME` and `${NAME}` of a line, as in restic's pattern files; `$$` is a dollar. A variable that is not set would make another pattern than was meant, perhaps one
 * that matches everything, so it is refused.
 *
 * @throws UsageError
 */
function withVariables({ bytes, from }: ListLine): Uint8Array {
  const text = bytes.toString('latin1');
  const expanded = text.replaceAll(
    /\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g,
    (_, dollar?: string, bare?: string, braced?: string) => {
      if (dollar !== undefined) return '$';
      const name = (bare ?? braced)!;
      const value = process.env[name];
      if (value === undefined)
        throw new UsageError(`${from}: ${text}: the variable ${name} is not set; for a dollar sign itself write $$`);
      return Buffer.from(value).toString('latin1');
    },
  );
  return Buffer.from(expanded, 'latin1');
}

/** Adds `--NAME`, `--iNAME`, `--NAME-file`, `--iNAME-file`, all filling one list. */
export function addPatternOptions(
  command: Command,
  name: 'include' | 'exclude',
  letter: string | undefined,
  what: string,
): Pattern[] {
  const patterns: Pattern[] = [];
  const one = (ignoreCase: boolean) => (value: string) => void patterns.push({ pattern: argumentBytes(value), ignoreCase });
  const file = (ignoreCase: boolean) => (value: string) =>
    void patterns.push(...patternLines(value).map((line) => ({ pattern: withVariables(line), ignoreCase, from: line.from })));
  command
    .option(`${letter === undefined ? '' : `-${letter}, `}--${name} <pattern>`, `${what} (repeatable)`, one(false))
    .option(`--i${name} <pattern>`, `as --${name}, whatever the case of letters`, one(true))
    .option(`--${name}-file <file>`, `patterns for --${name}, one a line; $NAME is a variable, $$ a dollar`, file(false))
    .option(`--i${name}-file <file>`, `patterns for --i${name}, one a line`, file(true));
  return patterns;
}

/** What a pattern means, for the help of a command. */
export const PATTERN_HELP = `
Patterns: * and ? stay within a name, ** spans names; a pattern without a slash at its beginning matches at any depth, one that ends with a slash
matches directories only. What matches a directory takes everything beneath it. !PATTERN takes back what a pattern before it matched, but nothing
beneath a directory that is left out as a whole; you are told where one does nothing.`;

/** Runs `compile`, whose complaints are about what was typed. @throws UsageError */
export async function compiled<T>(compile: () => Promise<T>): Promise<T> {
  try {
    return await compile();
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
