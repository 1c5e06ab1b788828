/** A small repository made by real backups, to be damaged and mended again; and a reader that accepts right bytes and VarveErrors, nothing else. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { lossyUtf8 } from '../../lib/bytes.js';
import { VarveError } from '../../lib/errors.js';
import { isDirectory, isFile } from '../../lib/format/tree.js';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { resolvePins } from '../../lib/ledger/pins.js';
import { addSlot } from '../../lib/ledger/slots.js';
import { openSnapshot, readEnvelope, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { readDirectory, readFileRange, type TreeSource } from '../../lib/repository/tree-reader.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore } from '../../lib/store/directory.js';

/** Bytes that do not compress, the same for the same seed. */
export function noise(seed: string, length: number): Uint8Array {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${seed} ${i}`).digest());
  return new Uint8Array(Buffer.concat(parts).subarray(0, length));
}

/** What reading a snapshot back gave: per path the bytes' SHA-256, or the error. */
export interface ReadBack {
  readonly files: Map<string, string | VarveError>;
  /** Why no file, or not all directories, could be read. */
  readonly failures: VarveError[];
}

export interface DamagedRepository {
  readonly folder: string;
  readonly source: string;
  readonly repository: Repository;
  readonly passphrase: string;
  /** SHA-256 of the content of every file of the source, by absolute path. */
  expected(): Map<string, string>;
  backup(force?: boolean): Promise<string>;
  /** Store names of all objects that begin with `prefix`, sorted. */
  names(prefix?: string): string[];
  path(name: string): string;
  read(name: string): Uint8Array;
  /** Replaces, creates or (undefined) removes an object; returns what puts it back. */
  change(name: string, bytes: Uint8Array | undefined): () => void;
  /** The same repository with empty caches. */
  withoutCaches(): Repository;
  /** Reads every file of snapshot number `which` (from the end: -1). Anything but a VarveError is thrown. */
  readBack(which?: number, repository?: Repository): Promise<ReadBack>;
  /** Puts back whatever is still changed. */
  mend(): void;
  remove(): void;
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function varve(error: unknown): VarveError {
  if (error instanceof VarveError) return error;
  throw error;
}

function* filesOf(
  source: TreeSource,
  tree: Uint8Array,
  path: string,
  failures: VarveError[],
): Generator<[string, string | VarveError]> {
  try {
    for (const entry of readDirectory(source, tree)) {
      const below = `${path}/${lossyUtf8(entry.name)}`;
      if (isDirectory(entry)) yield* filesOf(source, entry.tree, below, failures);
      else if (isFile(entry)) {
        const bytes = new Uint8Array(entry.sizeBytes);
        try {
          readFileRange(source, entry, 0, bytes);
          yield [below, hash(bytes)];
        } catch (error) {
          yield [below, varve(error)];
        }
      }
    }
  } catch (error) {
    failures.push(varve(error));
  }
}

/** Makes the repository: two snapshots, two key slots, several packs of both classes. */
export async function damagedRepository(): Promise<DamagedRepository> {
  const base = mkdtempSync(join(tmpdir(), 'varve-damage-'));
  const [folder, source] = [join(base, 'repository'), join(base, 'source')];
  const passphrase = 'correct horse';
  mkdirSync(join(source, 'a', 'b'), { recursive: true });
  for (let i = 0; i < 24; i++)
    writeFileSync(join(source, i % 2 === 0 ? 'a' : 'a/b', `small-${i}`), noise(`small ${i}`, 20_000 + i * 700));
  writeFileSync(join(source, 'large'), noise('large', 1_500_000));
  writeFileSync(join(source, 'tiny'), 'inline');
  writeFileSync(join(source, 'empty'), '');
  const store = await createDirectoryStore(folder);
  const { place, keyring } = await initRepository(store, { passphrase, label: 'first', policy: DEFAULT_POLICY, log2N: 1 });
  const repository = openRepository(place, keyring, join(base, 'cache'));
  await addSlot(repository, keyring, 'another', { label: 'second', log2N: 1 });
  let clock = Date.UTC(2026, 0, 5, 10);
  let caches = 0;
  const changes = new Set<() => void>();
  const made: DamagedRepository = {
    folder,
    source,
    repository,
    passphrase,
    expected() {
      const files = new Map<string, string>();
      for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile()) files.set(path, hash(readFileSync(path)));
      }
      return files;
    },
    async backup(force = false) {
      clock += 3_600_000;
      const report = await backup(repository, { paths: [source], host: 'h', label: 'l', threads: 1, force, nowMs: () => clock });
      return Buffer.from(report.snapshotId!).toString('hex');
    },
    names(prefix = '') {
      const all: string[] = [];
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const name = relative(folder, join(entry.parentPath, entry.name));
        if (entry.isFile() && name.startsWith(prefix) && !name.startsWith('tmp')) all.push(name);
      }
      return all.sort();
    },
    path: (name) => join(folder, name),
    read: (name) => new Uint8Array(readFileSync(join(folder, name))),
    change(name, bytes) {
      const path = join(folder, name);
      const before = statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : readFileSync(path);
      const set = (content: Uint8Array | undefined): void => {
        if (before !== undefined && statSync(path, { throwIfNoEntry: false }) !== undefined) chmodSync(path, 0o600);
        if (content === undefined) rmSync(path, { force: true });
        else {
          mkdirSync(dirname(path), { recursive: true });
          writeFileSync(path, content);
        }
      };
      set(bytes);
      const undo = (): void => {
        if (changes.delete(undo)) set(before);
      };
      changes.add(undo);
      return undo;
    },
    mend() {
      for (const undo of [...changes].reverse()) undo();
    },
    withoutCaches: () => openRepository(place, keyring, join(base, `cache-${++caches}`)),
    async readBack(which = -1, from = repository) {
      const files = new Map<string, string | VarveError>();
      const failures: VarveError[] = [];
      try {
        const ledger = await loadLedger(from);
        const record = snapshotRecords(ledger).at(which)!;
        const { envelope, body } = await openSnapshot(from, record, tagChanges(from, ledger));
        const pins = await resolvePins(envelope, async (id) => (await readEnvelope(from, id)).envelope, 'manifest');
        const reader = await openSnapshotReader(from, [pins], 8 << 20);
        try {
          for (const [path, found] of filesOf(reader.source(envelope.domain, pins), body.root.tree, '', failures))
            files.set(path, found);
        } finally {
          await reader.close();
        }
      } catch (error) {
        failures.push(varve(error));
      }
      return { files, failures };
    },
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
  await made.backup();
  writeFileSync(join(source, 'later'), noise('later', 90_000));
  await made.backup();
  return made;
}
