/** Rotations of the reader key: a holder of the root secret signs them, or an admin alone could have every later backup sealed to a key that nobody has. */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { x25519Public } from '../../lib/crypto/roles.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { readerKeyInForce } from '../../lib/ledger/reader-key.js';
import { holdsReaderKeys } from '../../lib/ledger/roles.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { verifyLedger } from '../../lib/verify/verify-ledger.js';
import { startVaultRepository } from '../helpers/vault.js';

const nobodys = x25519Public(new Uint8Array(32).fill(7));
const unsigned = { type: EntryType.keyRotate, role: 1, publicKey: nobodys } as const;
const forged = { ...unsigned, signature: new Uint8Array(64).fill(1) } as const;

t.test('a rotation that no reader signed changes nothing, whoever adds it to the store; check names it', async (t) => {
  const { place, keyring } = await initRepository(new MemoryStore(), { label: 'test', policy: DEFAULT_POLICY });
  const repository = openRepository(place, keyring, '');
  for (const payload of [unsigned, forged]) await appendEntry(repository, keyring.adminSeed, timeOfMs(Date.now()), () => payload);
  const ledger = await loadLedger(repository);
  t.equal(toHex(readerKeyInForce(repository, ledger)), toHex(place.genesis.readerKey), 'runs are sealed as before');
  t.ok(holdsReaderKeys(repository, ledger));
  const { errors } = await verifyLedger(repository);
  t.equal(errors.filter(({ message }) => /without the signature of a reader/.test(message)).length, 2);
});

t.test('a rotation by who holds both is followed, and its key opens what comes', async (t) => {
  const { place, keyring } = await initRepository(new MemoryStore(), { label: 'test', policy: DEFAULT_POLICY });
  const repository = openRepository(place, keyring, '');
  const rotation = await prepareRotation(repository, 'reader');
  await rotation.commit();
  const ledger = await loadLedger(repository);
  const inForce = toHex(readerKeyInForce(repository, ledger));
  t.equal(inForce, toHex(x25519Public(rotation.keyring.readers!.at(-1)!)));
  t.notOk(holdsReaderKeys(repository, ledger), 'the old keyring lacks it');
  t.ok(holdsReaderKeys(openRepository(place, rotation.keyring, ''), ledger));
  t.equal((await verifyLedger(repository)).errorCount, 0);
});

t.test('a vault refuses one without a signature, and the removal of the last key slot', async (t) => {
  const made = await startVaultRepository(t);
  const admin = await made.open('admin');
  for (const payload of [unsigned, forged])
    await t.rejects(
      appendEntry(admin, made.keyring.adminSeed, timeOfMs(Date.now()), () => payload),
      {
        code: 'REFUSED',
        message: /signature of a holder of the root secret/,
      },
    );
  const slot = { id: new Uint8Array(8).fill(1), label: 'one', digest: new Uint8Array(32) };
  const say = (added: (typeof slot)[], removed: Uint8Array[]) =>
    appendEntry(admin, made.keyring.adminSeed, timeOfMs(Date.now()), () => ({ type: EntryType.slots, added, removed }));
  await say([slot], []);
  await t.rejects(say([], [slot.id]), { code: 'REFUSED', message: /last key slot/ });
  await say([{ ...slot, id: new Uint8Array(8).fill(2) }], [slot.id]);
});
