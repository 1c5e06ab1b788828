/** `varve find PATTERN`: which snapshots hold what, each version once. */
import { type Command, Option } from 'commander';
import {
  compilePatterns,
  type Found,
  findPaths,
  idHex,
  type LeftOut,
  openTrees,
  selectRecords,
  selectSnapshots,
  shortHex,
  type Unreadable,
} from '../lib/index.js';
import { describeEntry, kindLetter, longLine } from './entry-text.js';
import { Exit } from './exit.js';
import { countText, jsonName, localTime, parseTime, rfc3339, safeText } from './human.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
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
    .option('-s, --snapshot <snapshot>', 'only in this one: id, latest, latest~N, @TIME (repeatable)', collect)
    .option('-i, --ignore-case', 'whatever the case of letters')
    .addOption(
      new Option(
        '--type <letter>',
        'only this type: file, directory, symlink, fifo, socket, character or block device, as find(1) has them',
      ).choices(['f', 'd', 'l', 'p', 's', 'c', 'b']),
    )
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
    const leftOut: string[] = [];
    const tell = tellLeftOut(run, leftOut);
    const named =
      flags.snapshot === undefined ? undefined : (await selectRecords(repository, flags.snapshot)).map(({ id }) => idHex(id));
    const isWanted = ({ id }: { id: Uint8Array }): boolean => named?.includes(idHex(id)) ?? true;
    const onLeftOut = (one: LeftOut): void => {
      if (isWanted(one.record)) tell(one);
    };
    const snapshots = (await selectSnapshots(repository, { filter: filterOf(flags), onLeftOut })).filter(isWanted);
    const opened = await openTrees(repository, snapshots, { onLeftOut, onDamaged: tellDamaged(run) });
    const searched = opened.trees.length;
    const unreadable: Unreadable[] = [];
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
        onUnreadable: (one) => unreadable.push(one),
        signal: run.signal,
      });
    } finally {
      await opened.close();
    }
    for (const one of found) {
      run.signal.throwIfAborted();
      print(run, one);
      await run.out.breathe();
    }
    tellUnreadable(run, unreadable);
    run.out.record('summary', { found: found.length, snapshots: searched, unreadable: unreadable.length, left_out: leftOut });
    run.out.info(`${countText(found.length, 'version')} found in ${countText(searched, 'snapshot')}`);
  });
}

/** Names the directories that were not searched, each once however many snapshots have it. */
function tellUnreadable(run: Run, unreadable: readonly Unreadable[]): void {
  const same = new Map<string, Unreadable[]>();
  for (const one of unreadable) {
    const key = `${Buffer.from(one.path).toString('latin1')} ${one.error.message}`;
    same.set(key, [...(same.get(key) ?? []), one]);
  }
  for (const all of same.values()) {
    const { snapshot, path, error } = all[0]!;
    const others = all.length === 1 ? '' : ` and ${all.length - 1} more`;
    run.out.warn(
      `${safeText(path)} of snapshot ${shortHex(snapshot.id)}${others} was not searched: ${error.message}. To know more: varve check`,
      { ...jsonName('path', path), snapshots: all.map((one) => idHex(one.snapshot.id)), error: error.code },
    );
    run.status = Exit.integrity;
  }
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
