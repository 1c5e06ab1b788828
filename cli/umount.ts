/** `varve umount DIR`: takes a mount off and returns when it is gone. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { unmount } from '../lib/index.js';
import type { Run } from './run.js';

export function configure(command: Command, run: Run): void {
  command
    .argument('<dir...>', 'where it is mounted')
    .option('-l, --lazy', 'although it is in use: it vanishes at once, and ends when the last user lets go')
    .addHelpText('after', '\nExamples:\n  varve umount /mnt/backup')
    .action(async (dirs: string[], options: { lazy?: boolean }) => {
      for (const dir of dirs) {
        await unmount(dir, { lazy: options.lazy === true });
        run.out.record('unmounted', { mountpoint: resolve(dir) });
        run.out.info(`Unmounted ${dir}.`);
      }
    });
}
