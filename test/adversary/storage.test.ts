/**
 * A storage that is an attacker's: it drops what is newest, shows last week's image, swaps the repository, flips bits. Whoever saw more notices, with a status that
 * says what it is, and nobody is ever given a wrong byte. Every byte of every small object is in test/faults/damage.test.ts; chains alone are in test/ledger/heads.test.ts.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { statusOf } from '../../cli/exit.js';
import { toHex } from '../../lib/bytes.js';
import { VarveError } from '../../lib/errors.js';
import { backup } from '../../lib/ingest/backup.js';
import { rememberHeads } from '../../lib/ledger/heads.js';
import { selectSnapshot, selectSnapshots } from '../../lib/ledger/select.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { restore } from '../../lib/restore/restore.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { check } from '../../lib/verify/check.js';
import { imageOf, only } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { noise } from '../helpers/damaged-repository.js';
import { compareFiles, readFiles } from '../helpers/read-files.js';
import { seeded } from '../helpers/simulated-repository.js';
import { strictly } from '../helpers/strictly.js';

const folder = scratch(t);
const repo = await makeRepository(folder);
const source = join(folder, 'source');
mkdirSync(source);
const FILES: Record<string, Uint8Array> = {};
const write = (name: string, bytes: Uint8Array): void => writeFileSync(join(source, name), (FILES[name] = bytes));

/** A machine that remembers, with caches of its own. */
let caches = 0;
async function machine(name: string, keyring = repo.keyring): Promise<Repository> {
  const place = await locateRepository(await openDirectoryStore(repo.location));
  const heads = rememberHeads(place, join(folder, 'state', name));
  return openRepository(place, keyring, join(folder, `cache-${name}-${++caches}`), { heads });
}

const run = async (as: Repository): Promise<string> =>
  toHex((await backup(as, { paths: [source], host: 'h', label: 'l', threads: 1 })).snapshotId!);
const statusWhen = async (work: Promise<unknown>): Promise<number> => work.then(() => 0, statusOf);

write('first', noise('first', 30_000));
write('second', noise('second', 60_000));
const lastWeek = await run(await machine('host'));
cpSync(repo.location, join(folder, 'last week'), { recursive: true });
write('third', noise('third', 30_000));
const newest = await run(await machine('host'));
cpSync(repo.location, join(folder, 'now'), { recursive: true });
await selectSnapshots(await machine('laptop'), strictly);
t.afterEach(() => show('now'));

function show(image: string): void {
  rmSync(repo.location, { recursive: true });
  cpSync(join(folder, image), repo.location, { recursive: true });
}

/** What every verb of both machines says of the storage as it is. */
async function verdicts(t: Test, what: string): Promise<void> {
  const before = await imageOf((await machine('other')).store);
  t.equal(await statusWhen(run(await machine('host', only.writer(repo.keyring)))), 14, `${what}: the host does not build on it`);
  t.equal(await statusWhen(selectSnapshots(await machine('laptop'), strictly)), 14, `${what}: the laptop lists nothing`);
  t.equal(await statusWhen(selectSnapshot(await machine('laptop'), 'latest')), 14, `${what}: and restores nothing`);
  const { errors } = await check(await machine('laptop'));
  t.ok(
    errors.some(({ code }) => code === 'ROLLED_BACK'),
    `${what}: check says what is gone`,
  );
  t.same([...(await imageOf((await machine('other')).store)).keys()], [...before.keys()], 'and nothing was written');
}

t.test('dropping the newest snapshot is noticed by everybody who saw it (14), and what is left is right', async (t) => {
  const image = await imageOf((await machine('host')).store);
  const old = await imageOf(await openDirectoryStore(join(folder, 'last week')));
  for (const name of image.keys()) if (!old.has(name)) rmSync(join(repo.location, name));
  await verdicts(t, 'dropped');
  const found = await readFiles(await machine('newcomer'), lastWeek);
  const { third: _, ...before } = FILES;
  t.same(compareFiles(found, before), { wrong: [], lost: [] }, 'who never saw it has nothing to go by, and reads right bytes');
});

t.test('last week’s image is noticed by everybody who saw more (14), and today’s is right again', async (t) => {
  show('last week');
  await verdicts(t, 'last week');
  show('now');
  t.equal((await selectSnapshots(await machine('laptop'), strictly)).length, 2);
});

t.test('a repository in place of ours is refused with every key of ours (12)', async (t) => {
  const other = await makeRepository(join(folder, 'other'));
  await other.backup({ paths: [source], threads: 1 });
  rmSync(repo.location, { recursive: true });
  cpSync(other.location, repo.location, { recursive: true });
  for (const keyring of [only.writer(repo.keyring), only.reader(repo.keyring), only.admin(repo.keyring)])
    t.equal(await statusWhen(machine('host', keyring)), 12);
});

t.test('two clients who are shown different histories notice as soon as one sees the other’s (14)', async (t) => {
  const thief = { ...repo.keyring };
  await run(await machine('host'));
  cpSync(repo.location, join(folder, 'for host'), { recursive: true });
  show('now');
  await run(await machine('elsewhere', thief));
  t.equal(await statusWhen(run(await machine('host'))), 14, 'the host is shown the other history');
  show('for host');
  t.equal(await statusWhen(selectSnapshots(await machine('elsewhere', thief), strictly)), 14, 'and the other way round');
});

t.test('a flipped bit anywhere is an error of integrity, signature or key (12, 14, 15), never a wrong byte', async (t) => {
  const seed = Number(process.env.VARVE_SEED ?? Date.now() % 1_000_000);
  t.comment(`VARVE_SEED=${seed}`);
  const random = seeded(seed);
  const names = [...(await imageOf((await machine('host')).store)).keys()];
  const seen = new Map<number | string, number>();
  const note = (error: VarveError): void => {
    // A bit of the version makes an object one of a newer program: refused too, with advice that is of no use here.
    const what = error.code === 'NEWER_FORMAT' ? error.code : statusOf(error);
    seen.set(what, (seen.get(what) ?? 0) + 1);
  };
  for (const folderName of ['genesis', 'ledger/', 'index/', 'snapshots/', 'packs/'])
    for (let sample = 0; sample < 12; sample++) {
      const of = names.filter((name) => name.startsWith(folderName));
      const name = of[random(of.length)]!;
      const path = join(repo.location, name);
      const bytes = readFileSync(path);
      const damaged = Buffer.from(bytes);
      const at = random(bytes.byteLength);
      damaged[at]! ^= 1 << random(8);
      rmSync(path);
      writeFileSync(path, damaged);
      const what = `${name} byte ${at}`;
      try {
        const reader = await machine(`sample-${folderName}-${sample}`, only.reader(repo.keyring));
        const found = await readFiles(reader, newest);
        const { wrong } = compareFiles(found, FILES);
        if (wrong.length > 0) t.fail(`${what}: wrong bytes of ${wrong}`);
        for (const error of found.values()) if (error instanceof VarveError) note(error);
        if (sample < 2)
          t.ok(
            (await check(reader, { readData: true })).errorCount + (await check(reader)).warningCount > 0,
            `${what}: check says so`,
          );
      } catch (error) {
        if (!(error instanceof VarveError)) throw error;
        note(error);
      }
      rmSync(path);
      writeFileSync(path, bytes);
    }
  t.same(
    [...seen.keys()].filter((status) => ![12, 14, 15, 'NEWER_FORMAT'].includes(status)),
    [],
    `statuses ${JSON.stringify([...seen])}`,
  );
  const target = join(folder, 'restored');
  const reader = await machine('last');
  const report = await restore(reader, await selectSnapshot(reader, newest), { targetPath: target, threads: 1 });
  t.same(report.problems, [], 'mended, it is whole');
});
