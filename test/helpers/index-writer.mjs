// A process that adds `count` sources to the chunk index in a folder, one at a time, merging as it goes.
// Numbers, ids and packs are as in chunk-index.test.ts; source n of writer w is number 2 n + w.
import { createHash } from 'node:crypto';
import { openChunkIndex } from '../../dist/lib/chunk-index/chunk-index.js';

const [folder, writer, count] = process.argv.slice(2);
const hash = (text) => new Uint8Array(createHash('sha256').update(text).digest());

function directory(from) {
  const bytes = new Uint8Array(8 + 20 + 37 * 10);
  const view = new DataView(bytes.buffer);
  for (const [at, value] of [
    [0, 1],
    [4, 10],
    [8, 256],
    [12, 500],
    [16, 10_000],
    [20, 10],
  ])
    view.setUint32(at, value, true);
  bytes[24] = 1;
  for (let c = 0; c < 10; c++) {
    bytes.set(hash(`chunk ${from + c}`), 28 + 37 * c);
    bytes[28 + 37 * c + 32] = 1;
    view.setUint32(28 + 37 * c + 33, 1000, true);
  }
  return bytes;
}

const header = new Uint8Array(256);
header[88] = 1;
const index = await openChunkIndex(folder, { filter: true });
for (let i = 0; i < Number(count); i++) {
  const n = 2 * i + Number(writer);
  await index.add([{ name: `s${n}`, packs: [{ packId: hash(`pack ${n}`), header, directory: directory(n * 10) }] }]);
  if (i % 5 === 0) await index.refresh();
}
await index.close();
