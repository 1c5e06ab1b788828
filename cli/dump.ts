/** `varve dump SNAP:PATH`: a file's bytes, or a directory as a tar archive, to standard output. */
import { type Command, Option } from 'commander';
import { dumpFile, dumpTar, entryAt, openTrees, selectSnapshot } from '../lib/index.js';
import { safeText } from './human.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
import { argumentBytes } from './raw-arguments.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf, parseSnapshotPath } from './snapshot-arguments.js';
import { stdoutWriter } from './stdout-writer.js';
import { UsageError } from './usage-error.js';

export function configure(command: Command, run: Run): void {
  addFilterOptions(command.argument('<snapshot:path>', 'what to write out').argument('[path]', 'as after the colon'))
    .addOption(new Option('--archive <format>', 'write an archive even of a single file').choices(['tar']))
    .addHelpText(
      'after',
      `
A directory is written as a tar archive with names relative to it; extract it with tar --acls --xattrs --xattrs-include='*' to have ACLs and attributes.
The status is not 0 when not everything was written, also because the reader of a pipe had enough. A block device is written in place, from its beginning.
--json does not change what is written.

Examples:
  varve dump latest:/etc/fstab
  varve dump latest:/srv/www | tar x -C /tmp/www
  varve dump latest:/stdin | psql shop`,
    )
    .action((snapshot: string, path: string | undefined, options: FilterOptions & { archive?: string }) =>
      dump(run, snapshot, path, options),
    );
}

async function dump(
  run: Run,
  argument: string,
  second: string | undefined,
  options: FilterOptions & { archive?: string },
): Promise<void> {
  const { snapshot: name, path = second === undefined ? undefined : argumentBytes(second) } = parseSnapshotPath(argument);
  if (path === undefined) throw new UsageError('name what to write out: varve dump SNAP:PATH');
  if (process.stdout.isTTY) run.out.warn('writing to the terminal');
  const selected = { filter: filterOf(options), onLeftOut: tellLeftOut(run) };
  await withRepository(run, async (repository) => {
    const opened = await openTrees(repository, [await selectSnapshot(repository, name, selected)], {
      onDamaged: tellDamaged(run),
    });
    try {
      const tree = opened.trees[0]!;
      const { entry } = await entryAt(tree, path);
      const write = stdoutWriter(run.out);
      if (options.archive === undefined && 'sizeBytes' in entry) await dumpFile(tree, path, write, run.signal);
      else if (options.archive === undefined && !('tree' in entry))
        throw new UsageError(
          `${safeText(path)} is neither a file nor a directory; with --archive tar it can be written as an archive`,
        );
      else
        await dumpTar(tree, path, write, {
          signal: run.signal,
          onSkipped: (at, reason) => run.out.warn(`${safeText(at)}: left out: ${reason}`),
        });
      await write.finish();
    } finally {
      await opened.close();
    }
  });
}
