/**
 * `varve key rotate` killed before each step that changes what is durable: the old key or the new one works afterwards, and the same command finishes what was begun, with one
 * key left of the two.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { listAuthors } from '../../lib/ledger/roles.js';
import { allKeysCount, type RotatedKey, unlockCounting } from '../../lib/ledger/rotation.js';
import { listSlots } from '../../lib/ledger/slots.js';
import { packageRoot } from '../../lib/native.js';
import { exportKeyFile, unlockWithKeyFile } from '../../lib/repository/keys.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { createDirectoryStore, openDirectoryStore } from '../../lib/store/directory.js';
import { scratch } from '../helpers/backup-repository.js';
import { MAIN } from '../helpers/vault-process.js';

t.setTimeout(600_000);
const PASSPHRASE = 'pass';

interface Scene {
  readonly folder: string;
  readonly repo: string;
  readonly keyFile: string;
  run(args: readonly string[], killAt?: number): { status: number | null; signal: string | null; stdout: string; stderr: string };
  /** As it was before the first rotation. */
  reset(): void;
}

async function scene(t: Test, way: 'file' | 'slot'): Promise<Scene> {
  const folder = scratch(t, existsSync('/dev/shm') ? '/dev/shm' : undefined);
  const [repo, keyFile, saved] = [join(folder, 'repo'), join(folder, 'the.key'), join(folder, 'saved')];
  const store = await createDirectoryStore(repo);
  const slot = way === 'slot' ? { passphrase: PASSPHRASE, log2N: 4 } : {};
  const { keyring } = await initRepository(store, { label: 'mine', policy: DEFAULT_POLICY, ...slot });
  if (way === 'file') writeFileSync(keyFile, await exportKeyFile(keyring, undefined, { label: 'mine' }));
  cpSync(repo, join(saved, 'repo'), { recursive: true });
  if (way === 'file') cpSync(keyFile, join(saved, 'key'));
  const { NODE_OPTIONS: _, ...env } = process.env;
  return {
    folder,
    repo,
    keyFile,
    run(args, killAt) {
      const kill = killAt === undefined ? {} : { KILL_AT: String(killAt), KILL_BELOW: `${repo}:${keyFile}` };
      const hook = killAt === undefined ? [] : ['--import', join(packageRoot(), 'test/helpers/kill-at.mjs')];
      return spawnSync(process.execPath, [...hook, MAIN, ...args], {
        env: {
          ...env,
          VARVE_REPOSITORY: repo,
          VARVE_CACHE_DIR: join(folder, 'cache'),
          VARVE_STATE_DIR: join(folder, 'state'),
          ...(way === 'file' ? { VARVE_KEY_FILE: keyFile } : { VARVE_PASSWORD: PASSPHRASE }),
          ...kill,
        },
        encoding: 'utf8',
      });
    },
    reset() {
      for (const name of ['repo', 'state', 'cache', 'the.key', 'the.key.new'])
        rmSync(join(folder, name), { recursive: true, force: true });
      cpSync(join(saved, 'repo'), repo, { recursive: true });
      if (way === 'file') cpSync(join(saved, 'key'), keyFile);
    },
  };
}

/** The keyring that the user would open with now. */
async function inHand({ repo, keyFile }: Scene, way: 'file' | 'slot', file = keyFile): Promise<Keyring> {
  const place = await locateRepository(await openDirectoryStore(repo));
  if (way === 'slot') return (await unlockCounting(place, PASSPHRASE)).keyring;
  return await unlockWithKeyFile(place, readFileSync(file), file);
}

async function counts({ repo }: Scene, keyring: Keyring): Promise<boolean> {
  const place = await locateRepository(await openDirectoryStore(repo));
  return allKeysCount(place, keyring, await loadLedger(openRepository(place, keyring, '')));
}

/** How many keys of a role count: an admin's and a writer's author, or additions to the reader's. */
async function keysThatCount({ repo }: Scene, role: RotatedKey, keyring: Keyring): Promise<number> {
  const place = await locateRepository(await openDirectoryStore(repo));
  const repository = openRepository(place, keyring, '');
  if (role === 'reader') return keyring.readers?.length ?? 0;
  const authors = listAuthors(repository, await loadLedger(repository));
  return authors.filter((one) => one.role === role && one.state === 'active').length;
}

const keyOf = (keyring: Keyring, role: RotatedKey): string =>
  Buffer.from(
    role === 'reader'
      ? (keyring.readers?.at(-1) ?? [])
      : authorOf(publicKeyOf(role === 'admin' ? keyring.adminSeed! : keyring.writer!.seed)),
  ).toString('hex');

/** Every role in both ways takes three minutes; unless a long run is asked for (VARVE_KILLS), each role and each way once or twice. */
const isShort = process.env.VARVE_KILLS === undefined;
const SHORT = ['file reader', 'slot admin', 'file writer'];

for (const way of ['file', 'slot'] as const)
  for (const role of ['reader', 'admin', 'writer'] as const) {
    if (isShort && !SHORT.includes(`${way} ${role}`)) continue;
    t.test(`a rotation of the ${role} key in a ${way}, killed before any step`, async (t) => {
      const it = await scene(t, way);
      const before = await inHand(it, way);
      let killed = 0;
      for (let step = 1; ; step++) {
        it.reset();
        const { signal, status, stderr } = it.run(['key', 'rotate', '--role', role], step);
        if (signal !== 'SIGKILL') {
          t.equal(status, 0, `it ends by itself when there is no step ${step}: ${stderr}`);
          break;
        }
        killed++;
        const successor = `${it.keyFile}.new`;
        const works =
          (await counts(it, await inHand(it, way))) ||
          (way === 'file' && existsSync(successor) && (await counts(it, await inHand(it, way, successor))));
        if (!works) t.fail(`step ${step}: neither the old key nor the new one works`);
        const again = it.run(['key', 'rotate', '--role', role, '--json']);
        if (again.status !== 0) t.fail(`step ${step}: running it again ends with ${again.status}: ${again.stderr}`);
        const after = await inHand(it, way);
        if (!(await counts(it, after))) t.fail(`step ${step}: the key in hand does not count`);
        if (keyOf(after, role) === keyOf(before, role)) t.fail(`step ${step}: it is still the old one`);
        if (existsSync(successor)) t.fail(`step ${step}: ${successor} is left`);
        const many = await keysThatCount(it, role, after);
        // Killed after all was done but a last fsync, the second run is a rotation of its own.
        if (role === 'reader' ? many > 2 : many !== 1) t.fail(`step ${step}: ${many} keys count`);
        if (way === 'slot') {
          const place = await locateRepository(await openDirectoryStore(it.repo));
          const slots = await listSlots(place, await loadLedger(openRepository(place, after, '')));
          const inForce = slots.filter(({ state }) => state !== 'removed');
          if (inForce.length !== 1 || inForce[0]!.state !== 'listed')
            t.fail(`step ${step}: ${inForce.map(({ state }) => state).join(', ')} slots are left`);
        }
      }
      t.ok(killed >= (way === 'file' ? 7 : 6), `${killed} steps`);
      t.notOk(readdirSync(it.folder).includes('the.key.new'));
    });
  }

t.test('what lies beside a key file and is no left rotation is never touched', async (t) => {
  const it = await scene(t, 'file');
  const successor = `${it.keyFile}.new`;
  for (const content of ['something of the user’s\n', readFileSync(it.keyFile, 'utf8')]) {
    writeFileSync(successor, content);
    const { status, stderr } = it.run(['key', 'rotate', '--role', 'admin']);
    t.equal(status, 2);
    t.match(stderr, /exists already/);
    t.equal(readFileSync(successor, 'utf8'), content);
  }
  rmSync(successor);
  it.run(['key', 'rotate', '--role', 'writer'], 6);
  t.ok(existsSync(successor), 'killed behind the new key');
  const other = it.run(['key', 'rotate', '--role', 'admin']);
  t.equal(other.status, 2);
  t.match(other.stderr, /interrupted rotation of the writer key.*varve key rotate --role writer/);
  const done = it.run(['key', 'rotate', '--role', 'writer']);
  t.match(done.stdout, /interrupted is finished; no other key was made/);
});
