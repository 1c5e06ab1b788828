/**
 * The golden repository (test/vectors/golden/): the tree it was made of, what a snapshot's tree is expected to hold, and how it was made. It is made once
 * and must stay readable for ever; a second one is made when the format gets a new version, next to the first.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { concat, lossyUtf8, toHex, utf8 } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import type { Entry } from '../../lib/format/tree.js';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { openSnapshot, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { tagSnapshots } from '../../lib/ledger/tags.js';
import { packageRoot } from '../../lib/native.js';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import type { SnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { findEntry, readDirectory, readFileRange } from '../../lib/repository/tree-reader.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore } from '../../lib/store/directory.js';

export const GOLDEN = join(packageRoot(), 'test', 'vectors', 'golden');
export const GOLDEN_PASSPHRASE = 'golden passphrase';

const text = (lines: number, seed: number): string =>
  Array.from({ length: lines }, (_, i) => `line ${i} of ${seed}: ${(Math.imul(i + seed, 2654435761) >>> 0) % 1000}`).join('\n');
/** Bytes that do not compress. */
function noise(length: number, seed: number): Buffer {
  const parts: Uint8Array[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(sha256(Uint8Array.of(seed, i, i >> 8, i >> 16)));
  return Buffer.from(concat(...parts).subarray(0, length));
}

/** Makes a tree with every kind of entry that can be made; devices and foreign owners only as root. */
export function makeSource(folder: string): void {
  const at = (...names: string[]): string => join(folder, ...names);
  fs.mkdirSync(at('dir', 'deep', 'empty'), { recursive: true });
  fs.mkdirSync(at('many'));
  fs.writeFileSync(at('empty'), '');
  fs.writeFileSync(at('inline'), 'small enough for its entry');
  fs.writeFileSync(at('whole'), text(1500, 1));
  fs.writeFileSync(at('noise'), noise(40_000, 2));
  fs.writeFileSync(at('chunked'), text(24_000, 3));
  fs.writeFileSync(at('copy of whole'), text(1500, 1));
  fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe, 0x0a])]), 'a name that is not UTF-8');
  fs.writeFileSync(at('ä'.repeat(127)), 'a long name');
  for (let i = 0; i < 2200; i++) fs.writeFileSync(at('many', `file ${String(i).padStart(5, '0')}`), '');
  const sparse = fs.openSync(at('sparse'), 'w');
  fs.writeSync(sparse, noise(5000, 4), 0, 5000, 1 << 20);
  fs.writeSync(sparse, 'end', 40 << 20);
  fs.ftruncateSync(sparse, 50 << 20);
  fs.closeSync(sparse);
  fs.writeFileSync(at('huge'), '');
  fs.truncateSync(at('huge'), 3 * 2 ** 30);
  fs.symlinkSync('inline', at('link'));
  fs.symlinkSync(Buffer.from('/nowhere/\xff', 'latin1'), at('dangling'));
  fs.linkSync(at('whole'), at('dir', 'hard'));
  execFileSync('mkfifo', [at('fifo')]);
  execFileSync('python3', ['-c', 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', at('socket')]);
  fs.chmodSync(at('inline'), 0o4751);
  fs.chmodSync(at('dir'), 0o1777);
  if (process.geteuid?.() === 0) {
    execFileSync('mknod', [at('character'), 'c', '1', '3']);
    execFileSync('mknod', [at('block'), 'b', '7', '300']);
    fs.chownSync(at('noise'), 12345, 54321);
  }
  const xattr =
    'import os, sys; os.setxattr(sys.argv[1], "user.short", b"value\\0\\xff"); os.setxattr(sys.argv[1], "user.long", b"x" * 4000 + b"y" * int(sys.argv[2]))';
  for (const [name, more] of [
    ['whole', '97'],
    ['dir', '10'],
  ] as const) {
    try {
      execFileSync('python3', ['-c', xattr, at(name), more], { stdio: 'ignore' });
    } catch {
      // A file system without long attributes makes a source without them.
    }
  }
  // Node makes times before 1970 the present.
  execFileSync('touch', ['-d', '1969-12-30T12:00:00.123456789Z', at('noise')]);
  fs.utimesSync(at('dir', 'deep', 'empty'), 1e9, 1e9 + 0.25);
  fs.lutimesSync(at('link'), 1.5e9, 1.5e9);
}

/** One entry as it must come back; bytes as hex, content by digest. */
export type Expected = Readonly<Record<string, unknown>>;

/** Everything below the directory called `source` in the snapshot, path by path, its content read and digested. */
export function readExpected(
  reader: SnapshotReader,
  domain: Uint8Array,
  pins: Uint8Array,
  root: Entry,
  sourcePath: string,
): Record<string, Expected> {
  const source = reader.source(domain, pins);
  const links: string[] = [];
  const all: Record<string, Expected> = {};
  const visit = (entry: Entry, path: Uint8Array): void => {
    const { mode, owner, mtimeSec, mtimeNsec, xattrs, link, kind } = entry;
    const common = {
      path: lossyUtf8(path),
      kind,
      mode: mode.toString(8),
      owner: [owner.uid, owner.gid],
      mtime: [mtimeSec, mtimeNsec],
      xattrs: xattrs.map(({ name, value }) => [
        lossyUtf8(name),
        toHex(sha256(value instanceof Uint8Array ? value : source.chunks.read(value.id, 4))),
      ]),
    };
    const more: Record<string, unknown> = {};
    if (link !== null) {
      if (!links.includes(toHex(link.id))) links.push(toHex(link.id));
      more.link = [links.indexOf(toHex(link.id)), link.nlink];
    }
    if ('sizeBytes' in entry) {
      more.size = entry.sizeBytes;
      more.digest = entry.digest === null ? null : toHex(entry.digest);
      more.content = entry.content.kind === 'rows' ? `rows of depth ${entry.content.depth}` : entry.content.kind;
      if (entry.sizeBytes < 2 ** 30) {
        const bytes = new Uint8Array(entry.sizeBytes);
        readFileRange(source, entry, 0, bytes);
        if (entry.digest !== null && toHex(sha256(bytes)) !== toHex(entry.digest))
          throw new Error(`${lossyUtf8(path)}: its content is not that of its digest`);
      }
    }
    if ('target' in entry) more.target = toHex(entry.target);
    if ('major' in entry) more.device = [entry.major, entry.minor];
    if ('totals' in entry) more.totals = entry.totals;
    all[toHex(path)] = { ...common, ...more };
    if ('tree' in entry)
      for (const child of readDirectory(source, entry.tree))
        visit(child, path.byteLength === 0 ? child.name : concat(path, utf8('/'), child.name));
  };
  let top: Entry = root;
  for (const part of sourcePath.split('/').filter((name) => name !== '')) {
    const next: Entry | undefined = 'tree' in top ? findEntry(source, top.tree, utf8(part)) : undefined;
    if (next === undefined) throw new Error(`${sourcePath} is not in the snapshot`);
    top = next;
  }
  visit(top, new Uint8Array(0));
  return all;
}

export interface MadeRepository {
  readonly repository: Repository;
  /** Text of a key file without a passphrase. */
  readonly keyFile: Uint8Array;
}

/**
 * Makes a repository in `folder` with several snapshots of `source`: full pins and differences, tags changed later, one partial snapshot.
 *
 * @param cacheDir - a folder for caches, which may be removed afterwards
 */
export async function makeRepository(folder: string, source: string, cacheDir: string): Promise<MadeRepository> {
  const store = await createDirectoryStore(folder);
  const nowMs = Date.UTC(2026, 2, 1, 12);
  const { place, keyring } = await initRepository(store, {
    label: 'golden',
    policy: DEFAULT_POLICY,
    passphrase: GOLDEN_PASSPHRASE,
    log2N: 10,
    nowMs,
  });
  const repository = openRepository(place, keyring, cacheDir);
  let day = 0;
  const store1 = (paths: string[]): Promise<unknown> => {
    day++;
    return backup(repository, {
      paths,
      host: 'golden',
      label: 'source',
      tags: ['a', '～', '😀'],
      nowMs: () => nowMs + day * 86_400_000,
    });
  };
  await store1([source]);
  for (let i = 0; i < 5; i++) {
    fs.writeFileSync(join(source, `later ${i}`), text(30 + i, 100 + i));
    await store1([source]);
  }
  await store1([source, join(source, 'missing')]);
  const ledger = await loadLedger(repository);
  const changes = tagChanges(repository, ledger);
  const last = await openSnapshot(repository, snapshotRecords(ledger).at(-1)!, changes);
  await tagSnapshots(repository, [last], { add: ['kept'], remove: ['a'], nowMs: nowMs + 9 * 86_400_000 });
  return { repository, keyFile: await exportKeyFile(keyring, undefined, { label: 'golden', nowMs }) };
}
