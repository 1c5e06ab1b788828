/**
 * A writer whose host and credentials are an attacker's, through the vault: it deletes, overwrites, forges, replays, floods, lies about time, fills up what it may.
 * What was kept stays kept, others go on, and somebody hears of it. What it does to its own domain is in domain.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { NotFoundError } from '../../lib/errors.js';
import { EntryType, payloadOf } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { type LeftOut, selectSnapshots } from '../../lib/ledger/select.js';
import { hasExpired, standings } from '../../lib/ledger/standing.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { refOfName } from '../../lib/store/vault-protocol.js';
import { putObject } from '../../lib/vault/storing.js';
import { check } from '../../lib/verify/check.js';
import {
  forgeManifest,
  forgePack,
  forgeSession,
  HandChain,
  imageOf,
  keptBack,
  lostOf,
  only,
  packNameOf,
  signedEntry,
  snapshotPayload,
} from '../helpers/attacker.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

// Thousands of objects, each durable: in memory where that can be had.
process.env.TMPDIR = '/dev/shm';

/** Snapshots of the flood. */
const FLOOD = Number(process.env.VARVE_FLOOD ?? 10_000);
const YEAR_MS = 365.25 * 86_400_000;

async function goodSnapshot(made: TestVaultRepository, writer: Repository): Promise<string> {
  const file = join(made.folder, 'file');
  writeFileSync(file, randomBytes(2000));
  return toHex((await backup(writer, { paths: [file], host: 'h', label: 'l', threads: 1 })).snapshotId!);
}

/** A snapshot made by hand; a run would read the headers of others' packs, waiting for the vault in this very thread. */
async function commitByHand(repository: Repository, stream = new Uint8Array(16)): Promise<string> {
  const { store, keyring } = repository;
  const keys = await forgeSession(repository);
  const pack = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(100) }]);
  await store.put(packNameOf(pack), [pack.bytes]);
  const manifest = forgeManifest(keys, [{ id: pack.packId, bytes: pack.bytes.byteLength }], { stream });
  await store.put(manifest.name, [manifest.bytes]);
  const chain = await HandChain.at(repository, keyring.writer!.seed);
  const entry = chain.next(Date.now(), snapshotPayload(manifest));
  await store.put(entry.name, [entry.bytes]);
  return toHex(manifest.id);
}

/** A second writer with a domain of its own. */
async function otherWriter(made: TestVaultRepository): Promise<Repository> {
  const admin = await made.open('admin');
  const keyring = newWriterKey(admin);
  await certifyWriter(admin, keyring);
  const { id, genesis } = admin;
  return openRepository({ store: await made.connect('writer'), id, genesis }, keyring, join(made.folder, 'cache-other'));
}

/** The repository as a reader on the vault's own disk sees it. */
async function readerOf(made: TestVaultRepository): Promise<Repository> {
  const { id, genesis } = await made.open('reader');
  const store = await openDirectoryStore(made.repositoryDir);
  return openRepository({ store, id, genesis }, only.reader(made.keyring), join(made.folder, `r-${Math.random()}`));
}

const incidents = async (made: TestVaultRepository): Promise<string[]> => {
  await made.vault.guard.alerts.settled();
  const { entries } = await loadLedger(await made.open('reader'));
  return entries.flatMap(({ payload }) => payloadOf(payload, 'incident')?.code ?? []);
};

t.test('whatever it deletes or overwrites, every object stays as it is, and the ledger says that somebody tried', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  await goodSnapshot(made, writer);
  await commitByHand(await otherWriter(made));
  const before = await imageOf(made.vault.guard.store);
  for (const [name, bytes] of before) {
    await t.rejects(writer.store.remove(name), { code: 'ROLE' }, `remove ${name}`);
    const other = bytes.slice();
    other[other.byteLength - 1]! ^= 1;
    const refused = await writer.store.put(name, [other]).catch((error: { code: string }) => error.code);
    t.ok(['REFUSED', 'ROLE', 'OBJECT_EXISTS', 'REPOSITORY_EXISTS'].includes(String(refused)), `overwrite ${name}: ${refused}`);
  }
  t.same(lostOf(before, await imageOf(made.vault.guard.store)), []);
  const told = await incidents(made);
  t.ok(told.includes('refused-deletion') && told.includes('refused-object'), told.join());
});

t.test('ten thousand snapshots, dated ten years back and ahead, displace nothing and shorten nothing', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const other = await otherWriter(made);
  const good = [await goodSnapshot(made, writer), await commitByHand(other)];
  const reader = await made.open('reader');
  const goodOnes = async (): Promise<object[]> =>
    standings(await loadLedger(reader))
      .filter(({ id }) => good.includes(toHex(id)))
      .map(({ receipt, retainUntilSec, received, freeSec }) => ({ slots: receipt!.slots, retainUntilSec, received, freeSec }));
  const before = await goodOnes();
  t.equal(before.length, 2);

  const keys = await forgeSession(writer);
  const chain = await HandChain.at(writer, made.keyring.writer!.seed);
  const stream = payloadOf(
    (await loadLedger(reader)).entries.find(({ payload }) => payload.type === EntryType.snapshot)!.payload,
    'snapshot',
  )!.stream;
  const { guard } = made.vault;
  const caller = { role: 'writer' } as const;
  const send = async ({ name, bytes }: { name: string; bytes: Uint8Array }): Promise<void> => {
    await putObject(
      guard,
      caller,
      refOfName(name)!,
      bytes.byteLength,
      (async function* () {
        yield bytes;
      })(),
    );
  };
  const began = performance.now();
  const WAVE = 250;
  for (let sent = 0; sent < FLOOD; sent += WAVE) {
    const manifests = Array.from({ length: WAVE }, (_, i) =>
      // Most of them in the good one's own stream; complete and partial.
      forgeManifest(keys, [], {
        stream: i % 5 === 0 ? new Uint8Array(16).fill(i) : stream,
        state: i % 7 === 0 ? 1 : 0,
        body: randomBytes(20),
      }),
    );
    await Promise.all(manifests.map(send));
    const entries = manifests.map((manifest, i) =>
      chain.next(
        Date.now() + ((i % 3) - 1) * 10 * YEAR_MS,
        snapshotPayload(manifest, { retainUntilSec: i % 2 === 0 ? 0 : Math.floor((Date.now() + 10 * YEAR_MS) / 1000) }),
      ),
    );
    await Promise.all(entries.map(send));
  }
  t.comment(`${Math.round(performance.now() - began)} ms for ${FLOOD}`);
  const after = (await goodOnes()) as { retainUntilSec: number; slots: number; freeSec: number }[];
  t.equal(standings(await loadLedger(reader)).length, FLOOD + 2, 'they are all there');
  for (const [i, was] of (before as typeof after).entries()) {
    const { retainUntilSec, slots } = after[i]!;
    t.same(
      { retainUntilSec, slots },
      { retainUntilSec: was.retainUntilSec, slots: was.slots },
      'promise and slots are what they were',
    );
    t.ok(after[i]!.freeSec >= was.retainUntilSec, 'and hold to their end');
  }
  const mine = standings(await loadLedger(reader)).find(({ id }) => toHex(id) === good[0])!;
  t.notOk(hasExpired(mine, mine.retainUntilSec - 1));
  t.ok(await commitByHand(other), 'others go on');
});

t.test('a flood ends where the policy says', async (t) => {
  const terms = { waitSec: 259_200, longestSec: 0, autoPrune: false, dailyBytes: 60_000, dailySnapshots: 5, classes: [] };
  const made = await startVaultRepository(t, { policy: { ...DEFAULT_POLICY, terms } });
  const writer = await made.open('writer', only.writer(made.keyring));
  const keys = await forgeSession(writer);
  const chain = await HandChain.at(writer, made.keyring.writer!.seed);
  const put = ({ name, bytes }: { name: string; bytes: Uint8Array }): Promise<unknown> => writer.store.put(name, [bytes]);
  for (let i = 0; i < 5; i++) {
    const manifest = forgeManifest(keys, []);
    await put(manifest);
    await put(chain.next(Date.now() - i * YEAR_MS, snapshotPayload(manifest)));
  }
  const sixth = forgeManifest(keys, []);
  await put(sixth);
  await t.rejects(put(chain.peek(Date.now() + YEAR_MS, snapshotPayload(sixth))), {
    message: /5 snapshots that the policy lets it take/,
  });
  // Entries without a snapshot fill the disk just as well.
  const { domain } = made.keyring.writer!;
  const sendTags = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await put(chain.next(Date.now(), { type: EntryType.tags, domain, sealed: randomBytes(10_000) }));
  };
  await t.rejects(sendTags(), { message: /60000 bytes that the policy lets it store in a day/ });
  const manyBytes = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(60_000) }]);
  await t.rejects(put({ name: packNameOf(manyBytes), bytes: manyBytes.bytes }), { message: /60000 bytes/ });
  t.ok(await goodSnapshot(made, await otherWriter(made)), 'the next writer has a day of its own');
  t.ok((await incidents(made)).includes('quota'));
});

t.test('entries in the name of others, at other places, or sent again change nothing', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const other = await otherWriter(made);
  const file = join(made.folder, 'file');
  writeFileSync(file, randomBytes(2000));
  const sent = await keptBack(writer, { paths: [file], threads: 1 });
  for (const [name, bytes] of sent) await writer.store.put(name, [bytes]);
  await commitByHand(other);
  const before = await imageOf(made.vault.guard.store);
  const seed = made.keyring.writer!.seed;
  const manifest = forgeManifest(await forgeSession(writer), []);
  await writer.store.put(manifest.name, [manifest.bytes]);
  const refused = async (entry: { name: string; bytes: Uint8Array }, message: RegExp): Promise<void> => {
    await t.rejects(writer.store.put(entry.name, [entry.bytes]), { code: 'REFUSED', message }, String(message));
  };
  const ledger = await loadLedger(writer);
  for (const { author, entries, head, role } of ledger.chains) {
    if (toHex(author) === toHex(authorOf(publicKeyOf(seed)))) continue;
    const at = { sequence: entries.length + 50, previous: head, timeMs: Date.now(), author };
    await refused(signedEntry(writer, seed, at, snapshotPayload(manifest)), /not signed by its author/);
    t.comment(role);
  }
  // Its own messages again: acknowledged as before, and nothing more.
  for (const [name, bytes] of sent) await writer.store.put(name, [bytes]);
  const [entryName, entry] = [...sent].find(([name]) => name.startsWith('ledger/'))!;
  await refused({ name: `${entryName.slice(0, -1)}1`, bytes: entry }, /not the entry that its name says/);
  const chain = await HandChain.at(writer, seed);
  const old = payloadOf(
    ledger.entries.find(({ author }) => toHex(author) === toHex(authorOf(publicKeyOf(seed))))!.payload,
    'snapshot',
  )!;
  await refused(chain.peek(Date.now(), old), /is a snapshot already/);
  const elsewhere = { id: sha256(randomBytes(4)) as typeof writer.id };
  await refused(
    signedEntry(
      elsewhere,
      seed,
      { ...chain, sequence: chain.sequence, previous: chain.previous, timeMs: 0 },
      snapshotPayload(manifest),
    ),
    /another repository/,
  );
  for (const payload of [
    { type: EntryType.pruneIntent, packs: new Uint8Array(0), snapshots: manifest.id, indexes: new Uint8Array(0) },
    { type: EntryType.hold, snapshots: manifest.id, reason: '' },
    { type: EntryType.retire, author: ledger.chains[0]!.author, count: 0, head: new Uint8Array(32), reason: '' },
    { type: EntryType.policy, ...DEFAULT_POLICY },
    { type: EntryType.receipt, receipts: [] },
  ] as const)
    await refused(chain.peek(Date.now(), payload), /may not bring/);
  await made.vault.guard.alerts.settled();
  t.same(lostOf(before, await imageOf(made.vault.guard.store)), []);
  const now = await loadLedger(writer);
  const counts = (of: typeof now): string[] =>
    of.chains.filter(({ role }) => role !== 'vault').map(({ author, entries }) => `${toHex(author)} ${entries.length}`);
  t.same(counts(now), counts(ledger), 'no chain has grown');
});

t.test('a manifest that pins packs of another’s domain, or packs that are not there, is refused', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  await goodSnapshot(made, await otherWriter(made));
  const foreign: { id: Uint8Array; bytes: number }[] = [];
  for await (const { name, sizeBytes } of made.vault.guard.store.list('packs/'))
    foreign.push({ id: Buffer.from(name.slice(-64), 'hex'), bytes: sizeBytes });
  const keys = await forgeSession(writer);
  for (const [pins, message] of [
    [foreign, /which is of another domain/],
    [[{ id: randomBytes(32), bytes: 1000 }], /which is not there/],
  ] as const) {
    const { name, bytes } = forgeManifest(keys, pins);
    await t.rejects(writer.store.put(name, [bytes]), { code: 'REFUSED', message });
    await t.rejects(made.vault.guard.store.get(name), NotFoundError, 'nothing of it is kept');
  }
});

t.test('snapshots and tags that nobody can open hide no snapshot of anybody else', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const other = await otherWriter(made);
  const good = await goodSnapshot(made, other);
  const chain = await HandChain.at(writer, made.keyring.writer!.seed);
  const { domain } = made.keyring.writer!;
  const tags = chain.next(Date.now(), { type: EntryType.tags, domain, sealed: randomBytes(100) });
  await writer.store.put(tags.name, [tags.bytes]);
  const list = async (): Promise<{ listed: string[]; leftOut: string[] }> => {
    const leftOut: string[] = [];
    const onLeftOut = ({ record, error }: LeftOut): number => leftOut.push(`${toHex(record.id)} ${error.code}`);
    const listed = (await selectSnapshots(await readerOf(made), { onLeftOut })).map(({ id }) => toHex(id));
    return { listed, leftOut };
  };
  t.same(await list(), { listed: [good], leftOut: [] }, 'a tag entry that does not verify');
  const { errors } = await check(await readerOf(made));
  t.match(
    errors.map(({ message }) => message),
    [/tag entry 0 does not verify/],
    'check tells of it',
  );
  const manifest = forgeManifest(await forgeSession(writer), []);
  await writer.store.put(manifest.name, [manifest.bytes]);
  const entry = chain.next(Date.now(), snapshotPayload(manifest));
  await writer.store.put(entry.name, [entry.bytes]);
  const leftOut = [`${toHex(manifest.id)} CORRUPT`];
  t.same(await list(), { listed: [good], leftOut }, 'a manifest that nobody can open is passed over, and named');
  const named = (await check(await readerOf(made))).errors.map(({ object }) => object);
  t.ok(named.includes(manifest.name), 'check names it');
  t.ok(
    named.every(
      (object) =>
        object === manifest.name ||
        object === 'ledger' ||
        object.startsWith(`ledger/${toHex(authorOf(publicKeyOf(made.keyring.writer!.seed)))}`),
    ),
    named.join(),
  );
});

t.test('connections that are held open, and puts that never come, keep nobody from backing up', async (t) => {
  const made = await startVaultRepository(t);
  const other = await otherWriter(made);
  const held: http2.ClientHttp2Session[] = [];
  for (let i = 0; i < 40; i++) {
    const session = http2.connect('http://vault', { createConnection: () => connect(made.sockets.writer) });
    session.on('error', () => undefined);
    held.push(session);
    await once(session, 'connect');
    for (const size of [67_108_864, 60_000_000, 900_000, 900_000, 900_000]) {
      const id = toHex(randomBytes(32));
      const stream = session.request(
        { ':method': 'POST', ':path': '/put', 'varve-kind': 'manifest', 'varve-id': id, 'varve-size': String(size) },
        { endStream: false },
      );
      stream.on('error', () => undefined);
      stream.write(randomBytes(100));
    }
  }
  const began = performance.now();
  t.ok(await goodSnapshot(made, other));
  t.ok(performance.now() - began < 10_000, `${Math.round(performance.now() - began)} ms with 200 puts that hang`);
  t.ok(await (await made.connect('reader')).get('genesis'), 'readers are served');
  for (const session of held) session.destroy();
});
