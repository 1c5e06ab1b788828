/**
 * Pruning through a vault, by an admin on another machine: announced with the admin's key, deleted by the vault when the wait is over by its own clock, and by nothing
 * before; with the immutable flag on stored objects where the file system has it.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { payloadOf } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { wrongPrunes } from '../../lib/ledger/standing.js';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import type { Reading } from '../../lib/vault/clock.js';
import type { VaultOptions } from '../../lib/vault/server.js';
import { check } from '../../lib/verify/check.js';
import { imageOf, lostOf, only } from '../helpers/attacker.js';
import { scratch } from '../helpers/backup-repository.js';
import { noise } from '../helpers/damaged-repository.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';
import { MAIN } from '../helpers/vault-process.js';

const HOUR = 3_600_000;
/** Nothing is promised beyond the newest, and the wait is the shortest but one. */
const POLICY = {
  ...DEFAULT_POLICY,
  minimumSec: 0,
  hourSec: 0,
  daySec: 0,
  weekSec: 0,
  monthSec: 0,
  yearSec: 0,
  terms: { waitSec: 48 * 3600, longestSec: 0, autoPrune: false, dailyBytes: 0, dailySnapshots: 0, classes: [] },
};

interface Scene {
  readonly made: TestVaultRepository;
  /** Two of one stream; the first has expired. */
  readonly ids: readonly [string, string];
  /** Lets the vault's machine see time pass. */
  pass(ms: number): void;
  /** `varve ARGS` as the admin, through the vault's socket. */
  admin(...args: string[]): Promise<Record<string, unknown>[]>;
}

async function scene(t: Test, options: Partial<VaultOptions> = {}): Promise<Scene> {
  const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * 24 * HOUR, bootId: 'a' };
  const made = await startVaultRepository(t, { policy: POLICY, readClock: () => ({ ...reading }), ...options });
  const writer = await made.open('writer', only.writer(made.keyring));
  const file = join(made.folder, 'data');
  const take = async (content: string): Promise<string> => {
    writeFileSync(file, noise(content, 50_000));
    return toHex((await backup(writer, { paths: [file], host: 'h', label: 'l', threads: 1 })).snapshotId!);
  };
  const ids = [await take('first'), await take('second')] as const;
  const key = join(made.folder, 'admin.key');
  writeFileSync(key, await exportKeyFile(only.admin(made.keyring), undefined, { label: 'admin' }));
  return {
    made,
    ids,
    pass(ms) {
      reading.wallMs += ms;
      reading.uptimeMs += ms;
    },
    admin: (...args) =>
      new Promise((resolve, reject) => {
        const { NODE_OPTIONS: _, ...env } = process.env;
        const place = {
          VARVE_REPOSITORY: `vault:${made.sockets.admin}`,
          VARVE_KEY_FILE: key,
          VARVE_CACHE_DIR: join(made.folder, 'admin-cache'),
          VARVE_STATE_DIR: join(made.folder, 'admin-state'),
        };
        execFile(process.execPath, [MAIN, ...args, '--json'], { env: { ...env, ...place } }, (error, stdout, stderr) => {
          if (error !== null) reject(new Error(`${error.message} ${stderr}`));
          else
            resolve(
              stdout
                .split('\n')
                .filter((line) => line !== '')
                .map((line) => JSON.parse(line) as Record<string, unknown>),
            );
        });
      }),
  };
}

t.test('a remote admin announces, waits, and only then the vault deletes', async (t) => {
  const { made, ids, pass, admin } = await scene(t);
  const [, announced] = await admin('prune');
  t.match(announced, { message_type: 'announced', snapshots: [ids[0]] });
  const reader = await made.open('reader');
  const { entries } = await loadLedger(reader);
  const intent = entries.find(({ payload }) => payloadOf(payload, 'pruneIntent') !== undefined)!;
  t.equal(toHex(intent.author), toHex(authorOf(publicKeyOf(made.keyring.adminSeed!))), 'with the admin’s key');
  const before = await imageOf(made.vault.guard.store);
  for (const [ms, what] of [
    [0, 'at once'],
    [25 * HOUR, 'after a day'],
    [22 * HOUR, 'an hour before the wait ends'],
  ] as const) {
    pass(ms);
    t.match((await admin('prune', '--sweep-only'))[0], { message_type: 'swept', snapshots: [], packs: 0, manifests: 0 }, what);
    t.same(lostOf(before, await imageOf(made.vault.guard.store)), [], what);
  }
  // Packs stay 72 hours, whatever the wait.
  pass(26 * HOUR);
  const [swept] = await admin('prune', '--sweep-only');
  t.match(swept, { message_type: 'swept', snapshots: [ids[0]], manifests: 1 });
  t.ok(Number(swept!.packs) >= 1);
  const gone = lostOf(before, await imageOf(made.vault.guard.store));
  t.ok(gone.includes(`snapshots/${ids[0]}`), gone.join());
  t.ok(gone.some((name) => name.startsWith('packs/')));
  const ledger = await loadLedger(await made.open('reader'));
  const done = ledger.entries.find(({ payload }) => payloadOf(payload, 'pruneDone') !== undefined)!;
  t.equal(toHex(done.author), toHex(authorOf(made.vault.guard.vaultKey)), 'the vault says what it deleted');
  t.match(payloadOf(done.payload, 'pruneDone'), { author: intent.author, sequence: intent.sequence }, 'of that intent');
  const later = Date.now() / 1000 + 100 * 3600;
  t.same(wrongPrunes(ledger, later), []);
  t.same(
    snapshotRecords(ledger)
      .map(({ id }) => toHex(id))
      .slice(-1),
    [ids[1]],
  );
  t.match((await admin('prune', '--sweep-only'))[0], { packs: 0, manifests: 0 }, 'once');
  // By the real clock the prune is still to come, so the snapshot that is gone counts as missing; nothing else may.
  // On the vault's own disk: this thread cannot wait for a vault that it is itself.
  const { id, genesis } = reader;
  const onDisk = { store: await openDirectoryStore(made.repositoryDir), id, genesis };
  const report = await check(openRepository(onDisk, made.keyring, join(made.folder, 'disk-cache')), { readData: true });
  t.ok(
    report.errors.every(({ object }) => object.includes(ids[0])),
    JSON.stringify(report.errors),
  );
});

/** A folder on a file system that has the immutable flag, or why there is none. */
function flagged(t: Test): { readonly folder: string } | { readonly why: string } {
  const folder = scratch(t);
  const attempt = (...args: [string, ...string[]]): string | undefined => {
    const { status, stderr, error } = spawnSync(args[0], args.slice(1), { encoding: 'utf8' });
    return status === 0 ? undefined : `${args[0]}: ${error?.message ?? stderr.trim()}`;
  };
  const file = join(folder, 'probe');
  writeFileSync(file, 'x');
  let why = attempt('chattr', '+i', file);
  if (why === undefined) {
    attempt('chattr', '-i', file);
    return { folder };
  }
  const [image, mountpoint] = [join(folder, 'image'), join(folder, 'mnt')];
  mkdirSync(mountpoint);
  why =
    attempt('truncate', '-s', '64M', image) ??
    attempt('mkfs.ext4', '-q', image) ??
    attempt('mount', '-o', 'loop', image, mountpoint);
  if (why !== undefined) return { why };
  t.teardown(() => void spawnSync('umount', [mountpoint]));
  return { folder: mountpoint };
}

t.test('with --immutable stored objects cannot be changed or deleted, and pruning still removes what is due', async (t) => {
  const place = flagged(t);
  if ('why' in place) return void t.pass('the immutable flag', { skip: `no file system here has it: ${place.why}` });
  const repository = join(place.folder, 'repo');
  // Whatever happens, the folder must go.
  t.teardown(() => void spawnSync('chattr', ['-R', '-i', repository]));
  const { made, ids, pass, admin } = await scene(t, { repository, immutable: true });
  const files = (): string[] =>
    readdirSync(repository, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\/(packs|snapshots|ledger|index)(\/|$)/.test(entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name));
  const unflagged = (): string[] =>
    files().filter((file) => !/^\S*i\S* /.test(spawnSync('lsattr', [file], { encoding: 'utf8' }).stdout));
  const settled = async (): Promise<string[]> => {
    // The flag is set in batches, a moment after an object is durable.
    for (let i = 0; i < 50 && unflagged().length > 0; i++) await sleep(100);
    return unflagged();
  };
  await settled();
  const stored = files().filter((file) => !/\/ledger\//.test(file));
  t.ok(stored.length >= 6);
  t.same(
    (await settled()).filter((file) => stored.includes(file)),
    [],
    'every pack, index object and manifest has the flag',
  );
  for (const file of stored) {
    t.throws(() => unlinkSync(file), { code: 'EPERM' }, 'root cannot delete it');
    t.throws(() => writeFileSync(file, 'x'), { code: 'EPERM' }, 'nor write to it');
  }
  await admin('prune');
  pass(100 * HOUR);
  const [swept] = await admin('prune', '--sweep-only');
  t.match(swept, { snapshots: [ids[0]], manifests: 1 });
  t.notOk(
    files().some((file) => file.includes(ids[0])),
    'its manifest is gone',
  );
  t.ok(
    files().some((file) => file.includes(ids[1])),
    'the newest is there',
  );
  t.equal((await settled()).filter((file) => stored.includes(file)).length, 0, 'and keeps the flag');
  t.same(
    made.log.filter((line) => /chattr/.test(line)),
    [],
  );
});
