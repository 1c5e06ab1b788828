/**
 * Every data kernel of the addon against its twin in test/reference: the same answers on random input, refusals where the
 * contract in lib/native.ts promises them, and no crash on arguments that make no sense.
 */
import { execFileSync } from 'node:child_process';
import { getRandomValues, randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { Compressor } from 'zstd-napi';
import { concat, toHex, utf8, viewOf } from '../../lib/bytes.js';
import { native, packageRoot } from '../../lib/native.js';
import { cutChunks } from '../reference/cut.js';
import * as twin from '../reference/digest.js';
import * as frames from '../reference/frame.js';
import { scanDirectory, scanRecord } from '../reference/scan.js';

const kernels = native();
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'varve-kernels-'));
  // rm goes down step by step; fs.rm cannot remove a path longer than PATH_MAX.
  t.teardown(() => execFileSync('rm', ['-rf', made]));
  return made;
};
/** Text-like bytes: words repeat, so that zstd and the cutter both have something to find. */
const wordy = fc
  .array(fc.constantFrom('static ', 'int ', 'return ', 'buffer', '->', '0x1f', ';\n', '\t\t', 'é'), {
    minLength: 0,
    maxLength: 4000,
  })
  .map((words) => utf8(words.join('')));
const anyBytes = fc.oneof(fc.uint8Array({ maxLength: 5000 }), wordy);
const key32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Runs `body` in a worker thread with the addon as `n` and `data`; resolves with what it returns. */
function inWorker<T>(body: string, data: unknown): Promise<T> {
  const addon = join(packageRoot(), 'build', 'Release', 'varve.node');
  const source = `const { workerData: data, parentPort } = require('node:worker_threads');
    const n = require(${JSON.stringify(addon)}); parentPort.postMessage((() => { ${body} })());`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(source, { eval: true, workerData: data });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

t.test('a scan agrees with lstat on every kind of entry, byte for byte', async (t) => {
  const root = folder();
  const at = (name: string | Uint8Array): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name as Uint8Array)]);
  writeFileSync(at(utf8('plain')), 'hello');
  writeFileSync(at(utf8('a'.repeat(255))), '');
  writeFileSync(at(Uint8Array.of(0xff, 0xfe, 0x80, 0x0a)), 'not UTF-8');
  writeFileSync(at(utf8('é')), 'UTF-8');
  writeFileSync(at(utf8('..hidden')), '');
  writeFileSync(at(utf8('old')), 'x');
  execFileSync('touch', ['-d', '1950-01-02 03:04:05.25 UTC', join(root, 'old')]);
  writeFileSync(at(utf8('sparse')), '');
  truncateSync(join(root, 'sparse'), 1 << 20);
  mkdirSync(join(root, 'folder'), { mode: 0o2750 });
  symlinkSync('nowhere/at all', join(root, 'dangling'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const server = createServer().listen(join(root, 'socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    execFileSync('mknod', [join(root, 'char'), 'c', '300', '70000'], { stdio: 'ignore' });
    execFileSync('mknod', [join(root, 'block'), 'b', '7', '9'], { stdio: 'ignore' });
  } catch {
    t.comment('device nodes not tested: mknod is refused here');
  }
  t.equal(toHex(kernels.scanDirectory(utf8(root))), toHex(scanDirectory(utf8(root))));
  server.close();

  for (const [name, follow] of [
    ['old', false],
    ['dangling', false],
    ['folder', true],
  ] as const) {
    const one = kernels.statPath(utf8(join(root, name)), follow);
    t.equal(viewOf(one).getUint32(0, true), 1);
    t.equal(toHex(one.subarray(4)), toHex(scanRecord(new Uint8Array(0), lstatSync(join(root, name), { bigint: true }))), name);
  }
  const old = viewOf(kernels.statPath(utf8(join(root, 'old')), false));
  t.equal(Number(old.getBigInt64(4 + 40, true)), Date.UTC(1950, 0, 2, 3, 4, 5) / 1000, 'seconds before 1970 are negative');
  t.equal(old.getUint32(4 + 56, true), 250_000_000);
  t.throws(() => kernels.statPath(utf8(join(root, 'dangling')), true), { code: 'ENOENT', errno: 2, syscall: 'statx' });
  t.throws(() => kernels.scanDirectory(utf8(join(root, 'dangling'))), { code: 'ENOTDIR' });
  t.throws(() => kernels.scanDirectory(utf8(join(root, 'absent'))), { code: 'ENOENT', errno: 2, syscall: 'open' });
  t.throws(() => kernels.scanDirectory(Uint8Array.of(0x2f, 0)), TypeError);
});

t.test('a directory deeper than PATH_MAX is scanned, read and described', async (t) => {
  const root = folder();
  const name = 'd'.repeat(200);
  // Down step by step, because no single call takes a path this long.
  const script = `const fs = require('fs'); process.chdir(process.argv[1]);
    for (let depth = 0; depth < 30; depth++) { fs.mkdirSync('${name}'); process.chdir('${name}'); }
    fs.writeFileSync('file', 'deep'); fs.symlinkSync('to', 'link');`;
  execFileSync(process.execPath, ['-e', script, root]);
  const deep = utf8([root, ...Array<string>(30).fill(name)].join('/'));
  t.equal(viewOf(kernels.scanDirectory(deep)).getUint32(0, true), 2);
  const fd = kernels.openSource(concat(deep, utf8('/file')));
  const arena = new Uint8Array(8);
  t.equal(kernels.readAt(fd, arena, 2, 6, 0), 4);
  t.equal(Buffer.from(arena).toString('latin1'), '\0\0deep\0\0');
  kernels.closeFd(fd);
  t.equal(Buffer.from(kernels.readLink(concat(deep, utf8('/link')))).toString(), 'to');
  t.same(
    kernels.getXattrs(concat(deep, utf8('/link'))).filter(([at]) => !Buffer.from(at).toString().startsWith('security.')),
    [],
  );
});

t.test('attributes are read at every length of a path', async (t) => {
  const root = folder();
  const script = `const fs = require('fs'); process.chdir(process.argv[1]);
    for (let depth = 0; depth < 420; depth++) { const name = 'd'.repeat(20); fs.mkdirSync(name); process.chdir(name); }`;
  execFileSync(process.execPath, ['-e', script, root]);
  const failed: number[] = [];
  for (let path = root; path.length < root.length + 420 * 21; ) {
    path += `/${'d'.repeat(20)}`;
    try {
      kernels.getXattrs(utf8(path));
      // The same place by a path that is longer by one byte after another.
      for (let more = 1; more <= 20; more++) kernels.getXattrs(utf8(path.replace(/\/(?=[^/]*$)/, '/'.repeat(more + 1))));
    } catch {
      failed.push(path.length);
    }
  }
  t.same(failed, []);
});

interface Wanted {
  readonly name: string;
  readonly limit: number;
}

function readRequest(directory: string, files: readonly Wanted[]): Uint8Array {
  const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
  const path = utf8(directory);
  const parts = [u32(path.length), path, u32(files.length)];
  for (const { name, limit } of files) {
    const bytes = utf8(name);
    parts.push(u32(limit), new Uint8Array(Uint16Array.of(bytes.length).buffer), bytes);
  }
  return concat(...parts);
}

t.test('readFiles reads and digests files, and says of each what is wrong with it', async (t) => {
  const root = folder();
  const bytes = random(5000);
  writeFileSync(join(root, 'five'), bytes);
  writeFileSync(join(root, 'empty'), '');
  symlinkSync('five', join(root, 'link'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  mkdirSync(join(root, 'folder'));
  const request = concat(
    readRequest(root, [
      { name: 'five', limit: 5000 },
      { name: 'five', limit: 4999 },
      { name: 'empty', limit: 0 },
      { name: 'link', limit: 10 },
      { name: 'absent', limit: 10 },
      { name: 'fifo', limit: 10 },
      { name: 'folder', limit: 10 },
      { name: 'five', limit: 6000 },
    ]),
    readRequest(join(root, 'no such folder'), [{ name: 'five', limit: 1 }]),
    readRequest(`/proc/${process.pid}`, [{ name: 'status', limit: 9000 }]),
  );
  const arena = new Uint8Array(30_000);
  const rows = kernels.readFiles(request, arena);
  t.equal(rows.length, 10 * 96);
  const row = (at: number) => {
    const view = viewOf(rows.subarray(at * 96, at * 96 + 96));
    const offset = view.getUint32(8, true);
    return {
      errno: view.getUint32(0, true),
      flags: view.getUint32(4, true),
      text: arena.subarray(offset, offset + view.getUint32(12, true)),
      digest: rows.subarray(at * 96 + 16, at * 96 + 48),
      size: Number(view.getBigInt64(48, true)),
      mtimeNs: view.getBigInt64(56, true) * 1_000_000_000n + BigInt(view.getUint32(72, true)),
      ino: view.getBigUint64(80, true),
      type: view.getUint32(88, true),
    };
  };
  const stat = lstatSync(join(root, 'five'), { bigint: true });
  for (const at of [0, 7]) {
    t.match(row(at), { errno: 0, flags: 0, size: 5000, type: 1, mtimeNs: stat.mtimeNs, ino: stat.ino });
    t.equal(toHex(row(at).text), toHex(bytes));
    t.equal(toHex(row(at).digest), toHex(twin.sha256(bytes)));
  }
  t.match(row(1), { errno: 0, flags: 1, size: 5000 }, 'larger than its limit');
  t.equal(row(1).text.length, 0);
  t.match(row(2), { errno: 0, flags: 0, size: 0 });
  t.equal(toHex(row(2).digest), toHex(twin.sha256()));
  t.equal(row(3).errno, 40, 'ELOOP: symlinks are not followed');
  t.equal(row(4).errno, 2, 'ENOENT');
  t.match(row(5), { errno: 116, type: 4 }, 'ESTALE: a fifo neither hangs nor is read');
  t.match(row(6), { errno: 116, type: 2 }, 'ESTALE: a directory');
  t.equal(row(8).errno, 2, 'a missing folder is the error of each of its files');
  t.ok(row(9).text.length > 0, 'a file whose size says 0 is read to its end');
  t.match(Buffer.from(row(9).text).toString(), /^Name:/);

  t.throws(() => kernels.readFiles(request, new Uint8Array(20_000)), RangeError, 'arena smaller than the limits');
  t.throws(() => kernels.readFiles(readRequest(root, [{ name: '../five', limit: 1 }]), arena), RangeError);
  for (let length = 1; length < request.length; length += 7) {
    try {
      kernels.readFiles(request.subarray(0, length), arena);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  t.throws(() => kernels.openSource(utf8(join(root, 'link'))), { code: 'ELOOP', errno: 40 });
  t.throws(() => kernels.openSource(utf8(join(root, 'fifo'))), { code: 'ESTALE', errno: 116 });
});

t.test('nextData names the data extents of a sparse file and nothing else', async (t) => {
  const file = join(folder(), 'sparse');
  writeFileSync(file, '');
  truncateSync(file, 4 << 20);
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=65536', 'seek=16', 'count=1', 'conv=notrunc'], { stdio: 'ignore' });
  const fd = kernels.openSource(utf8(file));
  t.same(kernels.nextData(fd, 0, 4 << 20), [16 * 65536, 17 * 65536]);
  t.same(kernels.nextData(fd, 16 * 65536 + 5, 16 * 65536 + 10), [16 * 65536 + 5, 16 * 65536 + 10], 'clipped to size');
  t.equal(kernels.nextData(fd, 17 * 65536, 4 << 20), undefined);
  t.equal(kernels.nextData(fd, 0, 65536), undefined);
  t.equal(Number(viewOf(kernels.statFd(fd)).getBigInt64(4 + 32, true)), 4 << 20);
  t.throws(() => kernels.readAt(fd, new Uint8Array(10), 5, 6, 0), RangeError);
  kernels.closeFd(fd);
  t.throws(() => kernels.statFd(fd), { code: 'EBADF', errno: 9 });
});

t.test('extended attributes come back as bytes, sorted by name', async (t) => {
  const file = join(folder(), 'file');
  writeFileSync(file, '');
  const script =
    'import os,sys\nfor n,v in ((b"user.b",b"\\xff\\x00x"),(b"user.a",b""),(b"user.large",b"y"*2000)): os.setxattr(sys.argv[1],n,v)';
  try {
    execFileSync('python3', ['-c', script, file], { stdio: 'ignore' });
  } catch {
    t.comment('setting attributes not tested: no python3, or no user attributes on this file system');
    return;
  }
  const got = kernels.getXattrs(utf8(file)).map(([name, value]) => [Buffer.from(name).toString(), toHex(value as Uint8Array)]);
  t.same(
    got.filter(([name]) => name!.startsWith('user.')),
    [
      ['user.a', ''],
      ['user.b', 'ff0078'],
      ['user.large', '79'.repeat(2000)],
    ],
  );
  t.throws(() => kernels.getXattrs(utf8(`${file}x`)), { code: 'ENOENT' });
  t.throws(() => kernels.readLink(utf8(file)), { code: 'EINVAL', errno: 22 });
});

t.test('digests and chunk ids are those of node:crypto', async (t) => {
  fc.assert(
    fc.property(anyBytes, fc.array(fc.tuple(fc.nat(6000), fc.nat(6000)), { maxLength: 8 }), (data, wanted) => {
      const pieces = Uint32Array.from(
        wanted.flatMap(([a, b]) => {
          const offset = Math.min(a, data.length);
          return [offset, Math.min(b, data.length - offset)];
        }),
      );
      return toHex(kernels.sha256Pieces(data, pieces)) === toHex(twin.sha256Pieces(data, pieces));
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(255), fc.array(key32, { maxLength: 5 }), (key, type, digests) => {
      const ids = concat(...digests.map((digest) => twin.chunkId(key, type, digest)));
      return toHex(kernels.chunkIds(key, type, concat(...digests))) === toHex(ids);
    }),
  );
  t.throws(() => kernels.sha256Pieces(new Uint8Array(10), Uint32Array.of(5, 6)), RangeError);
  t.throws(() => kernels.sha256Pieces(new Uint8Array(10), Uint32Array.of(0xffffffff, 2)), RangeError);
  t.throws(() => kernels.chunkIds(new Uint8Array(32), 256, new Uint8Array(32)), RangeError);
  t.throws(() => kernels.chunkIds(new Uint8Array(32), 1, new Uint8Array(31)), RangeError);
});

t.test('many pieces at once are digested as each by itself, whatever their lengths and number', async (t) => {
  const data = random(200_000);
  data.fill(0, 50_000, 90_000);
  const lengths = [0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128, 129, 191, 192, 1000, 4095, 4096, 5000, 70_000];
  for (const count of [1, 4, 5, 15, 16, 17, 40, 200]) {
    const pieces = new Uint32Array(2 * count);
    for (let at = 0; at < pieces.length; at += 2) {
      pieces[at + 1] = lengths[Math.floor(Math.random() * lengths.length)]!;
      pieces[at] = Math.floor(Math.random() * (data.length - pieces[at + 1]!));
    }
    t.equal(toHex(kernels.sha256Pieces(data, pieces)), toHex(twin.sha256Pieces(data, pieces)), `${count} pieces of ${pieces}`);
  }
  const zeros = Uint32Array.from(
    [4096, 8192, 4097, 5000, 6000, 7000, 9000, 10_000, 11_000, 12_000, 4096, 40_000].flatMap((n) => [50_000, n]),
  );
  t.equal(toHex(kernels.sha256Pieces(data, zeros)), toHex(twin.sha256Pieces(data, zeros)), 'runs of zeros');
  const nearly = Uint32Array.from([49_999, 40_000, 50_000, 40_001, 49_990, 4096, 85_910, 4096]);
  t.equal(toHex(kernels.sha256Pieces(data, nearly)), toHex(twin.sha256Pieces(data, nearly)), 'and what is zeros but for a byte');
});

t.test('a running digest is continued by several threads, with zeros between', async (t) => {
  const handle = kernels.hashCreate();
  const [a, b, c] = [random(1000), random(70_000), random(3)] as const;
  kernels.hashUpdate(handle, a, 0, a.length);
  await inWorker('n.hashUpdate(data.handle, data.bytes, 10, data.bytes.length - 10)', { handle, bytes: b });
  await inWorker('n.hashZeros(data.handle, 200001)', { handle });
  kernels.hashUpdate(handle, c, 0, c.length);
  const expected = twin.sha256(a, b.subarray(10), new Uint8Array(200_001), c);
  t.equal(toHex(await inWorker<Uint8Array>('return n.hashFinal(data.handle)', { handle })), toHex(expected));
  t.throws(() => kernels.hashFinal(handle), RangeError, 'the handle is gone');
  t.throws(() => kernels.hashUpdate(handle, a, 0, 1), RangeError);
});

t.test('cuts are identical to the plain loop, whole or fed in parts', async (t) => {
  const params = fc
    .record({
      avgBits: fc.integer({ min: 12, max: 13 }),
      min: fc.integer({ min: 0, max: 6000 }),
      more: fc.integer({ min: 1, max: 30_000 }),
    })
    .map(({ avgBits, min, more }) => ({ avgBits, min, max: min + more }));
  const text = utf8('static int gear(struct buffer *b) { return b->length << 1; }\n'.repeat(2000));
  const data = fc.tuple(fc.nat(120_000), fc.boolean(), fc.nat(97)).map(([length, plain, shift]) => {
    const bytes = plain ? text.slice(shift, shift + length) : random(length);
    if (plain) for (let at = 0; at < bytes.length; at += 1000 + shift) bytes[at] = at & 0xff;
    return bytes;
  });
  fc.assert(
    fc.property(data, params, fc.integer({ min: 30_000, max: 90_000 }), (bytes, p, part) => {
      const table = getRandomValues(new Uint32Array(256));
      const whole = cutChunks(bytes, table, p, true);
      t.same([...kernels.cut(bytes, 0, bytes.length, table, p, true)], whole);
      t.same([...kernels.cut(concat(random(3), bytes), 3, bytes.length, table, p, false)], cutChunks(bytes, table, p, false));
      const fed: number[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = Math.min(Math.max(part, p.max), bytes.length - at);
        const some = kernels.cut(bytes, at, size, table, p, at + size === bytes.length);
        fed.push(...some);
        for (const length of some) at += length;
      }
      t.same(fed, whole);
    }),
    { numRuns: 40 },
  );
  const table = new Uint32Array(256);
  const p = { min: 4096, max: 65536, avgBits: 14 };
  t.same(
    [...kernels.cut(new Uint8Array(10_000), 0, 10_000, table, p, true)],
    [4097, 4097, 1806],
    'a hash of zero cuts right after min',
  );
  t.same([...kernels.cut(new Uint8Array(0), 0, 0, table, p, true)], []);
  t.throws(() => kernels.cut(new Uint8Array(10), 5, 6, table, p, true), RangeError);
  t.throws(() => kernels.cut(new Uint8Array(10), 0, 10, new Uint32Array(255), p, true), RangeError);
  t.throws(() => kernels.cut(new Uint8Array(10), 0, 10, table, { ...p, avgBits: 31 }, true), RangeError);
  t.throws(() => kernels.cut(new Uint8Array(10), 0, 10, table, { ...p, max: 0, min: 0 }, true), RangeError);
});

t.test('random and compressed bytes look incompressible, text and short runs do not', async (t) => {
  const text = utf8(Array.from({ length: 20_000 }, (_, at) => `line ${at * 7919} of ${at ^ 0x5a5a}\n`).join(''));
  const packed = new Uint8Array(new Compressor().compress(random(300_000).map((byte) => byte & 0x7f)));
  for (const length of [128, 200, 512, 1024, 5000, 200_000]) {
    const piece = Uint32Array.of(0, length);
    t.same([...kernels.looksIncompressible(random(length), piece)], [1], `random ${length}`);
    t.same([...kernels.looksIncompressible(text, piece)], [0], `text ${length}`);
    t.same([...kernels.looksIncompressible(packed.subarray(100), piece)], [1], `zstd ${length}`);
  }
  t.same([...kernels.looksIncompressible(random(127), Uint32Array.of(0, 127, 0, 0))], [0, 0]);
});

t.test('a frame of the kernel is that of noble and zstd-napi, byte for byte, and each opens the other', async (t) => {
  const aads = fc.uint8Array({ minLength: 6, maxLength: 90 });
  fc.assert(
    fc.property(anyBytes, key32, fc.nat(2 ** 48), aads, fc.constantFrom(-5, 1, 3, 9, 19), (raw, key, number, aad, level) => {
      const expected = frames.sealFrame(raw, key, number, aad, 5, level);
      const out = new Uint8Array(raw.length * 2 + 1000);
      const own = aad.slice();
      const [length, codec] = kernels.sealFrame(raw, raw.length, key, number, own, 5, level, out, 7);
      t.equal(codec, expected.codec);
      t.equal(own[5], codec, 'the codec stands in the associated data');
      const sealed = out.slice(7, 7 + length);
      t.equal(toHex(sealed), toHex(expected.sealed));
      t.equal(toHex(frames.openFrame(sealed, key, number, own, codec)), toHex(raw));
      const opened = new Uint8Array(raw.length + 3).fill(9);
      kernels.openFrame(expected.sealed, key, number, own, codec, opened, raw.length);
      t.equal(toHex(opened), `${toHex(raw)}090909`, 'nothing is written beyond rawLength');
    }),
    { numRuns: 60 },
  );
});

t.test('a frame with any byte changed, or opened as another, is refused and yields nothing', async (t) => {
  const key = random(32);
  for (const raw of [utf8('the same words, the same words, the same words, again'), random(40)]) {
    const aad = random(20);
    const out = new Uint8Array(500);
    const [length, codec] = kernels.sealFrame(raw, raw.length, key, 8, aad, 5, 3, out, 0);
    const sealed = out.slice(0, length);
    const into = new Uint8Array(raw.length);
    const refuses = (
      change: Partial<{ sealed: Uint8Array; key: Uint8Array; number: number; aad: Uint8Array; codec: number; rawLength: number }>,
    ) => {
      const p = { sealed, key, number: 8, aad, codec, rawLength: raw.length, ...change };
      t.throws(() => kernels.openFrame(p.sealed, p.key, p.number, p.aad, p.codec, into, p.rawLength), { code: 'EBADMSG' });
      t.ok(into.every((byte) => byte === 0));
    };
    const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, index) => (index === at ? byte ^ 0x10 : byte));
    for (let at = 0; at < length; at++) refuses({ sealed: flipped(sealed, at) });
    for (let at = 0; at < aad.length; at++) refuses({ aad: flipped(aad, at) });
    for (let keep = 0; keep < length; keep++) refuses({ sealed: sealed.subarray(0, keep) });
    refuses({ sealed: concat(sealed, Uint8Array.of(0)) });
    refuses({ key: flipped(key, 3) });
    refuses({ number: 9 });
    refuses({ codec: codec ^ 1 });
    refuses({ codec: 2 });
    refuses({ rawLength: raw.length - 1 });
    kernels.openFrame(sealed, key, 8, aad, codec, into, raw.length);
    t.equal(toHex(into), toHex(raw));
    t.throws(() => kernels.openFrame(sealed, key, 8, aad, codec, into, raw.length + 1), RangeError);
  }
});

t.test('a rightly sealed frame with a dishonest zstd payload is refused', async (t) => {
  const key = random(32);
  const aad = random(10);
  const raw = utf8('abcdefgh'.repeat(1000));
  const seal = (payload: Uint8Array): Uint8Array => frames.sealPayload(payload, key, 1, aad);
  const zstd = (parameters: Parameters<Compressor['setParameters']>[0]): Uint8Array => {
    const compressor = new Compressor();
    compressor.setParameters(parameters);
    return new Uint8Array(compressor.compress(raw));
  };
  const honest = zstd({ compressionLevel: 3 });
  const out = new Uint8Array(raw.length);
  kernels.openFrame(seal(honest), key, 1, aad, 1, out, raw.length);
  t.equal(toHex(out), toHex(raw));
  const refuses = (payload: Uint8Array, why: RegExp, rawLength = raw.length) =>
    t.throws(() => kernels.openFrame(seal(payload), key, 1, aad, 1, new Uint8Array(9 << 20), rawLength), {
      code: 'EBADMSG',
      message: why,
    });
  refuses(honest, /content size/, raw.length - 1);
  refuses(honest, /content size/, raw.length + 1);
  refuses(zstd({ contentSizeFlag: false }), /content size/);
  refuses(concat(honest, Uint8Array.of(0)), /follow|add up/);
  refuses(concat(honest, honest), /follow/);
  refuses(honest.subarray(0, honest.length - 1), /add up/);
  refuses(new Uint8Array(0), /not a zstd frame/);
  refuses(concat(Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0), random(4)), /not a zstd frame/);
  refuses(honest.subarray(0, 3), /not a zstd frame/);
  // Magic, descriptor (8-byte content size), window descriptor of 2^24, content size, one empty last block.
  refuses(concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xc0, 14 << 3), new Uint8Array(8), Uint8Array.of(1, 0, 0)), /window/, 0);
  refuses(honest, /8 MiB/, (8 << 20) + 1);
  for (let at = 4; at < honest.length; at++) {
    const broken = honest.slice();
    broken[at]! ^= 0x55;
    try {
      kernels.openFrame(seal(broken), key, 1, aad, 1, out, raw.length);
    } catch (error) {
      t.equal((error as { code?: string }).code, 'EBADMSG');
    }
  }
});

t.test('sealing refuses buffers that do not hold the frame', async (t) => {
  const [raw, key, aad, out] = [random(1000), random(32), random(10), new Uint8Array(2000)] as const;
  t.throws(() => kernels.sealFrame(raw, 1001, key, 0, aad, 5, 3, out, 0), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key, 0, aad, 10, 3, out, 0), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key, 0, aad, 5, 3, out, 1500), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key, 0, aad, 5, 3, out, -1), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key.subarray(1), 0, aad, 5, 3, out, 0), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key, 2 ** 60, aad, 5, 3, out, 0), RangeError);
  t.throws(() => kernels.sealFrame(raw, 1000, key, 0.5, aad, 5, 3, out, 0), RangeError);
  t.throws(() => kernels.sealFrame(out, 1000, key, 0, aad, 5, 3, out, 0), RangeError, 'raw and out overlap');
  t.throws(() => kernels.sealFrame('raw' as unknown as Uint8Array, 3, key, 0, aad, 5, 3, out, 0), TypeError);
});

t.test('verifyRows names the first row that is not its chunk', async (t) => {
  const kId = random(32);
  const raw = random(600);
  const row = (type: number, from: number, to: number): Uint8Array =>
    concat(
      twin.chunkId(kId, type, twin.sha256(raw.subarray(from, to))),
      Uint8Array.of(type),
      new Uint8Array(Uint32Array.of(to - from).buffer),
    );
  const rows = concat(row(1, 0, 100), row(2, 100, 101), row(1, 101, 600));
  t.equal(kernels.verifyRows(kId, raw, rows), -1);
  t.equal(kernels.verifyRows(kId, raw, new Uint8Array(0)), -1);
  for (let at = 0; at < rows.length; at++) {
    const broken = rows.slice();
    broken[at]! ^= 1;
    t.equal(kernels.verifyRows(kId, raw, broken), Math.floor(at / 37));
  }
  t.equal(kernels.verifyRows(kId, raw.subarray(0, 599), rows), 2, 'a row past the end differs');
  t.throws(() => kernels.verifyRows(kId, raw, rows.subarray(1)), RangeError);
});

t.test('verifyRows finds the one wrong row among many, and rows of every length', async (t) => {
  const kId = random(32);
  const lengths = Array.from({ length: 60 }, (_, i) => 1 + ((i * 7919) % 900));
  const raw = random(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  const rows = concat(
    ...lengths.map((length) => {
      const id = twin.chunkId(kId, 1, twin.sha256(raw.subarray(at, at + length)));
      at += length;
      return concat(id, Uint8Array.of(1), new Uint8Array(Uint32Array.of(length).buffer));
    }),
  );
  t.equal(kernels.verifyRows(kId, raw, rows), -1);
  at = 0;
  for (const [i, length] of lengths.entries()) {
    raw[at]! ^= 4;
    t.equal(kernels.verifyRows(kId, raw, rows), i);
    raw[at]! ^= 4;
    at += length;
  }
});

t.test('of all threads that claim an id, one wins and the others learn its value', async (t) => {
  const handle = kernels.claimsCreate();
  const ids = random(32 * 20_000);
  const body = 'return n.claim(data.handle, data.ids, data.value)';
  const answers = await Promise.all([1, 2].map((value) => inWorker<Uint32Array>(body, { handle, ids, value })));
  let won = 0;
  const final = kernels.claimed(handle, ids);
  for (let at = 0; at < 20_000; at++) {
    const winners = answers.filter((answer) => answer[at] === 0xffffffff).length;
    const loser = answers.find((answer) => answer[at] !== 0xffffffff);
    if (winners === 1 && loser?.[at] === final[at]) won++;
  }
  t.equal(won, 20_000);
  t.equal(kernels.claimsCount(handle), 20_000);
  t.same([...kernels.claimed(handle, random(64))], [0xffffffff, 0xffffffff]);
  const twice = random(32);
  t.same([...kernels.claim(handle, concat(twice, twice), 7)], [0xffffffff, 7], 'twice in one call');
  t.throws(() => kernels.claim(handle, twice, 0xffffffff), RangeError, 'the value that means absent');
  t.throws(() => kernels.claim(handle, twice.subarray(1), 1), RangeError);
  kernels.claimsFree(handle);
  t.throws(() => kernels.claimed(handle, ids), RangeError);
});
