// The chunk index alone, at a size no corpus has: `fill FOLDER CHUNKS` adds made-up packs of 1,000 chunks, `find FOLDER CHUNKS` opens the
// index as a writer does and looks up ids that are there and ids that are not. The harness runs each in a process of its own and
// measures its memory.
import { createHash } from 'node:crypto';
import { join } from 'node:path';

const CHUNKS_PER_PACK = 1000;
const PACKS_PER_SOURCE = 100;
const CHUNK_BYTES = 65_536;
const CHUNKS_PER_FRAME = 4;
const LOOKUPS = 1_000_000;
const BATCH = 1000;

const [job, folder, count] = process.argv.slice(2);
const { openChunkIndex, ABSENT } = await import(join(import.meta.dirname, '..', 'dist', 'lib', 'chunk-index', 'chunk-index.js'));
const { encodeDirectory } = await import(join(import.meta.dirname, '..', 'dist', 'lib', 'format', 'pack.js'));

/** Ids number `from` to `from + n - 1`, 32 bytes each. */
function ids(from, n, label = 'chunk') {
  const out = Buffer.alloc(n * 32);
  for (let i = 0; i < n; i++)
    createHash('sha256')
      .update(`${label} ${from + i}`)
      .digest()
      .copy(out, i * 32);
  return out;
}

function pack(number) {
  const rows = Buffer.alloc(CHUNKS_PER_PACK * 37);
  const own = ids(number * CHUNKS_PER_PACK, CHUNKS_PER_PACK);
  for (let i = 0; i < CHUNKS_PER_PACK; i++) {
    own.copy(rows, i * 37, i * 32, i * 32 + 32);
    rows[i * 37 + 32] = 1;
    rows.writeUInt32LE(CHUNK_BYTES, i * 37 + 33);
  }
  const sealedBytes = CHUNKS_PER_FRAME * CHUNK_BYTES * 0.6 + 16;
  const frames = Array.from({ length: CHUNKS_PER_PACK / CHUNKS_PER_FRAME }, (_, i) => ({
    offset: 256 + i * Math.ceil(sealedBytes),
    sealedBytes: Math.floor(sealedBytes),
    rawBytes: CHUNKS_PER_FRAME * CHUNK_BYTES,
    chunkCount: CHUNKS_PER_FRAME,
    codec: 1,
  }));
  return { packId: ids(number, 1, 'pack'), header: new Uint8Array(256), directory: encodeDirectory(frames, [rows]) };
}

function* sources(chunks) {
  const packs = Math.ceil(chunks / CHUNKS_PER_PACK);
  for (let first = 0; first < packs; first += PACKS_PER_SOURCE) {
    const list = [];
    for (let number = first; number < Math.min(packs, first + PACKS_PER_SOURCE); number++) list.push(pack(number));
    yield { name: `index/${first}`, packs: list };
  }
}

const chunks = Number(count);
const index = await openChunkIndex(folder, { filter: true });
if (job === 'fill') {
  // as a repository grows: some million chunks at a time, so that merging has its part
  const batch = [];
  for (const source of sources(chunks)) {
    batch.push(source);
    if (batch.length === 10) await index.add(batch.splice(0));
  }
  await index.add(batch);
} else {
  const rate = (label, expect) => {
    let spent = 0;
    for (let done = 0; done < LOOKUPS; done += BATCH) {
      // a stride that is no multiple of anything, so the batches come from all over the index
      const from = (Math.floor((done / BATCH) * 7919.5) * BATCH) % Math.max(1, chunks - BATCH);
      const batch = ids(from, BATCH, label);
      const started = process.hrtime.bigint();
      const found = index.find(batch);
      spent += Number(process.hrtime.bigint() - started) / 1e9;
      if (found.some((pack) => (pack !== ABSENT) !== expect)) throw new Error(`a ${label} look-up gave the wrong answer`);
    }
    return LOOKUPS / spent;
  };
  console.log(
    JSON.stringify({
      chunks: index.rowCount,
      segments: index.segmentCount,
      hitsPerS: rate('chunk', true),
      missesPerS: rate('absent', false),
    }),
  );
}
await index.close();
