/** Entries stay for ever, and every reader holds them in memory: what an author who is no admin may write in a day besides snapshots is bounded, whatever a policy allows. */
import t from 'tap';
import { EntryType } from '../../lib/format/payload.js';
import { MAX_WRITER_ENTRY_BYTES } from '../../lib/store/vault-protocol.js';
import { HandChain, only } from '../helpers/attacker.js';
import { startVaultRepository } from '../helpers/vault.js';

t.test('two mebibytes of incidents end a writer’s day, after a restart of the vault too, and nobody else’s', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const chain = await HandChain.at(writer, made.keyring.writer!.seed);
  const incident = (bytes: number) => ({ type: EntryType.incident, code: 'x', detail: 'y'.repeat(bytes) }) as const;
  const large = MAX_WRITER_ENTRY_BYTES - 1000;
  // One time for both: what is sent is what the chain goes on from.
  const now = Date.now();
  let taken = 0;
  for (; taken < 100; taken++) {
    const entry = chain.peek(now, incident(large));
    const refused = await writer.store.put(entry.name, [entry.bytes]).catch((error: Error) => error);
    if (refused !== undefined) {
      t.match(refused, { code: 'REFUSED', message: /besides snapshots in a day/ });
      break;
    }
    chain.next(now, incident(large));
  }
  t.ok(taken > 30 && taken < 34, `${taken} entries`);
  await made.restart();
  const again = await made.connect('writer');
  const entry = chain.peek(now, incident(large));
  await t.rejects(again.put(entry.name, [entry.bytes]), { code: 'REFUSED', message: /besides snapshots in a day/ });
  const admin = await made.connect('admin');
  const founder = await HandChain.at({ ...writer, store: admin }, made.keyring.adminSeed!);
  const word = founder.next(Date.now(), incident(10));
  await admin.put(word.name, [word.bytes]);
});

t.test('a thousand short ones end it as well', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const chain = await HandChain.at(writer, made.keyring.writer!.seed);
  const short = { type: EntryType.incident, code: 'x', detail: '' } as const;
  for (let i = 0; i < 1000; i++) {
    const { name, bytes } = chain.next(Date.now(), short);
    await writer.store.put(name, [bytes]);
  }
  const { name, bytes } = chain.next(Date.now(), short);
  await t.rejects(writer.store.put(name, [bytes]), { code: 'REFUSED', message: /besides snapshots in a day/ });
});
