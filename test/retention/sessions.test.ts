/**
 * Which session stored a pack: what pruning reads of it, what it remembers from one plan to the next, and that index objects go by it. Packs are headers only; the ledger,
 * the manifests and the plans are real ones.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { concat, toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import { ENTRY_LABEL, encodeEntry } from '../../lib/format/entry.js';
import { encodeIndexHeader } from '../../lib/format/index-object.js';
import { encodeEnvelope } from '../../lib/format/manifest.js';
import { entryName, indexName, manifestName, packName } from '../../lib/format/names.js';
import { encodePackHeader, PackClass } from '../../lib/format/pack.js';
import { EntryType } from '../../lib/format/payload.js';
import { initRepository } from '../../lib/ledger/init.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { PackListing, type PackTable } from '../../lib/retention/pack-table.js';
import { announcePrune, planPrune, sweepPrune } from '../../lib/retention/prune.js';
import type { PrunePlan } from '../../lib/retention/prune-plan.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { scratch } from '../helpers/backup-repository.js';

const DAY = 86_400;
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** Counts reads of packs; those in `broken` read as noise. */
class CountingStore extends MemoryStore {
  packReads = 0;
  readonly broken = new Set<string>();

  override async get(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    if (name.startsWith('packs/')) this.packReads++;
    return this.broken.has(name) ? random(256) : super.get(name, range);
  }
}

/** A repository in memory, under a clock of the test's. */
class Lab {
  nowSec = Date.parse('2024-03-04T09:00:00Z') / 1000;
  readonly store = new CountingStore(() => this.nowSec * 1000);
  readonly cacheDir: string;
  readonly #stream = random(16);
  #init: Awaited<ReturnType<typeof initRepository>> | undefined;
  #entries = 0;
  #previous: Uint8Array = new Uint8Array(32);

  constructor(t: Test) {
    this.cacheDir = join(scratch(t), 'cache');
  }

  async init(): Promise<void> {
    this.#init = await initRepository(this.store, { label: '', policy: DEFAULT_POLICY, nowMs: this.nowSec * 1000 });
  }

  get #ids(): { repository: Uint8Array; writer: Uint8Array; domain: Uint8Array } {
    const { place, keyring } = this.#init!;
    return { repository: place.id, writer: authorOf(publicKeyOf(keyring.writer!.seed)), domain: keyring.writer!.domain };
  }

  /** A run: packs and an index object of one session, and a snapshot that pins `kept` besides. */
  async run(packCount: number, kept: readonly Uint8Array[]): Promise<{ packs: Uint8Array[]; index: string }> {
    const session = random(16);
    const sealed = { enc: random(32), ct: random(48), commitment: random(32) };
    const packs: Uint8Array[] = [];
    for (let i = 0; i < packCount; i++) {
      const header = encodePackHeader({ ...this.#ids, session, ...sealed, packClass: PackClass.data, salt: random(32) });
      packs.push(sha256(header));
      await this.store.put(packName(packs[i]!), [header]);
    }
    const index = encodeIndexHeader({ ...this.#ids, session });
    const indexId = sha256(index);
    await this.store.put(indexName(indexId), [index]);
    const time = { sec: this.nowSec, nsec: 0 };
    const ids = joinSorted([...kept, ...packs]);
    const head = encodeEnvelope({
      ...this.#ids,
      session,
      ...sealed,
      stream: this.#stream,
      started: time,
      finished: time,
      claimed: time,
      state: 0,
      pins: { depth: 0, ids },
      pinCount: ids.byteLength / 32,
      pinBytes: 0,
      newBytes: 0,
      indexIds: [indexId],
    });
    const bytes = concat(head, random(100));
    const manifest = sha256(bytes);
    await this.store.put(manifestName(manifest), [bytes]);
    const { seed } = this.#init!.keyring.writer!;
    const author = authorOf(publicKeyOf(seed));
    const payload = {
      type: EntryType.snapshot,
      manifest,
      stream: this.#stream,
      state: 0,
      retainUntilSec: this.nowSec + DAY,
      slots: 0,
    };
    const entry = { repository: this.#ids.repository, author, sequence: this.#entries, previous: this.#previous, time, payload };
    const signed = encodeEntry(entry);
    const object = concat(signed, sign(seed, ENTRY_LABEL, signed));
    await this.store.put(entryName(author, this.#entries++), [object]);
    this.#previous = sha256(object);
    return { packs, index: toHex(indexId) };
  }

  get #place(): Parameters<typeof planPrune>[0] {
    return { ...this.#init!.place, keyring: this.#init!.keyring, cacheDir: this.cacheDir };
  }

  /** A plan, and how many packs were read for it. */
  async plan(): Promise<PrunePlan & { reads: number }> {
    const before = this.store.packReads;
    const plan = await planPrune(this.#place, { nowMs: () => this.nowSec * 1000 });
    return { ...plan, reads: this.store.packReads - before };
  }

  announce(): ReturnType<typeof announcePrune> {
    return announcePrune(this.#place, { nowMs: () => this.nowSec * 1000 });
  }

  sweep(): ReturnType<typeof sweepPrune> {
    return sweepPrune(this.#place, { nowMs: () => this.nowSec * 1000 });
  }
}

const fateOf = ({ indexes }: PrunePlan, id: string): string | undefined => indexes.find((fate) => fate.id === id)?.state;

/** Three runs, days apart: of the packs of the first, one is still needed; of those of the second, none. */
async function threeRuns(t: Test): Promise<{ lab: Lab; first: string; second: string; packs: Uint8Array[][] }> {
  const lab = new Lab(t);
  await lab.init();
  const runs: { packs: Uint8Array[]; index: string }[] = [];
  for (const count of [3, 2, 4]) {
    runs.push(await lab.run(count, runs.length === 0 ? [] : [runs[0]!.packs[0]!]));
    lab.nowSec += 5 * DAY;
  }
  return { lab, first: runs[0]!.index, second: runs[1]!.index, packs: runs.map(({ packs }) => packs) };
}

t.test('an index object stays with a pack of its session, and goes when none stays', async (t) => {
  const { lab, first, second, packs } = await threeRuns(t);
  const plan = await lab.plan();
  t.equal(fateOf(plan, first), 'kept', 'a pack of its session is pinned by the newest snapshot');
  t.equal(fateOf(plan, second), 'orphan', 'no pack of its session is');
  t.equal(plan.reads, 5, 'only the packs that stay were read');
  const announced = await lab.announce();
  t.same(announced.indexes, [second]);
  t.equal(announced.packs.length, 4, 'two of the first run and two of the second');
  lab.nowSec += 4 * DAY;
  const swept = await lab.sweep();
  t.same(swept.indexes, [second]);
  t.equal(swept.packs.length, 4);
  t.ok(await lab.store.stat(packName(packs[0]![0]!)), 'what is pinned is there');
  t.equal(fateOf(await lab.plan(), first), 'kept');
});

t.test('a header that cannot be read keeps index objects where it matters, and only there', async (t) => {
  const going = await threeRuns(t);
  going.lab.store.broken.add(packName(going.packs[1]![0]!));
  t.equal(fateOf(await going.lab.plan(), going.second), 'orphan', 'that pack goes, whatever its session was');
  await going.lab.announce();
  t.equal(fateOf(await going.lab.plan(), going.second), 'kept', 'but until it has gone nobody knows when the index object may');
  going.lab.nowSec += 4 * DAY;
  t.equal(fateOf(await going.lab.plan(), going.second), 'ripe');

  const sound = await threeRuns(t);
  await sound.lab.announce();
  t.equal(fateOf(await sound.lab.plan(), sound.second), 'announced', 'with headers that can be read it is known');

  const staying = await threeRuns(t);
  staying.lab.store.broken.add(packName(staying.packs[2]![3]!));
  t.equal(fateOf(await staying.lab.plan(), staying.second), 'kept', 'a pack that stays might be of its session');
});

t.test('what was read of packs is remembered; a memory that is damaged or cannot be kept changes nothing', async (t) => {
  const { lab, first, second, packs } = await threeRuns(t);
  const fates = async (title: string, reads: number): Promise<void> => {
    const plan = await lab.plan();
    t.equal(fateOf(plan, first), 'kept', title);
    t.equal(fateOf(plan, second), 'orphan', title);
    t.equal(plan.reads, reads, `${title}: ${reads} packs were read`);
  };
  await fates('at first', 5);
  await fates('again', 0);
  const file = join(lab.cacheDir, 'pack-sessions');
  t.equal(statSync(file).mode & 0o777, 0o600);
  await lab.run(2, [packs[0]![0]!]);
  await fates('after another run', 2);
  const bytes = readFileSync(file);
  for (const at of [0, 30, 60, bytes.length - 1]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = damaged[at]! ^ 1;
    writeFileSync(file, damaged);
    t.ok((await lab.plan()).reads > 0, `with byte ${at} changed it counts for nothing`);
    await fates('and is made anew', 0);
  }
  writeFileSync(file, bytes.subarray(0, bytes.length - 7));
  t.ok((await lab.plan()).reads > 0, 'cut off, too');
  const other = await threeRuns(t);
  mkdirSync(join(other.lab.cacheDir, 'pack-sessions'), { recursive: true });
  t.equal((await other.lab.plan()).reads, 5);
  t.equal((await other.lab.plan()).reads, 5, 'with a folder in its place nothing is remembered, and all goes on');
  t.same(readdirSync(lab.cacheDir), ['pack-sessions'], 'nothing is left behind');
});

t.test('a listing becomes a table in the order of ids, whatever order it came in', async (t) => {
  // Few values of the first bytes, so that many ids share them.
  const anyId = fc.tuple(fc.nat(2), fc.nat(2), fc.nat(300)).map(([a, b, c]) => {
    const id = Buffer.alloc(32, a);
    id.writeUInt16BE(c, 30);
    id[5] = b;
    return id.toString('hex');
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(anyId, fc.nat(), fc.nat()), { maxLength: 60 }), (rows) => {
      const listing = new PackListing();
      for (const [hex, sizeBytes, sec] of rows) listing.add(hex, sizeBytes, sec);
      const { packs, packBytes, packStoredSec } = listing.finish();
      const expected = new Map(rows.map(([hex, sizeBytes, sec]) => [hex, [sizeBytes, sec]]));
      const sorted = [...expected.keys()].sort();
      return (
        packs.count === sorted.length &&
        sorted.every(
          (hex, number) =>
            packs.hex(number) === hex &&
            toHex(packs.id(number)) === hex &&
            packs.number(hex) === number &&
            packBytes[number] === expected.get(hex)![0] &&
            packStoredSec[number] === expected.get(hex)![1],
        ) &&
        isFoundIn(packs, sorted)
      );
    }),
  );
  const many = new PackListing();
  const hexes = Array.from({ length: 5000 }, () => toHex(random(32)));
  for (const hex of hexes) many.add(hex, 1, 2);
  t.ok(isFoundIn(many.finish().packs, [...hexes].sort()), 'five thousand');
  t.equal(many.finish().packs.number('00'.repeat(31)), undefined);
});

/** Every id, and none that is not there. */
function isFoundIn(packs: PackTable, sorted: readonly string[]): boolean {
  const bytes = new Uint8Array(Buffer.from(sorted.join('') + 'ab'.repeat(32), 'hex'));
  const numbers = packs.numbersOf(bytes);
  return (
    numbers.length === sorted.length && numbers.every((number, i) => number === i) && packs.find(bytes, bytes.length - 32) < 0
  );
}
