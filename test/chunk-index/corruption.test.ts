// Damaged segment files: whatever byte is changed and wherever the file ends, no hit is wrong, nothing crashes, and the file is dropped.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { concat, equalBytes, toHex, viewOf } from '../../lib/bytes.js';
import { ABSENT, type ChunkIndex, openChunkIndex } from '../../lib/chunk-index/chunk-index.js';
import { writeSegment } from '../../lib/chunk-index/segment-file.js';
import { CorruptError } from '../../lib/errors.js';
import { type PlainPack, packDirectory, source } from '../reference/chunk-index.js';

const id = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(`chunk ${n}`).digest());
const packs = Array.from({ length: 6 }, (_, p): PlainPack => {
  const ids = Array.from({ length: 200 }, (_, c) => id(p * 200 + c));
  return { packId: id(10_000 + p), frames: [ids.slice(0, 120), ids.slice(120)] };
});
const ids = concat(...Array.from({ length: 1400 }, (_, n) => id(n)));

/** Asks everything of an index; fails the test at any answer that is not right or absent. Returns the ids found. */
function interrogate(t: Pick<typeof import('tap').t, 'fail'>, index: ChunkIndex, what: string): number {
  const found = index.find(ids);
  let right = 0;
  for (const [n, packIndex] of found.entries()) {
    if (packIndex === ABSENT) continue;
    const expected = packs[Math.floor(n / 200)];
    try {
      if (expected === undefined || !equalBytes(index.packId(packIndex), expected.packId)) t.fail(`${what}: wrong hit`);
      else right++;
      if (n % 50 === 0 && !equalBytes(index.directory(packIndex), packDirectory(expected!).directory))
        t.fail(`${what}: wrong directory`);
      if (n % 50 === 0 && !equalBytes(index.header(packIndex), packDirectory(expected!).header)) t.fail(`${what}: wrong header`);
    } catch (error) {
      if (!(error instanceof CorruptError)) t.fail(`${what}: ${error}`);
    }
  }
  for (let n = 0; n < 1400; n += 35) {
    for (const place of index.locate(id(n))) {
      const right =
        equalBytes(place.packId, packs[Math.floor(n / 200)]!.packId) &&
        place.frame === (n % 200 < 120 ? 0 : 1) &&
        place.chunk === (n % 200) % 120;
      if (!right) t.fail(`${what}: wrong place`);
    }
  }
  return right;
}

t.test('damage', async (t) => {
  const folder = t.testdir({ whole: {}, damaged: {} });
  const path = await writeSegment(join(folder, 'whole'), [source('a', packs)]);
  const whole = new Uint8Array(readFileSync(path));
  const name = readdirSync(join(folder, 'whole'))[0]!;
  const view = viewOf(whole);
  const at = (offset: number): number => Number(view.getBigUint64(offset, true));
  const regions: [string, number, number][] = [
    ['header', 0, 160],
    ['directories', 4096, 4096 + at(32)],
    ['pages', at(40), at(48)],
    ['filter', at(48), at(64)],
    ['pack table', at(64), at(72)],
    ['covered names', at(72), at(88)],
    ['page keys', at(88), whole.byteLength],
  ];

  /** Puts `bytes` in place of the segment, opens the index and asks everything. */
  const trial = async (bytes: Uint8Array, filter: boolean, what: string): Promise<{ right: number; dropped: boolean }> => {
    const place = join(folder, 'damaged');
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place);
    writeFileSync(join(place, name), bytes);
    const index = await openChunkIndex(place, { filter });
    const right = interrogate(t, index, what);
    const dropped = index.covered().size === 0 && !existsSync(join(place, name));
    await index.close();
    return { right, dropped };
  };

  t.strictSame(await trial(whole, true, 'whole'), { right: 1200, dropped: false });

  for (const [region, from, to] of regions) {
    const step = Math.max(1, Math.floor((to - from) / 60));
    for (let offset = from; offset < to; offset += step) {
      const bytes = whole.slice();
      bytes[offset]! ^= 1 << (offset & 7);
      const filter = region === 'filter' || (offset & 1) === 0;
      const { right, dropped } = await trial(bytes, filter, `${region}, byte ${offset}`);
      if (region === 'directories') continue;
      if (!dropped) t.fail(`${region}, byte ${offset}: kept`);
      if (region !== 'pages' && right !== 0) t.fail(`${region}, byte ${offset}: answered`);
    }
    t.pass(`${region}: every flipped bit is noticed or harmless`);
  }

  const lengths = [0, 1, 159, 160, 4095, 4096, 4097, whole.byteLength - 1, ...regions.map(([, from]) => from)];
  for (let n = 0; n < 40; n++) lengths.push(Math.floor((whole.byteLength * n) / 40));
  for (const length of lengths) {
    const { right, dropped } = await trial(whole.slice(0, length), length % 2 === 0, `${length} bytes`);
    if (right !== 0 || !dropped) t.fail(`${length} bytes: answered or kept`);
  }
  t.strictSame(await trial(concat(whole, new Uint8Array(1)), true, 'one byte more'), { right: 0, dropped: true });
  t.strictSame(await trial(new Uint8Array(randomBytes(whole.byteLength)), true, 'noise'), { right: 0, dropped: true });

  t.test('a page of another segment in the place of one is no page of this segment', async (t) => {
    const other = new Uint8Array(readFileSync(await writeSegment(join(folder, 'whole'), [source('b', packs)])));
    const bytes = whole.slice();
    bytes.set(other.subarray(at(40), at(40) + 4096), at(40));
    t.strictSame((await trial(bytes, true, 'foreign page')).dropped, true);
    const swapped = whole.slice();
    swapped.copyWithin(at(40), at(40) + 4096, at(40) + 8192);
    t.strictSame((await trial(swapped, true, 'swapped page')).dropped, true);
    t.strictSame((await trial(other, true, 'other name')).dropped, true);
  });

  t.test('a segment damaged or cut while it is open is dropped, and can be added again', async (t) => {
    for (const change of ['damage', 'cut'] as const) {
      const place = join(folder, change);
      const index = await openChunkIndex(place, { filter: true });
      await index.add([source('a', packs)]);
      const file = join(place, name);
      if (change === 'cut') truncateSync(file, at(40) + 4096);
      else
        writeFileSync(
          file,
          whole.map((byte, offset) => (offset >= at(40) && offset < at(48) ? byte ^ 1 : byte)),
        );
      t.ok(interrogate(t, index, change) < 1200);
      t.equal(index.covered().size, 0);
      t.notOk(existsSync(file));
      await index.add([source('a', packs)]);
      t.equal(interrogate(t, index, 'after'), 1200);
      await index.close();
    }
  });

  t.test('pages that were read stay right when their file is damaged or cut afterwards', async (t) => {
    const place = join(folder, 'kept');
    const index = await openChunkIndex(place, { filter: true });
    await index.add([source('a', packs)]);
    t.equal(interrogate(t, index, 'before'), 1200);
    const file = join(place, name);
    writeFileSync(
      file,
      whole.map((byte, offset) => (offset >= at(40) && offset < at(48) ? byte ^ 1 : byte)),
    );
    t.equal(interrogate(t, index, 'damaged'), 1200);
    truncateSync(file, at(40));
    t.equal(index.find(ids).filter((pack) => pack !== ABSENT).length, 1200, 'cut');
    await index.close();
  });

  t.test('a merge drops a damaged input and merges the rest', async (t) => {
    const place = join(folder, 'merge');
    const index = await openChunkIndex(place, { filter: true, compact: false });
    for (let n = 0; n < 10; n++) await index.add([source(`m${n}`, packs.slice(n % 6, (n % 6) + 1))]);
    const file = join(place, readdirSync(place)[0]!);
    const bytes = readFileSync(file);
    bytes[Number(bytes.readBigUInt64LE(40)) + 5]! ^= 4;
    writeFileSync(file, bytes);
    await index.compact();
    t.equal(index.covered().size, 9);
    t.equal(index.segmentCount, 1);
    t.equal(readdirSync(place).length, 1);
    interrogate(t, index, 'after the merge');
    t.equal(toHex(index.packId(index.find(id(250))[0]!)), toHex(packs[1]!.packId));
    await index.close();
  });
});
