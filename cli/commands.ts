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
  { name: 'snapshots', summary: 'list snapshots', load: () => import('./snapshots.js') },
  { name: 'ls', summary: 'list the files of a snapshot', load: () => import('./ls.js') },
  { name: 'key', summary: 'manage passphrases and key files', load: () => import('./key.js') },
];
