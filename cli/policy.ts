/** `varve policy show | set`: how long snapshots to come are kept. */
import { type Command, Option } from 'commander';
import { type Policy, type PolicyChange, type RetentionClass, setPolicy, shortHex, showPolicy, utf8 } from '../lib/index.js';
import { bytesText, localTime, parseBytes, parseDuration, policyDuration, rfc3339, safeText } from './human.js';
import { type Run, withRepository } from './run.js';
import { collect } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

const SLOTS = ['minimum', 'hour', 'day', 'week', 'month', 'year'] as const;

interface Flags extends Partial<Record<(typeof SLOTS)[number], string>> {
  readonly class?: string;
  readonly matchHost?: string[];
  readonly matchLabel?: string[];
  readonly matchTag?: string[];
  readonly expect?: string;
  readonly removeClass?: string[];
  readonly wait?: string;
  readonly longest?: string;
  readonly extension?: string;
  readonly autoPrune?: 'on' | 'off';
  readonly dailyBytes?: string;
  readonly dailySnapshots?: string;
}

export function configure(command: Command, run: Run): void {
  command.addHelpText(
    'after',
    `
The first complete snapshot of an hour, day, week, month or year of its stream is kept for that slot's duration, the longest that applies; every snapshot for
the minimum. What a snapshot was promised when it was taken stays, whatever the policy becomes: a change is for later snapshots only, and needs an admin's key.

Examples:
  varve policy show
  varve policy set --day 30d --month 12m --year 7y
  varve policy set --class db --match-label 'pg-*' --hour 7d --expect 1h
  varve help policy`,
  );
  command
    .command('show')
    .description('show the policy in force')
    .action(() => withRepository(run, async (repository) => show(run, await showPolicy(repository))));
  const set = command.command('set').description('change the policy for snapshots to come; what is not given stays as it is');
  for (const slot of SLOTS)
    set.option(
      `--${slot} <duration>`,
      slot === 'minimum'
        ? 'how long every snapshot is kept, e.g. 24h'
        : `how long the first one of a ${slot} is kept, e.g. 14d; 0 for no such slot`,
    );
  set
    .option('--class <name>', 'change or add this class instead of the default one')
    .option('--match-host <pattern>', 'the class is for hosts that match, * stands for any text (repeatable)', collect)
    .option('--match-label <pattern>', 'likewise for labels (repeatable)', collect)
    .option('--match-tag <pattern>', 'likewise for tags (repeatable)', collect)
    .option('--expect <duration>', 'how often the class should get a snapshot; 0 for no expectation')
    .option('--remove-class <name>', 'remove a class (repeatable)', collect)
    .option('--wait <duration>', 'how long a prune is announced before it happens; 24h at least')
    .option(
      '--longest <duration>',
      'the longest that a snapshot may be promised; 0 for no limit; raised along with a longer duration',
    )
    .option('--extension <duration>', 'for how long a vault may keep snapshots longer by itself; 0 for not at all, 90d at most')
    .addOption(new Option('--auto-prune <on|off>', 'whether a vault prunes by itself').choices(['on', 'off']))
    .option('--daily-bytes <size>', 'what a writer may store in a day, held by a vault; 0 for no limit')
    .option('--daily-snapshots <n>', 'how many snapshots a writer may take in a day; 0 for no limit')
    .addHelpText(
      'after',
      '\nDurations: 24h, 2d, 8w, 12m (months), 7y, or 0.\n\nExamples:\n  varve policy set --week 26w --wait 7d',
    )
    .action((flags: Flags) => change(run, flags));
}

function durationsOf(flags: Flags): Record<string, number> {
  return Object.fromEntries(
    SLOTS.flatMap((slot) => (flags[slot] === undefined ? [] : [[`${slot}Sec`, parseDuration(flags[slot])]])),
  );
}

function changeOf(flags: Flags): PolicyChange {
  const {
    class: name,
    matchHost,
    matchLabel,
    matchTag,
    expect,
    wait,
    longest,
    extension,
    autoPrune,
    dailyBytes,
    dailySnapshots,
  } = flags;
  if (name === undefined && [matchHost, matchLabel, matchTag, expect].some((value) => value !== undefined))
    throw new UsageError('--match-host, --match-label, --match-tag and --expect are of a class: name it with --class');
  if (dailySnapshots !== undefined && !/^\d+$/.test(dailySnapshots))
    throw new UsageError(`${dailySnapshots} is not a number of snapshots`);
  const own = {
    ...durationsOf(flags),
    ...(matchHost === undefined ? {} : { hosts: matchHost }),
    ...(matchLabel === undefined ? {} : { labels: matchLabel }),
    ...(matchTag === undefined ? {} : { tags: matchTag }),
    ...(expect === undefined ? {} : { expectSec: parseDuration(expect) }),
  };
  return {
    ...(name === undefined ? durationsOf(flags) : { classes: [{ name, ...own }] }),
    ...(flags.removeClass === undefined ? {} : { removeClasses: flags.removeClass }),
    ...(wait === undefined ? {} : { waitSec: parseDuration(wait) }),
    ...(longest === undefined ? {} : { longestSec: parseDuration(longest) }),
    ...(extension === undefined ? {} : { extensionSec: parseDuration(extension) }),
    ...(autoPrune === undefined ? {} : { autoPrune: autoPrune === 'on' }),
    ...(dailyBytes === undefined ? {} : { dailyBytes: parseBytes(dailyBytes) }),
    ...(dailySnapshots === undefined ? {} : { dailySnapshots: Number(dailySnapshots) }),
  };
}

/** A policy as programs see it; durations in seconds. */
function describePolicy({ terms, ...durations }: Policy): Record<string, unknown> {
  const seconds = (of: Policy | RetentionClass | Omit<Policy, 'terms'>): Record<string, number> =>
    Object.fromEntries(SLOTS.map((slot) => [slot, of[`${slot}Sec`]]));
  return {
    ...seconds(durations),
    wait: terms.waitSec,
    longest: terms.longestSec,
    extension: terms.extensionSec ?? 0,
    auto_prune: terms.autoPrune,
    daily_bytes: terms.dailyBytes,
    daily_snapshots: terms.dailySnapshots,
    classes: terms.classes.map((one) => ({
      name: one.name,
      ...seconds(one),
      hosts: one.hosts,
      labels: one.labels,
      tags: one.tags,
      expect: one.expectSec,
    })),
  };
}

/** The policy as lines `name value`, so that two of them can be compared. */
export function policyLines({ terms, ...durations }: Policy): Map<string, string> {
  const lines = new Map<string, string>();
  for (const slot of SLOTS) lines.set(slot, policyDuration(durations[`${slot}Sec`]));
  lines.set('wait', policyDuration(terms.waitSec));
  lines.set('longest', terms.longestSec === 0 ? 'no limit' : policyDuration(terms.longestSec));
  lines.set('extension', terms.extensionSec === undefined ? 'none' : policyDuration(terms.extensionSec));
  lines.set('auto-prune', terms.autoPrune ? 'on' : 'off');
  lines.set('daily-bytes', terms.dailyBytes === 0 ? 'no limit' : bytesText(terms.dailyBytes));
  lines.set('daily-snapshots', terms.dailySnapshots === 0 ? 'no limit' : String(terms.dailySnapshots));
  for (const one of terms.classes) {
    const matches = (['hosts', 'labels', 'tags'] as const).flatMap((kind) =>
      one[kind].length === 0 ? [] : [`${kind} ${one[kind].map((text) => safeText(utf8(text))).join('|')}`],
    );
    const slots = SLOTS.map((slot) => `${slot} ${policyDuration(one[`${slot}Sec`])}`).join(', ');
    const expected = one.expectSec === 0 ? '' : `; expected every ${policyDuration(one.expectSec)}`;
    lines.set(`class ${safeText(utf8(one.name))}`, `${matches.join(', ') || 'everything'}: ${slots}${expected}`);
  }
  return lines;
}

function show(run: Run, { policy, author, time }: Awaited<ReturnType<typeof showPolicy>>): void {
  run.out.record('policy', { ...describePolicy(policy), ...(time === undefined ? {} : { since: rfc3339(time) }) });
  for (const [name, value] of policyLines(policy)) run.out.text(`${name.padEnd(16)} ${value}`);
  if (author !== undefined && time !== undefined) run.out.info(`Set ${localTime(time)} by admin ${shortHex(author)}.`);
}

async function change(run: Run, flags: Flags): Promise<void> {
  const wanted = changeOf(flags);
  if (Object.keys(wanted).length === 0) throw new UsageError('nothing to change: name what, for instance --day 30d');
  await withRepository(run, async (repository) => {
    let result: Awaited<ReturnType<typeof setPolicy>>;
    try {
      result = await setPolicy(repository, wanted);
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(error.message);
      throw error;
    }
    const { before, after, changed } = result;
    run.out.record('policy_changed', { changed, before: describePolicy(before), after: describePolicy(after) });
    if (!changed) {
      run.out.info('The policy is that already; nothing was written.');
      return;
    }
    const [old, now] = [policyLines(before), policyLines(after)];
    for (const name of new Set([...old.keys(), ...now.keys()]))
      if (old.get(name) !== now.get(name))
        run.out.text(`${name.padEnd(16)} ${old.get(name) ?? 'none'} → ${now.get(name) ?? 'removed'}`);
    if (after.terms.longestSec !== before.terms.longestSec && flags.longest === undefined)
      run.out.info('longest was raised along, since no snapshot would be kept longer than that.');
    run.out.info('This is for snapshots taken from now on; those that are there stay as long as was promised.');
  });
}
