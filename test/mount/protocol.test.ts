/** The parts of the mount drivers that need no mount: requests answered from bytes, the mount table, the log's limit, paths for fuse-native. */
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import type { Attributes, FileSystem } from '../../lib/mount/driver.js';
import { mountDriver } from '../../lib/mount/drivers.js';
import { nativeStatFs, PathView } from '../../lib/mount/fuse-native-paths.js';
import { encodeDevice, frame, Op } from '../../lib/mount/fuse-protocol.js';
import { MAX_REPLY_DATA_BYTES, type SessionOptions, serveRequest } from '../../lib/mount/fuse-session.js';
import { limitLog } from '../../lib/mount/log-limit.js';
import { parseMountTable } from '../../lib/mount/mount-table.js';
import { openFileSystem } from '../helpers/sample-fs.js';

const fs = openFileSystem({});

/** Sends one request with `body` after the header; returns the errno and the data of the reply, or undefined when there is none. */
function ask(
  opcode: number,
  nodeId: number,
  body: Uint8Array = new Uint8Array(0),
  over: Partial<SessionOptions & { fs: FileSystem }> = {},
): { errno: number; data: Buffer } | undefined {
  const bytes = Buffer.alloc(40 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(0xfedc_ba98_7654_3210n, 8);
  bytes.writeBigUInt64LE(BigInt(nodeId), 16);
  bytes.set(body, 40);
  const out = Buffer.alloc(16 + MAX_REPLY_DATA_BYTES);
  const options = { defaultPermissions: true, onLog: () => undefined, onInit: () => undefined, ...over };
  const length = serveRequest(over.fs ?? fs, options, frame(bytes), bytes.length, frame(out));
  if (length === 0) return undefined;
  t.equal(out.readUInt32LE(0), length, 'a reply tells its own length');
  t.equal(out.readBigUInt64LE(8), 0xfedc_ba98_7654_3210n, 'and whose it is');
  return { errno: -out.readInt32LE(4), data: Buffer.from(out.subarray(16, length)) };
}

const name = (text: string): Uint8Array => utf8(`${text}\0`);
const broken = new Proxy({} as FileSystem, {
  get: () => () => {
    throw new Error('broken');
  },
});

t.test('every writing operation is EROFS, every unknown one ENOSYS', async (t) => {
  for (const op of [Op.SETATTR, Op.SYMLINK, Op.MKNOD, Op.MKDIR, Op.UNLINK, Op.RMDIR, Op.RENAME, Op.RENAME2, Op.LINK, Op.WRITE]) {
    t.equal(ask(op, 1)?.errno, 30, `operation ${op}`);
  }
  for (const op of [Op.SETXATTR, Op.REMOVEXATTR, Op.CREATE, Op.FALLOCATE, Op.COPY_FILE_RANGE, Op.TMPFILE])
    t.equal(ask(op, 1)?.errno, 30, `operation ${op}`);
  for (const op of [Op.OPEN, Op.OPENDIR, 34, 52, 4242]) t.equal(ask(op, 1)?.errno, 38, `operation ${op}`);
});

t.test('whatever the FileSystem throws is EIO and a line, for every operation that asks it', async (t) => {
  const log: string[] = [];
  const asking = [Op.LOOKUP, Op.GETATTR, Op.READLINK, Op.READ, Op.READDIR, Op.READDIRPLUS, Op.GETXATTR, Op.LISTXATTR, Op.STATFS];
  for (const op of asking) {
    const body = new Uint8Array(40);
    body[17] = 1;
    t.equal(ask(op, 7, body, { fs: broken, onLog: (line) => log.push(line) })?.errno, 5, `operation ${op}`);
  }
  t.equal(log.length, asking.length);
  t.match(log[0], /lookup of node 7 failed: broken/);
  t.equal(ask(Op.FORGET, 7, new Uint8Array(8), { fs: broken }), undefined, 'FORGET has no reply, not even a bad one');
});

t.test('forgetting reaches the FileSystem, singly and in batches', async (t) => {
  const forgotten: number[][] = [];
  const counting = { ...fs, forget: (nodeId: number, count: number) => forgotten.push([nodeId, count]) } as unknown as FileSystem;
  const one = Buffer.alloc(8);
  one.writeBigUInt64LE(3n);
  t.equal(ask(Op.FORGET, 9, one, { fs: counting }), undefined);
  const batch = Buffer.alloc(8 + 32);
  batch.writeUInt32LE(2, 0);
  for (const [i, value] of [2n ** 40n, 1n, 5n, 2n ** 33n].entries()) batch.writeBigUInt64LE(value, 8 + i * 8);
  t.equal(ask(Op.BATCH_FORGET, 0, batch, { fs: counting }), undefined);
  t.strictSame(forgotten, [
    [9, 3],
    [2 ** 40, 1],
    [5, 2 ** 33],
  ]);
});

t.test('a name that is not there is remembered for as long as its directory says', async (t) => {
  const long = ask(Op.LOOKUP, 1, name('none'));
  t.equal(long?.errno, 0);
  t.equal(long?.data.readBigUInt64LE(0), 0n, 'node 0');
  t.equal(long?.data.readBigUInt64LE(16), 3600n, 'entry lifetime');
  const changing = fs.lookup(1, utf8('changing'))?.nodeId ?? 0;
  t.equal(ask(Op.LOOKUP, changing, name('none'))?.errno, 2, 'not at all where it says nothing');
});

t.test('seconds before 1970 and inode numbers above 2^63 keep their bits', async (t) => {
  const old = ask(Op.LOOKUP, 1, name('old.txt'))?.data;
  t.equal(old?.readBigInt64LE(40 + 32), -86_401n);
  t.equal(old?.readUInt32LE(40 + 52), 500_000_000);
  t.equal(ask(Op.LOOKUP, 1, name('big.bin'))?.data.readBigUInt64LE(40), 2n ** 63n + 7n);
  t.equal(encodeDevice(10, 300_000), 0x4930_0ae0, 'new_encode_dev(10, 300000)');
});

t.test('INIT takes what is offered and no more, and refuses kernels that are too old', async (t) => {
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(31, 4);
  body.writeUInt32LE(131_072, 8);
  body.writeUInt32LE(0xffff_ffff, 12);
  let told = 0;
  const reply = ask(Op.INIT, 0, body, { onInit: () => told++ })?.data;
  t.equal(reply?.length, 64);
  t.strictSame([reply?.readUInt32LE(0), reply?.readUInt32LE(4), reply?.readUInt32LE(8)], [7, 31, 131_072]);
  const flags = reply?.readUInt32LE(12) ?? 0;
  t.ok(
    flags & (1 << 13) && flags & (1 << 18) && flags & (1 << 22) && flags & (1 << 20),
    'READDIRPLUS, PARALLEL_DIROPS, MAX_PAGES, POSIX_ACL',
  );
  t.notOk(flags & ((1 << 14) | (1 << 23) | (1 << 16)), 'not READDIRPLUS_AUTO, CACHE_SYMLINKS, WRITEBACK_CACHE');
  t.equal((ask(Op.INIT, 0, body, { defaultPermissions: false })?.data.readUInt32LE(12) ?? 0) & (1 << 20), 0);
  t.equal(reply?.readUInt16LE(28), 256, 'max_pages');
  body.writeUInt32LE(0, 12);
  t.equal(ask(Op.INIT, 0, body)?.data.readUInt32LE(12), 0);
  body.writeUInt32LE(27, 4);
  t.equal(ask(Op.INIT, 0, body)?.errno, 71);
  t.equal(told, 1);
});

t.test('a listing is whole whatever the buffer, and starts again at any entry', async (t) => {
  const gaps = fs.lookup(1, utf8('gaps'))?.nodeId ?? 0;
  for (const nodeId of [1, gaps]) {
    for (const [op, size, skip] of [
      [Op.READDIR, 512, 0],
      [Op.READDIRPLUS, 700, 128],
      [Op.READDIRPLUS, 1 << 20, 128],
    ] as const) {
      const seen: string[] = [];
      for (let offset = 0n; ; ) {
        const body = Buffer.alloc(40);
        body.writeBigUInt64LE(offset, 8);
        body.writeUInt32LE(size, 16);
        const data = ask(op, nodeId, body)?.data ?? Buffer.alloc(0);
        t.ok(data.length <= size);
        if (data.length === 0) break;
        for (let at = 0; at < data.length; ) {
          const record = at + skip;
          const length = data.readUInt32LE(record + 16);
          seen.push(data.toString('latin1', record + 24, record + 24 + length));
          offset = data.readBigUInt64LE(record + 8);
          at = record + ((24 + length + 7) & ~7);
        }
      }
      t.strictSame(seen.slice(0, 2), ['.', '..']);
      t.equal(new Set(seen).size, seen.length, 'nothing twice');
      t.equal(seen.length, 2 + fs.readdir(nodeId, 0, 100_000).entries.length, 'nothing left out');
    }
  }
});

t.test('the mount table: blanks, backslashes and bytes above 127 in names', async (t) => {
  const line = '36 35 0:98 / /mnt/two\\040words\\134\\303\\251 ro,nosuid shared:1 - fuse.varve a\\054b ro,user_id=0';
  t.strictSame(parseMountTable(`${line}\nnonsense\n`), [
    { device: '0:98', mountpoint: '/mnt/two words\\\u00e9', fsType: 'fuse.varve', source: 'a,b' },
  ]);
});

t.test('a flood of messages is cut short and counted', async (t) => {
  const out: string[] = [];
  let now = 0;
  const log = limitLog(
    (line) => out.push(line),
    () => now,
  );
  for (let i = 0; i < 100; i++) log(`line ${i}`);
  t.equal(out.length, 20);
  now = 10_000;
  log('later');
  t.strictSame(out.slice(20), ['80 more messages like these were left out', 'later']);
});

t.test('paths for fuse-native: remembered as long as allowed, inode numbers of 32 bits that do not collide', async (t) => {
  let now = 0;
  let lookups = 0;
  const counting = new Proxy(fs, {
    get: (target, key) => {
      if (key === 'lookup') lookups++;
      const value = Reflect.get(target, key) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const view = new PathView(counting, () => now);
  t.equal(view.find('/nested/deeper/leaf')?.sizeBytes, 5);
  t.equal(lookups, 3);
  view.find('/nested/deeper/leaf');
  t.equal(lookups, 3, 'remembered');
  now = 3_600_001;
  view.find('/nested/deeper/leaf');
  t.equal(lookups, 6, 'until its time is over');
  t.equal(view.find('/hello.txt/x'), undefined);
  t.equal(view.find('/nested/none'), undefined);
  t.equal(view.find('/b\ufffd\ufffd.b')?.sizeBytes, 6, 'a name that is not UTF-8, by what is shown of it');

  const make = (ino: bigint): Attributes => ({ ...(fs.getattr(1) as Attributes), ino });
  const inos = [1n, 2n ** 32n + 1n, 2n ** 40n + 1n, 1n].map((ino) => view.stat(make(ino)).ino);
  t.equal(inos[0], inos[3]);
  t.equal(new Set(inos).size, 3);
  t.ok(inos.every((ino) => ino > 0 && ino < 2 ** 32));
  t.equal(view.stat({ ...make(1n), mtimeSec: -5, mtimeNsec: 0 }).mtime, 0, 'never in the far future');
  t.strictSame(nativeStatFs({ blockSizeBytes: 4096, blocks: 2 ** 33, files: 2 ** 40, nameMaxBytes: 255 }), {
    bsize: 16_384,
    frsize: 16_384,
    blocks: 2 ** 31,
    files: 2 ** 32 - 1,
    namemax: 255,
  });
});

t.test('drivers are chosen by name', async (t) => {
  t.equal(mountDriver('fuse-native').name, 'fuse-native');
  t.equal(mountDriver().name, process.platform === 'linux' ? 'kernel' : 'fuse-native');
  t.throws(() => mountDriver('nfs'), RangeError);
});
