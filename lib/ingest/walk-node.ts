/**
 * A directory that the walk has entered and not finished yet, and the tree of sources that it may belong to. Data only: what is done with nodes stands in
 * scan-directory.ts, entry-starter.ts and directory-finisher.ts.
 */
import type { Entry } from '../format/tree.js';
import type { DirectoryHead, PackUses } from './cache-rows.js';
import type { ScanRecord } from './scan-record.js';

/** A tree of sources: a directory that is scanned whole, or one of which only some children are wanted. */
export interface SourceNode {
  readonly path: Uint8Array;
  /** Undefined: everything in it. */
  readonly children: Map<string, SourceNode> | undefined;
}

/** A directory from its scan until it is given to its parent. */
export interface WalkNode {
  readonly parent: WalkNode | undefined;
  /** Index of this directory in the parent's records. */
  readonly at: number;
  readonly path: Uint8Array;
  readonly depth: number;
  readonly source: SourceNode | undefined;
  readonly device: string;
  readonly fsRoot: Uint8Array;
  records: ScanRecord[];
  entries: (Entry | undefined)[];
  packs: (PackUses | undefined)[];
  /** The scan as it came, and which of its records have attributes. */
  scan: Uint8Array | undefined;
  haveXattrs: Uint8Array | undefined;
  /** 1 where the entry may not be trusted next time. */
  unsure: Uint8Array;
  subdirectories: number[];
  nextSubdirectory: number;
  pending: number;
  walked: boolean;
  fingerprint: Uint8Array;
  head: DirectoryHead | undefined;
  /** The head's fingerprint fits: no entry of its own has changed. */
  clean: boolean;
  known: boolean;
  /** It could not be scanned. */
  failed: boolean;
  /** Device of the source that it belongs to; undefined above the sources. */
  readonly sourceDevice: string | undefined;
}

/** The node of a directory that is yet to be scanned; `at` is its index in the parent's records. One literal, so that all nodes share one shape. */
export function newNode(
  parent: WalkNode | undefined,
  at: number,
  path: Uint8Array,
  device: string,
  source: SourceNode | undefined,
): WalkNode {
  const fsRoot = parent === undefined || parent.device !== device ? path : parent.fsRoot;
  return {
    parent,
    at,
    path,
    depth: (parent?.depth ?? -1) + 1,
    source,
    device,
    fsRoot,
    records: [],
    entries: [],
    packs: [],
    scan: undefined,
    haveXattrs: undefined,
    unsure: new Uint8Array(0),
    subdirectories: [],
    nextSubdirectory: 0,
    pending: 0,
    walked: false,
    fingerprint: new Uint8Array(32),
    head: undefined,
    clean: false,
    known: false,
    failed: false,
    sourceDevice:
      source !== undefined && source.children === undefined ? device : source === undefined ? parent?.sourceDevice : undefined,
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
