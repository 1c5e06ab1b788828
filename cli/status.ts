/** `varve status`: what enforces retention, how old the newest snapshots are, what is held, and what somebody should look at. */
import type { Command } from 'commander';
import { repositoryStatus } from '../lib/index.js';
import { ageText } from './human.js';
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
    const { level, why, vault, streams, incidents, holds } = await repositoryStatus(repository);
    out.record('status', {
      level,
      why,
      vault: vault === null ? null : { author: vault.author, public_key: vault.publicKey, certified: vault.certified },
      streams: streams.map(({ ageSec, expectSec, retainUntil, ...stream }) => ({
        ...stream,
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
    for (const { stream, snapshot, ageSec, overdue, class: name } of streams)
      out.text(
        `Stream ${stream.slice(0, 8)}: newest snapshot ${snapshot.slice(0, 8)} is ${ageText(ageSec)} old${name === null ? '' : `, class ${name}`}${overdue ? '; OVERDUE' : ''}`,
      );
    for (const { snapshot, reason, since } of holds)
      out.text(`Hold on ${snapshot.slice(0, 8)} since ${since.slice(0, 10)}: ${reason}`);
    for (const { time, code, detail } of incidents) out.text(`Incident ${time.slice(0, 19)}Z ${code}: ${detail}`);
    if (incidents.length === 0) out.text('No incidents in the last 30 days.');
  });
}
