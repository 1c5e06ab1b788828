/** The codec on values and bytes nobody thought of: against cborg as oracle, round trips of random pages, ledger entries and directories, and random bytes into every decoder. */
import * as cborg from 'cborg';
import fc from 'fast-check';
import t from 'tap';
import { compareBytes, concat, equalBytes, toHex } from '../../lib/bytes.js';
import { CorruptError, VarveError } from '../../lib/errors.js';
import { CborReader, CborWriter, MAX_NESTING } from '../../lib/format/cbor.js';
import { encodeRows, ROW_BYTES, splitRows } from '../../lib/format/content.js';
import { decodeEntry, encodeEntry } from '../../lib/format/entry.js';
import { entryName, manifestName, packName, parseEntryName, parseIdName, parsePackName } from '../../lib/format/names.js';
import { decodeDirectory, encodeDirectory, padmeBytes } from '../../lib/format/pack.js';
import { decodePage } from '../../lib/format/page.js';
import { MAX_SECOND, MIN_SECOND } from '../../lib/format/payload.js';
import { compareTimes, msOfTime, timeOfMs } from '../../lib/format/time.js';
import { type Entry, isValidName } from '../../lib/format/tree.js';
import { asId } from '../../lib/id.js';
import { cases, leafOf } from '../helpers/vector-cases.js';

// Hostile input is refused by throwing, a million times here.
Error.stackTraceLimit = 0;

type Item = number | string | Uint8Array | null | readonly Item[];

function write(out: CborWriter, item: Item): CborWriter {
  if (item === null) return out.null();
  if (typeof item === 'number') return out.int(item);
  if (typeof item === 'string') return out.text(item);
  if (item instanceof Uint8Array) return out.bytes(item);
  out.array(item.length);
  for (const part of item) write(out, part);
  return out;
}

function read(from: CborReader): Item {
  switch (from.peek()) {
    case 'int':
      return from.int();
    case 'bytes':
      return from.bytes().slice();
    case 'text':
      return from.text();
    case 'array':
      return Array.from({ length: from.array() }, () => read(from));
    default:
      if (!from.null()) from.fail('nothing');
      return null;
  }
}

/** The item in `bytes`, or undefined when refused. */
function decode(bytes: Uint8Array): { item: Item } | undefined {
  try {
    const from: CborReader = new CborReader(bytes, 'random');
    const item = read(from);
    from.end();
    return { item };
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/** The same by cborg, or undefined when it refuses, or takes what the format does not. */
function oracle(bytes: Uint8Array): { item: Item } | undefined {
  try {
    const item = cborg.decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      allowBigInt: false,
    }) as Item;
    return isPlain(item) && equalBytes(cborg.encode(item), bytes) ? { item } : undefined;
  } catch {
    return undefined;
  }
}
function isPlain(item: unknown): item is Item {
  if (item === null || typeof item === 'string' || item instanceof Uint8Array) return true;
  if (typeof item === 'number') return Number.isSafeInteger(item) && !Object.is(item, -0);
  return Array.isArray(item) && item.every(isPlain);
}

const bytes = (length?: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array(length === undefined ? { maxLength: 300 } : { minLength: length, maxLength: length });
const edges = [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
const integer = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(...edges, ...edges.map((n) => -n)).map((n) => n + 0),
);
const item: fc.Arbitrary<Item> = fc.letrec<{ item: Item }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 6 },
    integer,
    fc.string({ unit: 'binary' }),
    bytes(),
    fc.constant(null),
    fc.array(tie('item'), { maxLength: 30 }),
  ),
})).item;

t.test('what we write is what cborg writes, and both read it back', async () => {
  fc.assert(
    fc.property(item, (value) => {
      const encoded = write(new CborWriter(1), value).finish();
      if (!equalBytes(encoded, cborg.encode(value)))
        throw new Error(`cborg writes ${toHex(cborg.encode(value))}, we ${toHex(encoded)}`);
      if (!equalBytes(write(new CborWriter(), decode(encoded)!.item).finish(), encoded)) throw new Error('reading changes it');
    }),
    { numRuns: 2000 },
  );
});

t.test('bent CBOR is accepted exactly where cborg finds it canonical', async () => {
  const bent = fc
    .tuple(item, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }))
    .map(([value, changes]) => {
      const encoded = write(new CborWriter(), value).finish();
      for (const [at, byte] of changes) encoded[at % encoded.byteLength] = byte;
      return encoded;
    });
  fc.assert(
    fc.property(fc.oneof(bent, fc.uint8Array({ maxLength: 24 })), (encoded) => {
      const ours = decode(encoded);
      const theirs = oracle(encoded);
      if ((ours === undefined) !== (theirs === undefined))
        throw new Error(`${toHex(encoded)}: we ${ours ? 'accept' : 'refuse'}, cborg does not`);
      if (ours !== undefined && !equalBytes(cborg.encode(ours.item), encoded))
        throw new Error(`${toHex(encoded)}: read as something else`);
    }),
    { numRuns: 20_000 },
  );
});

t.test('lengths that lie and nesting without end cost nothing', async (t) => {
  const huge = [
    '9bffffffffffffffff',
    '5b7fffffffffffffff',
    '9a7fffffff',
    '7a7fffffff00',
    '9f',
    '5f',
    '7f',
    'bf',
    'c0',
    'f4',
    'f5',
    'f7',
    'f97e00',
    'fb3ff0000000000000',
    'ff',
    '1c',
    '1800',
    '190001',
    '1a00000001',
    '1b0000000000000001',
    '61ff',
    '63eda080',
    '3b001fffffffffffff',
  ];
  for (const hex of huge) t.equal(decode(new Uint8Array(Buffer.from(hex, 'hex'))), undefined, hex);
  const skip = (depth: number) => () =>
    new CborReader(concat(new Uint8Array(depth).fill(0x81), Uint8Array.of(0)), 'nested').skip();
  t.doesNotThrow(skip(MAX_NESTING));
  t.throws(skip(MAX_NESTING + 1), { code: 'CORRUPT' });
  t.throws(skip(1_000_000), { code: 'CORRUPT' });
  t.throws(() => new CborWriter().int(2 ** 53), RangeError);
  t.throws(() => new CborWriter().int(0.5), RangeError);
});

const name = fc.uint8Array({ minLength: 1, maxLength: 255 }).filter(isValidName);
const owner = fc.record({
  uid: fc.constantFrom(0, 1000, 4294967295),
  gid: fc.constantFrom(0, 1000),
  user: fc.option(fc.constantFrom('root', 'ä')),
  group: fc.option(fc.string({ unit: 'binary', maxLength: 8 })),
});
const nsec = fc.integer({ min: 0, max: 999_999_999 });
const common = {
  name,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  owner,
  mtimeSec: fc.maxSafeInteger(),
  mtimeNsec: nsec,
  btimeSec: fc.option(fc.maxSafeInteger()),
  btimeNsec: fc.constant(0),
  xattrs: fc
    .uniqueArray(
      fc.record({
        name: fc.uint8Array({ minLength: 1, maxLength: 255 }).filter((bytes) => !bytes.includes(0)),
        value: fc.oneof(bytes(), fc.record({ lengthBytes: fc.integer({ min: 4097, max: 2_097_152 }), id: bytes(32) })),
      }),
      { maxLength: 4, selector: (xattr) => toHex(xattr.name) },
    )
    .map((list) => list.sort((a, b) => compareBytes(a.name, b.name))),
};
const link = fc.option(fc.record({ id: bytes(16), nlink: fc.integer({ min: 2, max: 1e6 }) }));
const row = fc.record({ length: fc.integer({ min: 1, max: 2_097_152 }), id: fc.option(bytes(32), { nil: undefined }) });
const content = fc.oneof(
  fc.constant({ sizeBytes: 0, content: { kind: 'empty' } }),
  fc
    .uint8Array({ minLength: 1, maxLength: 256 })
    .map((inline) => ({ sizeBytes: inline.byteLength, content: { kind: 'inline', bytes: inline } })),
  fc.integer({ min: 1, max: 2_097_152 }).map((sizeBytes) => ({ sizeBytes, content: { kind: 'whole' } })),
  fc.array(row, { minLength: 1, maxLength: 16 }).map((rows) => ({
    sizeBytes: rows.reduce((sum, { length }) => sum + length, 0),
    content: { kind: 'rows', depth: 0, rows: encodeRows(rows) },
  })),
);
const u32 = fc.integer({ min: 0, max: 4294967295 });
const size = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const entry = fc.oneof(
  fc
    .record({ ...common, link, kind: fc.constantFrom(1, 8), digest: bytes(32), more: content })
    .map(({ more, ...rest }) => ({ ...rest, ...more })),
  fc.record({
    ...common,
    link: fc.constant(null),
    kind: fc.constant(2),
    tree: bytes(32),
    totals: fc.record({ files: size, directories: size, bytes: size }),
  }),
  fc.record({
    ...common,
    link,
    kind: fc.constant(3),
    target: fc.uint8Array({ minLength: 1, maxLength: 4096 }).filter((target) => !target.includes(0)),
  }),
  fc.record({ ...common, link, kind: fc.constantFrom(4, 5) }),
  fc.record({ ...common, link, kind: fc.constantFrom(6, 7), major: u32, minor: u32 }),
) as unknown as fc.Arbitrary<Entry>;
const plain = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array
      ? toHex(part)
      : part !== null && typeof part === 'object' && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
        : part,
  );

t.test('random directories survive a round trip', async () => {
  const directory = fc
    .uniqueArray(entry, { maxLength: 8, selector: (one) => toHex(one.name) })
    .map((list) => list.sort((a, b) => compareBytes(a.name, b.name)));
  fc.assert(
    fc.property(directory, (entries) => {
      const encoded = leafOf(entries);
      const page = decodePage(encoded, 'page');
      if (!('entries' in page) || plain(page.entries) !== plain(entries))
        throw new Error(`another directory: ${plain('entries' in page ? page.entries : page)} for ${plain(entries)}`);
      if (!equalBytes(leafOf(page.entries), encoded)) throw new Error('another encoding');
    }),
    { numRuns: 1000 },
  );
});

t.test('random ledger entries survive a round trip', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  const idList = fc.uniqueArray(bytes(32), { maxLength: 5, selector: toHex }).map((ids) => concat(...ids.sort(compareBytes)));
  const span = fc.integer({ min: 0, max: MAX_SECOND });
  const durations = { minimumSec: span, hourSec: span, daySec: span, weekSec: span, monthSec: span, yearSec: span };
  const slots = fc.integer({ min: 0, max: 31 });
  const head = fc.record({ author: bytes(16), count: size, head: bytes(32) });
  const texts = fc.array(text, { maxLength: 3 });
  const retentionClass = fc.record({
    name: text.filter((name) => name !== ''),
    ...durations,
    hosts: texts,
    labels: texts,
    tags: texts,
    expectSec: span,
  });
  const terms = fc.record({
    waitSec: span,
    longestSec: span,
    autoPrune: fc.boolean(),
    dailyBytes: size,
    dailySnapshots: size,
    classes: fc.uniqueArray(retentionClass, { maxLength: 4, selector: ({ name }) => name }),
  });
  const extending = fc
    .tuple(terms, fc.integer({ min: 1, max: MAX_SECOND }))
    .map(([rest, extensionSec]) => ({ ...rest, extensionSec }));
  const anyCheck = fc
    .record({
      range: fc.tuple(bytes(32), bytes(32)).map((pair) => pair.sort(compareBytes)),
      level: fc.constantFrom(0, 1, 2, 3),
      coversSec: span,
      heads: bytes(32),
      startedSec: span,
      packs: fc.integer({ min: 5, max: Number.MAX_SAFE_INTEGER }),
      bytes: size,
      bad: idList,
    })
    .map(({ range, ...rest }) => ({ type: 11, ...rest, first: range[0]!, last: range[1]!, badCount: rest.bad.byteLength / 32 }));
  const anySlots = fc
    .uniqueArray(fc.record({ id: bytes(8), label: text, digest: bytes(32) }), { maxLength: 6, selector: ({ id }) => toHex(id) })
    .map((all) => ({ type: 21, added: all.slice(0, 3), removed: all.slice(3).map(({ id }) => id) }));
  const prunable = { packs: idList, snapshots: idList, indexes: idList };
  const payload = fc.oneof(
    fc.constant({ type: 1 }),
    fc.record({ type: fc.constant(3), author: bytes(16), count: size, head: bytes(32), reason: text }),
    fc.record({ type: fc.constant(4), ...durations, terms }),
    fc.record({
      type: fc.constant(5),
      manifest: bytes(32),
      stream: bytes(16),
      state: fc.constantFrom(0, 1),
      retainUntilSec: span,
      slots,
      class: text.filter((name) => name !== ''),
    }),
    fc.record({ type: fc.constant(6), snapshots: idList, untilSec: span, reason: text }),
    fc.record({ type: fc.constant(7), snapshots: idList, reason: text }),
    fc.record({ type: fc.constant(8), author: bytes(16), sequence: size, reason: text }),
    fc.record({
      type: fc.constant(9),
      receipts: fc.array(fc.record({ author: bytes(16), sequence: size, hash: bytes(32), retainUntilSec: span, slots }), {
        maxLength: 4,
      }),
    }),
    fc.record({ type: fc.constant(14), ...prunable }),
    fc.record({ type: fc.constant(15), author: bytes(16), sequence: size, ...prunable }),
    fc.record({ type: fc.constantFrom(16, 19), role: fc.constantFrom(0, 1), publicKey: bytes(32) }),
    fc.record({ type: fc.constant(17), code: text, detail: text }),
    fc.record({ type: fc.constant(20), heads: fc.array(head, { maxLength: 4 }), reason: text }),
    fc.record({ type: fc.constant(2), publicKey: bytes(32), domain: bytes(16) }),
    fc.record({
      type: fc.constant(4),
      ...durations,
    }),
    fc.record({
      type: fc.constant(5),
      manifest: bytes(32),
      stream: bytes(16),
      state: fc.constantFrom(0, 1),
      retainUntilSec: span,
      slots: fc.integer({ min: 0, max: 31 }),
    }),
    fc.record({ type: fc.constant(2), publicKey: bytes(32), domain: bytes(16), name: text, sealed: bytes() }),
    fc.record({ type: fc.constant(19), role: fc.constantFrom(0, 1, 2), publicKey: bytes(32), name: text }),
    fc.record({ type: fc.constant(16), role: fc.constantFrom(0, 1), publicKey: bytes(32), signature: bytes(64) }),
    fc.record({ type: fc.constant(4), ...durations, terms: extending }),
    fc.record({ type: fc.constant(10), snapshots: idList, statement: text }),
    anyCheck,
    fc.record({ type: fc.constant(12), phase: fc.constant(0), drill: bytes(16), snapshots: idList }),
    fc.record({
      type: fc.constant(12),
      phase: fc.constant(1),
      drill: bytes(16),
      snapshots: idList,
      verdict: fc.constantFrom(0, 1, 2),
      record: bytes(32),
    }),
    fc.record({
      type: fc.constant(13),
      direction: fc.constantFrom(0, 1),
      other: bytes(32),
      snapshots: idList,
      heads: bytes(32),
      bytes: size,
      level: fc.constantFrom(0, 1, 2, 3),
    }),
    anySlots,
    fc.record({ type: fc.constant(22), author: bytes(16), stream: bytes(16), reason: text }),
    fc.record({ type: fc.constant(18), domain: bytes(16), sealed: bytes() }),
  );
  const time = fc.record({ sec: fc.integer({ min: MIN_SECOND, max: MAX_SECOND }), nsec });
  fc.assert(
    fc.property(
      fc.record({ repository: bytes(32), author: bytes(16), sequence: size, previous: bytes(32), time, payload }),
      (one) => {
        const signature = new Uint8Array(64).fill(7);
        const decoded = decodeEntry(concat(encodeEntry(one as never), signature), 'entry');
        if (plain(decoded.entry) !== plain(one)) throw new Error(`another entry: ${plain(decoded.entry)} for ${plain(one)}`);
      },
    ),
    { numRuns: 2000 },
  );
});

t.test('random pack directories survive a round trip, with padding, and not without room', async () => {
  const frame = fc.tuple(
    fc.array(fc.tuple(bytes(32), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5000 })), {
      minLength: 1,
      maxLength: 5,
    }),
    fc.nat({ max: 50 }),
    fc.boolean(),
  );
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 6 }), fc.nat({ max: 100 }), (list, padding) => {
      let end = 256;
      const rows: Uint8Array[] = [];
      const frames = list.map(([chunks, gap, isRaw]) => {
        const rawBytes = chunks.reduce((sum, [, , length]) => sum + length, 0);
        const joined = concat(
          ...chunks.map(([id, type, length]) => concat(id, Uint8Array.of(type, length, length >> 8, length >> 16, 0))),
        );
        rows.push(joined);
        const sealedBytes = isRaw ? rawBytes + 16 : 17;
        const offset = end + gap;
        end = offset + sealedBytes;
        return { offset, sealedBytes, rawBytes, codec: isRaw ? 0 : 1, chunkCount: chunks.length };
      });
      const encoded = encodeDirectory(frames, rows);
      const decoded = decodeDirectory(concat(encoded, new Uint8Array(padding)), end, 'directory');
      if (!equalBytes(encodeDirectory(decoded.frames, [decoded.chunkRows]), encoded)) throw new Error('another directory');
      if (frames.length === 0) return;
      let refused = false;
      try {
        decodeDirectory(encoded, end - 1, 'directory');
      } catch (error) {
        refused = error instanceof CorruptError;
      }
      if (!refused) throw new Error('a frame behind the end is accepted');
    }),
    { numRuns: 500 },
  );
});

t.test('random bytes are refused by every decoder, with an error of ours', async () => {
  const makers = Object.entries(cases).filter(([, one]) => one.encode !== undefined);
  const random = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    // Behind a right preamble, to get past the first check.
    fc
      .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 80 }), bytes())
      .map(([kind, length, rest]) => concat(Uint8Array.of(0x56, 0x41, 0x52, 0x56, kind, 1, 1, 0, length, 0, 0, 0), rest)),
  );
  fc.assert(
    fc.property(random, (input) => {
      for (const [name, one] of makers) {
        let value: unknown;
        try {
          value = one.decode(input);
        } catch (error) {
          if (error instanceof VarveError) continue;
          throw error;
        }
        const again = one.encode!(value as never, input);
        if (again !== undefined && !equalBytes(again, input)) throw new Error(`${name} takes what is not canonical`);
      }
    }),
    { numRuns: 10_000 },
  );
});

t.test('list pages join to the rows they were split from, within their limits', async (t) => {
  const list = Array.from({ length: 10_000 }, (_, i) => ({
    length: 1 + (i % 7),
    id: i % 5 === 0 ? undefined : new Uint8Array(32).map((_, at) => (at === 31 ? 1 : (i * 31 + at * 7) & 255)),
  }));
  const rows = encodeRows(list);
  const pages = splitRows(rows);
  t.ok(equalBytes(concat(...pages), rows));
  t.ok(pages.length > 1);
  for (const page of pages.slice(0, -1)) t.ok(page.byteLength >= 64 * ROW_BYTES && page.byteLength <= 2048 * ROW_BYTES);
});

t.test('names of objects parse to what they were made of, and nothing else does', async (t) => {
  const id = new Uint8Array(32).map((_, i) => i * 7);
  const author = asId('author', id.slice(0, 16));
  t.same(parsePackName(packName(id)), id);
  t.same(parseIdName('snapshots', manifestName(id)), id);
  t.same(parseEntryName(entryName(author, 12)), { author, sequence: 12 });
  for (const wrong of [
    packName(id).replace('packs/00', 'packs/01'),
    packName(id).toUpperCase(),
    `${packName(id)}0`,
    'packs/x',
    '',
  ])
    t.equal(parsePackName(wrong), undefined, wrong);
  for (const wrong of [
    entryName(author, 1).slice(0, -1),
    `${entryName(author, 1)}0`,
    entryName(author, 1).replace('ledger', 'Ledger'),
  ])
    t.equal(parseEntryName(wrong), undefined, wrong);
  t.equal(parseIdName('index', manifestName(id)), undefined);
});

t.test('times before 1970 and Padmé lengths', async (t) => {
  t.same(timeOfMs(-1), { sec: -1, nsec: 999_000_000 });
  t.equal(msOfTime(timeOfMs(-86_400_123)), -86_400_123);
  t.ok(compareTimes(timeOfMs(-1), timeOfMs(0)) < 0);
  for (const length of [2, 3, 9, 1000, 1025, 4_000_001, 16_777_217]) {
    const padded = padmeBytes(length);
    t.ok(padded >= length && padded <= length * 1.12 + 1, `${length} → ${padded}`);
    t.equal(padmeBytes(padded), padded, 'a padded length stays');
  }
});
