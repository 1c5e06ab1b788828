/** Lists of sources in files: `--files-from` (patterns), `--files-from-verbatim` (one path a line), `--files-from-raw` (paths ended by NUL). */
import { readdirSync, readFileSync } from 'node:fs';
import { compilePatterns } from '../lib/index.js';
import { readPatternFile } from './patterns.js';
import { UsageError } from './usage-error.js';

const WILD = /[*?[]/;

/** Paths of a file, split at `separator`. */
function split(file: string, separator: string): Buffer[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file).toString('latin1');
  } catch (cause) {
    throw new UsageError(`${file}: ${(cause as Error).message}`);
  }
  const paths = text.split(separator);
  if (paths.at(-1) === '') paths.pop();
  else if (separator === '\0' && text !== '') throw new UsageError(`${file}: the last path is not ended by NUL`);
  return paths.filter((path) => path !== '').map((path) => Buffer.from(path, 'latin1'));
}

export const verbatimPaths = (file: string): Buffer[] => split(file, '\n');
export const rawPaths = (file: string): Buffer[] => split(file, '\0');

/** Expands each line's wildcards. @throws UsageError for a pattern that finds nothing */
export async function globbedPaths(file: string): Promise<Buffer[]> {
  const paths: Buffer[] = [];
  for (const line of readPatternFile(file)) {
    const found = WILD.test(Buffer.from(line).toString('latin1')) ? await expand(Buffer.from(line)) : [Buffer.from(line)];
    if (found.length === 0) throw new UsageError(`${file}: nothing matches ${Buffer.from(line).toString()}`);
    paths.push(...found);
  }
  return paths;
}

async function expand(pattern: Buffer): Promise<Buffer[]> {
  const text = pattern.toString('latin1');
  let found = [text.startsWith('/') ? '/' : ''];
  for (const name of text.split('/').filter((part) => part !== '')) {
    const next: string[] = [];
    if (!WILD.test(name)) next.push(...found.map((folder) => `${folder}${name}/`));
    else {
      const patterns = await compilePatterns([{ pattern: Buffer.from(`/${name}`, 'latin1') }]);
      for (const folder of found) {
        for (const child of listNames(folder)) {
          if (patterns.matches(Buffer.from(`/${child}`, 'latin1')) && (!child.startsWith('.') || name.startsWith('.')))
            next.push(`${folder}${child}/`);
        }
      }
    }
    found = next;
  }
  return found.map((path) => Buffer.from(path.slice(0, -1) || '/', 'latin1'));
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
