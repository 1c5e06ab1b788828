/**
 * The interface between what a repository looks like (lib/view) and how it is shown (a mount driver). Inode-based: `nodeId` is a positive
 * safe integer, 1 is the root. A FileSystem is synchronous because drivers serve it from blocking worker threads; it never throws for
 * an expected absence, and any throw becomes EIO in the driver and nowhere else.
 */

import type { Attributes, Listing, NamedNode } from '../view/attributes.js';

export type { Attributes, Listing, NamedNode as DirectoryEntry } from '../view/attributes.js';

export interface StatFs {
  readonly blockSizeBytes: number;
  readonly blocks: number;
  readonly files: number;
  readonly nameMaxBytes: number;
}

export interface FileSystem {
  /** Child `name` of directory `parent`, or undefined. */
  lookup(parent: number, name: Uint8Array): Attributes | undefined;
  getattr(nodeId: number): Attributes | undefined;
  /** Entries after position `offset` (0 = first; then the `next` of the previous call), at most `limit`; without `.` and `..`. */
  readdir(
    nodeId: number,
    offset: number,
    limit: number,
  ): { readonly entries: readonly NamedNode[]; readonly next: number; readonly end: boolean };
  /** As readdir, but as records, which is faster by far; undefined for a directory that cannot. Positions count entries. */
  readdirRecords?(nodeId: number, offset: number, limit: number): Listing | undefined;
  readlink(nodeId: number): Uint8Array | undefined;
  /**
   * Fills `into` from `offset`; returns the count, short only at the end of the file.
   * @throws when the bytes cannot be verified
   */
  read(nodeId: number, offset: number, into: Uint8Array): number;
  /** SEEK_DATA / SEEK_HOLE: the next offset of that kind, or undefined past the end (ENXIO). */
  seek(nodeId: number, offset: number, what: 'data' | 'hole'): number | undefined;
  listxattr(nodeId: number): readonly Uint8Array[];
  getxattr(nodeId: number, name: Uint8Array): Uint8Array | undefined;
  statfs(): StatFs;
  /** Where `nodeId` stands, for people who read the log; undefined when there is no better name than its number. */
  pathOf?(nodeId: number): string | undefined;
  /** What no answer could say and somebody should know, a line each, once; drivers ask after each request. */
  notices?(): readonly string[];
  /** The kernel dropped `count` references to `nodeId`. */
  forget(nodeId: number, count: number): void;
  close(): void;
}

export interface MountOptions {
  readonly mountpoint: string;
  /** Shown as the device in /proc/mounts. */
  readonly fsName: string;
  readonly allowOther: boolean;
  /** Let the kernel check mode bits (default_permissions). */
  readonly defaultPermissions: boolean;
  readonly readAheadKib: number;
  readonly threads: number;
  readonly onLog: (message: string) => void;
}

export interface Mounted {
  /** Resolves when the mount is gone, whoever unmounted it. Rejects when the server died. */
  readonly finished: Promise<void>;
  /** Unmounts; lazily when `lazy`. Resolves after `finished`. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

/**
 * How a driver gets its FileSystem in each serving thread: the compiled module `file` exports
 * `openFileSystem(data: unknown): FileSystem`, called with `data` (structured-cloneable) in the thread that serves.
 */
export interface FileSystemSource {
  readonly file: string;
  readonly data: unknown;
}

export interface MountDriver {
  readonly name: 'kernel' | 'fuse-native';
  /** Why this driver cannot run here, or undefined. */
  unavailable(): string | undefined;
  /** What this driver cannot show faithfully, for the docs and for a line at mount time. */
  readonly limits: readonly string[];
  /** @throws MountError; never leaves a mount behind when it throws */
  mount(source: FileSystemSource, options: MountOptions): Promise<Mounted>;
}
