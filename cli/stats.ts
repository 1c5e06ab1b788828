/** `varve stats`: how much is stored, and what it would restore to. */
import type { Command } from 'commander';
import { repositoryStats, selectSnapshots } from '../lib/index.js';
import { bytesText, countText } from './human.js';
import { tellDamaged, tellLeftOut } from './left-out.js';
import { type Run, withRepository } from './run.js';
import { addFilterOptions, type FilterOptions, filterOf } from './snapshot-arguments.js';

const ratioText = (ratio: number): string => `${ratio.toFixed(2)} : 1`;

export function configure(command: Command, run: Run): void {
  addFilterOptions(command)
    .addHelpText(
      'after',
      `
The filters narrow what is restored; what is stored is always that of the whole repository.

Examples:
  varve stats
  varve stats --json | jq .total_ratio`,
    )
    .action((options: FilterOptions) =>
      withRepository(run, async (repository) => {
        const leftOut: string[] = [];
        const selected = { filter: filterOf(options), onLeftOut: tellLeftOut(run, leftOut) };
        const stats = await repositoryStats(repository, await selectSnapshots(repository, selected), {
          signal: run.signal,
          onDamaged: tellDamaged(run),
        });
        run.out.record('stats', {
          snapshots: stats.snapshots,
          left_out: leftOut,
          restore_files: stats.restoreFiles,
          restore_directories: stats.restoreDirectories,
          restore_bytes: stats.restoreBytes,
          latest_bytes: stats.latestBytes,
          stored_bytes: stats.storedBytes,
          packs: stats.packs,
          pack_bytes: stats.packBytes,
          index_bytes: stats.indexBytes,
          other_bytes: stats.otherBytes,
          chunks: stats.chunks,
          chunk_bytes: stats.chunkBytes,
          data_chunks: stats.dataChunks,
          data_chunk_bytes: stats.dataChunkBytes,
          dedup_ratio: stats.dedupRatio,
          compression_ratio: stats.compressionRatio,
          total_ratio: stats.totalRatio,
        });
        run.out.text(`Snapshots    ${stats.snapshots}${leftOut.length === 0 ? '' : `, and ${leftOut.length} that do not open`}`);
        run.out.text(
          `Restored     ${bytesText(stats.restoreBytes)} in ${countText(stats.restoreFiles, 'file')} and ${countText(stats.restoreDirectories, 'directory', 'directories')}, all snapshots together`,
        );
        run.out.text(`             ${bytesText(stats.latestBytes)} of them in the newest`);
        run.out.text(`Distinct     ${bytesText(stats.chunkBytes)} in ${countText(stats.chunks, 'chunk')}`);
        run.out.text(
          `Stored       ${bytesText(stats.storedBytes)}: ${countText(stats.packs, 'pack')} of ${bytesText(stats.packBytes)}, index ${bytesText(stats.indexBytes)}, the rest ${bytesText(stats.otherBytes)}`,
        );
        run.out.text(
          `Saved        sharing ${ratioText(stats.dedupRatio)}, compression ${ratioText(stats.compressionRatio)}, in all ${ratioText(stats.totalRatio)}`,
        );
      }),
    );
}
