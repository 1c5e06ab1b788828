/** Lists of sources in files: `--files-from` (patterns), `--files-from-verbatim` (one path a line), `--files-from-raw` (paths ended by NUL). */
import { readdirSync } from 'node:fs';
import { compilePatterns } from '../lib/index.js';
import { isThere, type ListLine, readItems, readLines } from './list-file.js';
import { patternLines } from './patterns.js';
import { UsageError } from './usage-error.js';

const WILD = /[*?[]/;

const pathsOf = (lines: readonly ListLine[]): Buffer[] => lines.map(({ bytes }) => bytes).filter((bytes) => bytes.byteLength > 0);

export const verbatimPaths = (file: string): Buffer[] => pathsOf(readLines(file));
export const rawPaths = (file: string): Buffer[] => pathsOf(readItems(file));

/**
 * Paths of a list with wildcards. A line that names something that is there means that, whatever characters are in it. `onNothing` is called for each line with a
 * wildcard that matches nothing.
 *
 * @throws UsageError for a pattern that is not one
 */
export async function globbedPaths(file: string, onNothing: (line: ListLine) => void): Promise<Buffer[]> {
  const paths: Buffer[] = [];
  for (const line of patternLines(file)) {
    if (isThere(line.bytes) || !WILD.test(line.bytes.toString('latin1'))) paths.push(line.bytes);
    else {
      const found = await expand(line);
      if (found.length === 0) onNothing(line);
      for (const path of found) paths.push(path);
    }
  }
  return paths;
}

async function expand({ bytes, from }: ListLine): Promise<Buffer[]> {
  const text = bytes.toString('latin1');
  let found = [text.startsWith('/') ? '/' : ''];
  for (const name of text.split('/').filter((part) => part !== '')) {
    const next: string[] = [];
    if (!WILD.test(name)) next.push(...found.map((folder) => `${folder}${name}/`));
    else {
      const patterns = await compiledName(Buffer.from(`/${name}`, 'latin1'), from);
      for (const folder of found) {
        for (const child of listNames(folder)) {
          if (patterns.matches(Buffer.from(`/${child}`, 'latin1')) && (!child.startsWith('.') || name.startsWith('.')))
            next.push(`${folder}${child}/`);
        }
      }
    }
    found = next;
  }
  const paths = found.map((path) => Buffer.from(path.slice(0, -1) || '/', 'latin1'));
  // Names behind the last wildcard were taken on trust; a slash at the end means directories only.
  return text.endsWith('/')
    ? paths.map((path) => Buffer.concat([path, Buffer.from('/')])).filter(isThere)
    : paths.filter(isThere);
}

async function compiledName(pattern: Buffer, from: string): ReturnType<typeof compilePatterns> {
  try {
    return await compilePatterns([{ pattern, from }]);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

function listNames(folder: string): string[] {
  try {
    return readdirSync(Buffer.from(folder === '' ? '.' : folder, 'latin1'), { encoding: 'buffer' })
      .map((name) => name.toString('latin1'))
      .sort();
  } catch {
    return [];
  }
}
