/** `varve stream list | retire`: what is backed up by whom under which name, and the end of one that is backed up no more. */
import type { Command } from 'commander';
import { listStreams, loadLedger, retireStream, type StreamRecord, shortHex, toHex, utf8 } from '../lib/index.js';
import { countText, localTime, rfc3339, safeText } from './human.js';
import { type Run, withRepository } from './run.js';
import { tableLines } from './table.js';
import { UsageError } from './usage-error.js';

export function configure(command: Command, run: Run): void {
  command.addHelpText(
    'after',
    `
A stream is what one writer backs up of one host under one label. Its newest complete snapshot is kept for ever, until the stream is retired: then it
expires like the others, and varve status expects no other. A later snapshot brings the stream back.

Examples:
  varve stream list
  varve stream retire web1/www --reason 'web1 was switched off'
  varve stream retire 3f9a --reason 'moved to web2'`,
  );
  command
    .command('list')
    .description('list streams: host, label, writer, id, newest snapshot, until when that is kept')
    .addHelpText('after', '\nHosts and labels take a key with the reader role.')
    .action(() =>
      withRepository(run, async (repository) => print(run, await listStreams(repository, await loadLedger(repository)))),
    );
  command
    .command('retire')
    .description('end a stream: its newest snapshot expires like the others')
    .argument('<stream>', 'HOST/LABEL, or the first digits of its id, or WRITER/ID in first digits of both')
    .requiredOption('--reason <text>', 'why, for those who read the ledger')
    .action((stream: string, { reason }: { reason: string }) => {
      if (reason.trim() === '') throw new UsageError('--reason is empty; say why the stream ends');
      return withRepository(run, async (repository) => {
        const retired = await retireStream(repository, stream, reason);
        run.out.record('stream_retired', describeStream(retired));
        run.out.info(`Retired ${titleOf(retired)}: its snapshots expire when their time comes, the newest too.`);
      });
    });
}

function describeStream({ author, stream, writerName, host, label, foreign, newest, retired }: StreamRecord) {
  return {
    stream: toHex(stream),
    host: host ?? null,
    label: label ?? null,
    foreign: foreign ?? null,
    writer: toHex(author),
    writer_name: writerName ?? null,
    snapshot: toHex(newest.id),
    received: rfc3339(newest.received),
    retain_until: rfc3339({ sec: newest.retainUntilSec, nsec: 0 }),
    newest_kept: newest.newest,
    retired: retired === undefined ? null : { time: rfc3339(retired.time), reason: retired.reason },
  };
}

const text = (value: string | undefined): string => (value === undefined ? '?' : safeText(utf8(value)));

function titleOf({ host, label, stream }: StreamRecord): string {
  return host === undefined ? `stream ${shortHex(stream)}` : `${text(host)}/${text(label)} (${shortHex(stream)})`;
}

function keptText({ newest, retired }: StreamRecord): string {
  if (newest.holds.length > 0) return 'hold';
  if (newest.newest && retired === undefined) return 'newest';
  return localTime({ sec: newest.retainUntilSec, nsec: 0 }).slice(0, 16);
}

function print(run: Run, streams: readonly StreamRecord[]): void {
  for (const one of streams) run.out.record('stream', describeStream(one));
  if (run.out.json) return;
  if (streams.length === 0) {
    run.out.info('No streams: there are no snapshots.');
    return;
  }
  const rows = streams.map((one) => [
    shortHex(one.stream),
    text(one.host),
    text(one.label),
    one.writerName === undefined ? shortHex(one.author) : `${text(one.writerName)} (${shortHex(one.author)})`,
    `${localTime(one.newest.received).slice(0, 16)} ${shortHex(one.newest.id)}`,
    keptText(one),
    one.retired === undefined ? '' : `${localTime(one.retired.time).slice(0, 10)}: ${text(one.retired.reason)}`,
  ]);
  for (const line of tableLines(['ID', 'Host', 'Label', 'Writer', 'Newest', 'Kept until', 'Retired'], rows)) run.out.text(line);
  run.out.info(countText(streams.length, 'stream'));
}
