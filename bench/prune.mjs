// Plans the pruning of 10,000 snapshots over 100,000 packs, generated in memory, without any content key; prints one line of JSON.
// Usage, after a build: node --expose-gc bench/prune.mjs [streams]
import { randomBytes } from 'node:crypto';
import { concat } from '../dist/lib/bytes.js';
import { sha256 } from '../dist/lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../dist/lib/crypto/sign.js';
import { ENTRY_LABEL, encodeEntry } from '../dist/lib/format/entry.js';
import { encodeIndexHeader } from '../dist/lib/format/index-object.js';
import { encodeEnvelope } from '../dist/lib/format/manifest.js';
import { entryName, indexName, manifestName, packName } from '../dist/lib/format/names.js';
import { encodePackHeader } from '../dist/lib/format/pack.js';
import { EntryType } from '../dist/lib/format/payload.js';
import { initRepository } from '../dist/lib/ledger/init.js';
import { joinSorted } from '../dist/lib/ledger/pins.js';
import { planPrune } from '../dist/lib/retention/prune.js';
import { DEFAULT_POLICY } from '../dist/lib/retention/slots.js';
import { MemoryStore } from '../dist/lib/store/memory.js';

const SNAPSHOTS = 10_000;
const PACKS = 100_000;
const streams = Number(process.argv[2] ?? 20);
const DAY = 86_400;
const start = Date.parse('2024-01-01T00:00:00Z') / 1000;
let nowSec = start;
const store = new MemoryStore(() => nowSec * 1000);
const { place, keyring } = await initRepository(store, { label: '', policy: DEFAULT_POLICY, nowMs: start * 1000 });
const { seed, domain } = keyring.writer;
const writer = authorOf(publicKeyOf(seed));
const random = (n) => new Uint8Array(randomBytes(n));
const sealed = { enc: random(32), ct: random(48), commitment: random(32) };

let previous = new Uint8Array(32);
let sequence = 0;
const perStream = SNAPSHOTS / streams;
const packsPerStream = PACKS / streams;
const pinned = packsPerStream / 2;
const step = Math.floor((packsPerStream - pinned) / perStream);
const states = [];
const newPack = async (session) => {
  const header = encodePackHeader({ repository: place.id, writer, domain, session, ...sealed, packClass: 1, salt: random(32) });
  const id = sha256(header);
  await store.put(packName(id), [header]);
  return id;
};
for (let s = 0; s < streams; s++) {
  const session = random(16);
  const packs = [];
  for (let i = 0; i < pinned; i++) packs.push(await newPack(session));
  states.push({ stream: random(16), packs, base: undefined });
}
for (let n = 0; n < perStream; n++) {
  nowSec = start + n * 3600;
  for (const state of states) {
    const session = random(16);
    const ids = { repository: place.id, writer, domain, session };
    const removed = [];
    const added = [];
    for (let i = 0; n > 0 && i < step; i++) {
      const at = (n * step + i) % state.packs.length;
      removed.push(state.packs[at]);
      added.push((state.packs[at] = await newPack(session)));
    }
    const index = encodeIndexHeader(ids);
    const indexId = sha256(index);
    await store.put(indexName(indexId), [index]);
    // As runs write them: differences to the snapshot before, and a full list after sixteen of them.
    const depth = n % 17;
    const pins =
      depth === 0
        ? { depth, ids: joinSorted(state.packs) }
        : { depth, base: state.base, removed: joinSorted(removed), added: joinSorted(added) };
    const time = { sec: nowSec, nsec: 0 };
    const envelope = {
      ...ids,
      ...sealed,
      stream: state.stream,
      started: time,
      finished: time,
      claimed: time,
      state: 0,
      pins,
      pinCount: state.packs.length,
      pinBytes: 0,
      newBytes: 0,
      indexIds: [indexId],
    };
    const bytes = concat(encodeEnvelope(envelope), random(300));
    const id = sha256(bytes);
    await store.put(manifestName(id), [bytes]);
    state.base = id;
    const retainUntilSec = nowSec + (n % 24 === 0 ? 14 : 2) * DAY;
    const payload = { type: EntryType.snapshot, manifest: id, stream: state.stream, state: 0, retainUntilSec, slots: 1 };
    const signed = encodeEntry({ repository: place.id, author: writer, sequence, previous, time, payload });
    const entry = concat(signed, sign(seed, ENTRY_LABEL, signed));
    await store.put(entryName(writer, sequence++), [entry]);
    previous = sha256(entry);
  }
}
const MIB = 2 ** 20;
// What generating left behind is not planning's to clear away.
globalThis.gc?.();
const storeMiB = process.memoryUsage().rss / MIB;
nowSec += 4 * DAY;
const cpu = process.cpuUsage();
const began = performance.now();
const plan = await planPrune({ store, id: place.id, genesis: place.genesis }, { nowMs: () => nowSec * 1000 });
const planS = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpu);
const fates = (list) => {
  const found = {};
  for (const { state } of list) found[state] = (found[state] ?? 0) + 1;
  return found;
};
console.log(
  JSON.stringify({
    bench: 'prune-plan',
    streams,
    snapshots: plan.snapshots.length,
    packs: plan.packs.length,
    indexes: plan.indexes.length,
    fates: { snapshots: fates(plan.snapshots), packs: fates(plan.packs), indexes: fates(plan.indexes) },
    blocked: plan.blocked.length,
    planS,
    planCpuS: (user + system) / 1e6,
    storeMiB,
    residentMiB: process.memoryUsage().rss / MIB,
  }),
);
