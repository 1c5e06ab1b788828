/**
 * Which entries are restored, and which of the target's may be deleted. A pattern is held against an entry's path in the snapshot, its path in the target and its path in
 * what is restored: whichever of them a person had in mind, an exclusion protects. What the snapshot could not read it does not know to be gone.
 */
import { realpathSync } from 'node:fs';
import { RefusedError } from '../errors.js';
import type { Matcher, RestoreOptions } from './options.js';
import { bytesOf } from './target-directory.js';

export interface Selection {
  readonly include: Matcher | undefined;
  readonly exclude: Matcher | undefined;
  /** Whether the snapshot cannot say that nothing is at `path` (below the target) or beneath it. */
  isUnknown(path: string): boolean;
}

/** What a snapshot's manifest lists as not read. */
export interface Unread {
  readonly problems: readonly { readonly path: Uint8Array }[];
  readonly problemCount: number;
}

/**
 * @param landing - path in the snapshot, absolute, of what lands in the target itself
 * @throws RefusedError when something is to be deleted and the snapshot lists only a part of what it could not read
 */
export function selectionOf(options: RestoreOptions, targetPath: string, landing: Uint8Array, unread: Unread): Selection {
  if (options.delete === true && unread.problemCount > unread.problems.length) {
    throw new RefusedError(
      `refused to delete: the snapshot names only ${unread.problems.length} of the ${unread.problemCount} items that could not be read when it was taken, so it does not know what is gone; restore without --delete`,
    );
  }
  const inSnapshot = Buffer.from(landing).toString('latin1').replace(/\/+$/, '');
  const fronts = [...new Set(['', inSnapshot, ...targetFronts(targetPath)])];
  const unknown = new Set(unread.problems.map(({ path }) => Buffer.from(path).toString('latin1').replace(/\/+$/, '')));
  return {
    include: options.include === undefined ? undefined : inAnyForm(options.include, fronts, true),
    exclude: options.exclude === undefined ? undefined : inAnyForm(options.exclude, fronts, false),
    isUnknown(path) {
      if (unknown.size === 0) return false;
      const whole = `${inSnapshot}/${path}`;
      for (let end = whole.length; end > 0; end = whole.lastIndexOf('/', end - 1))
        if (unknown.has(whole.slice(0, end))) return true;
      for (const one of unknown) if (one.startsWith(`${whole}/`)) return true;
      return false;
    },
  };
}

/** The target as it was named, and as the system calls it. */
function targetFronts(targetPath: string): string[] {
  const fronts = [targetPath];
  try {
    fronts.push(realpathSync(targetPath));
  } catch {
    // It is not there yet.
  }
  return fronts.map((front) => Buffer.from(front).toString('latin1').replace(/\/+$/, ''));
}

/** The strongest answer of `matcher` to a path below any of `fronts`. `askAll`: it keeps account of what it was asked, so that a yes is no reason to stop. */
function inAnyForm(matcher: Matcher, fronts: readonly string[], askAll: boolean): Matcher {
  return (path, isDirectory) => {
    const below = Buffer.from(path).toString('latin1');
    let answer: ReturnType<Matcher> = 'no';
    for (const front of fronts) {
      const one = matcher(bytesOf(front + below), isDirectory);
      if (one === 'yes' || answer === 'no') answer = one;
      if (answer === 'yes' && !askAll) break;
    }
    return answer;
  };
}

/** Whether a path that the snapshot does not have would have been restored if it had. */
export function isSelected({ include, exclude }: Selection, path: string, isDirectory: boolean): boolean {
  const parts = path.split('/');
  let included = include === undefined;
  for (let i = 1; i <= parts.length; i++) {
    const prefix = bytesOf(`/${parts.slice(0, i).join('/')}`);
    const directory = i < parts.length || isDirectory;
    if (exclude?.(prefix, directory) === 'yes') return false;
    included ||= include?.(prefix, directory) === 'yes';
  }
  // Something beneath may be excluded: then the directory stays.
  return included && !(isDirectory && exclude?.(bytesOf(`/${path}`), true) === 'maybe-below');
}
