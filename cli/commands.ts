/** The commands: name, one line about each, and the file that has the rest. A file is loaded only when its command is used. */
import type { Command } from 'commander';
import type { Run } from './run.js';

/** What a command's file exports: adds arguments, options, help and the action to `command`. */
export interface CommandFile {
  configure(command: Command, run: Run): void;
}

export interface CommandRow {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  load(): Promise<CommandFile>;
}

export const COMMANDS: readonly CommandRow[] = [
  { name: 'init', summary: 'create a repository', load: () => import('./init.js') },
  { name: 'backup', alias: 'create', summary: 'take a snapshot of files, or of a stream', load: () => import('./backup.js') },
  { name: 'snapshots', summary: 'list snapshots', load: () => import('./snapshots.js') },
  { name: 'ls', summary: 'list the files of a snapshot', load: () => import('./ls.js') },
  { name: 'find', summary: 'find files in all snapshots', load: () => import('./find.js') },
  { name: 'diff', summary: 'show what changed between two snapshots', load: () => import('./diff.js') },
  { name: 'dump', summary: 'write a file, or a directory as tar, to standard output', load: () => import('./dump.js') },
  { name: 'mount', summary: 'show snapshots as a file system', load: () => import('./mount.js') },
  { name: 'umount', summary: 'take a mount off', load: () => import('./umount.js') },
  { name: 'restore', alias: 'extract', summary: 'restore files', load: () => import('./restore.js') },
  { name: 'check', alias: 'verify', summary: 'look for damage', load: () => import('./check.js') },
  { name: 'stats', summary: 'say how much is stored', load: () => import('./stats.js') },
  { name: 'tag', summary: 'change the tags of snapshots', load: () => import('./tag.js') },
  { name: 'policy', summary: 'show or change how long snapshots are kept', load: () => import('./policy.js') },
  { name: 'hold', summary: 'keep snapshots until further notice', load: () => import('./hold.js') },
  { name: 'extend', summary: 'keep snapshots longer than was promised', load: () => import('./extend.js') },
  { name: 'forget', summary: 'announce that expired snapshots go', load: () => import('./forget.js') },
  { name: 'prune', summary: 'delete what has expired', load: () => import('./prune.js') },
  { name: 'stream', summary: 'list streams of backups, or end one', load: () => import('./stream.js') },
  { name: 'key', summary: 'manage passphrases and key files', load: () => import('./key.js') },
  { name: 'ledger', summary: 'show and verify who did what', load: () => import('./ledger.js') },
  { name: 'status', summary: 'say what protects the repository, and what needs a look', load: () => import('./status.js') },
  { name: 'serve', summary: 'guard a repository for others (the vault)', load: () => import('./serve.js') },
  { name: 'cat', summary: 'show an object of the repository as JSON', load: () => import('./cat.js') },
];
