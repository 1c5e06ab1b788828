/**
 * A reader written from docs/format.md alone, in another language (test/reader/), reads what this program writes: the golden repository and some made now.
 * Where the two disagree, the page is not yet a specification.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { compareBytes, concat, equalBytes, toHex } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { publicKeyOf } from '../../lib/crypto/sign.js';
import { encodeTagChange, tagsAad } from '../../lib/format/entry.js';
import { decodeIndexHeader } from '../../lib/format/index-object.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { entryName } from '../../lib/format/names.js';
import { decodeDirectory } from '../../lib/format/pack.js';
import { CertifiedRole, DEFAULT_TERMS, EntryType, type Payload } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey, revokeAuthor } from '../../lib/ledger/roles.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { packageRoot } from '../../lib/native.js';
import { exportKeyFile, keyringOfRole } from '../../lib/repository/keys.js';
import { openIndexObject, sealIndexObject } from '../../lib/repository/pack-directory.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { check } from '../../lib/verify/check.js';
import { makeRepository as makeEmptyRepository } from '../helpers/backup-repository.js';
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

const second = run;
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

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

t.test('the second reader passes its own tests', { skip }, async (t) => {
  const tests = fs.readdirSync(dirname(READER)).filter((name) => /^test_.*\.py$/.test(name));
  t.equal(tests.length, 10, tests.join());
  for (const name of tests) {
    const { status, stdout, stderr } = spawnSync(PYTHON, ['-B', join(dirname(READER), name)], { encoding: 'utf8' });
    t.same([status, stdout], [0, 'all well\n'], `${name}: ${stderr}`);
  }
});

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
  const { keyFile, repository: opened } = await makeRepository(repository, source, join(scratch, 'cache'));
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

  // An index object that says of every pack that its first two chunks are each other: a hint that is wrong.
  const names = fs.readdirSync(join(repository, 'index')).map((id) => `index/${id}`);
  const objects = await Promise.all(names.map(async (name) => ({ name, bytes: await opened.store.get(name) })));
  const ids = decodeIndexHeader(objects[0]!.bytes, names[0]!);
  const all = objects.flatMap(({ name, bytes }) => openIndexObject(opened, name, bytes));
  const lies = all.map((pack) => {
    const directory = pack.directory.slice();
    const { chunkRows, chunkCount } = decodeDirectory(directory, pack.packBytes, 'index');
    if (chunkCount < 2) return pack;
    const [first, other] = [chunkRows.slice(0, 32), chunkRows.slice(37, 69)];
    chunkRows.set(other, 0);
    chunkRows.set(first, 37);
    return { ...pack, directory };
  });
  const lie = sealIndexObject(opened, ids, lies);
  const honest = join(scratch, 'honest');
  fs.renameSync(join(repository, 'index'), honest);
  fs.mkdirSync(join(repository, 'index'));
  fs.writeFileSync(join(repository, 'index', toHex(lie.id)), Buffer.concat(lie.parts));
  const again = run(repository, ...key, 'restore', 'latest', join(scratch, 'again'));
  t.equal(again.status, 0, again.stderr);
  t.match(again.stderr, /the packs themselves are asked/);
  t.same(
    Object.entries(onDisk(join(scratch, 'again', source))).map(([path, entry]) => [path, JSON.stringify(entry, plain)]),
    Object.entries(after).map(([path, entry]) => [path, JSON.stringify(entry, plain)]),
    'no byte is changed and none is lost',
  );
  const lying = run(repository, ...key, 'check');
  t.equal(lying.status, 15);
  t.match(JSON.stringify(lying.lines[0]?.errors), `index/${toHex(lie.id)}: contradicts packs/`);
  fs.rmSync(join(repository, 'index'), { recursive: true });
  fs.renameSync(honest, join(repository, 'index'));

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

t.test(
  'the second reader hears the same authors: roles, rotations, revocations, receipts, holds and what was pruned',
  { skip },
  async (t) => {
    const folder = join(scratch, 'roles');
    fs.mkdirSync(join(folder, 'source'), { recursive: true });
    fs.writeFileSync(join(folder, 'source', 'file'), 'what a writer stores');
    const YEAR_MS = 31_622_400_000;
    const repo = await makeEmptyRepository(folder, Date.now() - 5 * YEAR_MS);
    const { location } = repo;
    const all = await repo.open();
    const as = (keyring: Keyring): Repository => openRepository(all, keyring, join(folder, toHex(random(4))));
    const run = (keyring: Keyring, nowMs: number) =>
      backup(as(keyring), { paths: [join(folder, 'source')], host: 'h', label: 'l', nowMs: () => nowMs });
    let ms = Date.now() - 4 * YEAR_MS;
    const tick = (): { sec: number; nsec: number } => ({ sec: Math.floor((ms += 1000) / 1000), nsec: 0 });

    const first = await run(repo.keyring, ms);
    const owners = await run(repo.keyring, (ms += 1000));
    const host = newWriterKey(all);
    const stale = keyringOfRole(repo.keyring, 'reader');
    await certifyWriter(all, host, { nowMs: (ms += 1000) });
    // A host that claims the owner's snapshot, as if from long before, and tags it in its own domain.
    const long = { sec: 0, nsec: 0 };
    const claim = await appendEntry(as(host), host.writer!.seed, long, () => ({
      type: EntryType.snapshot,
      manifest: owners.snapshotId!,
      stream: random(16),
      state: 1,
      retainUntilSec: 0,
      slots: 0,
    }));
    const tagged = encodeTagChange({ snapshots: [owners.snapshotId!], added: ['mine'], removed: [] });
    await appendEntry(as(host), host.writer!.seed, long, (sequence) => ({
      type: EntryType.tags,
      domain: host.writer!.domain,
      sealed: seal(all.domainKeys(host.writer!.domain).tags, tagsAad(all.id, claim.author, sequence), tagged),
    }));
    const hosts = await run(host, (ms += 1000));
    const vault = random(32);
    const put = (keyring: Keyring, seed: Uint8Array | null | undefined, payload: Payload) =>
      appendEntry(as(keyring), seed, tick(), () => payload);
    await put(repo.keyring, repo.keyring.adminSeed, {
      type: EntryType.cert,
      role: CertifiedRole.vault,
      publicKey: publicKeyOf(vault),
    });
    const records = snapshotRecords(await loadLedger(all));
    const chain = (await loadLedger(all)).chains.find((one) => equalBytes(one.author, records.at(-1)!.entry.author))!;
    const receipt = { author: chain.author, sequence: 2, hash: chain.hashes[2]!, retainUntilSec: 3_000_000_000, slots: 1 };
    await put(repo.keyring, vault, { type: EntryType.receipt, receipts: [{ ...receipt, hash: random(32) }] });
    await put(repo.keyring, vault, { type: EntryType.receipt, receipts: [receipt] });

    const reader = await prepareRotation(all, 'reader', { nowMs: (ms += 1000) });
    await reader.commit();
    const later = await run(host, (ms += 1000));
    await revokeAuthor(all, toHex(chain.author), 'stolen', { nowMs: (ms += 1000) });
    await put(host, host.writer!.seed, {
      type: EntryType.snapshot,
      manifest: random(32),
      stream: random(16),
      state: 0,
      retainUntilSec: 0,
      slots: 0,
    });
    const admin = await prepareRotation(as(reader.keyring), 'admin', { nowMs: (ms += 1000) });
    await admin.commit();
    const { keyring } = admin;
    // The old admin is not heard any more.
    await put(repo.keyring, repo.keyring.adminSeed, {
      type: EntryType.extend,
      snapshots: first.snapshotId!,
      untilSec: 4_000_000_000,
      reason: 'x',
    });
    await put(keyring, keyring.adminSeed, {
      type: EntryType.policy,
      ...DEFAULT_POLICY,
      terms: {
        ...DEFAULT_TERMS,
        classes: [{ name: 'hosts', ...DEFAULT_POLICY, hosts: ['h*'], labels: [], tags: [], expectSec: 0 }],
      },
    });
    const classed = await run(keyring, (ms += 1000));
    const hold = await put(keyring, vault, { type: EntryType.hold, snapshots: hosts.snapshotId!, reason: '' });
    await put(keyring, keyring.adminSeed, { type: EntryType.release, author: hold.author, sequence: hold.sequence, reason: '' });
    await put(keyring, keyring.adminSeed, { type: EntryType.hold, snapshots: later.snapshotId!, reason: 'court' });
    await put(keyring, keyring.adminSeed, {
      type: EntryType.acceptFork,
      heads: [{ author: chain.author, count: 1, head: chain.hashes[0]! }],
      reason: '',
    });
    ms = Date.now() - 2 * 86_400_000;
    const both = concat(...[first.snapshotId!, classed.snapshotId!, hosts.snapshotId!].sort(compareBytes));
    const lists = { packs: new Uint8Array(0), snapshots: both, indexes: new Uint8Array(0) };
    const intent = await put(keyring, keyring.adminSeed, { type: EntryType.pruneIntent, ...lists });
    ms = Date.now();
    const done = await put(keyring, vault, {
      type: EntryType.pruneDone,
      author: intent.author,
      sequence: intent.sequence,
      ...lists,
    });

    const ours = snapshotRecords(await loadLedger(as(keyring), true));
    t.equal(ours.length, 4, 'one was pruned rightly, two were to be kept, one is a revoked writer’s');
    t.ok(ours.some((one) => one.payload.class === 'hosts' && one.newest));
    const file = join(folder, 'reader.key');
    fs.writeFileSync(file, await exportKeyFile(keyringOfRole(keyring, 'reader'), undefined, { label: 'reader' }));
    const list = second(location, '--key-file', file, 'list');
    t.equal(list.status, 0, list.stderr);
    t.same(
      list.lines.map((line) => [line.id, line.time, line.retain_until, line.class, line.held, line.writer, line.tags]),
      ours.map((one) => [
        toHex(one.id),
        [one.received.sec, one.received.nsec],
        one.retainUntilSec,
        one.payload.class ?? null,
        one.holds.length > 0,
        toHex(one.entry.author),
        [],
      ]),
    );
    t.equal(list.lines.find(({ id }) => id === toHex(owners.snapshotId!))?.state, 'complete');
    // The prune that was not right is an error to both; the receipt that fits nothing was accepted by an admin later.
    const full = second(location, '--key-file', file, 'check');
    const { errors } = await check(as(keyring));
    const name = entryName(asId('author', done.author), done.sequence);
    const claimed = entryName(asId('author', claim.author), claim.sequence);
    const toBeKept = [classed, hosts].map(({ snapshotId }) => toHex(snapshotId!));
    t.same(
      [full.status, [...(full.lines[0]!.errors as string[])].sort()],
      [
        15,
        [
          ...toBeKept.map((id) => `${name}: prunes ${id}, which had not expired`),
          `${claimed}: is not about its manifest, snapshots/${toHex(owners.snapshotId!)}`,
        ].sort(),
      ],
      full.stderr,
    );
    t.same(
      errors.map(({ object, affects }) => [object, affects.map(({ snapshot }) => snapshot).sort()]),
      [
        [claimed, []],
        [name, [...toBeKept].sort()],
      ],
    );
    fs.writeFileSync(file, await exportKeyFile(stale, undefined, { label: 'old' }));
    t.equal(
      second(location, '--key-file', file, 'ls', toHex(hosts.snapshotId!)).status,
      0,
      'an old reader key opens what is older',
    );
    t.equal(second(location, '--key-file', file, 'ls', toHex(later.snapshotId!)).status, 15, 'and nothing later');

    // A retirement names the end of a chain: another chain in its place is damage.
    fs.rmSync(join(location, 'ledger', toHex(chain.author)), { recursive: true });
    fs.writeFileSync(file, await exportKeyFile(keyringOfRole(keyring, 'reader'), undefined, { label: 'reader' }));
    const truncated = second(location, '--key-file', file, 'check');
    t.equal(truncated.status, 15);
    t.match(JSON.stringify(truncated.lines[0]?.errors), /entries are missing, or others/);
  },
);
