/**
 * What a backup leaves out: by pattern, by size, and by what a directory holds (cache tags). The patterns themselves are pure (patterns.ts); here the
 * few bytes of a tag file are read.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { concat, equalBytes, utf8 } from '../bytes.js';
import { compilePatterns, type Pattern } from './patterns.js';
import type { Exclusion } from './walk-context.js';

export type { Exclusion } from './walk-context.js';

/** The signature a CACHEDIR.TAG must begin with (bford.info/cachedir). */
const CACHE_TAG = { name: 'CACHEDIR.TAG', header: 'Signature: 8a477f597d28d172789f06886806bc55' };

export interface ExclusionRules {
  readonly patterns?: readonly Pattern[];
  /** Leave out what CACHEDIR.TAG marks. */
  readonly caches?: boolean;
  /** Leave out directories that hold a file of this name, which begins with this header when there is one. */
  readonly ifPresent?: readonly { readonly name: string | Uint8Array; readonly header?: string }[];
  /** Leave out files of more bytes. */
  readonly largerThanBytes?: number;
}

/** Whether the regular file at `path` begins with `header`. */
function beginsWith(path: Uint8Array, header: Uint8Array): boolean {
  let fd: number;
  try {
    fd = openSync(Buffer.from(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    const start = new Uint8Array(header.byteLength);
    return readSync(fd, start, 0, start.byteLength, 0) === header.byteLength && equalBytes(start, header);
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

/** Compiles rules; undefined when they leave nothing out. @throws RangeError naming a pattern that is not one */
export function compileExclusion(rules: ExclusionRules): Required<Exclusion> | undefined {
  const patterns = compilePatterns(rules.patterns ?? []);
  const itself = compilePatterns(rules.patterns ?? [], { itself: true });
  const hasPatterns = (rules.patterns?.length ?? 0) > 0;
  const limit = rules.largerThanBytes ?? Number.POSITIVE_INFINITY;
  const tags = [...(rules.caches === true ? [CACHE_TAG] : []), ...(rules.ifPresent ?? [])].map(({ name, header }) => ({
    name: typeof name === 'string' ? utf8(name) : name,
    header: utf8(header ?? ''),
  }));
  if (!hasPatterns && limit === Number.POSITIVE_INFINITY && tags.length === 0) return undefined;
  const told = new Set<string>();
  return {
    excludes: (path, { isDirectory, sizeBytes }, options) =>
      (!isDirectory && sizeBytes > limit) ||
      (hasPatterns && (options?.itself === true ? itself : patterns).matches(path, isDirectory)),
    keepsOnly(path, names) {
      const found = tags.filter(({ name, header }) => {
        const there = names.some((candidate) => equalBytes(candidate, name));
        return there && (header.byteLength === 0 || beginsWith(concat(path, utf8('/'), name), header));
      });
      return found.length === 0 ? undefined : found.map(({ name }) => name);
    },
    withoutEffect(path) {
      const fresh = patterns.takenBackBelow(path).filter((pattern) => !told.has(pattern));
      for (const pattern of fresh) told.add(pattern);
      return fresh;
    },
  };
}

/** Says of a path of a restore whether it matches: 'yes' with everything beneath, 'maybe-below', or 'no'. @throws RangeError */
export function compileMatcher(
  patterns: readonly Pattern[],
): (path: Uint8Array, isDirectory: boolean) => 'yes' | 'no' | 'maybe-below' {
  const compiled = compilePatterns(patterns);
  return (path, isDirectory) => {
    if (compiled.matches(path, isDirectory)) return 'yes';
    return isDirectory && compiled.mayMatchBelow(path) ? 'maybe-below' : 'no';
  };
}
