/**
 * Every decoder that exists twice, in TypeScript and in C++, on mutants of valid inputs: both accept the same bytes, and read the same from them. So does the second
 * reader's, in Python. VARVE_FUZZ=N gives each decoder N mutants, VARVE_SEED=N the same ones again.
 */

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Decompressor } from 'zstd-napi';
import { concat, toHex, viewOf } from '../../lib/bytes.js';
import { writeSegment } from '../../lib/chunk-index/segment-file.js';
import { CorruptError, VarveError } from '../../lib/errors.js';
import { decodeIndexBody } from '../../lib/format/index-object.js';
import { type Directory, decodeDirectory, decodePackHeader, MAX_PACK_BYTES, type PackClass } from '../../lib/format/pack.js';
import { decodePage, type Page } from '../../lib/format/page.js';
import { EntryKind, isDirectory, isFile } from '../../lib/format/tree.js';
import { native, packageRoot } from '../../lib/native.js';
import { readListing } from '../../lib/view/attributes.js';
import { scratch } from '../helpers/backup-repository.js';
import { plainCrc32c, plainSegment } from '../reference/chunk-index.js';
import { sealPayload } from '../reference/frame.js';
import { fuzzing, mutant, Random, TELLING } from './mutate.js';
import { directories, FUZZ_DOMAIN, FUZZ_REPOSITORY, header, indexBodies, pages, payloads, segments } from './seeds.js';

t.setTimeout(0);
const { count, seed } = fuzzing(20_000);
t.comment(`VARVE_SEED=${seed} VARVE_FUZZ=${count}`);

/** What `decode` returns, or undefined when it refuses. Anything else it throws is a finding. */
function tried<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof VarveError || (error as NodeJS.ErrnoException).code === 'EBADMSG') return undefined;
    throw error;
  }
}

/** Runs `same` on mutants until one differs; says how many were accepted, which must be some. */
function each(
  t: Test,
  seeds: readonly Uint8Array[],
  times: number,
  same: (bytes: Uint8Array, random: Random) => 'refused' | 'accepted' | string,
): void {
  const random = new Random(seed);
  const seen = { accepted: 0, refused: 0 };
  for (let i = 0; i < times; i++) {
    const bytes = i < seeds.length ? seeds[i]! : mutant(seeds, random);
    const outcome = same(bytes, random);
    if (outcome === 'accepted' || outcome === 'refused') seen[outcome]++;
    else {
      t.fail(`${outcome}: ${toHex(bytes)} (VARVE_SEED=${seed})`);
      return;
    }
  }
  t.ok(seen.accepted > times / 1000 && seen.refused > times / 1000, JSON.stringify(seen));
}

const isExact = ({ frames, chunkCount }: Directory, bytes: Uint8Array): boolean =>
  bytes.byteLength === 8 + 20 * frames.length + 37 * chunkCount;

t.test('pack directories: the addon and lib/format/pack.ts', (t) => {
  each(t, directories(), count, (bytes, random) => {
    const end = random.below(3) === 0 ? random.pick(TELLING) : MAX_PACK_BYTES;
    const packClass = (random.below(8) === 0 ? 2 : 1) as PackClass;
    const own = tried(() => decodeDirectory(bytes, end, 'x', packClass));
    const length = tried(() => native().checkDirectory(bytes, end, packClass));
    if ((own === undefined) !== (length === undefined))
      return `only ${own === undefined ? 'the addon' : 'TypeScript'} accepts, end ${end}, class ${packClass}`;
    if (own === undefined) return 'refused';
    return length === 8 + 20 * own.frames.length + 37 * own.chunkCount ? 'accepted' : `lengths differ: ${length}`;
  });
  t.end();
});

t.test('pack directories at the limits of numbers of frames and chunks', (t) => {
  const made = (frames: number, chunks: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(8 + 20 * frames + 37 * frames * chunks);
    const view = viewOf(bytes);
    view.setUint32(0, frames, true);
    view.setUint32(4, frames * chunks, true);
    for (let f = 0; f < frames; f++)
      for (const [at, value] of [
        [0, 256 + 17 * f],
        [4, 17],
        [8, chunks * length],
        [12, chunks],
        [16, 1],
      ] as const)
        view.setUint32(8 + 20 * f + at, value, true);
    for (let c = 0; c < frames * chunks; c++) {
      const at = 8 + 20 * frames + 37 * c;
      bytes[at + 32] = 1;
      view.setUint32(at + 33, length, true);
    }
    return bytes;
  };
  for (const [frames, chunks, length, isRight] of [
    [65_536, 1, 1, true],
    [65_537, 1, 1, false],
    [1, 65_536, 64, true],
    [1, 65_537, 1, false],
    [1, 65_536, 65, false],
    [1, 2, 2_097_152, true],
    [1, 1, 2_097_153, false],
  ] as const) {
    const bytes = made(frames, chunks, length);
    t.equal(
      tried(() => decodeDirectory(bytes, MAX_PACK_BYTES, 'x', 1)) !== undefined,
      isRight,
      `TypeScript: ${frames} × ${chunks} × ${length}`,
    );
    t.equal(
      tried(() => native().checkDirectory(bytes, MAX_PACK_BYTES, 1)) !== undefined,
      isRight,
      `the addon: ${frames} × ${chunks} × ${length}`,
    );
  }
  t.end();
});

t.test('rows of a segment are those that lib/format/pack.ts reads from the directories in it', async (t) => {
  const folder = scratch(t);
  const random = new Random(seed);
  const seeds = directories();
  for (let i = 0; i < Math.max(100, count / 200); i++) {
    const accepted: Uint8Array[] = [];
    for (let n = 0; n < 40; n++) {
      const bytes = mutant(seeds, random);
      const own = tried(() => decodeDirectory(bytes, MAX_PACK_BYTES, 'x', 1));
      if (own !== undefined && isExact(own, bytes)) accepted.push(bytes);
    }
    const packs = accepted.map((directory, n) => ({
      packId: Uint8Array.from({ length: 32 }, () => n),
      header: header(1),
      directory,
    }));
    const file = await writeSegment(folder, [{ name: `s${i}`, packs }]);
    const fd = openSync(file, 'r');
    const handle = native().segmentOpen(fd, true);
    closeSync(fd);
    const expected = new Map<string, Set<string>>();
    packs.forEach(({ directory }, pack) => {
      const { frames, chunkRows } = decodeDirectory(directory, MAX_PACK_BYTES, 'x');
      frames.forEach(({ firstChunk, chunkCount }, frame) => {
        for (let c = 0; c < chunkCount; c++) {
          const id = toHex(chunkRows.subarray((firstChunk + c) * 37, (firstChunk + c) * 37 + 32));
          expected.set(id, (expected.get(id) ?? new Set()).add(`${pack} ${frame} ${c}`));
        }
      });
    });
    for (const [id, places] of expected) {
      const rows = native().segmentRows(handle, new Uint8Array(Buffer.from(id, 'hex')));
      const found = new Set(Array.from({ length: rows.length / 3 }, (_, r) => rows.subarray(3 * r, 3 * r + 3).join(' ')));
      // Sixteen bytes of an id are looked at: others may be found beside it.
      for (const place of places) if (!found.has(place)) t.fail(`${place} of ${id} is not found (VARVE_SEED=${seed})`);
    }
    native().segmentClose(handle);
    rmSync(file);
  }
  t.pass();
});

t.test('leaf pages: the addon and lib/format/page.ts', (t) => {
  const out = new Uint8Array(1 << 16);
  const keys = Uint32Array.of(1, 2, 3, 4);
  each(t, pages(), count, (bytes) => {
    const page = tried(() => decodePage(bytes, 'x'));
    const index = tried(() => native().checkLeaf(bytes));
    const entries = page !== undefined && 'entries' in page ? page.entries : undefined;
    if ((entries === undefined) !== (index === undefined))
      return `only ${entries === undefined ? 'the addon' : 'TypeScript'} accepts`;
    if (entries === undefined || index === undefined) return 'refused';
    if (index[0] !== entries.length) return 'numbers of entries differ';
    const end = native().listLeaf(bytes, index, 0, entries.length, keys, 1, false, 1, out, 0);
    let i = 0;
    for (const { name, attributes } of readListing(out, end)) {
      const entry = entries[i]!;
      if (native().findInLeaf(bytes, index, entry.name) !== i) return `entry ${i} is not found by its name`;
      const size = isFile(entry)
        ? entry.sizeBytes
        : isDirectory(entry)
          ? 4096
          : entry.kind === EntryKind.symlink
            ? entry.target.byteLength
            : 0;
      const [major, minor] = 'major' in entry ? [entry.major, entry.minor] : [0, 0];
      const own = [
        toHex(entry.name),
        entry.mode,
        size,
        (entry.link?.nlink ?? 1) % 2 ** 32,
        entry.owner.uid,
        entry.owner.gid,
        entry.mtimeSec,
        entry.mtimeNsec,
        major,
        minor,
      ];
      const { mode, sizeBytes, nlink, uid, gid, mtimeSec, mtimeNsec, rdevMajor, rdevMinor } = attributes;
      const its = [toHex(name), mode & 0o7777, sizeBytes, nlink, uid, gid, mtimeSec, mtimeNsec, rdevMajor, rdevMinor];
      if (own.join() !== its.join()) return `entry ${i} differs: ${own.join()} and ${its.join()}`;
      i++;
    }
    return i === entries.length ? 'accepted' : 'a listing of another length';
  });
  t.end();
});

/** docs/format.md §7 on the zstd frame: its raw length if the rules allow it, before anything is decompressed. */
function frameLength(bytes: Uint8Array): { raw: number; end: number } | undefined {
  const view = viewOf(bytes);
  if (bytes.byteLength < 5 || view.getUint32(0, true) !== 0xfd2fb528) return undefined;
  const flags = bytes[4]!;
  const isSingle = (flags & 0x20) !== 0;
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][flags >> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3]!;
  let at = 5 + (isSingle ? 0 : 1);
  if ((flags & 8) !== 0 || sizeBytes === 0 || bytes.byteLength < at + dictionaryBytes + sizeBytes) return undefined;
  for (let i = 0; i < dictionaryBytes; i++) if (bytes[at + i] !== 0) return undefined;
  at += dictionaryBytes;
  let raw = 0;
  for (let i = sizeBytes - 1; i >= 0; i--) raw = raw * 256 + bytes[at + i]!;
  if (sizeBytes === 2) raw += 256;
  const exponent = bytes[5]! >> 3;
  const window = isSingle ? raw : 2 ** (10 + exponent) * (1 + (bytes[5]! & 7) / 8);
  if (raw > 4_194_304 || window > 8 << 20) return undefined;
  at += sizeBytes;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.byteLength) return undefined;
    const block = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    isLast = (block & 1) === 1;
    const type = (block >> 1) & 3;
    if (type === 3) return undefined;
    at += 3 + (type === 1 ? 1 : block >> 3);
  }
  if ((flags & 4) !== 0) at += 4;
  return at === bytes.byteLength ? { raw, end: at } : undefined;
}

t.test('frames: the addon and a twin that reads headers by hand and decompresses with zstd-napi', (t) => {
  const key = new Uint8Array(32).fill(7);
  const aad = new Uint8Array(8);
  each(t, payloads(), Math.ceil(count / 10), (payload, random) => {
    const said = frameLength(payload);
    const rawLength = random.below(20) === 0 ? random.below(5000) : (said?.raw ?? random.below(5000));
    const out = new Uint8Array(rawLength);
    let its: Uint8Array | undefined;
    if (tried(() => native().openFrame(sealPayload(payload, key, 1, aad), key, 1, aad, 1, out, rawLength) ?? true) !== undefined)
      its = out;
    let own: Uint8Array | undefined;
    if (said !== undefined && said.raw === rawLength) {
      try {
        own = new Uint8Array(new Decompressor().decompress(payload));
        if (own.byteLength !== rawLength) own = undefined;
      } catch {
        own = undefined;
      }
    }
    // A checksum may be refused, and a payload longer than what zstd makes at worst.
    if (
      own !== undefined &&
      its === undefined &&
      ((payload[4]! & 4) !== 0 || payload.byteLength > rawLength + (rawLength >> 8) + 64)
    )
      return 'refused';
    if ((own === undefined) !== (its === undefined))
      return `only ${own === undefined ? 'the addon' : 'the twin'} accepts ${rawLength}`;
    if (own === undefined || its === undefined) return 'refused';
    return Buffer.from(own).equals(its) ? 'accepted' : 'bytes differ';
  });
  t.end();
});

/** Makes the checksums of pages right again, so that mutants get behind them. */
function reseal(file: Uint8Array): Uint8Array {
  const view = viewOf(file);
  if (file.byteLength < 4096) return file;
  const pagesAt = Number(view.getBigUint64(40, true));
  for (let page = 0; page < view.getUint32(28, true) && pagesAt + (page + 1) * 4096 <= file.byteLength; page++) {
    const at = pagesAt + page * 4096;
    view.setUint32(at + 4092, plainCrc32c(file.subarray(at, at + 4092)), true);
  }
  return file;
}

t.test('segments: whatever the addon finds in one stands there, as the plain twin reads it', async (t) => {
  const folder = scratch(t);
  const file = join(folder, 'segment');
  const seeds = await segments();
  const random = new Random(seed);
  let opened = 0;
  for (let i = 0; i < count / 20; i++) {
    const bytes = reseal(mutant(seeds, random));
    writeFileSync(file, bytes);
    const fd = openSync(file, 'r');
    const handle = tried(() => native().segmentOpen(fd, random.below(2) === 0));
    closeSync(fd);
    if (handle === undefined) continue;
    opened++;
    const { rows } = plainSegment(bytes);
    const packCount = viewOf(bytes).getUint32(24, true);
    for (const { id } of [random.pick(rows), random.pick(rows), random.pick(rows)].filter((row) => row !== undefined)) {
      const found = native().segmentRows(handle, concat(new Uint8Array(Buffer.from(id, 'hex')), new Uint8Array(16)));
      for (let r = 0; r < found.length; r += 3)
        if (
          found[r]! >= packCount ||
          !rows.some((row) => row.id === id && row.pack === found[r] && row.frame === found[r + 1] && row.chunk === found[r + 2])
        )
          t.fail(`a row that is not there: ${toHex(bytes)} (VARVE_SEED=${seed})`);
    }
    native().segmentClose(handle);
  }
  t.ok(opened > 10, `${opened} opened`);
});

const PYTHON = '/usr/bin/python3';
const modules = spawnSync(PYTHON, ['-c', 'import cryptography, zstandard'], { encoding: 'utf8' });

/** Answers of the second reader's decoder number `kind`, one line each. */
function second(kind: number, cases: readonly Uint8Array[]): string[] {
  const parts = cases.flatMap((bytes) => {
    const head = new Uint8Array(5);
    head[0] = kind;
    viewOf(head).setUint32(1, bytes.byteLength, true);
    return [head, bytes];
  });
  const { status, stdout, stderr } = spawnSync(PYTHON, [join(packageRoot(), 'test/fuzz/reader_batch.py')], {
    input: concat(...parts),
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`the second reader ended with ${status}: ${stderr.toString()}`);
  return stdout.toString().split('\n').slice(0, -1);
}

/** Describes a page as reader_batch.py does. */
function pageText(page: Page): string {
  if ('rows' in page) return page.rows.map(({ firstName, count }) => `${toHex(firstName)}:${count}`).join(' ');
  return page.entries
    .map((entry) => `${toHex(entry.name)}:${entry.kind}:${entry.mode}:${isFile(entry) ? entry.sizeBytes : 0}`)
    .join(' ');
}

t.test(
  'the second reader',
  { skip: modules.status === 0 ? false : `needs ${PYTHON} with python3-cryptography and python3-zstandard` },
  (t) => {
    const times = Math.min(Math.ceil(count / 5), 200_000);
    const compare = (
      t: Test,
      kind: number,
      seeds: readonly Uint8Array[],
      wrap: (bytes: Uint8Array) => Uint8Array,
      own: (bytes: Uint8Array) => string,
      isRefusedLater: (answer: string) => boolean = () => false,
    ): void => {
      const random = new Random(seed + 1);
      const mutants = Array.from({ length: times }, (_, i) => (i < seeds.length ? seeds[i]! : mutant(seeds, random)));
      const answers = second(kind, mutants.map(wrap));
      t.equal(answers.length, mutants.length);
      const different = mutants.flatMap((bytes, i) => {
        const text = tried(() => own(bytes));
        const line = text === undefined ? 'no' : `ok ${text}`;
        return line === answers[i] || (text === undefined && isRefusedLater(answers[i]!))
          ? []
          : [`${line.slice(0, 200)} / ${answers[i]!.slice(0, 200)}: ${toHex(bytes).slice(0, 4000)}`];
      });
      t.same(different.slice(0, 3), [], `${different.length} of ${times} differ (VARVE_SEED=${seed})`);
    };
    t.test('pack directories', (t) => {
      const prefix = new Uint8Array(5);
      prefix[0] = 1;
      viewOf(prefix).setUint32(1, MAX_PACK_BYTES, true);
      compare(
        t,
        0,
        directories(),
        (bytes) => concat(prefix, bytes),
        (bytes) =>
          decodeDirectory(bytes, MAX_PACK_BYTES, 'x', 1)
            .frames.map((frame) => [frame.offset, frame.sealedBytes, frame.rawBytes, frame.chunkCount, frame.codec].join(':'))
            .join(' '),
      );
      t.end();
    });
    t.test('index objects', (t) => {
      compare(
        t,
        1,
        indexBodies(),
        (bytes) => concat(FUZZ_REPOSITORY, FUZZ_DOMAIN, bytes),
        (bytes) =>
          decodeIndexBody(bytes, 'x')
            .map(({ packId, packBytes, header, directory }) => {
              const { repository, domain, packClass } = decodePackHeader(header, 'x');
              if (toHex(repository) !== toHex(FUZZ_REPOSITORY) || toHex(domain) !== toHex(FUZZ_DOMAIN))
                throw new CorruptError('x', 'of another');
              decodeDirectory(directory, packBytes, 'x', packClass);
              return `${toHex(packId)}:${packBytes}:${directory.byteLength}`;
            })
            .join(' '),
        // A reader should refuse an object that lists a pack twice; the second one does not, and asks every description.
        (answer) => new Set(answer.split(' ').map((pack) => pack.slice(0, 64))).size < answer.split(' ').length,
      );
      t.end();
    });
    t.test('pages', (t) => {
      compare(
        t,
        2,
        pages(),
        (bytes) => bytes,
        (bytes) => pageText(decodePage(bytes, 'x')),
        // A row of no entries is refused by the second reader when it goes down there: no leaf below an inner page is empty.
        (answer) => /:0( |$)/.test(answer) && !/:\d+:\d+:/.test(answer),
      );
      t.end();
    });
    t.end();
  },
);
