/** `varve cat`: one object of the repository as JSON, for those who debug it. Secrets are never shown. */
import type { Command } from 'commander';
import { describeObject, loadLedger, type Repository, selectSnapshot, toHex, utf8 } from '../lib/index.js';
import { type Run, withRepository } from './run.js';
import { parseSnapshotPath } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

type ObjectName = Parameters<typeof describeObject>[1];

export function configure(command: Command, run: Run): void {
  command
    .argument('<kind>', 'genesis, ledger, entry, key, manifest, tree, chunk, pack, index')
    .argument('[name...]', 'which one')
    .addHelpText(
      'after',
      `
  cat genesis                    the repository's first object
  cat ledger                     every entry
  cat entry AUTHOR SEQUENCE      one entry
  cat key ID                     a key slot's header
  cat manifest SNAP              a snapshot's manifest
  cat tree SNAP[:PATH]           the entry at a path, and a directory's page
  cat chunk SNAP ID              a chunk of a snapshot, in base64, and where it is
  cat pack ID, cat index ID      what is in it`,
    )
    .action((kind: string, names: string[]) =>
      withRepository(run, async (repository) => {
        if (kind === 'ledger') {
          for (const { author, sequence } of (await loadLedger(repository, true)).entries) {
            show(run, kind, await describeObject(repository, { kind: 'entry', author: toHex(author), sequence }));
          }
        } else show(run, kind, await describeObject(repository, await nameOf(repository, kind, names)));
      }),
    );
}

function show(run: Run, kind: string, object: unknown): void {
  run.out.record(kind, { object });
  run.out.value(object);
}

async function nameOf(repository: Repository, kind: string, names: readonly string[]): Promise<ObjectName> {
  const [first, second] = names;
  const need = (name: string | undefined, what: string): string => {
    if (name === undefined) throw new UsageError(`cat ${kind} needs ${what}; see varve help cat`);
    return name;
  };
  switch (kind) {
    case 'genesis':
      return { kind };
    case 'entry': {
      const [author, number] = need(first, 'an author and a sequence number').split('/');
      const sequence = Number(second ?? number ?? Number.NaN);
      if (!/^[0-9a-f]{32}$/.test(author!) || !Number.isSafeInteger(sequence))
        throw new UsageError('cat entry needs an author (32 hex digits) and a sequence number');
      return { kind, author: author!, sequence };
    }
    case 'key':
    case 'pack':
    case 'index':
      return { kind, id: need(first, 'an id') };
    case 'manifest':
    case 'snapshot':
      return { kind: 'manifest', snapshot: await selectSnapshot(repository, need(first, 'a snapshot')) };
    case 'tree': {
      const { snapshot, path } = parseSnapshotPath(need(first, 'a snapshot'));
      return { kind, snapshot: await selectSnapshot(repository, snapshot), path: path ?? utf8(second ?? '/') };
    }
    case 'chunk': {
      const id = need(second, 'a snapshot and a chunk id');
      if (!/^[0-9a-f]{64}$/.test(id)) throw new UsageError(`${id} is not a chunk id of 64 hex digits`);
      return { kind, snapshot: await selectSnapshot(repository, first!), id };
    }
    default:
      throw new UsageError(`cat knows no ${kind}; there are genesis, ledger, entry, key, manifest, tree, chunk, pack and index`);
  }
}
