/** The options that name patterns, for backup and restore, in the order in which they were typed: `!` depends on it. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Pattern } from '../lib/index.js';
import { argumentBytes } from './raw-arguments.js';
import { UsageError } from './usage-error.js';

/** Lines of a file of patterns: blanks around them, empty ones and those that begin with # do not count. */
export function readPatternFile(file: string): Uint8Array[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === '-' ? 0 : file);
  } catch (cause) {
    throw new UsageError(`${file}: ${(cause as Error).message}`);
  }
  // Latin-1 keeps every byte while lines are cut.
  return bytes
    .toString('latin1')
    .split('\n')
    .map((line) => line.replace(/^[ \t]+|[ \t\r]+$/g, ''))
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => Buffer.from(line, 'latin1'));
}

/**
 * `$NAME` and `${NAME}` of a line, as in restic's pattern files; `$$` is a dollar. A variable that is not set would make another pattern than was meant, perhaps one
 * that matches everything, so it is refused.
 *
 * @throws UsageError
 */
function withVariables(line: Uint8Array, file: string): Uint8Array {
  const text = Buffer.from(line).toString('latin1');
  const expanded = text.replaceAll(
    /\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g,
    (_, dollar?: string, bare?: string, braced?: string) => {
      if (dollar !== undefined) return '$';
      const name = (bare ?? braced)!;
      const value = process.env[name];
      if (value === undefined)
        throw new UsageError(`${file}: ${text}: the variable ${name} is not set; for a dollar sign itself write $$`);
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
    void patterns.push(...readPatternFile(value).map((line) => ({ pattern: withVariables(line, value), ignoreCase })));
  command
    .option(`${letter === undefined ? '' : `-${letter}, `}--${name} <pattern>`, `${what} (repeatable)`, one(false))
    .option(`--i${name} <pattern>`, `as --${name}, whatever the case of letters`, one(true))
    .option(`--${name}-file <file>`, `patterns for --${name}, one a line; $NAME is a variable, $$ a dollar`, file(false))
    .option(`--i${name}-file <file>`, `patterns for --i${name}, one a line`, file(true));
  return patterns;
}

/** Runs `compile`, whose complaints are about what was typed. @throws UsageError */
export async function compiled<T>(compile: () => Promise<T>): Promise<T> {
  try {
    return await compile();
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
