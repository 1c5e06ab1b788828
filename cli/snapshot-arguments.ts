/** Snapshots as arguments: `SNAP`, `SNAP:PATH`, and the filters --host --tag --path --since --until --state. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { SnapshotFilter } from '../lib/index.js';
import { parseTime, parseTimeEnd } from './human.js';
import { argumentBytes } from './raw-arguments.js';
import { UsageError } from './usage-error.js';

/** Adds an option that may be given several times. */
export const collect = (value: string, previous: readonly string[] | undefined): string[] => [...(previous ?? []), value];

export interface FilterOptions {
  readonly host?: string[];
  readonly tag?: string[];
  readonly path?: string[];
  readonly since?: string;
  readonly until?: string;
  readonly state?: 'complete' | 'partial';
}

export function addFilterOptions(command: Command): Command {
  return command
    .option('--host <host>', 'only snapshots of this host (repeatable)', collect)
    .option('--tag <tag,tag>', 'only snapshots with all of these tags (repeatable: any of the lists)', collect)
    .option('--path <path>', 'only snapshots of this source (repeatable: all of them)', collect)
    .option('--since <time>', 'only snapshots from this time on, e.g. 2026-03-01 or 7d')
    .option('--until <time>', 'only snapshots up to this time')
    .addOption(new Option('--state <state>', 'only snapshots in this state').choices(['complete', 'partial']));
}

/** The filter that the options say. @throws UsageError for a time that is none */
export function filterOf(options: FilterOptions): SnapshotFilter {
  const now = Date.now();
  return {
    ...(options.host === undefined ? {} : { hosts: options.host }),
    ...(options.tag === undefined ? {} : { tags: options.tag.map((list) => list.split(',').filter((tag) => tag !== '')) }),
    ...(options.path === undefined ? {} : { paths: options.path.map((path) => resolve(path)) }),
    ...(options.since === undefined ? {} : { sinceMs: parseTime(options.since, now) }),
    ...(options.until === undefined ? {} : { untilMs: parseTimeEnd(options.until, now) }),
    ...(options.state === undefined ? {} : { state: options.state }),
  };
}

export interface SnapshotPath {
  readonly snapshot: string;
  /** Bytes after the colon, or undefined without one. */
  readonly path: Uint8Array | undefined;
}

/**
 * Splits `SNAP:PATH`. A time holds colons too, so after `@` the colon that begins the path is the first one followed by `/`.
 */
export function parseSnapshotPath(argument: string): SnapshotPath {
  const colon = argument.startsWith('@') ? argument.indexOf(':/') : argument.indexOf(':');
  if (colon < 0) return { snapshot: argument, path: undefined };
  // An empty one is a variable of a script that was not set; it would mean the whole snapshot.
  if (colon === argument.length - 1)
    throw new UsageError(`${argument}: no path stands behind the colon; for all of it leave the colon out`);
  return { snapshot: argument.slice(0, colon), path: argumentBytes(argument.slice(colon + 1)) };
}
