/** Valid inputs for each decoder that exists twice, small and of every kind. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Compressor } from 'zstd-napi';
import { concat, utf8, viewOf } from '../../lib/bytes.js';
import { writeSegment } from '../../lib/chunk-index/segment-file.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { type Content, encodeRows } from '../../lib/format/content.js';
import { encodeIndexBody } from '../../lib/format/index-object.js';
import { encodeDirectory, encodePackHeader } from '../../lib/format/pack.js';
import { encodeInner, encodeLeaf } from '../../lib/format/page.js';
import { type Entry, type EntryCommon, EntryKind, type Owner, writeEntry } from '../../lib/format/tree.js';

const id = (text: string): Uint8Array => sha256(utf8(text));

function row(text: string, type: number, length: number): Uint8Array {
  const out = new Uint8Array(37);
  out.set(id(text));
  out[32] = type;
  viewOf(out).setUint32(33, length, true);
  return out;
}

/** A directory with these chunk lengths in each frame; odd frames are compressed. */
function directory(frames: readonly (readonly number[])[], type = 1): Uint8Array {
  let offset = 256;
  const rows: Uint8Array[] = [];
  const heads = frames.map((lengths, n) => {
    for (const [i, length] of lengths.entries()) rows.push(row(`${n} ${i}`, type, length));
    const rawBytes = lengths.reduce((a, b) => a + b, 0);
    const sealedBytes = n % 2 === 0 ? rawBytes + 16 : 17 + (rawBytes >> 1);
    offset += sealedBytes;
    return { offset: offset - sealedBytes, sealedBytes, rawBytes, codec: n % 2, chunkCount: lengths.length };
  });
  return encodeDirectory(heads, rows);
}

export const directories = (): Uint8Array[] => [
  directory([]),
  directory([[1]]),
  directory([[5, 6, 7], [1000], [2_097_152, 2_097_152]]),
  directory(
    [
      [300, 20],
      [40, 50],
    ],
    2,
  ),
  directory([[3], [4], [5]], 4),
  concat(directory([[10, 20], [7]]), new Uint8Array(30)),
];

export const FUZZ_REPOSITORY = id('repository');
export const FUZZ_DOMAIN = id('domain').subarray(0, 16);
export const header = (packClass: 1 | 2): Uint8Array =>
  encodePackHeader({
    repository: FUZZ_REPOSITORY,
    writer: id('writer').subarray(0, 16),
    domain: FUZZ_DOMAIN,
    session: id('session').subarray(0, 16),
    packClass,
    enc: id('enc'),
    ct: concat(id('ct'), id('ct').subarray(0, 16)),
    commitment: id('commitment'),
    salt: id('salt'),
  });

export function indexBodies(): Uint8Array[] {
  const pack = (n: number, packClass: 1 | 2, bytes: Uint8Array) => ({
    packId: id(`pack ${n}`),
    packBytes: 6_000_000,
    header: header(packClass),
    directory: bytes,
  });
  const [none, one, three, tree] = directories() as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  return [
    concat(...encodeIndexBody([])),
    concat(...encodeIndexBody([pack(1, 1, one)])),
    concat(...encodeIndexBody([pack(1, 1, three), pack(2, 2, tree), pack(3, 1, none)])),
  ];
}

const OWNERS: readonly Owner[] = [
  { uid: 0, gid: 0, user: 'root', group: 'root' },
  { uid: 1000, gid: 100, user: null, group: 'grün' },
  { uid: 0xffffffff, gid: 0, user: '', group: null },
];

const common = (name: string, more: Partial<EntryCommon> = {}): EntryCommon => ({
  name: utf8(name),
  mode: 0o644,
  owner: OWNERS[0]!,
  mtimeSec: 1_700_000_000,
  mtimeNsec: 999_999_999,
  btimeSec: null,
  btimeNsec: 0,
  xattrs: [],
  link: null,
  ...more,
});
const file = (
  name: string,
  sizeBytes: number,
  content: Content,
  more: Partial<EntryCommon> = {},
  digest: Uint8Array | null = id(name),
): Entry => ({
  ...common(name, more),
  kind: EntryKind.regular,
  sizeBytes,
  digest,
  content,
});
const rows = (...list: [number, string | undefined][]): Uint8Array =>
  encodeRows(list.map(([length, text]) => ({ length, id: text === undefined ? undefined : id(text) })));

const ENTRIES: readonly Entry[] = [
  file('a', 0, { kind: 'empty' }),
  file('b', 3, { kind: 'inline', bytes: utf8('abc') }, { owner: OWNERS[1]!, btimeSec: -5, btimeNsec: 7 }),
  file('c', 5000, { kind: 'whole' }, { link: { id: id('link').subarray(0, 16), nlink: 2 } }),
  file('d', 2_097_152 + 70_000, { kind: 'rows', depth: 0, rows: rows([2_097_152, 'x'], [60_000, undefined], [10_000, 'y']) }),
  file('e', 2 ** 40, { kind: 'rows', depth: 2, rows: rows([2 ** 39, 'p'], [2 ** 39, 'q']) }, { owner: OWNERS[2]! }, null),
  {
    ...common('f', {
      xattrs: [
        { name: utf8('user.a'), value: utf8('value') },
        { name: utf8('user.b'), value: { lengthBytes: 5000, id: id('xattr') } },
      ],
    }),
    kind: EntryKind.directory,
    tree: id('tree'),
    totals: { files: 3, directories: 0, bytes: 2 ** 41 },
  },
  { ...common('g', { mtimeSec: -1 }), kind: EntryKind.symlink, target: utf8('../there') },
  { ...common('h'), kind: EntryKind.fifo },
  { ...common('i', { owner: OWNERS[1]! }), kind: EntryKind.socket },
  { ...common('j'), kind: EntryKind.charDevice, major: 5, minor: 0xffffffff },
  { ...common('k', { mode: 0o7777 }), kind: EntryKind.blockDevice, major: 8, minor: 1 },
  { ...file('l', 10, { kind: 'rows', depth: 0, rows: rows([10, undefined]) }), kind: EntryKind.image } as Entry,
];

function leaf(entries: readonly Entry[]): Uint8Array {
  const owners: Owner[] = [];
  const encoded = entries.map((entry) => {
    if (!owners.includes(entry.owner)) owners.push(entry.owner);
    const out = new CborWriter();
    writeEntry(out, entry, owners.indexOf(entry.owner));
    return out.finish();
  });
  return encodeLeaf(owners, entries.length, concat(...encoded));
}

export const pages = (): Uint8Array[] => [
  leaf([]),
  leaf(ENTRIES),
  leaf(ENTRIES.slice(0, 3)),
  leaf(ENTRIES.slice(3, 7)),
  leaf(ENTRIES.slice(7)),
  encodeInner(1, [
    { firstName: utf8('a'), id: id('left'), count: 3 },
    { firstName: utf8('m'), id: id('right'), count: 4096 },
  ]),
];

/** Payloads of frames: what zstd makes of these at several levels. */
export function payloads(): Uint8Array[] {
  const texts = [
    utf8('a'),
    utf8('varve '.repeat(200)),
    concat(...Array.from({ length: 300 }, (_, i) => id(`noise ${i % 40}`))),
    new Uint8Array(70_000),
  ];
  return texts.flatMap((raw) =>
    [-5, 1, 19].map((compressionLevel) => {
      const compressor = new Compressor();
      compressor.setParameters({ compressionLevel, contentSizeFlag: true, checksumFlag: false, dictIDFlag: false });
      return new Uint8Array(compressor.compress(raw));
    }),
  );
}

/** A segment of a few packs, as bytes. */
export async function segments(): Promise<Uint8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'varve-fuzz-'));
  try {
    const [none, one, three] = directories() as [Uint8Array, Uint8Array, Uint8Array];
    const many = directory([Array.from({ length: 400 }, (_, i) => i + 1)]);
    const made: Uint8Array[] = [];
    for (const list of [[none], [one], [three, many]]) {
      const packs = list.map((bytes, n) => ({ packId: id(`pack ${n}`), header: header(1), directory: bytes }));
      made.push(new Uint8Array(readFileSync(await writeSegment(folder, [{ name: `s${made.length}`, packs }]))));
    }
    return made;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes all of them into `folder`, as `DECODER-NUMBER`. */
export async function writeSeeds(folder: string): Promise<void> {
  const all = {
    directory: directories(),
    builder: directories().slice(0, -1),
    leaf: pages(),
    frame: payloads(),
    segment: await segments(),
  };
  for (const [decoder, inputs] of Object.entries(all))
    for (const [n, bytes] of inputs.entries()) writeFileSync(join(folder, `${decoder}-${n}`), bytes);
}
