/** What a writer may store in a day, counted over crashes of a vault in a process of its own: SIGKILL gains it nothing, and what it had begun to send is gone. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import type { PolicyTerms } from '../../lib/format/payload.js';
import type { Repository } from '../../lib/repository/repository.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { Quotas } from '../../lib/vault/quota.js';
import { forgePack, forgeSession, packNameOf } from '../helpers/attacker.js';
import { ask, hostile, openAt, varve } from '../helpers/hostile-client.js';
import { type Place, place, serve } from '../helpers/vault-process.js';

const MIB = 1 << 20;
const DAY_MS = 86_400_000;
const DAILY = 8 * MIB;

async function limited(t: Test): Promise<{ it: Place; keyFile: string; vault: Awaited<ReturnType<typeof serve>> }> {
  const it = await place(t);
  const vault = await serve(t, it);
  const keyFile = join(it.folder, 'key');
  await varve(it, ['init', '-r', `vault:${it.sockets.admin}`, '--key-file', keyFile]);
  await setPolicy(await openAt(t, it, 'admin', keyFile), { dailyBytes: DAILY });
  return { it, keyFile, vault };
}

function bytesIn(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name)).size;
  return sum;
}

/** Packs of about a mebibyte until the vault refuses one. @returns how many were taken */
async function fill(writer: Repository): Promise<number> {
  const keys = await forgeSession(writer);
  for (let stored = 0; ; stored++) {
    const pack = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(MIB - 2000) }]);
    try {
      await writer.store.put(packNameOf(pack), [pack.bytes]);
    } catch (error) {
      if ((error as { code: string }).code === 'REFUSED') return stored;
      throw error;
    }
  }
}

t.test('a vault that is killed again and again lets a writer store no more than its day', async (t) => {
  let { it, keyFile, vault } = await limited(t);
  const first = await openAt(t, it, 'writer', keyFile);
  const keys = await forgeSession(first);
  for (let i = 0; i < 5; i++) {
    const pack = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(MIB - 2000) }]);
    await first.store.put(packNameOf(pack), [pack.bytes]);
  }
  let taken = 5;
  for (let crash = 0; crash < 3; crash++) {
    vault.kill('SIGKILL');
    await once(vault, 'exit');
    vault = await serve(t, it);
    taken += await fill(await openAt(t, it, 'writer', keyFile));
  }
  t.ok(bytesIn(join(it.repo, 'packs')) <= DAILY, `${bytesIn(join(it.repo, 'packs'))} bytes of ${DAILY}`);
  t.ok(taken >= 7, `and a crash costs little: ${taken} of 8`);
});

t.test('what was half sent when the vault was killed is gone after its next start', async (t) => {
  const { it, keyFile, vault } = await limited(t);
  const writer = await openAt(t, it, 'writer', keyFile);
  const keys = await forgeSession(writer);
  const temporary = join(it.repo, 'tmp');
  const left = (): number => readdirSync(temporary).filter((name) => /^\d+-/.test(name)).length;
  for (let i = 0; i < 6; i++) {
    const pack = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(MIB) }]);
    const stream = ask(
      hostile(t, it.sockets.writer, { windowBytes: 65_536 }),
      '/put',
      { 'varve-kind': 'pack', 'varve-id': toHex(pack.packId), 'varve-size': String(pack.bytes.byteLength) },
      false,
    );
    stream!.write(pack.bytes.subarray(0, pack.bytes.byteLength - 100));
  }
  for (let i = 0; i < 100 && (left() < 6 || bytesIn(temporary) < 5 * MIB); i++) await sleep(50);
  t.equal(left(), 6, 'six are on the disk without a name');
  vault.kill('SIGKILL');
  await once(vault, 'exit');
  t.equal(left(), 6);
  await serve(t, it);
  t.equal(left(), 0);
  t.same(
    readdirSync(it.state).filter((name) => /\.\d+\.[0-9a-f]{12}$/.test(name)),
    [],
    'nor is anything left in its state',
  );
});

const TERMS: PolicyTerms = { waitSec: 0, longestSec: 0, autoPrune: false, dailyBytes: 1000, dailySnapshots: 3, classes: [] };
const writer = new Uint8Array(16);

t.test('what is given back goes to the day that it was taken from', async (t) => {
  const quotas = await Quotas.open(t.testdir());
  const midnight = 1000 * DAY_MS;
  const late = await quotas.take(writer, { bytes: 900, snapshots: 0 }, TERMS, midnight - 1);
  await quotas.take(writer, { bytes: 900, snapshots: 0 }, TERMS, midnight + 1);
  quotas.give(late);
  await t.rejects(quotas.take(writer, { bytes: 900, snapshots: 0 }, TERMS, midnight + 2), { code: 'REFUSED' }, 'not to today');
  const today = await quotas.take(writer, { bytes: 100, snapshots: 0 }, TERMS, midnight + 3);
  quotas.give(today);
  await quotas.take(writer, { bytes: 100, snapshots: 0 }, TERMS, midnight + 4);
  await t.rejects(quotas.take(writer, { bytes: 1, snapshots: 0 }, TERMS, midnight + 5), { code: 'REFUSED' });
});

t.test('whatever is taken at once, what is written down is never less when it may be stored', async (t) => {
  const folder = t.testdir();
  const quotas = await Quotas.open(folder);
  const terms = { ...TERMS, dailyBytes: 100 * MIB, dailySnapshots: 200 };
  let stored = 0;
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      await quotas.take(writer, { bytes: MIB, snapshots: i % 2 }, terms, DAY_MS);
      stored++;
      // As if the process were killed now.
      const again = await Quotas.open(folder);
      const rest = 100 * MIB - stored * MIB;
      await t.rejects(again.take(writer, { bytes: rest + 1, snapshots: 0 }, terms, DAY_MS), { code: 'REFUSED' });
    }),
  );
  await quotas.close();
  const again = await Quotas.open(folder);
  await again.take(writer, { bytes: 40 * MIB, snapshots: 170 }, terms, DAY_MS);
  await t.rejects(
    again.take(writer, { bytes: 1, snapshots: 0 }, terms, DAY_MS),
    { code: 'REFUSED' },
    'an orderly end loses nothing',
  );
});
