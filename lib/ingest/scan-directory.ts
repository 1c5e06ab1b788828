/**
 * Scans a directory, or examines the sources that are wanted of it, and says whether it is as the change cache has it. Opens no file.
 */
import { compareBytes } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { native } from '../native.js';
import { codeOf } from './errno.js';
import { masked, readScan, readStat, type ScanRecord, ScanType } from './scan-record.js';
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
  if (node.scan !== undefined && node.source === undefined && !(context.options.oneFileSystem === true && mountsBelow(node)))
    context.ahead.prepare(node);
  const head = context.run.cache.head(node.path);
  node.head = head;
  node.known = head !== undefined;
  node.clean =
    head !== undefined &&
    !node.failed &&
    !mustReread(context, node.path) &&
    Buffer.compare(head.fingerprint, node.fingerprint) === 0 &&
    !(context.owners.haveNewNames && node.records.some(({ uid, gid }) => context.owners.hasNewName(uid, gid)));
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
  const { source, rules, record, path } = node;
  const isSource = source?.named === true;
  // No more than the ways to the sources in it, if there are any.
  const waysOnly = (): ScanRecord[] => {
    node.failed = source === undefined || source.children.size === 0;
    return node.failed ? [] : scanSources(context, node, source!.children);
  };
  if (rules === undefined) return waysOnly();
  const own = context.options.surroundings?.reasonFor(record);
  if (own !== undefined) {
    leaveOut(context, node, own);
    return waysOnly();
  }
  // A mount point inside a source is kept as an empty directory.
  if (context.options.oneFileSystem === true && node.device !== rules.device) {
    context.mountsNotEntered.push(path);
    return waysOnly();
  }
  let bytes: Uint8Array;
  try {
    bytes = context.ahead.scan(node.location);
  } catch (error) {
    context.problem(path, codeOf(error));
    node.failed = true;
    if (node.parent !== undefined) node.parent.unsure[node.at] = 1;
    return [];
  }
  const all = readScan(bytes);
  if (context.options.surroundings?.isRepository(node.location, all) === true) {
    leaveOut(context, node, 'this repository');
    return waysOnly();
  }
  node.scan = bytes;
  const { exclusion } = context.options;
  let records = exclusion === undefined ? all : wanted(context, node, exclusion, all);
  if (source !== undefined && source.children.size > 0) records = withSources(context, node, source.children, all, records);
  if (isSource && records.length === 0 && all.length > 0)
    context.warn('it was named as a source, and everything in it is left out by what is excluded', path);
  const { mask } = context;
  if (mask !== undefined) node.fingerprint = sha256(...records.map(({ bytes: one }) => masked(one, mask)));
  else node.fingerprint = records === all ? sha256(bytes) : sha256(...records.map(({ bytes: one }) => one));
  return records;
}

function leaveOut(context: WalkContext, node: WalkNode, reason: string): void {
  context.omit(node.path, reason);
  if (node.source?.named === true) context.warn(`it was named as a source, but is left out: it is ${reason}`, node.path);
}

/** The entries of a directory that an exclusion leaves. */
function wanted(context: WalkContext, node: WalkNode, exclusion: Exclusion, records: ScanRecord[]): ScanRecord[] {
  const { path } = node;
  const names = records.map(({ name }) => name);
  const only = exclusion.keepsOnly?.(node.location, names)?.map(latin1);
  if (only !== undefined && node.source?.named === true)
    context.warn('it was named as a source, and is left out because of a file in it that marks what to leave out', path);
  const itself = node.rules?.exempt === true;
  const kept = records.filter((record) => {
    if (only !== undefined) return only.includes(latin1(record.name));
    const at = childPath(path, record.name);
    const isDirectory = record.type === ScanType.directory;
    const isOut = exclusion.excludes(at, { isDirectory, sizeBytes: record.sizeBytes }, { itself });
    if (isOut && isDirectory)
      for (const pattern of exclusion.withoutEffect?.(at) ?? [])
        context.warn(
          `the pattern ${pattern} takes nothing back here: the directory is left out as a whole, with all beneath`,
          at,
        );
    return !isOut;
  });
  return kept.length === records.length ? records : kept;
}

/** `records`, and the sources named in this directory or beneath: they are wanted whatever excludes them. */
function withSources(
  context: WalkContext,
  node: WalkNode,
  children: ReadonlyMap<string, SourceNode>,
  all: readonly ScanRecord[],
  records: readonly ScanRecord[],
): ScanRecord[] {
  const kept = new Set(records.map(({ name }) => latin1(name)));
  const joined = records.filter(({ name }) => !children.has(latin1(name)));
  const ways = new Set<string>();
  for (const [name, child] of children) {
    const scanned = all.find((record) => latin1(record.name) === name);
    // A symlink is a way to what lies behind it, and a source itself when it was named with a slash.
    const isLink = scanned === undefined || (scanned.type === ScanType.symlink && (!child.named || child.follow));
    if (!child.named && (isLink || !kept.has(name))) ways.add(name);
    if (!isLink) joined.push(scanned);
    else {
      const record = examine(context, child);
      if (record !== undefined) joined.push(record.named(scanned?.name ?? new Uint8Array(Buffer.from(name, 'latin1')), -1));
    }
  }
  joined.sort((a, b) => compareBytes(a.name, b.name));
  node.ways = new Set(joined.flatMap(({ name }, i) => (ways.has(latin1(name)) ? [i] : [])));
  return joined;
}

function scanSources(context: WalkContext, node: WalkNode, children: ReadonlyMap<string, SourceNode>): ScanRecord[] {
  const records: ScanRecord[] = [];
  for (const name of [...children.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))) {
    const record = examine(context, children.get(name)!);
    if (record !== undefined) records.push(record.named(new Uint8Array(Buffer.from(name, 'latin1'))));
  }
  node.ways = new Set(records.flatMap(({ name }, i) => (children.get(latin1(name))?.named === true ? [] : [i])));
  node.fingerprint = sha256(...records.flatMap(({ bytes, name }) => [context.mask ? masked(bytes, context.mask) : bytes, name]));
  return records;
}

/** The record of a source, or of a directory on the way to one, which may be reached through a symlink. */
function examine(context: WalkContext, child: SourceNode): ScanRecord | undefined {
  try {
    return readStat(native().statPath(child.path, !child.named || child.follow));
  } catch (error) {
    context.problem(child.path, codeOf(error));
    return undefined;
  }
}
