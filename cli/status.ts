/** `varve status`: what enforces retention, how old the newest snapshots are, what is held, and what somebody should look at. */
import type { Command } from 'commander';
import { repositoryStatus, utf8 } from '../lib/index.js';
import { ageText, safeText } from './human.js';
import { type Run, withRepository } from './run.js';

export function configure(command: Command, run: Run): void {
  command
    .addHelpText(
      'after',
      `
Levels: advisory holds against mistakes; guarded against a compromised user; separate against root on this machine. None is claimed
that this program cannot see.`,
    )
    .action(() => status(run));
}

async function status(run: Run): Promise<void> {
  const { out } = run;
  await withRepository(run, async (repository) => {
    const { level, why, vault, retiredVaults, sharedHosts, streams, incidents, holds } = await repositoryStatus(repository);
    out.record('status', {
      level,
      why,
      vault:
        vault === null
          ? null
          : {
              author: vault.author,
              public_key: vault.publicKey,
              certified: vault.certified,
              retired: vault.retired !== undefined,
            },
      retired_vaults: retiredVaults,
      shared_hosts: sharedHosts,
      streams: streams.map(({ ageSec, expectSec, retainUntil, writerName, ...stream }) => ({
        ...stream,
        writer_name: writerName,
        age_seconds: ageSec,
        expect_seconds: expectSec,
        retain_until: retainUntil,
      })),
      incidents,
      holds,
    });
    out.text(`Enforcement:  ${level} (${why})`);
    if (vault !== null)
      out.text(`Vault:        ${vault.publicKey}${vault.certified ? '' : ', not certified yet: varve key certify-vault'}`);
    for (const { author, reason } of retiredVaults)
      out.text(
        `Vault ${author.slice(0, 8)} was retired${reason === '' ? '' : ` (${safeText(utf8(reason))})`}: ${author === vault?.author ? 'it gives no receipts any more, so snapshots count by their writers’ clocks; certify another key: varve key certify-vault' : 'its receipts are no longer given'}`,
      );
    for (const { host, writers } of sharedHosts)
      out.text(
        `Host ${safeText(utf8(host))} is used by ${writers.length} writers: ${writers.map((hex) => hex.slice(0, 8)).join(', ')} (varve snapshots --writer)`,
      );
    for (const { stream, host, label, snapshot, ageSec, overdue, class: name } of streams)
      out.text(
        `Stream ${stream.slice(0, 8)}${host === null ? '' : ` (${safeText(utf8(`${host}/${label ?? ''}`))})`}: newest snapshot ${snapshot.slice(0, 8)} is ${ageText(ageSec)} old${name === null ? '' : `, class ${name}`}${overdue ? '; OVERDUE' : ''}`,
      );
    for (const { snapshot, reason, since } of holds)
      out.text(`Hold on ${snapshot.slice(0, 8)} since ${since.slice(0, 10)}: ${reason}`);
    for (const { time, code, detail } of incidents) out.text(`Incident ${time.slice(0, 19)}Z ${code}: ${detail}`);
    if (incidents.length === 0) out.text('No incidents in the last 30 days.');
  });
}
