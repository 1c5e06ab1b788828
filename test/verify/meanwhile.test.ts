/** A check of a sound repository finds nothing wrong, and the ledger loads, whatever others store, prune, end or remove at any moment of it. */
import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { RoleError, StoreError } from '../../lib/errors.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { manifestName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey, revokeAuthor } from '../../lib/ledger/roles.js';
import { addSlot } from '../../lib/ledger/slots.js';
import { readEnvelope, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { unlockWithPassphrase } from '../../lib/repository/keys.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { announcePrune, sweepPrune } from '../../lib/retention/prune.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import type { ObjectInfo, Store } from '../../lib/store/store.js';
import { check } from '../../lib/verify/check.js';
import { verifyLedger } from '../../lib/verify/verify-ledger.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { ClockedStore, type StoreClock } from '../helpers/clocked-store.js';
import { storedNames } from '../helpers/stored-names.js';

t.setTimeout(600_000);

const DAY = 86_400_000;

/** Calls back before every object that is got or listed too. */
class WatchedStore extends ClockedStore {
  readonly #happens: () => Promise<void>;

  constructor(inner: Store, clock: StoreClock, happens: () => Promise<void> = async () => undefined) {
    super(inner, clock, happens);
    this.#happens = happens;
  }

  override async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    for await (const info of super.list(prefix)) {
      await this.#happens();
      yield info;
    }
  }
}

async function makeLab(t: Test) {
  // In memory where that can be had: what is tested here is not the disk.
  const folder = scratch(t, existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
  const clock: StoreClock = { nowMs: Date.now() - 30 * DAY, stored: new Map() };
  const repo = await makeRepository(folder, clock.nowMs);
  const nowMs = (): number => clock.nowMs;
  const source = join(folder, 'source');
  mkdirSync(source);
  const open = (happens?: () => Promise<void>): Promise<Repository> =>
    repo.open((store) => new WatchedStore(store, clock, happens));
  const save = async (repository: Repository): Promise<void> => {
    writeFileSync(join(source, 'file'), randomBytes(20_000));
    await backup(repository, { paths: [source], host: 'h', label: 'l', threads: 1, nowMs });
  };
  await setPolicy(await open(), { minimumSec: 3600, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0 }, { nowMs });
  for (let day = 0; day < 3; day++) {
    clock.nowMs += DAY;
    await save(await open());
  }
  return { repo, clock, nowMs, open, save, folder };
}

/** Has `event` happen before the `at`-th operation of what it is given to; `happened` says whether that came. */
function once(at: number, event: () => Promise<void>) {
  let count = 0;
  const watch = {
    happened: false,
    async happens(): Promise<void> {
      if (count++ !== at) return;
      watch.happened = true;
      await event();
    },
  };
  return watch;
}

async function finds(repository: Repository, readData: boolean): Promise<string[]> {
  const { errors, warnings } = await check(repository, { readData });
  return [...errors, ...warnings].map(({ object, message }) => `${object}: ${message}`);
}

t.test('a backup at any moment of a check', async (t) => {
  const lab = await makeLab(t);
  for (let at = 0; at < 90; at += 5) {
    const watch = once(at, async () => lab.save(await lab.open()));
    t.same(await finds(await lab.open(watch.happens), at % 2 === 0), [], `before operation ${at}`);
    t.ok(watch.happened);
  }
});

t.test('a prune at any moment of a check or of `ledger verify`', async (t) => {
  const lab = await makeLab(t);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 5 * DAY;
  const saved = join(lab.folder, 'saved');
  cpSync(lab.repo.location, saved, { recursive: true });
  const stored = new Map(lab.clock.stored);
  for (const verb of ['check', 'check --read-data', 'ledger verify']) {
    let places = 0;
    for (let at = 0, happened = true; happened; at += 3) {
      rmSync(lab.repo.location, { recursive: true });
      cpSync(saved, lab.repo.location, { recursive: true });
      for (const [name, ms] of stored) lab.clock.stored.set(name, ms);
      const watch = once(at, async () => {
        const { packs, manifests } = await sweepPrune(await lab.open(), lab);
        t.ok(packs.length > 0 && manifests.length > 0);
        places++;
      });
      const repository = await lab.open(watch.happens);
      const found =
        verb === 'ledger verify' ? (await verifyLedger(repository)).errors : await finds(repository, verb !== 'check');
      t.same(found, [], `${verb}, before operation ${at}`);
      ({ happened } = watch);
    }
    t.ok(places > 4, `${verb}: ${places} places`);
  }
});

t.test('damage to what was pruned and stays because a listed snapshot builds on it', async (t) => {
  const lab = await makeLab(t);
  // A difference of pins is written only where it is shorter than the pins themselves.
  for (let count = 0; count < 8; count++) {
    writeFileSync(join(lab.folder, 'source', `more-${count}`), randomBytes(20_000));
    await lab.save(await lab.open());
  }
  lab.clock.nowMs += DAY;
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 5 * DAY;
  await sweepPrune(await lab.open(), lab);
  const repository = await lab.open();
  const [live, ...others] = snapshotRecords(await loadLedger(repository));
  t.same(others, []);
  const { pins } = (await readEnvelope(repository, live!.id)).envelope;
  const base = 'base' in pins ? manifestName(pins.base) : '';
  const path = join(lab.repo.location, base);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  chmodSync(path, 0o600);
  writeFileSync(path, bytes);
  for (const readData of [false, true]) {
    const { errors } = await check(await lab.open(), { readData });
    t.match(errors, [{ object: base, code: 'CORRUPT', affects: [{ snapshot: toHex(live!.id), path: '/' }] }]);
    t.equal(errors.length, 1);
  }
});

t.test('a ledger that shows less, or cannot be listed, at the end of a check excuses nothing and ends no check', async (t) => {
  const lab = await makeLab(t);
  await announcePrune(await lab.open(), lab);
  lab.clock.nowMs += 5 * DAY;
  const { packs } = await sweepPrune(await lab.open(), lab);
  t.ok(packs.length > 0);
  const sizes = (await lab.open()).store;
  let entries = 0;
  for await (const _ of sizes.list('ledger/')) entries++;
  const [live] = (await storedNames(sizes, 'packs/')).sort();
  await sizes.remove(live!);
  for (const kind of ['fewer', 'none', 'an error']) {
    let listings = 0;
    class Lagging extends ClockedStore {
      override async *list(prefix: string): AsyncGenerator<ObjectInfo> {
        // The ledger is listed until it stands still.
        const isLater = prefix === 'ledger/' && ++listings > 2;
        if (isLater && kind === 'an error') throw new StoreError('store', 'list', new Error('away'));
        let count = 0;
        for await (const info of super.list(prefix)) {
          if (isLater && (kind === 'none' || ++count === entries)) return;
          yield info;
        }
      }
    }
    for (const readData of [false, true]) {
      listings = 0;
      const repository = await lab.repo.open((store) => new Lagging(store, lab.clock));
      listings = 0;
      const { errors } = await check(repository, { readData });
      t.ok(errors.length === 1 && errors[0]!.object === live && listings > 2, `${kind}: ${JSON.stringify(errors)}`);
    }
  }
});

t.test('a prune that was not right is no excuse for what is missing', async (t) => {
  const lab = await makeLab(t);
  const watch = once(20, async () => {
    const repository = await lab.open();
    const [first] = snapshotRecords(await loadLedger(repository));
    const { author, sequence } = first!.entry;
    const packs = [];
    for await (const { name } of repository.store.list('packs/')) packs.push(name);
    const ids = new Uint8Array(
      Buffer.from(
        packs
          .map((name) => name.slice(9))
          .sort()
          .join(''),
        'hex',
      ),
    );
    const done = {
      type: EntryType.pruneDone,
      author,
      sequence,
      packs: ids,
      snapshots: new Uint8Array(0),
      indexes: new Uint8Array(0),
    };
    await appendEntry(repository, repository.keyring.adminSeed, timeOfMs(lab.clock.nowMs), () => done);
    for (const name of packs) await repository.store.remove(name);
  });
  const { errors } = await check(await lab.open(watch.happens));
  t.ok(errors.length > 0);
});

t.test('a hold that came after its snapshot was pruned is no error of `ledger verify`', async (t) => {
  const lab = await makeLab(t);
  const repository = await lab.open();
  const [first] = snapshotRecords(await loadLedger(repository));
  await announcePrune(repository, lab);
  lab.clock.nowMs += 5 * DAY;
  await sweepPrune(repository, lab);
  const hold = { type: EntryType.hold, snapshots: first!.id, reason: '' };
  await appendEntry(repository, repository.keyring.adminSeed, timeOfMs((lab.clock.nowMs += 1000)), () => hold);
  t.same((await verifyLedger(repository)).errors, []);
});

t.test('a writer that says something and is revoked while the ledger is listed', async (t) => {
  const lab = await makeLab(t);
  const admin = await lab.open();
  const { writer } = newWriterKey(admin);
  const keyring: Keyring = { ...lab.repo.keyring, writer };
  await certifyWriter(admin, { writer });
  const own = await openRepository(await lab.open(), keyring, lab.repo.cacheDir);
  await lab.save(own);
  const author = toHex(authorOf(publicKeyOf(writer!.seed)));
  /** Its chain is listed first; then it grows and ends; then the others are listed. */
  class Listing extends ClockedStore {
    override async *list(prefix: string): AsyncGenerator<ObjectInfo> {
      if (prefix === 'ledger/') yield* super.list(`ledger/${author}/`);
      if (prefix === 'ledger/' && !revoked) {
        revoked = true;
        await lab.save(own);
        await revokeAuthor(admin, author, 'stolen');
      }
      for await (const info of super.list(prefix))
        if (prefix !== 'ledger/' || !info.name.startsWith(`ledger/${author}/`)) yield info;
    }
  }
  let revoked = false;
  const repository = await lab.repo.open((store) => new Listing(store, lab.clock));
  await t.resolves(loadLedger(repository));
  t.ok(revoked);
});

t.test('a backup whose key is revoked before it commits fails, though it loaded the ledger before', async (t) => {
  const lab = await makeLab(t);
  for (const kind of ['packs/', 'snapshots/', 'ledger/']) {
    const admin = await lab.open();
    const { writer } = newWriterKey(admin);
    await certifyWriter(admin, { writer });
    const author = toHex(authorOf(publicKeyOf(writer!.seed)));
    let revoked = false;
    const place = await lab.repo.open(
      (store) =>
        new ClockedStore(store, lab.clock, async (operation, name) => {
          if (revoked || operation !== 'put' || !name.startsWith(kind)) return;
          revoked = true;
          await revokeAuthor(await lab.open(), author, 'replaced');
        }),
    );
    const own = openRepository(place, { ...lab.repo.keyring, writer }, lab.repo.cacheDir);
    await t.rejects(lab.save(own), RoleError, `before ${kind} is put`);
    t.ok(revoked);
  }
});

t.test('a passphrase that is changed at any moment of a check', async (t) => {
  const lab = await makeLab(t);
  const repository = await lab.open();
  const options = { label: 'other', log2N: 4, nowMs: lab.nowMs() };
  let { id } = await addSlot(repository, lab.repo.keyring, 'passphrase', options);
  for (let at = 0; at < 80; at += 2) {
    const watch = once(at, async () => {
      ({ id } = await addSlot(repository, lab.repo.keyring, 'another', { ...options, replaces: [id] }));
    });
    t.same(await finds(await lab.open(watch.happens), false), [], `before operation ${at}`);
  }
});

t.test('a passphrase opens, though its slot is rewritten while others are tried', async (t) => {
  const lab = await makeLab(t);
  const repository = await lab.open();
  const options = { label: 'mine', log2N: 4, nowMs: lab.nowMs() };
  let { id } = await addSlot(repository, lab.repo.keyring, 'passphrase', options);
  for (let at = 0, happened = true; happened; at++) {
    const watch = once(at, async () => {
      const old = id;
      ({ id } = await addSlot(repository, lab.repo.keyring, 'passphrase', { ...options, replaces: [old] }));
      // As a prune does when the wait is over.
      await repository.store.remove(`keys/${old}`);
    });
    const { slotId } = await unlockWithPassphrase(await lab.open(watch.happens), 'passphrase');
    t.match(slotId, /^[0-9a-f]{16}$/, `before operation ${at}`);
    ({ happened } = watch);
  }
});
