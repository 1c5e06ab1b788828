/** `varve prune`: deletes what was announced long enough ago, then announces what has expired since. */
import type { Command } from 'commander';
import {
  announcePrune,
  type Fate,
  holdName,
  type PackFate,
  type PrunePlan,
  planPrune,
  type Repository,
  type SnapshotFate,
  sweepPrune,
  whyKept,
} from '../lib/index.js';
import { bytesText, countText, localTime, rfc3339 } from './human.js';
import { type Run, withRepository } from './run.js';

interface Flags {
  readonly dryRun?: boolean;
  readonly sweepOnly?: boolean;
}

export function configure(command: Command, run: Run): void {
  command
    .option('-n, --dry-run', 'change nothing; say what would go and why the rest stays')
    .option('--sweep-only', 'delete what is due, announce nothing')
    .addHelpText(
      'after',
      `
Pruning has two steps. What has expired is first announced in the ledger; once the announcement has stood for the policy's wait (72 hours unless the policy
says otherwise, never less than 24), the next prune deletes it, if nothing needs it then. So run it now and then, daily for instance. A prune that was
interrupted is finished by the next one. It takes an admin's key, and none that can read content.

Examples:
  varve prune --dry-run
  varve prune
  varve prune --dry-run --json | jq 'select(.message_type == "pack" and .state != "kept")'`,
    )
    .action((flags: Flags) =>
      withRepository(run, async (repository) => {
        if (flags.dryRun === true) await explain(run, await planPrune(repository, { signal: run.signal }));
        else await prune(run, repository, flags.sweepOnly === true);
      }),
    );
}

async function prune(run: Run, repository: Repository, sweepOnly: boolean): Promise<void> {
  const { out, signal } = run;
  const swept = await sweepPrune(repository, { signal });
  out.record('swept', {
    snapshots: swept.snapshots,
    packs: swept.packs.length,
    pack_bytes: swept.packBytes,
    manifests: swept.manifests.length,
    indexes: swept.indexes.length,
    // A vault of an earlier version deletes none.
    keys: swept.slots ?? [],
  });
  const nothing = swept.packs.length + swept.manifests.length + swept.indexes.length + swept.snapshots.length === 0;
  out.info(
    nothing
      ? 'Nothing was due to be deleted.'
      : `Deleted: ${countText(swept.snapshots.length, 'snapshot')}, ${countText(swept.packs.length, 'pack')} of ${bytesText(swept.packBytes)}, ${countText(swept.indexes.length, 'index object')}.`,
  );
  for (const id of swept.slots ?? []) out.info(`Deleted key slot ${id}, which was removed before.`);
  if (sweepOnly) return;
  const announced = await announcePrune(repository, { signal });
  const goes = { sec: announced.goesSec, nsec: 0 };
  out.record('announced', {
    snapshots: announced.snapshots,
    packs: announced.packs.length,
    pack_bytes: announced.packBytes,
    indexes: announced.indexes.length,
    ...(announced.goesSec === 0 ? {} : { goes: rfc3339(goes) }),
  });
  out.info(
    announced.entries.length === 0
      ? 'Nothing more has expired.'
      : `Announced: ${countText(announced.snapshots.length, 'snapshot')}, ${countText(announced.packs.length, 'pack')} of ${bytesText(announced.packBytes)}; they go with a prune from ${localTime(goes)} on.`,
  );
}

const timeText = (sec: number): string | null => (Number.isFinite(sec) ? rfc3339({ sec, nsec: 0 }) : null);

function describeFate(fate: Fate): Record<string, unknown> {
  const { id, state, sec, by, goesSec } = fate;
  const word = state === 'kept' || state === 'fresh' ? 'until' : 'since';
  return {
    id,
    state,
    [word]: timeText(sec),
    ...(by === undefined ? {} : { snapshot: by }),
    ...(goesSec === undefined ? {} : { goes: timeText(goesSec) }),
  };
}

function snapshotReasons({ standing, state }: SnapshotFate, nowSec: number): string[] {
  if (standing === undefined) return [state === 'fresh' ? 'a run may be committing it' : 'no ledger entry names it'];
  return whyKept(standing, nowSec);
}

/** What a pack's fate comes of, in words. */
function packReason(fate: PackFate, plan: PrunePlan, snapshots: ReadonlyMap<string, SnapshotFate>): string {
  const { state, by } = fate;
  const named = by === undefined ? '' : `snapshot ${by.slice(0, 8)}`;
  if (plan.blocked.length > 0) return 'it is unknown what needs it';
  if (state === 'kept') {
    const reasons = by === undefined ? [] : snapshotReasons(snapshots.get(by)!, plan.nowSec);
    return by === undefined ? 'kept' : `needed by ${named}: ${reasons.join(', and ')}`;
  }
  if (state === 'fresh') return 'needed by no snapshot, but a run may be about to use it';
  if (state === 'expired') return `last needed by ${named}, which has expired; not announced yet`;
  if (state === 'orphan') return 'needed by no snapshot; not announced yet';
  return state === 'ripe' ? 'announced, and due' : 'announced';
}

async function explain(run: Run, plan: PrunePlan): Promise<void> {
  const { out } = run;
  for (const problem of plan.blocked) out.warn(`${problem}: nothing is pruned until it is back (varve check)`);
  const snapshots = new Map(plan.snapshots.map((fate) => [fate.id, fate]));
  for (const fate of plan.snapshots) {
    const holds = fate.standing?.holds.map(holdName) ?? [];
    const reasons = snapshotReasons(fate, plan.nowSec);
    out.record('snapshot', {
      ...describeFate(fate),
      committed: fate.standing !== undefined,
      pruned: fate.pruned,
      holds,
      reasons,
    });
    await out.breathe();
  }
  for (const fate of plan.packs) {
    out.record('pack', { ...describeFate(fate), bytes: fate.bytes, reason: packReason(fate, plan, snapshots) });
    await out.breathe();
  }
  for (const fate of plan.indexes) out.record('index', describeFate(fate));
  const of = (states: readonly string[]): { snapshots: number; packs: number; bytes: number } => {
    const packs = plan.packs.filter(({ state }) => states.includes(state));
    return {
      snapshots: plan.snapshots.filter(
        ({ state, standing, pruned }) => states.includes(state) && standing !== undefined && !pruned,
      ).length,
      packs: packs.length,
      bytes: packs.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  };
  const groups = [
    ['due', 'Would be deleted now', of(['ripe'])],
    ['waiting', 'Announced, waiting', of(['announced'])],
    ['to_announce', 'Would be announced', of(['expired', 'orphan'])],
    ['fresh', 'Of runs that may be under way', of(['fresh'])],
    ['kept', 'Kept', of(['kept'])],
  ] as const;
  for (const [, title, { snapshots: count, packs, bytes }] of groups)
    if (packs + count > 0)
      out.text(`${title}: ${countText(count, 'snapshot')}, ${countText(packs, 'pack')} of ${bytesText(bytes)}`);
  const next = Math.min(
    ...[...plan.packs, ...plan.snapshots].filter(({ state }) => state === 'announced').map(({ goesSec }) => goesSec!),
  );
  if (Number.isFinite(next)) out.info(`The next of what is announced is due ${localTime({ sec: next, nsec: 0 })}.`);
  out.record('summary', {
    dry_run: true,
    blocked: plan.blocked,
    ...Object.fromEntries(groups.map(([name, , sums]) => [name, sums])),
  });
}
