/** The parts of a view by themselves: numbers that threads share, names and times, listings against the full decoder, session keys without promises. */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { compareBytes, toHex, utf8 } from '../../lib/bytes.js';
import { domainKeys, readerPrivateKey, x25519Public } from '../../lib/crypto/roles.js';
import { createSessionKey } from '../../lib/crypto/session.js';
import { sessionOpener } from '../../lib/crypto/session-open.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { decodePage, type Entry, EntryKind, encodeLeaf, type LeafPage, type Owner, writeEntry } from '../../lib/format/tree.js';
import { native, workerFile } from '../../lib/native.js';
import { inoBelow, inoNumber, rootIno } from '../../lib/view/ino.js';
import { ScannedLeaf } from '../../lib/view/leaf-scan.js';
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

t.test('a scanned leaf says what the decoder says, of every entry', async (t) => {
  const bytes = page(500);
  const leaf = new ScannedLeaf(bytes, 'page');
  const decoded = decodePage(bytes, 'page') as LeafPage;
  t.equal(leaf.count, decoded.entries.length);
  let differences = 0;
  for (const [i, entry] of decoded.entries.entries()) {
    const { name, kind, mode, owner, mtimeSec, mtimeNsec, nlink, sizeBytes } = leaf.scan(i);
    const size = 'sizeBytes' in entry ? entry.sizeBytes : 'target' in entry ? entry.target.byteLength : 0;
    const same =
      compareBytes(name, entry.name) === 0 &&
      kind === entry.kind &&
      mode === entry.mode &&
      owner.uid === entry.owner.uid &&
      mtimeSec === entry.mtimeSec &&
      mtimeNsec === entry.mtimeNsec &&
      nlink === (entry.link?.nlink ?? 1) &&
      sizeBytes === size &&
      leaf.find(entry.name) === i;
    if (!same || toHex(leaf.entry(i).name) !== toHex(entry.name)) differences++;
  }
  t.equal(differences, 0);
  t.equal(leaf.find(utf8('nobody')), -1);
  t.equal(leaf.find(utf8('zzz')), -1);
});

t.test('a leaf that was cut or has names in disorder is refused', async (t) => {
  const bytes = page(20);
  for (const length of [0, 1, 10, bytes.byteLength - 1])
    t.throws(() => new ScannedLeaf(bytes.subarray(0, length), 'page'), { code: 'CORRUPT' });
  const swapped = Uint8Array.from(bytes);
  const at = Buffer.from(swapped).indexOf('name-00003');
  swapped[at] = 0x61;
  t.throws(() => new ScannedLeaf(swapped, 'page'), { code: 'CORRUPT' });
  t.throws(() => new ScannedLeaf(Uint8Array.from([...bytes, 0]), 'page'), { code: 'CORRUPT' });
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
