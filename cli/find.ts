/** `varve find PATTERN`: which snapshots hold what, each version once. */
import type { Command } from 'commander';
import { compilePatterns, type Found, findPaths, idHex, openTrees, selectSnapshots, shortHex } from '../lib/index.js';
import { describeEntry, kindLetter, longLine } from './entry-text.js';
import { countText, localTime, parseTime, rfc3339 } from './human.js';
import { compiled } from './patterns.js';
import { argumentBytes } from './raw-arguments.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, collect, type FilterOptions, filterOf } from './snapshot-arguments.js';

interface FindFlags extends FilterOptions {
  readonly snapshot?: string[];
  readonly ignoreCase?: boolean;
  readonly type?: string;
  readonly newer?: string;
  readonly older?: string;
}

export function configure(command: Command, run: Run): void {
  addFilterOptions(command.argument('<pattern...>', 'names, or paths when they hold a /; with *, ?, [a-z] and **'))
    .option('-s, --snapshot <id>', 'only in this snapshot (repeatable)', collect)
    .option('-i, --ignore-case', 'whatever the case of letters')
    .option('--type <letter>', 'only this type: f file, d directory, l symlink')
    .option('--newer <time>', 'only what was modified at or after this time')
    .option('--older <time>', 'only what was modified at or before this time')
    .addHelpText(
      'after',
      `
What several snapshots hold unchanged is shown once, with the first and the last of them.

Examples:
  varve find '*.docx' --since 30d
  varve find /etc/fstab
  varve find --json -i 'report*' | jq -r .path`,
    )
    .action((patterns: string[], flags: FindFlags) => find(run, patterns, flags));
}

async function find(run: Run, patterns: readonly string[], flags: FindFlags): Promise<void> {
  const wantedPath = await compiled(() =>
    compilePatterns(
      patterns.map((pattern) => ({ pattern: argumentBytes(pattern), ignoreCase: flags.ignoreCase === true })),
      { itself: true },
    ),
  );
  const letter = flags.type === 'f' ? '-' : flags.type;
  const now = Date.now();
  const [newer, older] = [flags.newer, flags.older].map((time) => (time === undefined ? undefined : parseTime(time, now)));
  await withRepository(run, async (repository) => {
    let snapshots = await selectSnapshots(repository, filterOf(flags));
    if (flags.snapshot !== undefined)
      snapshots = snapshots.filter(({ id }) => flags.snapshot!.some((prefix) => idHex(id).startsWith(prefix)));
    const opened = await openTrees(repository, snapshots);
    let found: Found[];
    try {
      found = await findPaths(opened.trees, {
        wanted: (path, entry) => {
          const ms = entry.mtimeSec * 1000;
          if (!wantedPath.matches(path)) return false;
          return (
            (letter === undefined || kindLetter(entry) === letter) &&
            (newer === undefined || ms >= newer) &&
            (older === undefined || ms <= older)
          );
        },
        signal: run.signal,
      });
    } finally {
      await opened.close();
    }
    for (const one of found) {
      print(run, one);
      await run.out.breathe();
    }
    run.out.record('summary', { found: found.length, snapshots: snapshots.length });
    run.out.info(`${countText(found.length, 'version')} found in ${countText(snapshots.length, 'snapshot')}`);
  });
}

function print(run: Run, { path, entry, snapshots }: Found): void {
  const [first, last] = [snapshots[0]!, snapshots.at(-1)!];
  run.out.record('match', {
    ...describeEntry(path, entry),
    snapshots: snapshots.map(({ id }) => idHex(id)),
    first_seen: rfc3339(first.time),
    last_seen: rfc3339(last.time),
  });
  const where =
    first === last
      ? `${shortHex(first.id)} ${localTime(first.time)}`
      : `${shortHex(first.id)} ${localTime(first.time)} to ${shortHex(last.id)} ${localTime(last.time)}, ${snapshots.length} snapshots`;
  run.out.text(...longLine(path, entry), `  (${where})`);
}
