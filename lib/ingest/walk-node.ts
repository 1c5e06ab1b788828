/**
 * A directory that the walk has entered and not finished yet, and the tree of sources that it may belong to. Data only: what is done with nodes stands in
 * scan-directory.ts, entry-starter.ts and directory-finisher.ts.
 */
import { utf8 } from '../bytes.js';
import type { Entry } from '../format/tree.js';
import type { CachedEntry, DirectoryHead, PackUses } from './cache-rows.js';
import type { ScanRecord } from './scan-record.js';

/** A tree of sources: one that is named, with all that is in it, or only the way to some that are. Named ones may stand inside one another. */
export interface SourceNode {
  readonly path: Uint8Array;
  /** It is a source itself. */
  readonly named: boolean;
  /** It was named with a slash: of a symlink, the directory that it leads to is meant. */
  readonly follow: boolean;
  /** Named sources in it, or on the way to some, by name (latin1). */
  readonly children: ReadonlyMap<string, SourceNode>;
}

/** The named source that a directory belongs to: its own file system and its own rules hold for what is beneath. */
export interface SourceRules {
  /** `major:minor` of the file system that -x stays on. */
  readonly device: string;
  /** A pattern matches the source, or a directory above it. It was named by hand: only patterns that match something beneath by itself count. */
  readonly exempt: boolean;
}

/** A directory from its scan until it is given to its parent. */
export interface WalkNode {
  readonly parent: WalkNode | undefined;
  /** Index of this directory in the parent's records. */
  readonly at: number;
  readonly path: Uint8Array;
  /** The path that opens it: with a dot behind it where it is reached through a symlink. */
  readonly location: Uint8Array;
  readonly depth: number;
  readonly source: SourceNode | undefined;
  readonly device: string;
  /** Undefined above the sources: only the ways to them are wanted. */
  readonly rules: SourceRules | undefined;
  readonly record: ScanRecord;
  records: ScanRecord[];
  entries: (Entry | undefined)[];
  packs: (PackUses | undefined)[];
  /** What the change cache had of files that are read, for the counts. */
  former: Map<number, CachedEntry> | undefined;
  /** The scan as it came, and which of its records have attributes. */
  scan: Uint8Array | undefined;
  haveXattrs: Uint8Array | undefined;
  /** 1 where the entry may not be trusted next time, 2 where the attributes of a directory may not either. */
  unsure: Uint8Array;
  /** Directories that are entered for the sources in them only, by index. */
  ways: Set<number> | undefined;
  subdirectories: number[];
  nextSubdirectory: number;
  pending: number;
  walked: boolean;
  fingerprint: Uint8Array;
  head: DirectoryHead | undefined;
  /** The head's fingerprint fits: no entry of its own has changed. */
  clean: boolean;
  known: boolean;
  /** It was not scanned: it could not be, or it is left out. */
  failed: boolean;
}

/** Behind the path of a symlink it means what the link leads to. */
export const DOT = utf8('.');

/**
 * The node of a directory that is yet to be scanned; `at` is its index in the parent's records. One literal, so that all nodes share one shape.
 *
 * @param rules - of the source it begins or belongs to
 * @param linked - the last name of the path is a symlink
 */
export function newNode(
  parent: WalkNode | undefined,
  at: number,
  path: Uint8Array,
  record: ScanRecord,
  source: SourceNode | undefined,
  rules: SourceRules | undefined,
  linked: boolean,
): WalkNode {
  return {
    parent,
    at,
    path,
    location: linked ? childPath(path, DOT) : path,
    depth: (parent?.depth ?? -1) + 1,
    source,
    device: record.device,
    rules,
    record,
    records: [],
    entries: [],
    packs: [],
    former: undefined,
    scan: undefined,
    haveXattrs: undefined,
    unsure: new Uint8Array(0),
    ways: undefined,
    subdirectories: [],
    nextSubdirectory: 0,
    pending: 0,
    walked: false,
    fingerprint: new Uint8Array(32),
    head: undefined,
    clean: false,
    known: false,
    failed: false,
  };
}

/** The path of `name` in `directory`. */
export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = directory[directory.byteLength - 1] === 0x2f ? 0 : 1;
  const path = new Uint8Array(directory.byteLength + slash + name.byteLength);
  path.set(directory);
  if (slash === 1) path[directory.byteLength] = 0x2f;
  path.set(name, directory.byteLength + slash);
  return path;
}

/** A name as a key of maps: one character for each byte. */
export function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}
