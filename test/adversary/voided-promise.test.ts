/** An admin makes snapshots of a writer, which a lower admin certified, void by certifying the writer's key for another role; then what they pin is an orphan. */
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { CertifiedRole, EntryType } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { disowned, standings } from '../../lib/ledger/standing.js';
import type { Reading } from '../../lib/vault/clock.js';
import { imageOf, lostOf } from '../helpers/attacker.js';
import { DAY, lowerAdminAndWriter, onDisk, say, take } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

for (const role of [CertifiedRole.auditor, CertifiedRole.vault])
  t.test(
    `retiring a lower admin and certifying its writer's key as role ${role} deletes nothing that was promised`,
    async (t) => {
      const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 40 * DAY, bootId: 'a' };
      const made = await startVaultRepository(t, { readClock: () => ({ ...reading }) });
      const { lower, seed, keyring } = await lowerAdminAndWriter(made);
      const id = await take(made, await made.open('writer', keyring));
      const read = await onDisk(made);
      const promised = standings(await loadLedger(read)).find((one) => toHex(one.id) === id)!.retainUntilSec;
      t.ok(promised > Date.now() / 1000 + 300 * 86_400, 'kept for a year');
      const before = await imageOf(made.vault.guard.store);
      // The attack: two entries of the founder's.
      await say(made, made.keyring.adminSeed!, {
        type: EntryType.retire,
        author: authorOf(publicKeyOf(lower)),
        count: 0,
        head: new Uint8Array(32),
        reason: '',
      });
      await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role, publicKey: publicKeyOf(seed) });
      const ledger = await loadLedger(read);
      const left = [...standings(ledger), ...disowned(ledger)].find((one) => toHex(one.id) === id);
      t.equal(left?.retainUntilSec, promised, 'the promise stands');
      const admin = await made.connect('admin');
      for (const step of ['announce', 'sweep'] as const) {
        reading.wallMs += 4 * DAY;
        reading.uptimeMs += 4 * DAY;
        t.comment(JSON.stringify(await admin.prune(step)));
      }
      const lost = lostOf(before, await imageOf(made.vault.guard.store));
      t.same(
        lost.filter((name) => /^(packs|snapshots)/.test(name)),
        [],
        'eight days later everything is there',
      );
      t.ok(fromHex(id));
    },
  );

t.test('nor does a lower admin do it to one that ranks below it', async (t) => {
  const made = await startVaultRepository(t);
  const thief = new Uint8Array(32).fill(20);
  await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role: CertifiedRole.admin, publicKey: publicKeyOf(thief) });
  const { lower, seed, keyring } = await lowerAdminAndWriter(made);
  const id = await take(made, await made.open('writer', keyring));
  const read = await onDisk(made);
  await say(made, thief, {
    type: EntryType.retire,
    author: authorOf(publicKeyOf(lower)),
    count: 0,
    head: new Uint8Array(32),
    reason: '',
  });
  await say(made, thief, { type: EntryType.cert, role: CertifiedRole.auditor, publicKey: publicKeyOf(seed) });
  const ledger = await loadLedger(read);
  t.ok(
    [...standings(ledger), ...disowned(ledger)].some((one) => toHex(one.id) === id),
    'the promise stands',
  );
});
