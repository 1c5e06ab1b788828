/** The parts of a view by themselves: numbers that threads share, names and times, listings against the full decoder, session keys without promises. */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
import { domainKeys, readerPrivateKey, x25519Public } from '../../lib/crypto/roles.js';
import { createSessionKey } from '../../lib/crypto/session.js';
import { sessionOpener } from '../../lib/crypto/session-open.js';
import { CorruptError } from '../../lib/errors.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { type LeafPage as DecodedLeaf, decodePage, encodeLeaf } from '../../lib/format/page.js';
import { type Entry, EntryKind, isFile, type Owner, writeEntry } from '../../lib/format/tree.js';
import type { FileSystem } from '../../lib/mount/driver.js';
import { fillDirectory } from '../../lib/mount/fuse-directory.js';
import { frame } from '../../lib/mount/fuse-protocol.js';
import { native, workerFile } from '../../lib/native.js';
import { entryAttributes, MAX_LISTING_BYTES, type NamedNode, readListing } from '../../lib/view/attributes.js';
import { inoBelow, inoNumber, linkIno, rootIno } from '../../lib/view/ino.js';
import { LeafPage } from '../../lib/view/leaf-page.js';
import { createNodeTable, NodeTable } from '../../lib/view/node-table.js';
import { createSharedFrames, SharedFrames } from '../../lib/view/shared-frames.js';
import { fileNameOf, lastMomentOf, snapshotNames, timeName } from '../../lib/view/snapshot-names.js';

t.test('two threads that number the same directories at once get the same numbers', async (t) => {
  const shared = createNodeTable();
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.file).then(({ NodeTable }) => {
      const table = new NodeTable(workerData.shared);
      const numbers = [];
      for (let i = 0; i < 20000; i++) numbers.push(table.numberOf(0, 4194304 * (i * 7919 % 20000) + 3, i % 3));
      parentPort.postMessage(numbers);
    });`;
  const file = workerFile('lib/view/node-table');
  const start = (): Promise<number[]> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(program, { eval: true, workerData: { file, shared } });
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const [a, b] = await Promise.all([start(), start()]);
  t.same(a, b);
  t.equal(new Set(a).size, 20000, 'each its own');
  const table = new NodeTable(shared);
  t.same(table.keyOf(a![5]!), { kind: 0, a: 4194304 * ((5 * 7919) % 20000) + 3, b: 2 });
  t.equal(table.keyOf(0), undefined);
  t.equal(table.keyOf(20001), undefined);
});

t.test('inode numbers are those of HalfSipHash-2-4 with 64 bits', async (t) => {
  // Key 00…07, messages of no byte and of 00: test vectors of the reference implementation, top bit cleared.
  const key = { lo: 0x03020100, hi: 0x07060504 };
  const expected = [0xc83cb8b9591f8d21n, 0x157338f8122455ben];
  for (const [length, value] of expected.entries()) {
    const message = Uint8Array.from({ length }, (_, i) => i);
    t.equal(inoNumber(inoBelow(key, message)), value & 0x7fffffffffffffffn, `${length} bytes`);
  }
  t.not(inoNumber(rootIno(new Uint8Array(32))), inoNumber(rootIno(new Uint8Array(32).fill(1))));
});

t.test('times of receipt become names, a second one in a second a number', async (t) => {
  const time = { sec: 1795310427, nsec: 5 };
  t.equal(timeName(time), '2026-11-22T01-20-27Z');
  const names = snapshotNames([
    { time, complete: true },
    { time, complete: false },
    { time: { sec: 1795310428, nsec: 0 }, complete: true },
  ]);
  t.same(names, ['2026-11-22T01-20-27Z', '2026-11-22T01-20-27Z-2-partial', '2026-11-22T01-20-28Z']);
});

t.test('what cannot be a file name is escaped, and different names stay different', async (t) => {
  for (const [text, name] of [
    ['plain', 'plain'],
    ['a/b', 'a%2Fb'],
    ['a%2Fb', 'a%252Fb'],
    ['..', '%2E%2E'],
    ['', '%'],
    ['é', 'é'],
    ['x\n', 'x%0A'],
  ] as const)
    t.equal(fileNameOf(text), name);
  const [long, longer] = [fileNameOf('ä/'.repeat(300)), fileNameOf('ä/'.repeat(301))];
  t.not(long, longer);
  for (const name of [long, longer]) t.ok(utf8(name).byteLength <= 255);
});

t.test('a time in at/ means the last moment of what it names, in UTC unless it says otherwise', async (t) => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  const end = (text: string): bigint => BigInt(Date.parse(text)) * 1_000_000n - 1n;
  for (const [text, next] of [
    ['2026-11-22T01-20-27Z', '2026-11-22T01:20:28Z'],
    ['2026-11-22T01:20:27', '2026-11-22T01:20:28Z'],
    ['2026-11-22 01:20', '2026-11-22T01:21:00Z'],
    ['2026-11-22T01:20:27+02:00', '2026-11-21T23:20:28Z'],
    ['2026-11-22', '2026-11-23T00:00:00Z'],
    ['yesterday', '2026-11-22T00:00:00Z'],
  ] as const)
    t.equal(lastMomentOf(text, now), end(next), text);
  for (const text of ['2026-13-01', '2026-02-30', 'soon', '', '2026-11-22T25:00', '20261122'])
    t.equal(lastMomentOf(text, now), undefined, text);
});

const OWNERS: readonly Owner[] = [
  { uid: 0, gid: 0, user: 'root', group: 'root' },
  { uid: 70000, gid: 5, user: null, group: null },
];

function page(count: number): Uint8Array {
  const entries: Entry[] = Array.from({ length: count }, (_, i) => {
    const kind = ((i % 7) + 1) as Entry['kind'];
    const common = {
      name: utf8(`name-${String(i).padStart(5, '0')}${'x'.repeat(i % 50)}`),
      mode: (i * 37) & 0o7777,
      owner: OWNERS[i % 2]!,
      mtimeSec: (i - 3) * 100_000_007,
      mtimeNsec: (i * 12345) % 1e9,
      btimeSec: i % 2 ? null : -i,
      btimeNsec: 0,
      xattrs: i % 5 ? [] : [{ name: utf8('user.x'), value: new Uint8Array(i % 300) }],
      link: i % 3 || kind === EntryKind.directory ? null : { id: new Uint8Array(16).fill(i), nlink: 2 + i },
    };
    switch (kind) {
      case EntryKind.regular:
        return { ...common, kind, sizeBytes: i + 1, digest: new Uint8Array(32).fill(i), content: { kind: 'whole' as const } };
      case EntryKind.directory:
        return { ...common, kind, tree: new Uint8Array(32).fill(i), totals: { files: i, directories: 0, bytes: 2 ** 40 } };
      case EntryKind.symlink:
        return { ...common, kind, target: utf8(`to/${i}`) };
      case EntryKind.charDevice:
      case EntryKind.blockDevice:
        return { ...common, kind, major: i, minor: i * 1000 };
      default:
        return { ...common, kind } as Entry;
    }
  });
  const encoded = entries.map((entry, i) => {
    const out = new CborWriter(256);
    writeEntry(out, entry, i % 2);
    return out.finish();
  });
  return encodeLeaf(OWNERS, encoded.length, Buffer.concat(encoded));
}

const PLACE = { keys: Uint32Array.of(1, 2, 3, 4), ownerRoot: false, ttlSec: 7 };

/** What a listing must say of `entry`, from the decoder and the plain inode numbers. */
function expected(entry: Entry, nodeId: number): NamedNode {
  const ino = entry.link === null ? inoBelow({ lo: 1, hi: 2 }, entry.name) : linkIno({ lo: 3, hi: 4 }, entry.link.id);
  const data = isFile(entry) ? entry.sizeBytes : 0;
  return { name: entry.name, attributes: { ...entryAttributes(entry, nodeId, inoNumber(ino), data, false), ttlSec: 7 } };
}

t.test('a leaf lists what the decoder and the plain inode numbers say, of every entry', async (t) => {
  const bytes = page(500);
  const leaf = new LeafPage(bytes, 'page');
  const { entries } = decodePage(bytes, 'page') as DecodedLeaf;
  t.equal(leaf.count, entries.length);
  const out = new Uint8Array(500 * MAX_LISTING_BYTES);
  const listed = [...readListing(out, leaf.list(0, 500, 4000, PLACE, out, 0))];
  t.strictSame(
    listed,
    entries.map((entry, i) => expected(entry, 4000 + i)),
  );
  for (const i of [0, 1, 250, 499]) {
    t.equal(leaf.find(entries[i]!.name), i);
    t.strictSame(leaf.entry(i), entries[i]);
    t.strictSame(leaf.name(i), entries[i]!.name);
  }
  t.equal(leaf.find(utf8('nobody')), -1);
  t.equal(leaf.find(utf8('zzz')), -1);
  const asRoot = [...readListing(out, leaf.list(3, 2, 9, { ...PLACE, ownerRoot: true }, out, 0))];
  t.same(
    asRoot.map(({ attributes: { nodeId, uid, gid } }) => [nodeId, uid, gid]),
    [
      [9, 0, 0],
      [10, 0, 0],
    ],
  );
  t.throws(() => leaf.list(0, 500, 1, PLACE, new Uint8Array(1000), 0), RangeError, 'no room');
  t.throws(() => leaf.list(499, 2, 1, PLACE, out, 0), RangeError, 'more than there are');
  // An index that fits no page is refused or answered wrongly, but nothing outside the page is read.
  const index = native().checkLeaf(bytes);
  index[3] = 0xffff_fff0;
  t.throws(() => native().listLeaf(bytes, index, 0, 1, PLACE.keys, 1, false, 1, out, 0), { code: 'EBADMSG' });
  t.throws(() => native().findInLeaf(bytes, index.subarray(1), utf8('x')), RangeError);
});

t.test('the addon accepts and refuses the leaves that the decoder accepts and refuses', async (t) => {
  const accepts = (decide: () => unknown): boolean => {
    try {
      decide();
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== 'CORRUPT') throw error;
      return false;
    }
  };
  const good = page(24);
  const isLeaf = (bytes: Uint8Array): boolean => (decodePage(bytes, 'page') as DecodedLeaf).level === 0;
  let accepted = 0;
  let seed = 12345;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  // Bytes that mean something in CBOR are likelier to get past the first check.
  const telling = [0, 1, 2, 3, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x40, 0x58, 0x60, 0x80, 0x81, 0x84, 0x8a, 0x98, 0xf6, 0xff];
  for (let round = 0; round < 40_000; round++) {
    let bytes = Uint8Array.from(good);
    const at = next(bytes.byteLength);
    const how = next(8);
    if (how === 0) bytes = bytes.subarray(0, at);
    else if (how === 1) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1)]);
    else if (how < 5) bytes[at] = telling[next(telling.length)]!;
    else bytes[at]! ^= 1 << next(8);
    const wanted = accepts(() => {
      if (!isLeaf(bytes)) throw new CorruptError('page', 'is no leaf');
    });
    if (wanted) accepted++;
    if (wanted !== accepts(() => new LeafPage(bytes, 'page'))) {
      t.fail(`round ${round}, byte ${at}: ${toHex(bytes)}`);
      return;
    }
  }
  t.ok(accepted > 1000, `${accepted} of 40,000 mutations leave a leaf that is allowed`);
});

t.test('a directory reply made from records is the reply made from objects', async (t) => {
  const leaf = new LeafPage(page(300), 'page');
  const out = new Uint8Array(300 * MAX_LISTING_BYTES);
  const end = leaf.list(0, 300, 77, PLACE, out, 0);
  const nodes = [...readListing(out, end)];
  const none = (): undefined => undefined;
  const slice = (offset: number, limit: number) => nodes.slice(offset, offset + limit);
  const slow = {
    getattr: none,
    readdir: (_: number, offset: number, limit: number) => {
      const entries = slice(offset, limit);
      return { entries, next: offset + entries.length, end: offset + entries.length >= nodes.length };
    },
  } as unknown as FileSystem;
  const fast = {
    ...slow,
    readdirRecords: (_: number, offset: number, limit: number) => {
      const room = new Uint8Array(limit * MAX_LISTING_BYTES);
      const count = Math.min(limit, nodes.length - offset);
      const to = leaf.list(offset, count, 77 + offset, PLACE, room, 0);
      return { records: room.subarray(0, to), count, end: offset + count >= nodes.length };
    },
  };
  for (const plus of [true, false]) {
    for (const [offset, sizeBytes] of [
      [0, 4096],
      [2, 300],
      [150, 65536],
      [0, 1 << 20],
      [302, 4096],
    ] as const) {
      const [a, b] = [frame(new Uint8Array(2 << 20)), frame(new Uint8Array(2 << 20).fill(0xaa))];
      const request = { nodeId: 5, offset, sizeBytes, plus };
      const length = fillDirectory(slow, request, a, 16);
      t.equal(fillDirectory(fast, request, b, 16), length, `${plus} ${offset} ${sizeBytes}`);
      t.equal(Buffer.compare(a.bytes.subarray(16, length), b.bytes.subarray(16, length)), 0);
    }
  }
});

t.test('a session key sealed with HPKE opens without promises, and nothing else does', async (t) => {
  const [salt, root, secret] = [randomBytes(32), randomBytes(32), randomBytes(32)].map((b) => new Uint8Array(b)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const reader = readerPrivateKey(root, salt);
  const domain = domainKeys(secret, salt, new Uint8Array(randomBytes(16)));
  const ids = {
    repository: new Uint8Array(32).fill(1),
    writer: new Uint8Array(16).fill(2),
    domain: domain.domain,
    session: new Uint8Array(16).fill(3),
  };
  const { key, sealed } = await createSessionKey(x25519Public(reader), domain, ids);
  const open = sessionOpener([reader]);
  t.same(open(domain, ids, sealed), key);
  t.equal(open(domain, { ...ids, session: new Uint8Array(16) }, sealed), undefined, 'of another session');
  t.equal(open(domainKeys(reader, salt, domain.domain), ids, sealed), undefined, 'with another psk');
  t.equal(sessionOpener([readerPrivateKey(secret, salt)])(domain, ids, sealed), undefined, 'with another reader key');
  for (const field of ['enc', 'ct', 'commitment'] as const) {
    const bad = Uint8Array.from(sealed[field]);
    bad[0]! ^= 1;
    t.equal(open(domain, ids, { ...sealed, [field]: bad }), undefined, `with a changed ${field}`);
  }
  t.equal(open(domain, ids, { ...sealed, enc: new Uint8Array(32) }), undefined, 'with a public key of small order');
});

t.test('a shared frame is decoded once, given up when room is needed, and never kept when decoding failed', async (t) => {
  const shared = createSharedFrames(4 << 20);
  const [one, two] = [new SharedFrames(shared), new SharedFrames(shared)];
  const place = (frame: number, rawBytes = 1000) => ({ packId: new Uint8Array(32).fill(7), frame, rawBytes, chunkCount: 2 });
  const decoded: number[] = [];
  const decode = (frame: number) => (into: Uint8Array) => {
    decoded.push(frame);
    into.fill(frame);
  };
  t.throws(
    () =>
      one.frame(place(1), () => {
        throw new Error('damaged');
      }),
    /damaged/,
  );
  t.equal(one.frame(place(1), decode(1)).raw[999], 1);
  one.frame(place(1), decode(1)).verified[1] = 1;
  const other = two.frame(place(1), decode(1));
  t.equal(other.raw[5], 1);
  t.equal(other.verified[1], 1, 'what one verified, the other need not');
  t.same(decoded, [1]);
  for (let frame = 2; frame < 40; frame++) t.equal(one.frame(place(frame), decode(frame)).raw[0], frame);
  t.equal(other.raw[5], 1, 'what another thread holds is not given up');
  t.equal(one.frame(place(50, 3 << 20), decode(50)).raw.byteLength, 3 << 20, 'one too large for a slot is kept apart');
  one.frame(place(2), decode(2));
  t.equal(decoded.filter((frame) => frame === 2).length, 2, 'given up and decoded again');
});

t.test('copyBytes does what set does, from and to shared memory, and refuses to leave either', async (t) => {
  const from = new Uint8Array(new SharedArrayBuffer(1000)).map((_, i) => i * 7);
  const shared = new Uint8Array(new SharedArrayBuffer(1000));
  shared.set(from);
  const [into, expected] = [new Uint8Array(600), new Uint8Array(600)];
  native().copyBytes(shared, 13, into, 5, 501);
  expected.set(from.subarray(13, 514), 5);
  t.same(into, expected);
  for (const [a, b, length] of [
    [900, 0, 101],
    [0, 500, 101],
    [1001, 0, 0],
  ] as const)
    t.throws(() => native().copyBytes(shared, a, into, b, length), RangeError);
});
