/** `varve snapshots`: what points in time there are. */
import type { Command } from 'commander';
import {
  holdName,
  idHex,
  loadLedger,
  lossyUtf8,
  type Repository,
  type Snapshot,
  selectSnapshot,
  selectSnapshots,
  sharedHosts,
  shortHex,
  slotNames,
  utf8,
} from '../lib/index.js';
import { bytesText, countText, jsonName, localTime, rfc3339, safeText } from './human.js';
import { tellLeftOut } from './left-out.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf } from './snapshot-arguments.js';
import { printRecords, selectRecords } from './snapshot-records.js';
import { tableLines } from './table.js';
import { UsageError } from './usage-error.js';

export function configure(command: Command, run: Run): void {
  addFilterOptions(command)
    .argument('[snapshot...]', 'only these: id, latest, latest~N, @TIME')
    .option('--latest <n>', 'only the last n of each host and set of paths')
    .option('--writer', 'show the writer of each: its name and id')
    .addHelpText(
      'after',
      `
Examples:
  varve snapshots
  varve snapshots --host web1 --since 7d
  varve snapshots --writer
  varve snapshots --json latest | jq .id

A snapshot that claims a host for which its writer is not certified is shown under the writer's own, with a ! behind it.

Without the reader role in hand it lists what is known without reading: time, id, state, writer and until when it is kept.
A snapshot whose manifest does not open is named on stderr and left out; the status is then 15.`,
    )
    .action(async (names: string[], flags: FilterOptions & { latest?: string; writer?: boolean }) => {
      const filter = filterOf(flags);
      if (flags.latest !== undefined && !/^[1-9]\d*$/.test(flags.latest))
        throw new UsageError(`--latest ${flags.latest}: must be a number of snapshots, 1 or more`);
      await withRepository(run, async (repository) => {
        if (repository.keyring.root === null) {
          printRecords(run, await selectRecords(repository, names, filter, flags.latest));
          return;
        }
        const options = { filter, onLeftOut: tellLeftOut(run) };
        let found = names.length === 0 ? await selectSnapshots(repository, options) : [];
        for (const name of names) found.push(await selectSnapshot(repository, name, options));
        if (flags.latest !== undefined) found = lastOfEach(found, Number(flags.latest));
        print(run, found, flags.writer === true);
        await tellSharedHosts(run, repository, found);
      });
    });
}

function lastOfEach(snapshots: readonly Snapshot[], count: number): Snapshot[] {
  const seen = new Map<string, number>();
  const kept = [...snapshots].reverse().filter(({ body }) => {
    const key = JSON.stringify([body.host, body.paths.map((path) => Buffer.from(path).toString('latin1'))]);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return seen.get(key)! <= count;
  });
  return kept.reverse();
}

/** A snapshot as JSON programs see it. */
export function describeSnapshot(snapshot: Snapshot): Record<string, unknown> {
  const { body, envelope, payload } = snapshot;
  return {
    id: idHex(snapshot.id),
    short_id: shortHex(snapshot.id),
    time: rfc3339(snapshot.time),
    claimed_time: rfc3339(envelope.claimed),
    started: rfc3339(envelope.started),
    finished: rfc3339(envelope.finished),
    state: stateOf(snapshot),
    host: body.host,
    claimed_host: snapshot.claimedHost,
    label: body.label,
    foreign: snapshot.foreign,
    paths: body.paths.map((path) => jsonName('path', path).path),
    ...(body.paths.some((path) => 'path_b64' in jsonName('path', path))
      ? { paths_b64: body.paths.map((path) => Buffer.from(path).toString('base64')) }
      : {}),
    tags: snapshot.tags,
    files: body.root.totals.files,
    directories: body.root.totals.directories,
    bytes: body.root.totals.bytes,
    new_bytes: envelope.newBytes,
    packs: envelope.pinCount,
    pack_bytes: envelope.pinBytes,
    problems: body.problemCount,
    retain_until: rfc3339({ sec: snapshot.retainUntilSec, nsec: 0 }),
    slots: slotNames(payload.slots),
    class: payload.class ?? null,
    newest: snapshot.newest,
    expired: snapshot.freeSec <= Date.now() / 1000,
    holds: snapshot.holds.map((hold) => ({ hold: holdName(hold), reason: hold.reason })),
    writer: idHex(envelope.writer),
    writer_name: snapshot.writerName ?? null,
    program: body.program,
  };
}

export function stateOf(snapshot: Snapshot): 'complete' | 'partial' {
  return snapshot.payload.state === 0 ? 'complete' : 'partial';
}

/** What keeps it longest: a hold, being the newest of its stream, or the time until which it was promised. */
function keptText({ holds, newest, retainUntilSec }: Snapshot, nowSec: number): string {
  if (holds.length > 0) return 'hold';
  if (retainUntilSec > nowSec) return localTime({ sec: retainUntilSec, nsec: 0 }).slice(0, 16);
  return newest ? 'newest' : 'expired';
}

/** The label in brackets, unless it is the one that backups get by default: their paths. */
function labelText({ body }: Snapshot): string {
  const usual = body.paths
    .map((path) => lossyUtf8(path))
    .sort()
    .join(' ');
  return body.label === usual ? '' : ` (${safeText(utf8(body.label))})`;
}

/** Says once of each host that two writers use it: perhaps one of them is not that host. */
async function tellSharedHosts(run: Run, repository: Repository, snapshots: readonly Snapshot[]): Promise<void> {
  const names = new Map(snapshots.map((one) => [idHex(one.envelope.writer), one.writerName]));
  const used = snapshots.map(({ body, envelope }) => ({ host: body.host, author: envelope.writer }));
  if (names.size < 2) return;
  for (const { host, writers } of await sharedHosts(used, await loadLedger(repository))) {
    const list = writers.map((author) => writerText(author, names.get(idHex(author)))).join(', ');
    run.out.warn(`host ${safeText(utf8(host))} is used by ${writers.length} writers: ${list}`, {
      host,
      writers: writers.map(idHex),
    });
  }
}

function writerText(author: Uint8Array, name: string | undefined): string {
  return name === undefined ? shortHex(author) : `${safeText(utf8(name))} (${shortHex(author)})`;
}

function print(run: Run, snapshots: readonly Snapshot[], withWriter: boolean): void {
  if (run.out.json) {
    for (const snapshot of snapshots) run.out.record('snapshot', describeSnapshot(snapshot));
    return;
  }
  if (snapshots.length === 0) {
    run.out.info('No snapshots.');
    return;
  }
  const nowSec = Date.now() / 1000;
  const rows = snapshots.map((snapshot) => [
    shortHex(snapshot.id),
    localTime(snapshot.time),
    safeText(utf8(snapshot.body.host)) + (snapshot.foreign ? '!' : ''),
    ...(withWriter ? [writerText(snapshot.envelope.writer, snapshot.writerName)] : []),
    safeText(utf8(snapshot.tags.join(','))),
    bytesText(snapshot.body.root.totals.bytes),
    bytesText(snapshot.envelope.newBytes),
    stateOf(snapshot),
    keptText(snapshot, nowSec),
    safeText(utf8(snapshot.payload.class ?? '')),
    snapshot.body.paths.map((path) => safeText(path)).join(' ') + labelText(snapshot),
  ]);
  for (const line of tableLines(
    ['ID', 'Time', 'Host', ...(withWriter ? ['Writer'] : []), 'Tags', 'Size', 'Stored', 'State', 'Kept until', 'Class', 'Paths'],
    rows,
    withWriter ? [5, 6] : [4, 5],
  ))
    run.out.text(line);
  run.out.info(countText(snapshots.length, 'snapshot'));
}
