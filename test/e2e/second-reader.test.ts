/**
 * A reader written from docs/format.md alone, in another language (test/reader/), reads what this program writes: the golden repository and one made now.
 * Where the two disagree, the page is not yet a specification.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { packageRoot } from '../../lib/native.js';
import { GOLDEN, GOLDEN_PASSPHRASE, makeRepository, makeSource } from '../helpers/golden.js';

const PYTHON = '/usr/bin/python3';
const READER = join(packageRoot(), 'test', 'reader', 'varve_reader.py');
const modules = spawnSync(PYTHON, ['-c', 'import cryptography, zstandard'], { encoding: 'utf8' });
const skip =
  modules.status !== 0 &&
  `needs ${PYTHON} with python3-cryptography and python3-zstandard: ${modules.error?.message ?? modules.stderr.trim()}`;
const asRoot = process.geteuid?.() === 0;

const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-second-'));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));

interface Line {
  readonly [item: string]: unknown;
}
interface Ran {
  readonly status: number | null;
  readonly lines: Line[];
  readonly stderr: string;
}
/** Runs the reader; its output is a JSON object a line. */
function run(repository: string, ...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(PYTHON, [READER, repository, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const lines = stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]));
  return { status, lines, stderr };
}

interface Described {
  readonly id: string;
  readonly tags: string[];
  readonly state: number;
  readonly pinDepth: number;
  readonly pins: number;
  readonly source?: string;
  readonly entries?: Record<
    string,
    { kind: number; mode: string; mtime: number[]; size?: number; digest?: string | null; owner: number[]; xattrs: unknown[] }
  >;
}

t.test('the second reader finds the golden repository sound and reads what we read', { skip }, async (t) => {
  const expected = JSON.parse(fs.readFileSync(join(GOLDEN, 'expected.json'), 'utf8')) as Described[];
  const repository = join(GOLDEN, 'repository');
  const key = ['--key-file', join(GOLDEN, 'key')];

  for (const way of [[], ['--no-index']]) {
    const check = run(repository, ...key, ...way, 'check');
    t.equal(check.status, 0, `check ${way.join('')} finds nothing: ${check.stderr}`);
    t.same(check.lines[0]?.errors, []);
  }
  const list = run(repository, ...key, 'list');
  t.equal(list.status, 0, list.stderr);
  t.same(
    list.lines.map(({ id, tags, state, pins, pins_depth: pinDepth }) => ({
      id,
      tags: [...(tags as string[])].sort(),
      state: state === 'complete' ? 0 : 1,
      pins,
      pinDepth,
    })),
    expected.map(({ id, tags, state, pins, pinDepth }) => ({ id, tags, state, pins, pinDepth })),
    'the same snapshots in the same order with the same tags and pins',
  );

  const password = join(scratch, 'password');
  fs.writeFileSync(password, `${GOLDEN_PASSPHRASE}\n`);
  t.same(run(repository, '--password-file', password, 'list').lines, list.lines, 'a passphrase opens it too');
  fs.writeFileSync(password, 'another\n');
  t.equal(run(repository, '--password-file', password, 'list').status, 12, 'another does not');

  for (const { id, source, entries } of expected.filter((one) => one.entries !== undefined)) {
    const { status, lines, stderr } = run(repository, ...key, 'ls', id);
    t.equal(status, 0, stderr);
    const byPath = new Map(lines.map((line) => [Buffer.from(line.path_b64 as string, 'base64').toString('hex'), line]));
    const KINDS = ['', 'regular', 'directory', 'symlink', 'fifo', 'socket', 'character', 'block', 'image'];
    let same = 0;
    for (const [path, entry] of Object.entries(entries!)) {
      const full = toHex(Buffer.from(source!)) + (path === '' ? '' : `2f${path}`);
      const line = byPath.get(full);
      const theirs = line && {
        kind: KINDS.findIndex((kind) => kind !== '' && (line.kind as string).startsWith(kind)),
        mode: Number.parseInt(line.mode as string, 8).toString(8),
        mtime: line.mtime,
        owner: [line.uid, line.gid],
        size: line.size,
        digest: line.digest,
        xattrs: (line.xattrs as { name: string; value_b64: string }[]).map(({ name, value_b64 }) => [
          name,
          toHex(sha256(Buffer.from(value_b64, 'base64'))),
        ]),
      };
      const { kind, mode, mtime, owner, size, digest, xattrs } = entry;
      if (JSON.stringify(theirs) === JSON.stringify({ kind, mode, mtime, owner, size, digest, xattrs })) same++;
      else t.same(theirs, { kind, mode, mtime, owner, size, digest, xattrs }, entry.kind.toString());
    }
    t.equal(same, Object.keys(entries!).length);
  }
});

/** What is on disk below `folder`, path by path: kinds, modes, owners, times, links, contents. */
function onDisk(folder: string): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  const inodes = new Map<bigint, number>();
  const visit = (path: Buffer, name: string): void => {
    const info = fs.lstatSync(path, { bigint: true });
    const isDirectory = info.isDirectory();
    const link =
      !isDirectory && info.nlink > 1n ? (inodes.get(info.ino) ?? inodes.set(info.ino, inodes.size).get(info.ino)) : undefined;
    all[name] = {
      mode: info.mode.toString(8),
      owner: asRoot ? [info.uid, info.gid] : [],
      mtime: info.mtimeNs,
      link,
      device: info.isCharacterDevice() || info.isBlockDevice() ? info.rdev : undefined,
      size: info.isFile() ? info.size : undefined,
      target: info.isSymbolicLink() ? fs.readlinkSync(path, 'hex') : undefined,
      content: info.isFile() && info.size < 2n ** 30n ? toHex(sha256(fs.readFileSync(path))) : undefined,
    };
    if (!isDirectory) return;
    const names = (fs.readdirSync(path, { encoding: 'buffer' }) as Buffer[]).sort(Buffer.compare);
    for (const child of names) visit(Buffer.concat([path, Buffer.from('/'), child]), `${name}/${child.toString('latin1')}`);
  };
  visit(Buffer.from(folder), '');
  return all;
}

t.test('a repository made now: the second reader restores its source byte for byte', { skip }, async (t) => {
  const source = join(scratch, 'source');
  const repository = join(scratch, 'repository');
  fs.mkdirSync(source);
  makeSource(source);
  const { keyFile } = await makeRepository(repository, source, join(scratch, 'cache'));
  const keyPath = join(scratch, 'key');
  fs.writeFileSync(keyPath, keyFile, { mode: 0o600 });
  const key = ['--key-file', keyPath];
  const before = onDisk(source);

  for (const way of [[], ['--no-index']]) {
    const check = run(repository, ...key, ...way, 'check');
    t.equal(check.status, 0, `check ${way.join('')} finds nothing: ${check.stderr}`);
    t.same(check.lines[0]?.errors, []);
  }
  // The last snapshot is partial; latest is the complete one before it, of the same tree.
  const target = join(scratch, 'restored');
  const restored = run(repository, ...key, 'restore', 'latest', target);
  t.equal(restored.status, 0, restored.stderr);
  const after = onDisk(join(target, source));
  t.same(Object.keys(after), Object.keys(before));
  t.same(
    Object.entries(after).filter(([name, entry]) => JSON.stringify(entry, plain) !== JSON.stringify(before[name], plain)),
    [],
  );
  const xattrs = (path: string): string =>
    spawnSync(
      PYTHON,
      ['-c', 'import os, sys; print([(n, os.getxattr(sys.argv[1], n)) for n in sorted(os.listxattr(sys.argv[1]))])', path],
      { encoding: 'utf8' },
    ).stdout;
  for (const name of ['whole', 'dir'])
    t.equal(xattrs(join(target, source, name)), xattrs(join(source, name)), `attributes of ${name}`);

  const packs = fs
    .readdirSync(join(repository, 'packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile());
  const pack = join(packs[0]!.parentPath, packs[0]!.name);
  const bytes = fs.readFileSync(pack);
  bytes[300]! ^= 1;
  fs.chmodSync(pack, 0o600);
  fs.writeFileSync(pack, bytes);
  t.equal(run(repository, ...key, 'check').status, 15, 'it finds one flipped bit');
});

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
