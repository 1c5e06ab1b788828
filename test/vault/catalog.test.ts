/** What a vault knows of its store stays true when something is removed: entries that an interrupted init left. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { sha256 } from '../../lib/crypto/kdf.js';
import { EntryType } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { initRepository } from '../../lib/ledger/init.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { HandChain } from '../helpers/attacker.js';
import { startTestVault } from '../helpers/vault.js';

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

t.test('heads of thousands of chains go out in pieces, and none is cut', async (t) => {
  const made = await startTestVault(t);
  const { catalog } = made.vault.guard;
  const expected = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const author = randomBytes(16).toString('hex');
    for (let sequence = 0; sequence < 1 + (i % 3); sequence++) catalog.addEntry(author, sequence, 100, 0);
    expected.set(author, 1 + (i % 3));
  }
  t.same(await (await made.connect('reader')).heads(), expected);
});
