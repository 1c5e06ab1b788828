/** What a vault knows of its store stays true when something is removed: entries that an interrupted init left, pins of manifests that were pruned. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { EntryType } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { backup } from '../../lib/ingest/backup.js';
import { initRepository } from '../../lib/ledger/init.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { HandChain } from '../helpers/attacker.js';
import { startTestVault, startVaultRepository } from '../helpers/vault.js';

t.test('each entry that an interrupted init left is listed until it is removed, and no other goes with it', async (t) => {
  const made = await startTestVault(t);
  const admin = await made.connect('admin');
  const seed = randomBytes(32);
  const chain = new HandChain({ id: asId('repository', sha256(seed)) }, seed);
  const names: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { name, bytes } = chain.next(
      1000,
      i === 0 ? { type: EntryType.genesis } : { type: EntryType.policy, ...DEFAULT_POLICY },
    );
    await admin.put(name, [bytes]);
    names.push(name);
  }
  const listed = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const { name, storedMs } of admin.list('ledger/')) {
      t.ok(Math.abs(storedMs! - Date.now()) < 60_000, 'with its time');
      found.push(name);
    }
    return found;
  };
  t.same(await listed(), names);
  const { catalog } = made.vault.guard;
  for (const [i, name] of names.entries()) {
    await admin.remove(name);
    t.same(await listed(), names.slice(i + 1), 'an init that is killed between two of them finds the rest again');
  }
  t.equal(catalog.entrySizes.size, 0);
  t.equal(catalog.entryTimes.size, 0, 'nothing is remembered of a chain that is gone');
  t.ok(await initRepository(admin, { label: 'l', policy: DEFAULT_POLICY }), 'and the next init finds the place empty');
});

t.test('pins of a manifest that was pruned make room for others', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer');
  const file = join(made.folder, 'file');
  const kept: number[] = [];
  const ids: string[] = [];
  const { pins } = made.vault.guard;
  for (let i = 0; i < 2; i++) {
    writeFileSync(file, randomBytes(3000));
    ids.push(toHex((await backup(writer, { paths: [file], threads: 1 })).snapshotId!));
    kept.push(pins.keptBytes);
  }
  t.ok(kept[0]! > 0 && kept[1]! > kept[0]!);
  pins.forget(ids[0]!);
  t.equal(pins.keptBytes, kept[1]! - kept[0]!);
  pins.forget(ids[0]!);
  t.equal(pins.keptBytes, kept[1]! - kept[0]!, 'once');
  pins.forget(ids[1]!);
  t.equal(pins.keptBytes, 0);
});
