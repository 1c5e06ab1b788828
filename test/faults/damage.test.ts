/**
 * Damage of every kind to every kind of object: `check` names the object, and reading back gives the right bytes or an error, never wrong bytes and
 * never a crash. Small objects are damaged in every byte, packs at samples.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fromHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { VarveError } from '../../lib/errors.js';
import { manifestName, parsePackName } from '../../lib/format/names.js';
import { MAX_FRAME_BYTES } from '../../lib/format/pack.js';
import { snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { unlockWithPassphrase } from '../../lib/repository/keys.js';
import { check } from '../../lib/verify/check.js';
import { walkLedger } from '../../lib/verify/ledger-walk.js';
import { listStore } from '../../lib/verify/listing.js';
import { ManifestReader } from '../../lib/verify/manifests.js';
import { checkGenesis, checkSlots } from '../../lib/verify/objects.js';
import { PackKeys, verifyPack } from '../../lib/verify/pack-check.js';
import { type CheckReport, Findings } from '../../lib/verify/report.js';
import { damagedRepository, noise } from '../helpers/damaged-repository.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
t.afterEach(() => repo.mend());
const { repository } = repo;
const expected = repo.expected();

const genesis = 'genesis';
const slots = repo.names('keys/');
const packs = repo.names('packs/');
const indexes = repo.names('index/');
const manifests = repo.names('snapshots/');
// The admin's chain (genesis, certificate, policy) before the writer's (two snapshots), whatever their ids are.
const chainLength = (name: string): number => repo.names(name.slice(0, 40)).length;
const entries = repo.names('ledger/').sort((a, b) => chainLength(b) - chainLength(a) || (a < b ? -1 : 1));
const packClass = (name: string): number => repo.read(name)[88]!;
const dataPacks = packs.filter((name) => packClass(name) === 1).sort((a, b) => repo.read(b).byteLength - repo.read(a).byteLength);
const metaPacks = packs.filter((name) => packClass(name) === 2);

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 1 << (at % 8);
  return copy;
}

const named = (report: CheckReport): string[] => report.errors.map(({ object }) => object);

/** Every file of snapshot `which` is as it was, or an error. @returns how many were errors */
async function neverWrong(
  t: Pick<typeof import('tap').t, 'fail'>,
  which: number,
  what: string,
  from = repository,
): Promise<number> {
  const { files, failures } = await repo.readBack(which, from);
  let lost = 0;
  for (const [path, found] of files) {
    if (found instanceof VarveError) lost++;
    else if (found !== expected.get(path)) t.fail(`${what}: wrong bytes of ${path}`);
  }
  return lost + failures.length;
}

const listing = await listStore(repository.store, new Findings());
const soundLedger = await walkLedger(repository, listing, new Findings());
const records = snapshotRecords(soundLedger);

/** Checks only what `name`'s kind is about; a whole check costs a hundred times as much. */
async function focused(name: string): Promise<Findings> {
  const findings = new Findings();
  if (name === genesis) await checkGenesis(repository, listing, findings);
  else if (name.startsWith('keys/')) await checkSlots(repository, listing, findings);
  else if (name.startsWith('ledger/')) await walkLedger(repository, listing, findings);
  else {
    const reader = new ManifestReader(repository, listing);
    const record = records.find(({ id }) => manifestName(id) === name)!;
    try {
      await reader.pins(record.id, (await reader.open(record, tagChanges(repository, soundLedger))).envelope);
    } catch (error) {
      findings.thrown(error, 'snapshots');
    }
  }
  return findings;
}

t.test('a sound repository has no errors and no warnings, and all of it is read back', async (t) => {
  const report = await check(repository, { readData: true });
  t.same(report.errors, []);
  t.same(report.warnings, []);
  t.equal(report.counts.snapshots, 2);
  t.equal(report.counts.packs, packs.length);
  t.equal(report.counts.readBytes, report.counts.packBytes);
  t.ok(report.counts.treePages >= 3 && report.counts.chunks > 25);
  t.equal(await neverWrong(t, -1, 'sound'), 0);
  t.equal((await repo.readBack()).files.size, expected.size);
});

t.test('a flipped bit in any byte of a small object is found and its object named', async (t) => {
  for (const name of [genesis, entries[1]!, entries.at(-1)!, manifests[0]!, manifests[1]!]) {
    const bytes = repo.read(name);
    const step = bytes.byteLength > 2048 ? 7 : 1;
    const missed: number[] = [];
    for (let at = 0; at < bytes.byteLength; at += step) {
      const mend = repo.change(name, flipped(bytes, at));
      const { errors } = await focused(name);
      if (!errors.some(({ object }) => object === name)) missed.push(at);
      mend();
    }
    t.same(missed, [], name);
    t.equal((await focused(name)).errorCount, 0, `${name} is whole again`);
  }
});

t.test('a flipped bit in any byte of a key slot is found, or the slot does not open', async (t) => {
  const bytes = repo.read(slots[0]!);
  const phrase = await unlockWithPassphrase(repository, repo.passphrase).then(({ slotId }) =>
    slots[0]!.endsWith(slotId) ? repo.passphrase : 'another',
  );
  const missed: number[] = [];
  for (let at = 0; at < bytes.byteLength; at++) {
    const mend = repo.change(slots[0]!, flipped(bytes, at));
    const found = (await focused(slots[0]!)).errors.some(({ object }) => object === slots[0]);
    const opened = await unlockWithPassphrase(repository, phrase).then(
      () => true,
      (error: unknown) => {
        if (error instanceof VarveError) return false;
        throw error;
      },
    );
    if (!found && opened) missed.push(at);
    mend();
  }
  t.same(missed, []);
});

t.test('a whole check names what is flipped, and reading back is right or refused', async (t) => {
  for (const name of [genesis, slots[1]!, indexes[0]!, manifests[0]!, entries[0]!, entries[2]!, entries.at(-1)!]) {
    const bytes = repo.read(name);
    // A slot's seal only opens with its passphrase, so its tail is not looked at here.
    const end = name.startsWith('keys/') ? 60 : bytes.byteLength;
    for (const at of [0, 9, Math.floor(end / 3), Math.floor(end / 2), end - 1]) {
      if (name.startsWith('keys/') && at > 20) continue;
      const mend = repo.change(name, flipped(bytes, at));
      const report = await check(repository);
      t.ok(named(report).includes(name), `${name} byte ${at}`);
      await neverWrong(t, -1, `${name} byte ${at}`, repo.withoutCaches());
      mend();
    }
  }
});

t.test('a flipped bit anywhere in a pack is found when its bytes are read', async (t) => {
  const keys = new PackKeys({ repository: repository.id, salt: repository.genesis.salt, root: repository.keyring.root! });
  const scratch = new Uint8Array(MAX_FRAME_BYTES);
  for (const name of [metaPacks[0]!, dataPacks.at(-1)!]) {
    const bytes = repo.read(name);
    const id = parsePackName(name)!;
    verifyPack(bytes, id, name, keys, scratch);
    const step = Math.max(1, Math.floor(bytes.byteLength / 400));
    const places = [...Array(256).keys(), ...Array(Math.floor(bytes.byteLength / step)).keys()].map((n, i) =>
      i < 256 ? n : n * step,
    );
    for (let i = 1; i <= 128; i++) places.push(bytes.byteLength - i);
    const missed: number[] = [];
    for (const at of places) {
      const damaged = flipped(bytes, at);
      if (!refuses(() => verifyPack(damaged, id, name, keys, scratch))) missed.push(at);
      // Neither does it pass as another pack: its name is not all that is checked.
      if (!refuses(() => verifyPack(damaged, sha256(damaged), name, keys, scratch))) missed.push(-at);
    }
    t.same(missed, [], name);
  }
});

/** Whether `verify` throws a VarveError. */
function refuses(verify: () => unknown): boolean {
  try {
    verify();
    return false;
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    return true;
  }
}

t.test('check --read-data names a damaged pack and exactly the files that are lost', async (t) => {
  const name = dataPacks[0]!;
  const size = repo.read(name).byteLength;
  const places: [string, string, number][] = [
    [name, 'header', 100],
    [name, 'first frame', 300],
    [name, 'middle', Math.floor(size / 2)],
    [name, 'footer', size - 100],
    [metaPacks[0]!, 'first frame', 300],
    [metaPacks[0]!, 'footer', repo.read(metaPacks[0]!).byteLength - 1],
  ];
  for (const [pack, where, at] of places) {
    const mend = repo.change(pack, flipped(repo.read(pack), at));
    const report = await check(repository, { readData: true });
    t.same([...new Set(named(report))], [pack], `${where} of ${pack}`);
    const { files, failures } = await repo.readBack(0);
    const lost = [...files].filter(([, found]) => found instanceof VarveError).map(([path]) => path);
    for (const [path, found] of files) if (!(found instanceof VarveError)) t.equal(found, expected.get(path));
    const first = Buffer.from(records[0]!.id).toString('hex');
    const told = report.errors.flatMap(({ affects }) =>
      affects.filter(({ snapshot }) => snapshot === first).map(({ path }) => path),
    );
    if (pack === name) {
      t.same(told.sort(), lost.sort(), `${where}: the files named are the files that cannot be read`);
      if (where === 'first frame' || where === 'middle')
        t.ok(lost.length > 0 && lost.length < files.size, `${where}: the other files are readable`);
    } else if (failures.length > 0) t.ok(told.length > 0, `${where}: a directory is named`);
    mend();
  }
});

t.test('what is cut short is found without reading data', async (t) => {
  for (const name of [
    genesis,
    slots[0]!,
    indexes[0]!,
    manifests[0]!,
    entries[1]!,
    entries.at(-1)!,
    dataPacks[0]!,
    metaPacks[0]!,
  ]) {
    const bytes = repo.read(name);
    for (const length of [0, 7, Math.floor(bytes.byteLength / 2), bytes.byteLength - 1]) {
      const mend = repo.change(name, bytes.subarray(0, length));
      const report = await check(repository);
      t.ok(named(report).includes(name), `${name} cut to ${length}`);
      await neverWrong(t, 0, `${name} cut to ${length}`, repo.withoutCaches());
      mend();
    }
  }
});

t.test('objects that change places with another of their kind are found', async (t) => {
  const other = dataPacks.find((name) => name !== dataPacks[0])!;
  const pairs = [
    [slots[0]!, slots[1]!],
    [indexes[0]!, indexes[1]!],
    [manifests[0]!, manifests[1]!],
    [entries[0]!, entries[1]!],
    [entries.at(-1)!, entries.at(-2)!],
    [dataPacks[0]!, other],
    [metaPacks[0]!, metaPacks[1]!],
  ] as const;
  for (const [one, two] of pairs) {
    const [a, b] = [repo.read(one), repo.read(two)];
    const mends = [repo.change(one, b), repo.change(two, a)];
    const report = await check(repository, { readData: one.startsWith('packs/') });
    t.ok(named(report).includes(one) && named(report).includes(two), `${one} and ${two}`);
    await neverWrong(t, -1, `${one} for ${two}`, repo.withoutCaches());
    for (const mend of mends) mend();
  }
});

t.test('what is missing is found; a lost index object is only a warning', async (t) => {
  for (const name of [
    genesis,
    entries[0]!,
    entries[1]!,
    entries.at(-2)!,
    manifests[0]!,
    manifests[1]!,
    dataPacks[0]!,
    metaPacks[0]!,
  ]) {
    const mend = repo.change(name, undefined);
    const report = await check(repository);
    t.ok(named(report).includes(name), name);
    await neverWrong(t, 0, name, repo.withoutCaches());
    mend();
  }
  const mend = repo.change(indexes[0]!, undefined);
  const lost = repo.withoutCaches();
  const report = await check(lost);
  t.same(report.errors, []);
  t.same(
    report.warnings.map(({ object }) => object),
    [indexes[0]],
  );
  t.ok(report.rebuiltIndex);
  t.equal(await neverWrong(t, -1, 'without an index object', lost), 0);
  mend();
  const last = entries.at(-1)!;
  const back = repo.change(last, undefined);
  const uncommitted = await check(repository);
  t.same(uncommitted.errors, [], 'the end of a chain can only be missed by who remembers it');
  t.ok(
    uncommitted.warnings.some(({ object }) => manifests.includes(object)),
    'but the manifest has no entry',
  );
  back();
});

t.test('what does not belong is named', async (t) => {
  const strange = `packs/00/${'0'.repeat(64)}`;
  const extras: [string, Uint8Array, boolean][] = [
    ['readme.txt', noise('x', 50), false],
    ['packs/readme', noise('x', 50), false],
    [`packs/11/${'0'.repeat(64)}`, noise('x', 50), false],
    [strange, noise('x', 5000), false],
    [strange, new Uint8Array(0), false],
    [strange, repo.read(dataPacks[0]!), true],
    [`index/${'0'.repeat(64)}`, noise('x', 5000), false],
    [`index/${'0'.repeat(64)}`, repo.read(indexes[0]!), false],
    [`snapshots/${'0'.repeat(64)}`, repo.read(manifests[0]!), false],
    ['keys/0000000000000000', repo.read(slots[0]!), false],
    [`${entries.at(-1)!.slice(0, -1)}9`, repo.read(entries[1]!), false],
  ];
  for (const [name, bytes, readData] of extras) {
    const mend = repo.change(name, bytes);
    const report = await check(repository, { readData });
    t.ok(named(report).includes(name), name);
    t.equal(
      (await neverWrong(t, 0, name, repository)) > 0,
      name.startsWith('ledger/'),
      `${name}: only a broken ledger keeps from reading`,
    );
    mend();
  }
  const unknown = `ledger/${'ab'.repeat(16)}/0000000000000000`;
  const mend = repo.change(unknown, repo.read(entries[0]!));
  t.ok(named(await check(repository)).includes(`ledger/${'ab'.repeat(16)}`), 'an author whom nobody certified');
  mend();
  t.equal((await check(repository)).errorCount, 0);
});

t.test('a local index that is deleted, damaged or replaced by garbage is built again', async (t) => {
  const fresh = repo.withoutCaches();
  t.equal((await check(fresh)).rebuiltIndex, true);
  t.equal((await check(fresh)).rebuiltIndex, false);
  const folder = join(fresh.cacheDir, 'index');
  const segments = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.seg'));
  t.ok(segments().length > 0);
  for (const content of [noise('garbage', 20_000), new Uint8Array(0)]) {
    for (const name of segments()) writeFileSync(join(folder, name), content);
    const report = await check(fresh);
    t.same([report.errorCount, report.rebuiltIndex], [0, true]);
    t.equal(await neverWrong(t, -1, 'garbage in the cache', fresh), 0);
  }
  rmSync(folder, { recursive: true });
  t.same(await check(fresh).then(({ errorCount, rebuiltIndex }) => [errorCount, rebuiltIndex]), [0, true]);
});

// Last, because it adds to the repository.
t.test('a new backup stores again what a lost pack held', async (t) => {
  repo.change(dataPacks[0]!, undefined);
  const before = await check(repository);
  t.ok(
    before.errors.every(({ object }) => object === dataPacks[0]),
    'one pack is missing',
  );
  t.ok(before.errors[0]!.affectedCount > 0);
  const id = await repo.backup();
  const after = await check(repository, { readData: true });
  t.same([...new Set(named(after))], [dataPacks[0]], 'it is still missing for the old snapshots');
  t.notOk(
    after.errors.some(({ affects }) => affects.some(({ snapshot }) => snapshot === id)),
    'the new snapshot needs nothing of it',
  );
  t.equal(await neverWrong(t, -1, 'new snapshot'), 0);
  t.equal((await repo.readBack()).files.size, expected.size);
  t.ok(fromHex(id).byteLength === 32);
});
