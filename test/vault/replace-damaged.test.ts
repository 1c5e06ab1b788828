/** A damaged object behind a vault is made whole by a writer, and nothing else is ever replaced. */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { NotFoundError, ObjectExistsError } from '../../lib/errors.js';
import { payloadOf } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { refOfName } from '../../lib/store/vault-protocol.js';
import { replaceDamaged } from '../../lib/vault/replacing.js';
import { only } from '../helpers/attacker.js';
import { startVaultRepository } from '../helpers/vault.js';

t.test(
  'packs, index objects and manifests whose stored bytes are damaged take the right ones, and the ledger says so',
  async (t) => {
    const made = await startVaultRepository(t);
    const writer = await made.open('writer', only.writer(made.keyring));
    const file = join(made.folder, 'file');
    writeFileSync(file, randomBytes(50_000));
    await backup(writer, { paths: [file], threads: 1 });
    const { guard } = made.vault;
    const store = await made.connect('writer');
    const reader = await made.connect('reader');
    let mended = 0;
    for (const folder of ['packs/', 'index/', 'snapshots/']) {
      for await (const { name } of guard.store.list(folder)) {
        const right = await guard.store.get(name);
        const path = guard.store.pathOf(name);
        const damages: readonly (() => void)[] = [
          () => writeFileSync(path, randomBytes(right.byteLength)),
          () => truncateSync(path, 20),
          () => truncateSync(path, 0),
        ];
        await t.rejects(store.replaceDamaged(name, [right]), ObjectExistsError, `${name} is whole`);
        for (const damage of damages) {
          chmodSync(path, 0o600);
          damage();
          const broken = readFileSync(path);
          await t.rejects(store.put(name, [right]), ObjectExistsError, 'a put replaces nothing');
          for (const wrong of [right.slice(0, -1), randomBytes(right.byteLength)])
            await t.rejects(store.replaceDamaged(name, [wrong]), { code: 'REFUSED', message: /do not fit|too short|domain/ });
          t.same(readFileSync(path), broken, 'and what is refused changes nothing');
          await store.replaceDamaged(name, [right]);
          mended++;
          t.same(await guard.store.get(name), right);
          t.same(await reader.get(name), right, 'readers get all of it');
        }
      }
    }
    t.ok(mended >= 9);
    await guard.alerts.settled();
    const { entries } = await loadLedger(await made.open('reader'));
    t.ok(entries.some(({ payload }) => payloadOf(payload, 'incident')?.code === 'object-replaced'));
    t.ok(made.log.some((line) => line.startsWith('object-replaced')));
  },
);

t.test('a vault that began with a damaged object serves it when it is whole again', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const file = join(made.folder, 'file');
  writeFileSync(file, randomBytes(50_000));
  await backup(writer, { paths: [file], threads: 1 });
  const names: string[] = [];
  for await (const { name } of made.vault.guard.store.list('packs/')) names.push(name);
  const right = await made.vault.guard.store.get(names[0]!);
  chmodSync(made.vault.guard.store.pathOf(names[0]!), 0o600);
  truncateSync(made.vault.guard.store.pathOf(names[0]!), 5);
  await made.restart();
  const store = await made.connect('writer');
  t.equal((await store.stat(names[0]!))!.sizeBytes, 5);
  await store.replaceDamaged(names[0]!, [right]);
  t.equal((await store.stat(names[0]!))!.sizeBytes, right.byteLength);
  t.same(await (await made.connect('reader')).get(names[0]!), right);
});

t.test(
  'nothing else is replaced: no entry, slot or genesis, nothing that is not there, nothing by a reader, an admin or another’s writer',
  async (t) => {
    const made = await startVaultRepository(t);
    const [store, admin, reader] = [await made.connect('writer'), await made.connect('admin'), await made.connect('reader')];
    const { guard } = made.vault;
    for await (const { name } of guard.store.list('')) {
      const bytes = await guard.store.get(name);
      await t.rejects(store.replaceDamaged(name, [bytes]), { code: /REFUSED|ROLE/ }, name);
      await t.rejects(replaceDamaged(guard, { role: 'admin' }, refOfName(name)!, bytes.byteLength, once(bytes)), {
        code: /REFUSED|ROLE/,
      });
    }
    const absent = `index/${'0'.repeat(64)}`;
    await t.rejects(store.replaceDamaged(absent, [utf8('x')]), { code: /REFUSED|NOT_FOUND/ });
    const writer = await made.open('writer', only.writer(made.keyring));
    const file = join(made.folder, 'file');
    writeFileSync(file, randomBytes(5000));
    await backup(writer, { paths: [file], threads: 1 });
    for await (const { name } of guard.store.list('packs/')) {
      const right = await guard.store.get(name);
      const path = guard.store.pathOf(name);
      chmodSync(path, 0o600);
      truncateSync(path, 10);
      for (const other of [admin, reader]) await t.rejects(other.replaceDamaged(name, [right]), { code: 'ROLE' });
      const stranger = { role: 'writer', writer: '0'.repeat(32) } as const;
      await t.rejects(replaceDamaged(guard, stranger, refOfName(name)!, right.byteLength, once(right)), { message: /domain/ });
      await guard.store.remove(name);
      await t.rejects(store.replaceDamaged(name, [right]), NotFoundError);
    }
  },
);

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
