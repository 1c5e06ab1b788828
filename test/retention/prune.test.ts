/**
 * Pruning of real repositories under a clock of the test's: what has expired goes, in its time and not before; what is kept reads back; a prune killed at
 * any step is finished by the next; backups and prunes that overlap lose nothing.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { CorruptError, RefusedError, RoleError, StoreError } from '../../lib/errors.js';
import { manifestName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshots } from '../../lib/ledger/select.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { hasExpired, intended, standings } from '../../lib/ledger/standing.js';
import type { Repository } from '../../lib/repository/repository.js';
import { forgetSnapshots } from '../../lib/retention/forget.js';
import { extendSnapshots, listHolds, placeHold, releaseHold } from '../../lib/retention/holds.js';
import { announcePrune, planPrune, sweepPrune } from '../../lib/retention/prune.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { check } from '../../lib/verify/check.js';
import {
  danglingPins,
  makeRepository,
  pinsOf,
  readSnapshots,
  scratch,
  snapshotsOf,
  type TestRepository,
} from '../helpers/backup-repository.js';
import { ClockedStore, type StoreClock } from '../helpers/clocked-store.js';
import type { Operation } from '../helpers/faulty-store.js';
import { storedNames } from '../helpers/stored-names.js';

t.setTimeout(600_000);

const DAY = 86_400_000;
const START = Date.parse('2024-03-04T09:00:00Z');

type Before = (operation: Operation, name: string) => Promise<void> | void;

interface Lab {
  readonly repo: TestRepository;
  readonly clock: StoreClock;
  readonly source: string;
  readonly nowMs: () => number;
  open(before?: Before): Promise<Repository>;
  /** Changes a file and backs up. */
  backup(before?: Before): Promise<string>;
  /** After this, everything must be sound. */
  sound(t: Test, title: string): Promise<void>;
}

/** A repository whose snapshots are kept for three days when they are the first of their day, for one day otherwise. */
async function makeLab(t: Test): Promise<Lab> {
  // In memory where that can be had: what is tested here is not the disk.
  const folder = scratch(t, existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
  const clock: StoreClock = { nowMs: START, stored: new Map() };
  const repo = await makeRepository(folder, START);
  const source = join(folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'same'), randomBytes(90_000));
  const nowMs = (): number => clock.nowMs;
  const open = (before?: Before): Promise<Repository> => repo.open((store) => new ClockedStore(store, clock, before));
  let count = 0;
  const lab: Lab = {
    repo,
    clock,
    source,
    nowMs,
    open,
    async backup(before) {
      writeFileSync(join(source, `new-${count % 3}`), randomBytes(40_000 + ++count));
      const { snapshotId } = await repo.backup(
        { paths: [source], nowMs, host: 'h', label: 'l', threads: 1 },
        (store) => new ClockedStore(store, clock, before),
      );
      return toHex(snapshotId!);
    },
    async sound(t, title) {
      const repository = await open();
      const report = await check(repository, { readData: true });
      t.same(report.errors, [], `${title}: no errors`);
      t.same(report.warnings, [], `${title}: no warnings`);
      t.same(await danglingPins(repository), [], `${title}: every pin is there`);
      const snapshots = await snapshotsOf(repository);
      t.equal((await readSnapshots(repository, snapshots)).length, snapshots.length, `${title}: every snapshot reads back`);
    },
  };
  await setPolicy(await open(), { minimumSec: 86_400, hourSec: 0, daySec: 3 * 86_400, weekSec: 0, monthSec: 0 }, { nowMs });
  return lab;
}

async function days(lab: Lab, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let day = 0; day < count; day++) {
    lab.clock.nowMs += DAY;
    ids.push(await lab.backup());
  }
  return ids;
}

const listed = async (lab: Lab): Promise<string[]> =>
  snapshotRecords(await loadLedger(await lab.open())).map(({ id }) => toHex(id));

t.test('what has expired is announced, waits, and goes; what is kept reads back', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 8);
  const repository = await lab.open();
  const before = await storedNames(repository.store, 'packs/');
  const announced = await announcePrune(repository, lab);
  t.same([...announced.snapshots].sort(), ids.slice(0, 5).sort(), 'kept three days each: five of eight have expired');
  t.ok(announced.packs.length >= 5 && announced.packBytes > 80_000, `${announced.packs.length} packs`);
  t.equal(announced.goesSec, lab.clock.nowMs / 1000 + 3 * 86_400);
  t.same((await announcePrune(repository, lab)).entries, [], 'nothing is announced twice');
  t.same((await sweepPrune(repository, lab)).entries, [], 'and nothing goes at once');
  await lab.sound(t, 'announced');

  lab.clock.nowMs += 3 * DAY - 1000;
  t.same((await sweepPrune(repository, lab)).entries, [], 'a second before the wait is over nothing goes');
  lab.clock.nowMs += 1000;
  const swept = await sweepPrune(repository, lab);
  t.same([...swept.snapshots].sort(), ids.slice(0, 5).sort());
  t.same([...swept.packs].sort(), [...announced.packs].sort());
  const after = await storedNames(repository.store, 'packs/');
  t.equal(after.length, before.length - swept.packs.length);
  t.same(await listed(lab), ids.slice(5));
  await lab.sound(t, 'swept');
  t.same(await sweepPrune(repository, lab), {
    packs: [],
    snapshots: [],
    indexes: [],
    manifests: [],
    packBytes: 0,
    slots: [],
    entries: [],
  });

  t.comment(
    `manifests left: ${(await storedNames(repository.store, 'snapshots/')).length}, index objects: ${(await storedNames(repository.store, 'index/')).length}`,
  );
  await days(lab, 18);
  for (let round = 0; round < 4; round++) {
    await announcePrune(repository, lab);
    lab.clock.nowMs += 4 * DAY;
    await sweepPrune(repository, lab);
  }
  const last = await listed(lab);
  t.equal(last.length, 1, 'the newest one never expires');
  const manifests = await storedNames(repository.store, 'snapshots/');
  t.ok(manifests.length <= 17, `${manifests.length}: its manifest, and those that it builds on`);
  t.ok((await storedNames(repository.store, 'index/')).length < 12, 'index objects go with the packs of their sessions');
  await lab.sound(t, 'after two months');
});

t.test('without a key of content: an admin alone prunes, nobody else does', async (t) => {
  const lab = await makeLab(t);
  await days(lab, 6);
  const repository = await lab.open();
  const { adminSeed } = repository.keyring;
  const { store, id, genesis } = repository;
  const nobody = { store, id, genesis };
  await t.rejects(announcePrune(nobody, lab), RoleError);
  await t.rejects(sweepPrune(nobody, lab), RoleError);
  await t.rejects(
    announcePrune(nobody, { ...lab, seed: repository.keyring.writer!.seed }),
    RoleError,
    'a writer’s key does not do',
  );
  t.equal((await planPrune(nobody, lab)).blocked.length, 0, 'planning takes no key at all');
  t.ok((await announcePrune(nobody, { ...lab, seed: adminSeed! })).snapshots.length > 0);
  lab.clock.nowMs += 3 * DAY;
  t.ok((await sweepPrune({ ...nobody, keyring: { adminSeed } }, lab)).packs.length > 0);
  await lab.sound(t, 'swept');
});

t.test('a hold or an extension after the announcement keeps what was announced; a release gives it a day more', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 8);
  const repository = await lab.open();
  await announcePrune(repository, lab);
  lab.clock.nowMs += DAY;
  const [hold] = await placeHold(repository, [fromHex(ids[0]!)], { ...lab, reason: 'audit' });
  await extendSnapshots(repository, [fromHex(ids[1]!)], { ...lab, untilSec: lab.clock.nowMs / 1000 + 30 * 86_400 });
  lab.clock.nowMs += 9 * DAY;
  await days(lab, 1);
  t.same([...(await sweepPrune(repository, lab)).snapshots].sort(), ids.slice(2, 5).sort());
  t.same((await listed(lab)).slice(0, 2), ids.slice(0, 2));
  await lab.sound(t, 'held');
  t.same(
    (await listHolds(repository)).map(({ name, reason }) => [name, reason]),
    [[hold!.name, 'audit']],
  );
  await releaseHold(repository, hold!.name, lab);
  t.same(await listHolds(repository), []);
  t.equal((await listHolds(repository, { all: true })).length, 1);
  lab.clock.nowMs += DAY - 1000;
  t.same((await sweepPrune(repository, lab)).snapshots, [], 'announced long ago, but free for less than a day');
  lab.clock.nowMs += 1000;
  t.same((await sweepPrune(repository, lab)).snapshots, [ids[0]]);
  await lab.sound(t, 'released');
  lab.clock.nowMs += 60 * DAY;
  t.same((await sweepPrune(repository, lab)).snapshots, [ids[1]], 'an extension ends');
  await t.rejects(placeHold(repository, [fromHex(ids[0]!)], { ...lab, reason: 'too late' }), RefusedError);
});

/** A hold that no program would place, as an admin's entry. */
const holdByHand = async (lab: Lab, hex: string): Promise<void> => {
  const repository = await lab.open();
  const payload = { type: EntryType.hold, snapshots: fromHex(hex), reason: 'by hand' };
  await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(lab.clock.nowMs), () => payload);
};

t.test('a hold on what is gone has no effect: nothing is missed, and pruning goes on', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 8);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 4 * DAY;
  const gone = (await sweepPrune(await lab.open(), lab)).snapshots;
  t.ok(gone.includes(ids[0]!));
  lab.clock.nowMs += DAY;
  await holdByHand(lab, ids[0]!);
  const late = { type: EntryType.extend, snapshots: fromHex(ids[1]!), untilSec: lab.clock.nowMs / 1000 + 86_400_000, reason: '' };
  const repository = await lab.open();
  await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(lab.clock.nowMs), () => late);
  t.same((await planPrune(repository, lab)).blocked, []);
  const leftOut: unknown[] = [];
  const found = await selectSnapshots(repository, { onLeftOut: (one) => leftOut.push(one) });
  t.notOk(found.some(({ id }) => gone.includes(toHex(id))));
  t.same(leftOut, [], 'no list misses it');
  const report = await check(repository, { readData: true });
  t.same(report.errors, []);
  t.same(
    report.warnings.map(({ object }) => object),
    [ids[0]!, ids[1]!].map((hex) => manifestName(fromHex(hex))),
  );
  await t.rejects(placeHold(repository, [fromHex(ids[0]!)], { ...lab, reason: 'again' }), /was pruned; nothing brings it back/);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 9 * DAY;
  t.ok((await sweepPrune(await lab.open(), lab)).packs.length > 0, 'pruning goes on');
});

t.test('a hold on what was said to be deleted and is still there keeps it', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 8);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 4 * DAY;
  const killed = await lab.open((operation) => {
    if (operation === 'remove') throw new StoreError('x', 'remove', new Error('killed'));
  });
  await t.rejects(sweepPrune(killed, lab), StoreError);
  t.notOk((await listed(lab)).includes(ids[0]!), 'off the list');
  lab.clock.nowMs += 1000;
  await holdByHand(lab, ids[0]!);
  t.ok((await listed(lab)).includes(ids[0]!), 'back on it');
  lab.clock.nowMs += 9 * DAY;
  t.ok((await sweepPrune(await lab.open(), lab)).manifests.length > 0);
  const [first] = await snapshotsOf(await lab.open());
  t.equal(toHex(first!.id), ids[0]);
  t.equal((await readSnapshots(await lab.open(), [first!])).length, 1, 'and it reads back');
  await lab.sound(t, 'kept');
});

t.test('a hold that a sweep overtakes is refused, wherever the sweep has come to', async (t) => {
  for (const kill of [false, true]) {
    const lab = await makeLab(t);
    const ids = await days(lab, 8);
    await announcePrune(await lab.open(), lab);
    lab.clock.nowMs += 4 * DAY;
    const admin = lab.repo.keyring.adminSeed!;
    let swept = false;
    const racing = await lab.open(async (operation, name) => {
      if (swept || operation !== 'put' || !name.startsWith('ledger/')) return;
      swept = true;
      const other = await lab.open((inner) => {
        if (kill && inner === 'remove') throw new StoreError('x', 'remove', new Error('killed'));
      });
      await sweepPrune(other, { ...lab, seed: admin }).catch(() => undefined);
      lab.clock.nowMs += 1000;
    });
    await t.rejects(
      placeHold(racing, [fromHex(ids[0]!)], { ...lab, reason: 'audit' }),
      kill ? /at this very moment/ : /was pruned; nothing brings it back/,
    );
    t.ok(swept);
  }
});

t.test('forget: an unexpired snapshot stays, and why is said; an expired one is announced by itself', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 6);
  const repository = await lab.open();
  for (const [id, why] of [
    [ids[5]!, /newest complete snapshot/],
    [ids[4]!, /kept until 2024-03-\d\d .*first of its day.*no key shortens/],
  ] as const) {
    const error = (await forgetSnapshots(repository, [fromHex(id)], lab).catch((e: unknown) => e)) as Error;
    t.type(error, RefusedError);
    t.match(error.message, why);
  }
  await placeHold(repository, [fromHex(ids[0]!)], { ...lab, reason: 'audit' });
  await t.rejects(forgetSnapshots(repository, [fromHex(ids[0]!)], lab), /hold .*audit.*hold release/);
  const forgotten = await forgetSnapshots(repository, [fromHex(ids[1]!)], lab);
  t.same(forgotten.snapshots, [ids[1]]);
  t.ok(forgotten.packs.length > 0);
  lab.clock.nowMs += 3 * DAY;
  t.same((await sweepPrune(repository, lab)).snapshots, [ids[1]], 'only that one, though another expired meanwhile');
  await lab.sound(t, 'forgotten');
  await t.rejects(forgetSnapshots(repository, [fromHex(ids[1]!)], lab), /no snapshot/);
});

t.test('a prune killed before any operation is finished by the next one, and every state between is sound', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 7);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 4 * DAY;
  const saved = join(lab.repo.location, '../saved');
  cpSync(lab.repo.location, saved, { recursive: true, preserveTimestamps: true });
  const stored = new Map(lab.clock.stored);
  const killAt = async (n: number): Promise<boolean> => {
    let left = n;
    try {
      await sweepPrune(
        await lab.open((operation, name) => {
          if (operation === 'put' || operation === 'remove') left--;
          if (left < 0) throw new StoreError(name, operation, new Error('killed'));
        }),
        lab,
      );
      return false;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return true;
    }
  };
  let n = 0;
  for (; ; n++) {
    rmSync(lab.repo.location, { recursive: true });
    cpSync(saved, lab.repo.location, { recursive: true, preserveTimestamps: true });
    lab.clock.stored.clear();
    for (const [name, ms] of stored) lab.clock.stored.set(name, ms);
    const killed = await killAt(n);
    const repository = await lab.open();
    t.same((await check(repository)).errors, [], `killed before write ${n}: nothing is missing`);
    const survivors = await listed(lab);
    t.same(
      ids.slice(4).filter((id) => !survivors.includes(id)),
      [],
      'what is kept is listed',
    );
    t.same((await readSnapshots(repository, await snapshotsOf(repository))).length, survivors.length);
    await sweepPrune(repository, lab);
    t.same(await listed(lab), ids.slice(4));
    t.equal(
      (await planPrune(repository, lab)).packs.filter(({ state }) => state === 'ripe' || state === 'announced').length,
      0,
      'all that was to go is gone',
    );
    if (!killed) break;
  }
  t.ok(n > 8, `${n} places to be killed at`);
  await lab.sound(t, 'at last');
});

t.test('backups that overlap with announcing and sweeping, at every operation, lose nothing', async (t) => {
  const lab = await makeLab(t);
  let seed = 7;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  let failed = 0;
  let swept = 0;
  for (let round = 0; round < 12; round++) {
    lab.clock.nowMs += DAY;
    const at = Math.floor(random() * 30);
    let operation = 0;
    let busy = false;
    await lab
      .backup(async (kind, name) => {
        if (operation++ < at || busy || (kind === 'put' && name.startsWith('ledger/'))) return;
        operation = Number.NEGATIVE_INFINITY;
        busy = true;
        lab.clock.nowMs += Math.floor(random() * 2) * DAY;
        if (random() < 0.7) await announcePrune(await lab.open(), lab);
        // Sometimes the run hangs for days: whatever it relied on may be gone then.
        if (random() < 0.4) lab.clock.nowMs += 4 * DAY;
        swept += (await sweepPrune(await lab.open(), lab)).packs.length;
        busy = false;
      })
      .catch((error: unknown) => {
        if (!(error instanceof StoreError) && !(error instanceof CorruptError)) throw error;
        failed++;
      });
    const repository = await lab.open();
    t.same(await danglingPins(repository), [], `round ${round}: every snapshot has its packs`);
    t.same((await check(repository)).errors, [], `round ${round}`);
  }
  t.ok(swept > 5, `${swept} packs were pruned under running backups`);
  t.comment(`${failed} of 12 backups had to be run again`);
  t.same((await check(await lab.open(), { readData: true })).errors, []);
});

t.test('what an intent names is never used again: the same content is stored anew', async (t) => {
  const lab = await makeLab(t);
  await days(lab, 1);
  const content = randomBytes(60_000);
  writeFileSync(join(lab.source, 'comes back'), content);
  await days(lab, 1);
  rmSync(join(lab.source, 'comes back'));
  await days(lab, 5);
  const repository = await lab.open();
  await announcePrune(repository, lab);
  const going = intended((await loadLedger(repository)).entries).packs;
  t.ok(going.size > 0);
  writeFileSync(join(lab.source, 'comes back'), content);
  await days(lab, 1);
  const last = (await snapshotsOf(repository)).at(-1)!;
  const pins = await pinsOf(repository, last);
  for (let at = 0; at < pins.byteLength; at += 32) t.notOk(going.has(toHex(pins.subarray(at, at + 32))));
  lab.clock.nowMs += 4 * DAY;
  t.equal((await sweepPrune(repository, lab)).packs.length, going.size);
  await lab.sound(t, 'stored anew');
});

t.test('packs and manifests of interrupted runs are left alone for 72 hours, then announced, then deleted', async (t) => {
  const lab = await makeLab(t);
  await days(lab, 1);
  await t.rejects(
    lab.backup((operation, name) => {
      if (operation === 'put' && name.startsWith('ledger/')) throw new StoreError(name, operation, new Error('killed'));
    }),
    StoreError,
  );
  const repository = await lab.open();
  const total = (await storedNames(repository.store, 'packs/')).length;
  lab.clock.nowMs += 3 * DAY - 1000;
  t.same((await announcePrune(repository, lab)).entries, []);
  lab.clock.nowMs += 1000;
  const announced = await announcePrune(repository, lab);
  t.ok(
    announced.packs.length > 0 && announced.snapshots.length === 1 && announced.indexes.length === 1,
    'its packs, its manifest, its index object',
  );
  lab.clock.nowMs += 3 * DAY;
  const swept = await sweepPrune(repository, lab);
  t.same([swept.packs, swept.indexes], [announced.packs, announced.indexes]);
  t.same(swept.snapshots, [], 'no snapshot goes');
  t.equal((await storedNames(repository.store, 'packs/')).length, total - swept.packs.length);
  t.equal((await storedNames(repository.store, 'snapshots/')).length, 1);
  await lab.sound(t, 'cleared');
});

t.test(
  'a clock that jumps ten years ahead announces too much, which costs space; once it is right again nothing unexpired goes',
  async (t) => {
    const lab = await makeLab(t);
    const ids = await days(lab, 4);
    const repository = await lab.open();
    const right = lab.clock.nowMs;
    lab.clock.nowMs = right - 400 * DAY;
    t.same((await announcePrune(repository, lab)).entries, [], 'behind, nothing has expired');
    lab.clock.nowMs = right + 3650 * DAY;
    t.ok((await announcePrune(repository, lab)).snapshots.length === 3, 'ahead, all but the newest have');
    lab.clock.nowMs = right + DAY;
    t.same((await sweepPrune(repository, lab)).packs, []);
    await lab.sound(t, 'right again');
    await days(lab, 10);
    await sweepPrune(repository, lab);
    t.same((await listed(lab)).slice(0, 4), ids, 'an intent of the future is not of age for years');
    await lab.sound(t, 'later');
  },
);

t.test('what is unknown keeps everything: a missing or damaged manifest that is needed stops pruning', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 8);
  const repository = await lab.open();
  await announcePrune(repository, lab);
  lab.clock.nowMs += 3 * DAY;
  const name = manifestName(fromHex(ids[7]!));
  const bytes = await repository.store.get(name);
  await repository.store.remove(name);
  await t.rejects(sweepPrune(repository, lab), /is missing: nothing is pruned/);
  await t.rejects(announcePrune(repository, lab), CorruptError);
  const other = bytes.slice();
  other[300]! ^= 1;
  await repository.store.put(name, [other]);
  await t.rejects(sweepPrune(repository, lab), /is damaged: nothing is pruned/);
  const plan = await planPrune(repository, lab);
  t.equal(plan.blocked.length, 1);
  t.ok(plan.packs.every(({ state }) => state === 'kept'));
  await repository.store.remove(name);
  await repository.store.put(name, [bytes]);
  t.equal((await sweepPrune(repository, lab)).snapshots.length, 5);
});

t.test('a prune-done that was not right is not believed: the snapshot stays listed, and check says so', async (t) => {
  const lab = await makeLab(t);
  const ids = await days(lab, 4);
  const repository = await lab.open();
  const intent = await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(START), () => ({
    type: EntryType.pruneIntent,
    packs: new Uint8Array(),
    snapshots: fromHex(ids[2]!),
    indexes: new Uint8Array(),
  }));
  // By today's clock it would have expired long ago.
  const untilSec = Math.ceil(Date.now() / 1000) + 86_400;
  for (const [title, ms] of [
    ['early', lab.clock.nowMs],
    ['from the future', Date.now() + 3650 * DAY],
  ] as const) {
    await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(ms), () => ({
      type: EntryType.pruneDone,
      author: intent.author,
      sequence: intent.sequence,
      packs: new Uint8Array(),
      snapshots: fromHex(ids[2]!),
      indexes: new Uint8Array(),
    }));
    t.ok((await listed(lab)).includes(ids[2]!), `${title}: it stays listed`);
    const wrong = (await check(repository)).errors.filter(({ message }) => /was to be kept/.test(message));
    t.match(wrong, [{ object: /^ledger\// }, ...(title === 'early' ? [] : [{ object: /^ledger\// }])], title);
    if (title === 'early') await extendSnapshots(repository, [fromHex(ids[2]!)], { ...lab, untilSec });
  }
  const ledger = await loadLedger(repository);
  const now = lab.clock.nowMs / 1000;
  const standing = standings(ledger, now).find(({ id }) => toHex(id) === ids[2])!;
  t.notOk(standing.pruned);
  t.notOk(hasExpired(standing, now));
});

t.test('a backup right after a change of the policy is kept as the new one says, and found so', async (t) => {
  const lab = await makeLab(t);
  const repository = await lab.open();
  // Set three times in the same millisecond: the last counts, and counts at once.
  for (const minimumSec of [2 * 86_400, 3600]) await setPolicy(repository, { minimumSec, daySec: 0 }, lab);
  lab.clock.nowMs++;
  await lab.backup();
  const [record] = snapshotRecords(await loadLedger(await lab.open()));
  t.equal(record!.payload.retainUntilSec, Math.floor(lab.clock.nowMs / 1000) + 3600);
  await lab.sound(t, 'three policies at once');
});

t.test('clocks of an admin and a writer that differ by hours make no damage, only a warning', async (t) => {
  const lab = await makeLab(t);
  const retentionFindings = async (): Promise<{ errors: string[]; warnings: string[] }> => {
    const { errors, warnings } = await check(await lab.open());
    return { errors: errors.map(({ message }) => message), warnings: warnings.map(({ message }) => message) };
  };
  lab.clock.nowMs += DAY;
  const admin = { nowMs: (): number => lab.clock.nowMs + 5 * 3_600_000 };
  await setPolicy(await lab.open(), { minimumSec: 3600, daySec: 0 }, admin);
  await lab.backup();
  const ahead = await retentionFindings();
  t.same(ahead.errors, [], 'the admin’s clock is ahead');
  t.match(ahead.warnings, [/do the clocks differ/]);
  lab.clock.nowMs += 2 * DAY;
  await lab.backup();
  const behind = { nowMs: (): number => lab.clock.nowMs - 5 * 3_600_000 };
  await setPolicy(await lab.open(), { minimumSec: 7200 }, behind);
  const both = await retentionFindings();
  t.same(both.errors, [], 'the admin’s clock is behind');
  t.match(both.warnings, [/do the clocks differ/, /do the clocks differ/]);
  t.equal(both.warnings.length, 2);
});
