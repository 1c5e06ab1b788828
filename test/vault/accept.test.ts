/** What a vault refuses, each as a sentence: a writer with all its credentials, a reader, an admin, and what each may not do. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { concat, equalBytes, toHex, utf8 } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import { NotFoundError, ObjectExistsError } from '../../lib/errors.js';
import { decodeEntry, ENTRY_LABEL, encodeEntry } from '../../lib/format/entry.js';
import { decodeEnvelope, encodeEnvelope } from '../../lib/format/manifest.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType, type Payload, payloadOf } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { standings } from '../../lib/ledger/standing.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { overlay } from '../helpers/attacker.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

/** What a backup of a little folder would send, by kind. */
async function runOf(
  made: TestVaultRepository,
): Promise<Record<'packs' | 'index' | 'snapshots' | 'ledger', Map<string, Uint8Array>>> {
  const writer = await made.open('writer');
  const { store, sent } = overlay(writer.store);
  const repository = openRepository({ ...writer, store }, made.keyring, join(made.folder, `cache-${Math.random()}`));
  const file = join(made.folder, 'file');
  writeFileSync(file, `content ${Math.random()} `.repeat(1000));
  await backup(repository, { paths: [file] });
  const found = { packs: new Map(), index: new Map(), snapshots: new Map(), ledger: new Map() };
  for await (const { name } of sent.list('')) found[name.split('/')[0] as keyof typeof found].set(name, await sent.get(name));
  return found;
}

const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at] = copy[at]! ^ 1;
  return copy;
};
const named = (folder: string, bytes: Uint8Array): string => {
  const hex = toHex(sha256(bytes));
  return folder === 'packs' ? `packs/${hex.slice(0, 2)}/${hex}` : `${folder}/${hex}`;
};
const only = <V>(map: Map<string, V>): [string, V] => [...map][0]!;

function signed(repository: Repository, seed: Uint8Array, sequence: number, previous: Uint8Array, payload: Payload): Uint8Array {
  const author = authorOf(publicKeyOf(seed));
  const bytes = encodeEntry({ repository: repository.id, author, sequence, previous, time: timeOfMs(Date.now()), payload });
  return concat(bytes, sign(seed, ENTRY_LABEL, bytes));
}

t.test('objects that are not what they should be are refused, and nothing of them is kept', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.connect('writer');
  const { packs, index, snapshots, ledger } = await runOf(made);
  const refused = async (name: string, bytes: Uint8Array, message: RegExp): Promise<void> => {
    await t.rejects(writer.put(name, [bytes]), { code: 'REFUSED', message }, String(message));
    t.equal(await made.vault.guard.store.stat(name), undefined, 'nothing is kept');
  };
  const [packAt, pack] = only(packs);
  const [indexAt, indexBytes] = only(index);
  const [manifestAt, manifest] = only(snapshots);
  const [entryAt, entry] = only(ledger);

  await refused(packAt, flip(pack, 300), /do not fit its name/);
  await refused(packAt, pack.subarray(0, pack.byteLength - 1), /footer is damaged|do not fit/);
  for (const [at, message] of [
    [0, /not an object of this format/],
    [10, /another repository/],
    [45, /no admin certified/],
    [60, /domain that its writer is not certified for/],
    [100, /footer that is not that of its header/],
    [pack.byteLength - 1, /footer is damaged/],
    [pack.byteLength - 46, /footer is damaged/],
  ] as const) {
    const bad = flip(pack, at);
    await refused(named('packs', bad), bad, message);
  }
  await refused(named('packs', pack.subarray(0, 100)), pack.subarray(0, 100), /too short/);
  const badIndex = flip(indexBytes, 60);
  await refused(named('index', badIndex), badIndex, /domain that its writer/);
  await refused(manifestAt, manifest, /pins pack [0-9a-f]{16}, which is not there/);
  await refused(entryAt, entry, /names manifest [0-9a-f]{16}, which is not there/);

  for (const [name, bytes] of packs) await writer.put(name, [bytes]);
  for (const [name, bytes] of packs) await writer.put(name, [bytes]);
  await writer.put(indexAt, [indexBytes]);
  const { envelope, head } = decodeEnvelope(manifest, 'manifest');
  const rest = manifest.subarray(head.byteLength);
  const remade = (change: Partial<typeof envelope>): Uint8Array => concat(encodeEnvelope({ ...envelope, ...change }), rest);
  for (const [bad, message] of [
    [remade({ pinBytes: envelope.pinBytes + 1 }), /bytes together/],
    [remade({ pinCount: envelope.pinCount + 1 }), /pin count/],
    [
      remade({ pins: { depth: 1, base: sha256(manifest), removed: new Uint8Array(0), added: new Uint8Array(0) } }),
      /builds on manifest/,
    ],
    [remade({ domain: new Uint8Array(16) }), /domain that its writer/],
    [remade({ writer: new Uint8Array(16) }), /no admin certified/],
  ] as const)
    await refused(named('snapshots', bad), bad, message);
  await writer.put(manifestAt, [manifest]);

  const repository = await made.open('writer');
  const { writer: keys, adminSeed } = made.keyring;
  const { entry: real } = decodeEntry(entry, entryAt);
  const snapshot = payloadOf(real.payload, 'snapshot')!;
  const zero = new Uint8Array(32);
  for (const [bytes, message] of [
    [flip(entry, entry.byteLength - 1), /not signed by its author/],
    [signed(repository, keys!.seed, 0, zero, { ...snapshot, state: 1 }), /another state/],
    [signed(repository, keys!.seed, 0, zero, { ...snapshot, stream: new Uint8Array(16) }), /another stream/],
    [signed(repository, keys!.seed, 0, sha256(zero), snapshot), /does not continue/],
    [signed(repository, keys!.seed, 0, zero, { type: EntryType.policy, ...DEFAULT_POLICY }), /writer role may not bring/],
    [
      signed(repository, keys!.seed, 0, zero, { type: EntryType.release, author: new Uint8Array(16), sequence: 0, reason: '' }),
      /may not bring/,
    ],
  ] as const)
    await refused(entryAt, bytes, message);
  const ahead = entryName(authorOf(publicKeyOf(keys!.seed)), 5);
  await refused(ahead, signed(repository, keys!.seed, 5, zero, snapshot), /does not continue/);
  const admins = (await loadLedger(repository)).chains[0]!;
  const byAdmin = signed(repository, adminSeed!, admins.entries.length, admins.head, {
    type: EntryType.policy,
    ...DEFAULT_POLICY,
  });
  await refused(entryName(admins.author, admins.entries.length), byAdmin, /writer role may not bring/);

  await writer.put(entryAt, [entry]);
  const first = writer.receiptOf(entryAt);
  t.ok(first!.retainUntilSec > Date.now() / 1000);
  await writer.put(entryAt, [entry]);
  t.same(writer.receiptOf(entryAt), first, 'sent again, it is acknowledged as before');
  await t.rejects(writer.put(entryAt, [signed(repository, keys!.seed, 0, zero, snapshot)]), ObjectExistsError, 'a fork');
  await refused(
    entryName(authorOf(publicKeyOf(keys!.seed)), 1),
    signed(repository, keys!.seed, 1, sha256(entry), snapshot),
    /is a snapshot already/,
  );
  t.same(readdirSync(join(made.repositoryDir, 'tmp')), ['vault.lock'], 'no temporary files are left');
});

t.test('roles: a writer reads no content and removes nothing, a reader stores nothing, an admin neither', async (t) => {
  const made = await startVaultRepository(t);
  const [writer, reader, admin] = [await made.connect('writer'), await made.connect('reader'), await made.connect('admin')];
  const { packs, index, snapshots, ledger } = await runOf(made);
  for (const part of [packs, index, snapshots, ledger]) for (const [name, bytes] of part) await writer.put(name, [bytes]);
  const [packAt, pack] = only(packs);
  const role = { code: 'ROLE' };
  await t.rejects(writer.get(packAt), role, 'content');
  await t.rejects(writer.get(packAt, { offset: 256, length: 100 }), role);
  await t.rejects(writer.get(packAt, { offset: 0, length: 257 }), role);
  t.same(await writer.get(packAt, { offset: 0, length: 256 }), pack.slice(0, 256), 'the header');
  t.same(await writer.get(packAt, { offset: pack.byteLength - 128, length: 128 }), pack.slice(-128), 'the footer');
  await t.rejects(admin.get(packAt, { offset: 256, length: 100 }), role);
  await t.rejects(async () => {
    for await (const _ of writer.list('keys/'));
  }, role);
  for (const name of [packAt, only(ledger)[0], only(snapshots)[0], 'genesis', `keys/${'0'.repeat(16)}`])
    await t.rejects(writer.remove(name), role, `writer removes ${name}`);
  for (const name of [packAt, only(ledger)[0], `keys/${'0'.repeat(16)}`]) await t.rejects(reader.remove(name), role);
  await t.rejects(reader.put(packAt, [pack]), role);
  const forged = signed(await made.open('reader'), made.keyring.adminSeed!, 99, new Uint8Array(32), { type: EntryType.genesis });
  const forgedAt = entryName(authorOf(publicKeyOf(made.keyring.adminSeed!)), 99);
  await t.rejects(reader.put(forgedAt, [forged]), { code: 'REFUSED' });
  await t.rejects(admin.put(packAt, [pack]), role);
  await t.rejects(admin.remove(packAt), role);
  await t.rejects(admin.remove(only(ledger)[0]), { code: 'REFUSED', message: /goes by retention alone/ });
  await t.rejects(writer.prune('sweep'), role);
  await t.rejects(reader.prune('announce'), role);
  t.ok(
    made.log.some((line) => line.startsWith('refused-deletion')),
    'somebody hears of it',
  );
  await made.vault.guard.alerts.settled();
  const ledgerNow = await loadLedger(await made.open('reader'));
  const codes = ledgerNow.entries.flatMap(({ payload }) => payloadOf(payload, 'incident')?.code ?? []);
  t.ok(codes.includes('refused-deletion'), 'and it stands in the ledger');
  t.ok(codes.length < 10, 'once');
  t.same(await reader.get(packAt), pack);
});

t.test('a retired writer is refused, and so is what the policy does not allow', async (t) => {
  const made = await startVaultRepository(t, {
    policy: {
      ...DEFAULT_POLICY,
      terms: { waitSec: 259_200, longestSec: 30 * 86_400, autoPrune: false, dailyBytes: 200_000, dailySnapshots: 2, classes: [] },
    },
  });
  const writer = await made.open('writer');
  const file = join(made.folder, 'f');
  const run = async (bytes: number): Promise<unknown> => {
    writeFileSync(file, Buffer.from(Array.from({ length: bytes }, () => Math.random() * 256)));
    return backup(writer, { paths: [file] });
  };
  await run(1000);
  await run(1000);
  await made.restart();
  const again = await made.open('writer');
  await t.rejects(backup(again, { paths: [file] }), { code: 'REFUSED', message: /2 snapshots that the policy lets it take/ });
  const admin = await made.open('admin');
  const author = authorOf(publicKeyOf(made.keyring.writer!.seed));
  const { head, entries } = (await loadLedger(admin)).chains.find((chain) => equalBytes(chain.author, author))!;
  await appendEntry(admin, made.keyring.adminSeed, timeOfMs(Date.now()), () => ({
    type: EntryType.retire,
    author,
    count: entries.length,
    head,
    reason: 'stolen',
  }));
  await t.rejects(backup(again, { paths: [file] }), { code: 'ROLE', message: /revoked/ });
  t.ok(made.log.some((line) => line.startsWith('key-retired')));
  t.ok(made.log.some((line) => line.startsWith('quota')));
});

t.test('a writer that has stored its bytes of the day is refused', async (t) => {
  const made = await startVaultRepository(t, {
    policy: {
      ...DEFAULT_POLICY,
      terms: { waitSec: 259_200, longestSec: 0, autoPrune: false, dailyBytes: 200_000, dailySnapshots: 0, classes: [] },
    },
  });
  const file = join(made.folder, 'f');
  writeFileSync(file, Buffer.from(Array.from({ length: 400_000 }, () => Math.random() * 256)));
  const message = /bytes that the policy lets it store in a day/;
  await t.rejects(backup(await made.open('writer'), { paths: [file] }), { code: 'REFUSED', message });
  t.ok(made.log.some((line) => line.startsWith('quota')));
});

t.test('a promise longer than the policy allows is refused', async (t) => {
  const made = await startVaultRepository(t, {
    policy: {
      ...DEFAULT_POLICY,
      terms: { waitSec: 259_200, longestSec: 86_400, autoPrune: false, dailyBytes: 0, dailySnapshots: 0, classes: [] },
    },
  });
  const writer = await made.open('writer');
  writeFileSync(join(made.folder, 'f'), 'x');
  const year = 366 * 86_400_000;
  await t.rejects(backup(writer, { paths: [join(made.folder, 'f')], nowMs: () => Date.now() + year }), {
    code: 'REFUSED',
    message: /longer than the 1 days that the policy allows/,
  });
});

t.test('the vault computes retention by its own clock; a writer whose clock is behind loses nothing', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer');
  writeFileSync(join(made.folder, 'f'), 'x');
  const past = Date.now() - 1000 * 86_400_000;
  const report = await backup(writer, { paths: [join(made.folder, 'f')], nowMs: () => past });
  t.ok(report.retainUntilSec > Date.now() / 1000 + 300 * 86_400, 'a month’s slot, from now');
  const [standing] = standings(await loadLedger(await made.open('reader')));
  t.ok(Math.abs(standing!.received.sec - Date.now() / 1000) < 60);
  t.equal(standing!.retainUntilSec, report.retainUntilSec);
});

t.test('a crash between an entry and its receipt is mended by the next start', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer');
  // The series of what runOf makes.
  writeFileSync(join(made.folder, 'file'), 'x');
  await backup(writer, { paths: [join(made.folder, 'file')] });
  const { packs, index, snapshots, ledger } = await runOf(made);
  await made.vault.close();
  // As if the process had died right after the entry was durable.
  for (const part of [packs, index, snapshots, ledger])
    for (const [name, bytes] of part) await made.vault.guard.store.put(name, [bytes]);
  await made.restart();
  const all = standings(await loadLedger(await made.open('reader'), true));
  t.equal(all.length, 2);
  for (const { receipt } of all) t.ok(receipt, 'acknowledged');
  t.equal(all[0]!.receipt!.slots & 1, 1, 'the first took the hour');
  t.equal(all[1]!.receipt!.slots, 0, 'the second found every slot taken');
});

t.test('a repository that was rolled back behind the vault is served to readers, and refused to writers', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer');
  writeFileSync(join(made.folder, 'f'), 'x');
  await backup(writer, { paths: [join(made.folder, 'f')] });
  await made.vault.close();
  const author = toHex(authorOf(publicKeyOf(made.keyring.writer!.seed)));
  const store = made.vault.guard.store;
  for await (const { name } of store.list(`ledger/${author}/`)) await store.remove(name);
  for await (const { name } of store.list(`ledger/${toHex(authorOf(made.vault.guard.vaultKey))}/`))
    if (!name.endsWith('0000')) await store.remove(name);
  await made.restart();
  t.ok(made.log.some((line) => line.startsWith('rollback')));
  const again = await made.connect('writer');
  await t.rejects(again.put(`packs/00/${'0'.repeat(64)}`, [utf8('x')]), { code: 'ROLLED_BACK' });
  t.ok(await (await made.connect('reader')).get('genesis'));
  await t.rejects((await made.connect('reader')).get(`ledger/${author}/0000000000000000`), NotFoundError);
});
