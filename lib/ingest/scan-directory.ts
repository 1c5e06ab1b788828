/**
 * Scans a directory, or examines the sources that are wanted of it, and says whether it is as the change cache has it. Opens no file.
 */
import { sha256 } from '../crypto/kdf.js';
import { native } from '../native.js';
import { readScan, readStat, type ScanRecord, ScanType } from './scan-record.js';
import type { Exclusion, WalkContext } from './walk-context.js';
import { childPath, latin1, type SourceNode, type WalkNode } from './walk-node.js';

const ROLLING_SHARE = 512; // a power of two

/** Fills a new node: its records, its fingerprint, and what the change cache has of it. One that cannot be scanned is a problem, and empty. */
export function scanDirectory(context: WalkContext, node: WalkNode): void {
  context.counts.current = node.path;
  node.records = scan(context, node);
  const count = node.records.length;
  node.entries = new Array(count);
  node.packs = new Array(count);
  node.unsure = new Uint8Array(count);
  node.records.forEach((child, i) => {
    if (child.type === ScanType.directory) node.subdirectories.push(i);
  });
  node.pending = node.subdirectories.length;
  // Only what is scanned whole, and no mount point that is not entered.
  if (node.scan !== undefined && !(context.options.oneFileSystem === true && mountsBelow(node))) context.ahead.prepare(node);
  const head = context.run.cache.head(node.path);
  node.head = head;
  node.known = head !== undefined;
  node.clean =
    head !== undefined &&
    !node.failed &&
    !mustReread(context, node.path) &&
    Buffer.compare(head.fingerprint, node.fingerprint) === 0;
}

function mountsBelow(node: WalkNode): boolean {
  return node.subdirectories.some((at) => node.records[at]!.device !== node.device);
}

/** Whether what is in the directory `path` is read again however unchanged it looks. */
export function mustReread(context: WalkContext, path: Uint8Array): boolean {
  if (context.options.force === true) return true;
  // A few directories are read again in every run whatever their times say, each once in ROLLING_SHARE runs.
  let hash = 0;
  for (const byte of path) hash = Math.imul(hash ^ byte, 0x0100_0193);
  // Mixed, or siblings such as `folder 1` to `folder 500` would fall due together.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (((hash >>> 16) + context.run.cache.runs) & (ROLLING_SHARE - 1)) === ROLLING_SHARE - 1;
}

/** Entries of a directory that are wanted, in order; sets the fingerprint of exactly those. */
function scan(context: WalkContext, node: WalkNode): ScanRecord[] {
  if (node.source?.children !== undefined) return scanSources(context, node, node.source.children);
  const { exclusion, oneFileSystem } = context.options;
  // A mount point inside a source is kept as an empty directory.
  if (oneFileSystem === true && node.device !== node.sourceDevice) {
    node.failed = true;
    return [];
  }
  let scan: Uint8Array;
  try {
    scan = context.ahead.scan(node.path);
  } catch (error) {
    context.problem(node.path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    node.failed = true;
    if (node.parent !== undefined) node.parent.unsure[node.at] = 1;
    return [];
  }
  node.scan = scan;
  const all = readScan(scan);
  const records = exclusion === undefined ? all : wanted(exclusion, node.path, all);
  node.fingerprint = records.length === all.length ? sha256(scan) : sha256(...records.map(({ bytes }) => bytes));
  return records;
}

/** The entries of a directory that an exclusion leaves. */
function wanted(exclusion: Exclusion, path: Uint8Array, records: ScanRecord[]): ScanRecord[] {
  const names = records.map(({ name }) => name);
  const only = exclusion.keepsOnly?.(path, names)?.map(latin1);
  return records.filter((record) => {
    if (only !== undefined && !only.includes(latin1(record.name))) return false;
    const { type, sizeBytes } = record;
    return !exclusion.excludes(childPath(path, record.name), { isDirectory: type === ScanType.directory, sizeBytes });
  });
}

function scanSources(context: WalkContext, node: WalkNode, children: Map<string, SourceNode>): ScanRecord[] {
  const records: ScanRecord[] = [];
  for (const name of [...children.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))) {
    const path = children.get(name)!.path;
    try {
      records.push(
        readStat(native().statPath(path, children.get(name)!.children !== undefined)).named(
          new Uint8Array(Buffer.from(name, 'latin1')),
        ),
      );
    } catch (error) {
      context.problem(path, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }
  node.fingerprint = sha256(...records.flatMap(({ bytes, name }) => [bytes, name]));
  return records;
}
