/** What an admin puts beside what matters, so that an alert is cut off before it. */
import t from 'tap';
import { fromHex } from '../../lib/bytes.js';
import { EntryType, type PolicyPayload, type RetentionClass } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { addSlot, slotWords } from '../../lib/ledger/slots.js';
import { NEW_POLICY, NEW_TERMS } from '../../lib/retention/slots.js';
import { onDisk, say } from '../helpers/second-admin.js';
import { startVaultRepository } from '../helpers/vault.js';

const DAY = 86_400;
const none = {
  minimumSec: DAY,
  hourSec: 0,
  daySec: 0,
  weekSec: 0,
  monthSec: 0,
  yearSec: 0,
  hosts: [],
  labels: [],
  tags: [],
  expectSec: 0,
};

t.test('a class that is added does not hide in an alert what is taken from another', async (t) => {
  const db: RetentionClass = { ...none, name: 'db', monthSec: 366 * DAY, expectSec: 3600, labels: ['db'] };
  const made = await startVaultRepository(t, { policy: { ...NEW_POLICY, terms: { ...NEW_TERMS, classes: [db] } } });
  const veil: RetentionClass = { ...none, name: 'a', hosts: Array.from({ length: 300 }, (_, i) => `no-such-host-${i}`) };
  const evil: PolicyPayload = { ...NEW_POLICY, terms: { ...NEW_TERMS, classes: [veil, { ...db, monthSec: 0, expectSec: 0 }] } };
  await say(made, made.keyring.adminSeed!, { type: EntryType.policy, ...evil });
  const told = made.log.filter((line) => line.startsWith('policy-change')).join('\n');
  t.match(told, /class a added/);
  t.match(told, /class db: month 366 days → 0/, 'the alert names what is kept for less');
});

t.test('slots that are added do not hide in an alert those that are removed', async (t) => {
  const made = await startVaultRepository(t);
  const slot = await addSlot(await made.open('admin'), made.keyring, 'pass', { label: 'l', log2N: 4 });
  const added = Array.from({ length: 100 }, (_, i) => ({
    id: fromHex(`00000000000000${(i + 16).toString(16)}`),
    label: 'nothing to see here, this is a new passphrase of the night shift',
    digest: new Uint8Array(32),
  }));
  await say(made, made.keyring.adminSeed!, { type: EntryType.slots, added, removed: [fromHex(slot.id)] });
  t.equal(slotWords(await loadLedger(await onDisk(made)))?.get(slot.id)?.listed, false, 'removed');
  const told = made.log.filter((line) => line.startsWith('slot-change')).join('\n');
  t.match(told, new RegExp(`removes key slot ${slot.id}`), 'the alert says so');
});
