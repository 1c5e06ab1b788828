/** Who opens a repository reads the admins' chains alone, without receipts: an admin's own clock then decides which word on a slot is the last. */
import t from 'tap';
import { fromHex } from '../../lib/bytes.js';
import { publicKeyOf } from '../../lib/crypto/sign.js';
import { CertifiedRole, EntryType } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { unlockCounting } from '../../lib/ledger/rotation.js';
import { addSlot, restoreSlot, slotWords } from '../../lib/ledger/slots.js';
import { onDisk, say } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

const DAY = 86_400_000;

t.test('a removal that is dated ahead is taken back by whoever restores the slot after it', async (t) => {
  const made = await startVaultRepository(t);
  const slot = await addSlot(await made.open('admin'), made.keyring, 'pass', { label: 'l', log2N: 4 });
  await addSlot(await made.open('admin'), made.keyring, 'other', { label: 'm', log2N: 4 });
  const lower = new Uint8Array(32).fill(71);
  await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role: CertifiedRole.admin, publicKey: publicKeyOf(lower) });
  await say(made, lower, { type: EntryType.slots, added: [], removed: [fromHex(slot.id)] }, 'admin', Date.now() + 23 * 3_600_000);
  await restoreSlot(await made.open('admin'), slot.id);
  t.equal(slotWords(await loadLedger(await onDisk(made)))?.get(slot.id)?.listed, true, 'the ledger lists it again');
  const found = await unlockCounting(await onDisk(made), 'pass').catch((error: Error) => void t.comment(error.message));
  t.equal(found?.slotId, slot.id, 'and it opens');
});

t.test('a removal that is dated back closes a slot', async (t) => {
  const made = await startVaultRepository(t);
  const slot = await addSlot(await made.open('admin'), made.keyring, 'pass', { label: 'l', log2N: 4 });
  await addSlot(await made.open('admin'), made.keyring, 'other', { label: 'm', log2N: 4 });
  const second = new Uint8Array(32).fill(72);
  await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role: CertifiedRole.admin, publicKey: publicKeyOf(second) });
  // An admin whose clock is late removes what a thief knows.
  await say(made, second, { type: EntryType.slots, added: [], removed: [fromHex(slot.id)] }, 'admin', Date.now() - DAY);
  t.equal(slotWords(await loadLedger(await onDisk(made)))?.get(slot.id)?.listed, false, 'the ledger says removed');
  await t.rejects(unlockCounting(await onDisk(made), 'pass'), { code: 'WRONG_KEY' }, 'and it does not open');
});
