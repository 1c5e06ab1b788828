/**
 * A real repository in a scratch folder, backups into it, and reading everything back: each snapshot's whole tree through the ordinary readers,
 * checked against the source with lstat, and against itself (totals, digests, lengths).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, lstatSync, mkdtempSync, openSync, readdirSync, readlinkSync, readSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { equalBytes, toHex, utf8 } from '../../lib/bytes.js';
import { encodeKeyring, type Keyring } from '../../lib/format/key-slot.js';
import { manifestName } from '../../lib/format/names.js';
import { ChunkType } from '../../lib/format/pack.js';
import { type Entry, EntryKind, isDirectory, isFile } from '../../lib/format/tree.js';
import { type BackupOptions, type BackupReport, backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { resolvePins } from '../../lib/ledger/pins.js';
import { openSnapshot, readEnvelope, type Snapshot, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { native, packageRoot } from '../../lib/native.js';
import { listPacks } from '../../lib/repository/open-index.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { readDirectory, readPieces, type TreeSource } from '../../lib/repository/tree-reader.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import type { Store } from '../../lib/store/store.js';

/** A folder that goes with the test, whatever names are in it. */
export function scratch(t: Test, base: string = tmpdir()): string {
  const folder = mkdtempSync(join(base, 'varve-test-'));
  // Node's rmSync cannot delete names that are not UTF-8.
  t.teardown(() => void spawnSync('rm', ['-rf', '--one-file-system', folder]));
  return folder;
}

export interface TestRepository {
  readonly location: string;
  readonly keyFile: string;
  readonly cacheDir: string;
  readonly keyring: Keyring;
  /** Opens it afresh, as another process would. */
  open(wrap?: (store: Store) => Store): Promise<Repository>;
  backup(options: BackupOptions, wrap?: (store: Store) => Store): Promise<BackupReport>;
}

/** Makes a repository in `folder`/repo with its caches in `folder`/cache, its keyring in `folder`/key for children. */
export async function makeRepository(folder: string, nowMs?: number): Promise<TestRepository> {
  const location = join(folder, 'repo');
  const cacheDir = join(folder, 'cache');
  const keyFile = join(folder, 'key');
  const store = await createDirectoryStore(location);
  const { keyring } = await initRepository(store, {
    label: 'test',
    policy: DEFAULT_POLICY,
    ...(nowMs === undefined ? {} : { nowMs }),
  });
  writeFileSync(keyFile, encodeKeyring(keyring));
  const open = async (wrap: (store: Store) => Store = (plain) => plain): Promise<Repository> => {
    const place = await locateRepository(await openDirectoryStore(location));
    return openRepository({ ...place, store: wrap(place.store) }, keyring, cacheDir);
  };
  return { location, keyFile, cacheDir, keyring, open, backup: async (options, wrap) => backup(await open(wrap), options) };
}

/** One entry as it was read back. `sha256` is of what the chunks hold, undefined for what has no content or more than 1 GiB of holes. */
export interface ReadEntry {
  readonly entry: Entry;
  readonly sha256: string | undefined;
  readonly xattrs: readonly (readonly [string, Uint8Array])[];
}
/** By absolute path, as latin1; the root is ''. */
export type ReadTree = Map<string, ReadEntry>;

const latin1 = (name: Uint8Array): string => Buffer.from(name).toString('latin1');
const HASHED_BYTES = 2 ** 30;

function readContent(source: TreeSource, entry: Entry, path: string): string | undefined {
  if (!isFile(entry)) return undefined;
  const hash = createHash('sha256');
  let at = 0;
  let hashed = entry.digest !== null;
  for (const piece of readPieces(source, entry)) {
    if (piece.offset !== at) throw new Error(`${path}: a piece at ${piece.offset}, not at ${at}`);
    const bytes = piece.inline ?? (piece.id === undefined ? undefined : source.chunks.read(piece.id, ChunkType.data));
    if (bytes !== undefined && bytes.byteLength !== piece.lengthBytes)
      throw new Error(`${path}: a chunk of another length than its row`);
    if (hashed && bytes !== undefined) hash.update(bytes);
    else if (hashed) {
      if (piece.lengthBytes > HASHED_BYTES) hashed = false;
      for (let left = piece.lengthBytes; hashed && left > 0; left -= 1 << 20)
        hash.update(new Uint8Array(Math.min(left, 1 << 20)));
    }
    at += piece.lengthBytes;
  }
  if (at !== entry.sizeBytes) throw new Error(`${path}: ${at} bytes of content, but a size of ${entry.sizeBytes}`);
  const digest = hash.digest('hex');
  if (hashed && digest !== toHex(entry.digest!)) throw new Error(`${path}: its content is not what its digest says`);
  return hashed ? digest : undefined;
}

function readInto(tree: ReadTree, source: TreeSource, entry: Entry, path: string): void {
  const xattrs = entry.xattrs.map(({ name, value }) => {
    const bytes = value instanceof Uint8Array ? value : source.chunks.read(value.id, ChunkType.attribute).slice();
    if (!(value instanceof Uint8Array) && bytes.byteLength !== value.lengthBytes)
      throw new Error(`${path}: an attribute of another length`);
    return [latin1(name), bytes] as const;
  });
  tree.set(path, { entry, sha256: readContent(source, entry, path), xattrs });
  if (!isDirectory(entry)) return;
  const sums = { files: 0, directories: 0, bytes: 0 };
  for (const child of readDirectory(source, entry.tree)) {
    readInto(tree, source, child, `${path}/${latin1(child.name)}`);
    if (isDirectory(child)) {
      sums.directories += 1 + child.totals.directories;
      sums.files += child.totals.files;
      sums.bytes += child.totals.bytes;
    } else {
      sums.files++;
      if (isFile(child)) sums.bytes += child.sizeBytes;
    }
  }
  for (const key of ['files', 'directories', 'bytes'] as const)
    if (sums[key] !== entry.totals[key])
      throw new Error(`${path}: totals say ${entry.totals[key]} ${key}, there are ${sums[key]}`);
}

/** All snapshots in the ledger's order. */
export async function snapshotsOf(repository: Repository): Promise<Snapshot[]> {
  const ledger = await loadLedger(repository, true);
  const changes = tagChanges(repository, ledger);
  return Promise.all(snapshotRecords(ledger).map((record) => openSnapshot(repository, record, changes)));
}

/** Joined pins of a snapshot. */
export async function pinsOf(repository: Repository, snapshot: Snapshot): Promise<Uint8Array> {
  return resolvePins(snapshot.envelope, async (id) => (await readEnvelope(repository, id)).envelope, manifestName(snapshot.id));
}

/** Reads snapshots completely. @throws whatever does not verify */
export async function readSnapshots(repository: Repository, snapshots: readonly Snapshot[]): Promise<ReadTree[]> {
  const pins = await Promise.all(snapshots.map((snapshot) => pinsOf(repository, snapshot)));
  const reader = await openSnapshotReader(repository, pins);
  try {
    return snapshots.map(({ envelope, body }, i) => {
      const tree: ReadTree = new Map();
      readInto(tree, reader.source(envelope.domain, pins[i]!), body.root, '');
      return tree;
    });
  } finally {
    await reader.close();
  }
}

/** Reads the last snapshot completely. */
export async function readLatest(repository: Repository): Promise<ReadTree> {
  const snapshots = await snapshotsOf(repository);
  return (await readSnapshots(repository, snapshots.slice(-1)))[0]!;
}

/** What in the store is pinned by no snapshot and in no index object, or pinned but gone: empty when a repository is whole. */
export async function danglingPins(repository: Repository): Promise<string[]> {
  const stored = await listPacks(repository);
  const missing: string[] = [];
  for (const snapshot of await snapshotsOf(repository)) {
    const pins = await pinsOf(repository, snapshot);
    for (let at = 0; at < pins.byteLength; at += 32) {
      const hex = toHex(pins.subarray(at, at + 32));
      if (!stored.has(hex)) missing.push(`${toHex(snapshot.id).slice(0, 8)} pins ${hex.slice(0, 8)}`);
    }
  }
  return missing;
}

const KINDS: readonly (readonly [number, number])[] = [
  [0o100000, EntryKind.regular],
  [0o040000, EntryKind.directory],
  [0o120000, EntryKind.symlink],
  [0o010000, EntryKind.fifo],
  [0o140000, EntryKind.socket],
  [0o020000, EntryKind.charDevice],
  [0o060000, EntryKind.blockDevice],
];

function hashFile(path: Buffer): string {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(1 << 20);
  const fd = openSync(path, 'r');
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** How `tree` differs from the file system at and below `path`: one line each, none when it is the same. Symlinks are never followed. */
export function differences(tree: ReadTree, path: string | Uint8Array, options: { readonly content?: boolean } = {}): string[] {
  const found: string[] = [];
  const links = new Map<string, string>();
  const seen = new Set<string>();
  const visit = (bytes: Buffer): void => {
    const at = bytes.toString('latin1');
    seen.add(at);
    const read = tree.get(at);
    if (read === undefined) {
      found.push(`${at}: is not in the snapshot`);
      return;
    }
    const stat = lstatSync(bytes, { bigint: true });
    const { entry } = read;
    const want = (what: string, have: unknown, expected: unknown): void => {
      if (have !== expected) found.push(`${at}: ${what} ${String(have)}, should be ${String(expected)}`);
    };
    want('kind', entry.kind, KINDS.find(([type]) => type === (Number(stat.mode) & 0o170000))?.[1]);
    want('mode', entry.mode, Number(stat.mode) & 0o7777);
    want('uid', entry.owner.uid, Number(stat.uid));
    want('gid', entry.owner.gid, Number(stat.gid));
    want('mtime', BigInt(entry.mtimeSec) * 1_000_000_000n + BigInt(entry.mtimeNsec), stat.mtimeNs);
    const xattrs = native()
      .getXattrs(bytes)
      .filter((pair): pair is [Uint8Array, Uint8Array] => typeof pair[1] !== 'number');
    want('attributes', read.xattrs.map(([name]) => name).join(), xattrs.map(([name]) => latin1(name)).join());
    for (const [i, [name, value]] of xattrs.entries())
      want(`attribute ${latin1(name)}`, equalBytes(read.xattrs[i]?.[1] ?? utf8('none'), value), true);
    if (entry.kind !== EntryKind.directory) {
      want('link count', entry.link?.nlink ?? 1, Number(stat.nlink));
      if (entry.link !== null) {
        const key = `${stat.dev}:${stat.ino}`;
        const id = toHex(entry.link.id);
        want('link id', links.get(key) ?? id, id);
        links.set(key, id);
      }
    }
    if (isFile(entry)) {
      want('size', entry.sizeBytes, Number(stat.size));
      if (options.content !== false && read.sha256 !== undefined) want('content', read.sha256, hashFile(bytes));
    } else if (entry.kind === EntryKind.symlink)
      want('target', latin1(entry.target), readlinkSync(bytes, { encoding: 'buffer' }).toString('latin1'));
    else if (entry.kind === EntryKind.charDevice || entry.kind === EntryKind.blockDevice) {
      want('major', entry.major, Number(((stat.rdev >> 8n) & 0xfffn) | ((stat.rdev >> 32n) & ~0xfffn)));
      want('minor', entry.minor, Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & ~0xffn)));
    } else if (isDirectory(entry)) {
      for (const name of readdirSync(bytes, { encoding: 'buffer' })) visit(Buffer.concat([bytes, Buffer.from('/'), name]));
    }
  };
  const root = Buffer.from(path);
  visit(root);
  if (new Set(links.values()).size !== links.size) found.push('two files share a link id');
  for (const at of tree.keys())
    if (at.startsWith(`${root.toString('latin1')}/`) && !seen.has(at)) found.push(`${at}: is in the snapshot only`);
  return found;
}

/** What a child is told: where the repository is, what to do, and options of `backup` that JSON can carry. */
export interface ChildTask {
  readonly repo: Pick<TestRepository, 'location' | 'keyFile' | 'cacheDir'>;
  readonly options: BackupOptions;
  readonly init?: boolean;
  /** Loaded, but begins only when something is written to its standard input. */
  readonly waits?: boolean;
}

/** Starts a backup (or, with `init`, the making of a repository) in a process of its own, from compiled code. */
export function startChild(task: ChildTask, as: { readonly uid?: number; readonly gid?: number } = {}): ChildProcess {
  const { location, keyFile, cacheDir } = task.repo;
  const text = JSON.stringify({ ...task, repo: { location, keyFile, cacheDir } });
  // tap's own runner has every process write into .tap, which another user may not.
  const { NODE_OPTIONS: _, ...env } = process.env;
  return spawn(process.execPath, [join(packageRoot(), 'test/helpers/backup-child.mjs'), text], {
    ...as,
    env,
    stdio: [task.waits === true ? 'pipe' : 'ignore', 'pipe', 'inherit'],
  });
}

export interface ChildReport {
  readonly state: string;
  readonly newBytes: number;
  readonly readBytes: number;
  readonly maxRssBytes: number;
  readonly problems: readonly { readonly path: string; readonly code: string }[];
  readonly notes: readonly string[];
}

/** What the child reports when it has ended. @throws when it failed */
export async function childReport(child: ChildProcess): Promise<ChildReport> {
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`the child ended with ${code ?? signal}`);
  return JSON.parse(text.slice(text.indexOf('\n') + 1)) as ChildReport;
}
