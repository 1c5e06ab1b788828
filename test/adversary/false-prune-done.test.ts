/** A key that is auditor and vault at once says what was deleted, though a vault alone may. */
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { CertifiedRole, EntryType } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { wrongPrunes } from '../../lib/ledger/standing.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { only } from '../helpers/attacker.js';
import { onDisk, say, take } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

for (const through of ['admin', 'reader'] as const)
  t.test(`what was deleted, a vault alone says: a key that is auditor too, through the ${through} connection`, async (t) => {
    const made = await startVaultRepository(t, {
      policy: { ...DEFAULT_POLICY, minimumSec: 0, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, yearSec: 0 },
    });
    const writer = await made.open('writer', only.writer(made.keyring));
    const first = await take(made, writer);
    const second = await take(made, writer);
    const seed = new Uint8Array(32).fill(31);
    const publicKey = publicKeyOf(seed);
    for (const role of [CertifiedRole.auditor, CertifiedRole.vault])
      await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role, publicKey });
    const none = new Uint8Array(0);
    const listed = async () => snapshotRecords(await loadLedger(await onDisk(made))).map(({ id }) => toHex(id));
    t.same(await listed(), [first, second], 'both are listed; the first has expired, and nobody announced it');
    // It names an intent that is not there.
    const said = say(
      made,
      seed,
      {
        type: EntryType.pruneDone,
        author: authorOf(publicKey),
        sequence: 7,
        packs: none,
        snapshots: fromHex(first),
        indexes: none,
      },
      through,
    );
    await t.rejects(said, { code: 'REFUSED' }, 'refused');
    t.same(await listed(), [first, second], 'and both are still listed');
  });

t.test('nor does its word about a snapshot that is kept reach the ledger, where every check fails from then on', async (t) => {
  const made = await startVaultRepository(t);
  const id = await take(made, await made.open('writer', only.writer(made.keyring)));
  const seed = new Uint8Array(32).fill(31);
  const publicKey = publicKeyOf(seed);
  for (const role of [CertifiedRole.auditor, CertifiedRole.vault])
    await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role, publicKey });
  const none = new Uint8Array(0);
  const said = say(made, seed, {
    type: EntryType.pruneDone,
    author: authorOf(publicKey),
    sequence: 7,
    packs: none,
    snapshots: fromHex(id),
    indexes: none,
  });
  await t.rejects(said, { code: 'REFUSED' });
  t.same(wrongPrunes(await loadLedger(await onDisk(made))), [], 'a check finds nothing wrong');
});
