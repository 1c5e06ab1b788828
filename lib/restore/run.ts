/** What the parts of one restore share. */
import type { Owner } from '../format/tree.js';
import type { Native } from '../native.js';
import type { TreeSource } from '../repository/tree-reader.js';
import type { DirectoryCache } from './directory-cache.js';
import type { HeldFiles } from './held.js';
import type { Journal } from './journal.js';
import type { Overwrite, RestoreOptions } from './options.js';
import type { TargetOwner } from './owners.js';
import type { Selection } from './selection.js';

export interface Run {
  readonly options: RestoreOptions;
  readonly overwrite: Overwrite;
  /** Whether this process is root. */
  readonly privileged: boolean;
  readonly native: Native;
  readonly source: TreeSource;
  readonly directories: DirectoryCache;
  readonly held: HeldFiles;
  /** The open target; -1 in a dry run that would make it. */
  readonly targetFd: number;
  readonly selection: Selection;
  readonly owners: (owner: Owner) => TargetOwner;
  readonly journal: Journal;
}
