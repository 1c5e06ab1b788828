// The chunk index with a hundred million chunks: what memory it needs to build and to use, and how fast it answers.
// node bench/index-100m.mjs [--rows 100000000] [--folder /tmp]   needs 75 bytes of disk a row; prints one line of JSON.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openChunkIndex } from '../dist/lib/chunk-index/chunk-index.js';

const CHUNKS_PER_PACK = 1000;
const CHUNKS_PER_FRAME = 50;
const CHUNK_BYTES = 65_536;
const PACKS_PER_SOURCE = 50;
const PARTS = 8;
const BATCH = 500;

/** A bijection of 32-bit numbers. */
function mix(n) {
  n = Math.imul(n ^ (n >>> 16), 0x85ebca6b);
  n = Math.imul(n ^ (n >>> 13), 0xc2b2ae35);
  return n ^ (n >>> 16);
}

/** Writes the id of chunk `n` (below 2^29): eight words, each a mix of a counter, so that all ids differ. */
function putId(bytes, at, n) {
  for (let w = 0; w < 8; w++) {
    const word = mix(n * 8 + w + 1);
    bytes[at + 4 * w] = word;
    bytes[at + 4 * w + 1] = word >>> 8;
    bytes[at + 4 * w + 2] = word >>> 16;
    bytes[at + 4 * w + 3] = word >>> 24;
  }
}

function pack(number) {
  const frames = CHUNKS_PER_PACK / CHUNKS_PER_FRAME;
  const directory = new Uint8Array(8 + 20 * frames + 37 * CHUNKS_PER_PACK);
  const view = new DataView(directory.buffer);
  view.setUint32(0, frames, true);
  view.setUint32(4, CHUNKS_PER_PACK, true);
  for (let f = 0; f < frames; f++) {
    view.setUint32(8 + 20 * f, 256 + f * 1_000_000, true);
    view.setUint32(12 + 20 * f, 1_000_000, true);
    view.setUint32(16 + 20 * f, CHUNKS_PER_FRAME * CHUNK_BYTES, true);
    view.setUint32(20 + 20 * f, CHUNKS_PER_FRAME, true);
    directory[24 + 20 * f] = 1;
  }
  for (let c = 0; c < CHUNKS_PER_PACK; c++) {
    const at = 8 + 20 * frames + 37 * c;
    putId(directory, at, number * CHUNKS_PER_PACK + c);
    directory[at + 32] = 1;
    view.setUint32(at + 33, CHUNK_BYTES, true);
  }
  const header = new Uint8Array(256);
  header[88] = 1;
  const packId = new Uint8Array(32);
  new DataView(packId.buffer).setUint32(0, number);
  return { packId, header, directory };
}

function* sources(firstPack, lastPack) {
  for (let from = firstPack; from < lastPack; from += PACKS_PER_SOURCE) {
    const packs = [];
    for (let p = from; p < Math.min(from + PACKS_PER_SOURCE, lastPack); p++) packs.push(pack(p));
    yield { name: `index-${from}`, packs };
  }
}

/** Highest and present resident memory of this process in MiB, from the kernel. */
function memory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const of = (field) => Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]) / 102.4) / 10;
  return { peak: of('VmHWM'), now: of('VmRSS') };
}

async function build(folder, rows) {
  const started = performance.now();
  const index = await openChunkIndex(folder, { filter: false });
  const packs = rows / CHUNKS_PER_PACK;
  for (let part = 0; part < PARTS; part++) {
    await index.add(sources(Math.round((packs * part) / PARTS), Math.round((packs * (part + 1)) / PARTS)));
  }
  await index.close();
  return { buildSeconds: Math.round((performance.now() - started) / 1000), buildPeakMiB: memory().peak };
}

/** Looks up `count` ids of chunks `numberOf(0)`, `numberOf(1)`… in batches; answers per second and how many were known. */
function ask(index, count, numberOf) {
  const ids = new Uint8Array(BATCH * 32);
  let spent = 0;
  let known = 0;
  let wrong = 0;
  for (let from = 0; from < count; from += BATCH) {
    for (let i = 0; i < BATCH; i++) putId(ids, i * 32, numberOf(from + i));
    const before = performance.now();
    const found = index.find(ids);
    spent += performance.now() - before;
    for (let i = 0; i < BATCH; i++) if (found[i] !== 0xffffffff) known++;
    const packId = found[0] === 0xffffffff ? undefined : index.packId(found[0]);
    if (packId !== undefined && new DataView(packId.buffer).getUint32(0) !== Math.floor(numberOf(from) / CHUNKS_PER_PACK))
      wrong++;
  }
  return { perSecond: Math.round(count / (spent / 1000)), known, wrong };
}

async function measure(folder, rows) {
  const baseMiB = memory().now;
  const started = performance.now();
  const index = await openChunkIndex(folder, { filter: true });
  const openMs = Math.round(performance.now() - started);
  const count = Math.min(1_000_000, rows);
  const fresh = ask(index, count, (n) => rows + n);
  const known = ask(index, count, (n) => (mix(n + 1) >>> 0) % rows);
  if (fresh.known !== 0 || known.known !== count || known.wrong !== 0) throw new Error('the index answered wrongly');
  const result = {
    segments: index.segmentCount,
    rows: index.rowCount,
    openMs,
    newPerSecond: fresh.perSecond,
    knownPerSecond: known.perSecond,
  };
  await index.close();
  return { ...result, baseMiB, peakMiB: memory().peak };
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000000' },
    folder: { type: 'string', default: tmpdir() },
    step: { type: 'string' },
  },
});
const rows = Math.floor(Number(values.rows) / CHUNKS_PER_PACK) * CHUNKS_PER_PACK;

if (values.step === 'build') console.log(JSON.stringify(await build(values.folder, rows)));
else if (values.step === 'measure') console.log(JSON.stringify(await measure(values.folder, rows)));
else {
  const { bavail, bsize } = statfsSync(values.folder);
  if (bavail * bsize < rows * 75) throw new Error(`${values.folder} has no room for ${Math.ceil((rows * 75) / 1e9)} GB`);
  const folder = mkdtempSync(join(values.folder, 'varve-bench-index-'));
  try {
    const results = ['build', 'measure'].map((step) => {
      const args = [fileURLToPath(import.meta.url), '--rows', `${rows}`, '--folder', folder, '--step', step];
      const child = spawnSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
      if (child.status !== 0) throw new Error(`${step} failed`);
      return JSON.parse(child.stdout);
    });
    console.log(JSON.stringify({ bench: 'index-100m', ...results[0], ...results[1] }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
