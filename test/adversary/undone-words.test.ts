/** What retiring a lower admin at a small count undoes besides, without an alert that names it: the policy in force, the rotation of the reader key, the removal of a slot. */
import t, { type Test } from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { EntryType } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { readerKeyInForce } from '../../lib/ledger/reader-key.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { addSlot, slotWords } from '../../lib/ledger/slots.js';
import { currentPolicy, termsOf } from '../../lib/retention/policy.js';
import { DEFAULT_POLICY, NEW_POLICY, NEW_TERMS } from '../../lib/retention/slots.js';
import { lowerAdminAndWriter, onDisk, say } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

async function scene(t: Test) {
  const made = await startVaultRepository(t, { policy: DEFAULT_POLICY });
  const { lower } = await lowerAdminAndWriter(made);
  const retire = async () =>
    say(made, made.keyring.adminSeed!, {
      type: EntryType.retire,
      author: authorOf(publicKeyOf(lower)),
      count: 0,
      head: new Uint8Array(32),
      reason: '',
    });
  const ledger = async () => loadLedger(await onDisk(made));
  return { made, lower, retire, ledger };
}

t.test('a policy that falls back is told with old and new values', async (t) => {
  const { made, lower, retire, ledger } = await scene(t);
  await say(made, lower, {
    type: EntryType.policy,
    ...NEW_POLICY,
    monthSec: 5000 * 86_400,
    terms: { ...NEW_TERMS, waitSec: 30 * 86_400 },
  });
  t.equal(termsOf(currentPolicy((await ledger()).entries)).waitSec, 30 * 86_400);
  const before = made.log.filter((line) => line.startsWith('policy-change')).length;
  await retire();
  t.equal(termsOf(currentPolicy((await ledger()).entries)).waitSec, 3 * 86_400, 'the policy in force is another');
  t.equal(made.log.filter((line) => line.startsWith('policy-change')).length, before + 1, 'and somebody hears of it');
});

t.test('an admin alone does not undo a rotation of the reader key', async (t) => {
  const { made, lower, retire, ledger } = await scene(t);
  const rotation = await prepareRotation(await onDisk(made, { ...made.keyring, adminSeed: lower }), 'reader');
  await rotation.commit();
  await made.restart();
  const disk = await onDisk(made);
  const inForce = async () => toHex(readerKeyInForce(disk, await ledger()));
  const wanted = await inForce();
  t.not(wanted, toHex(disk.genesis.readerKey));
  await retire();
  t.equal(await inForce(), wanted, 'sessions are not sealed to the stolen key again');
});

t.test('a slot that an admin removed stays removed, or its return is told', async (t) => {
  const { made, lower, retire, ledger } = await scene(t);
  const slot = await addSlot(await made.open('admin'), made.keyring, 'stolen', { label: 'l', log2N: 4 });
  await addSlot(await made.open('admin'), made.keyring, 'other', { label: 'm', log2N: 4 });
  await say(made, lower, { type: EntryType.slots, added: [], removed: [fromHex(slot.id)] });
  t.equal(slotWords(await ledger())?.get(slot.id)?.listed, false);
  const before = made.log.filter((line) => line.startsWith('slot-change')).length;
  await retire();
  t.ok(
    slotWords(await ledger())?.get(slot.id)?.listed === false ||
      made.log.filter((line) => line.startsWith('slot-change')).length > before,
    'it opens again, and only the retirement was told',
  );
});
