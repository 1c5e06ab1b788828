/** Selections beside manifests that do not open: what is damage of one object, what is a store that is gone, what a prune took away meanwhile. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { StoreError } from '../../lib/errors.js';
import { entryName, manifestName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { type LeftOut, selectSnapshot, selectSnapshots } from '../../lib/ledger/select.js';
import type { Repository } from '../../lib/repository/repository.js';
import type { Store } from '../../lib/store/store.js';
import { forgeManifest, forgeSession, HandChain, snapshotPayload } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { FaultyStore } from '../helpers/faulty-store.js';

const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(source);
const made = await makeRepository(folder);
const writerSeed = made.keyring.writer!.seed;

async function good(): Promise<string> {
  writeFileSync(join(source, 'file'), randomBytes(100));
  return toHex((await made.backup({ paths: [source], host: 'h', label: 'l', threads: 1 })).snapshotId!);
}
async function commit(manifest: Parameters<typeof snapshotPayload>[0], ms = Date.now()): Promise<void> {
  const repository = await made.open();
  const entry = (await HandChain.at(repository, writerSeed)).next(ms, snapshotPayload(manifest));
  await repository.store.put(entry.name, [entry.bytes]);
}
async function listed(repository: Repository): Promise<{ found: string[]; leftOut: LeftOut[] }> {
  const leftOut: LeftOut[] = [];
  const found = await selectSnapshots(repository, { onLeftOut: (one) => leftOut.push(one) });
  return { found: found.map(({ id }) => toHex(id)), leftOut };
}

const first = await good();
const second = await good();
const nameOf = (hex: string): string => manifestName(Buffer.from(hex, 'hex'));

t.test('a manifest that cannot be read is damage of its own, a store that answers nothing is not', async (t) => {
  const faulty = (...prefixes: string[]) =>
    made.open(
      (store) => new FaultyStore(store, ...prefixes.map((prefix) => ({ operation: 'get', prefix, effect: 'EIO' }) as const)),
    );
  const { found, leftOut } = await listed(await faulty(nameOf(first)));
  t.same(found, [second]);
  t.match(leftOut, [{ error: { code: 'CORRUPT', message: /cannot be read .*EIO/, cause: { code: 'STORE' } } }]);
  t.equal(toHex(leftOut[0]!.record.id), first);
  await t.rejects(selectSnapshot(await faulty(nameOf(first)), first), { code: 'CORRUPT' }, 'named, it is an error');

  const gone = await made.open((store) => {
    const wrapped = new FaultyStore(store, { operation: 'get', prefix: nameOf(second), effect: 'EIO' });
    wrapped.inject({ operation: 'stat', effect: 'EIO' });
    return wrapped;
  });
  await t.rejects(listed(gone), StoreError, 'no list of nothing when the store has gone away');
});

t.test('a manifest of a newer format is left out, and says that it wants a newer program', async (t) => {
  const manifest = forgeManifest(await forgeSession(await made.open()), []);
  const bytes = manifest.bytes.slice();
  bytes[5] = 2;
  const id = sha256(bytes);
  await (await made.open()).store.put(manifestName(id), [bytes]);
  await commit({ ...manifest, id });
  const { found, leftOut } = await listed(await made.open());
  t.same(found, [first, second]);
  t.match(leftOut, [{ error: { code: 'NEWER_FORMAT', message: /upgrade/ } }]);
});

t.test('one that a prune takes away while the list is made is not missed', async (t) => {
  const pruned = forgeManifest(await forgeSession(await made.open()), [], { stream: randomBytes(16) });
  await commit(pruned, Date.now() - 5000);
  await commit(forgeManifest(await forgeSession(await made.open()), [], { stream: pruned.envelope.stream }), Date.now() - 3000);
  t.ok(
    (await listed(await made.open())).leftOut.some(({ record }) => toHex(record.id) === toHex(pruned.id)),
    'missing',
  );
  const admin = authorOf(publicKeyOf(made.keyring.adminSeed!));
  const { sequence } = await appendEntry(await made.open(), made.keyring.adminSeed, timeOfMs(Date.now()), () => ({
    type: EntryType.pruneDone,
    author: admin,
    sequence: 0,
    packs: new Uint8Array(0),
    snapshots: pruned.id,
    indexes: new Uint8Array(0),
  }));
  // The first look at the ledger is from before the prune.
  let looks = 0;
  const before = (store: Store): Store =>
    new Proxy(store, {
      get(target, key) {
        if (key !== 'list') return Reflect.get(target, key).bind?.(target) ?? Reflect.get(target, key);
        return async function* (prefix: string) {
          const hidden = prefix === 'ledger/' && ++looks === 1 ? entryName(admin, sequence) : '';
          for await (const info of target.list(prefix)) if (info.name !== hidden) yield info;
        };
      },
    });
  const { found, leftOut } = await listed(await made.open(before));
  t.ok(looks >= 2, 'the ledger was looked at again');
  t.same(found, [first, second]);
  t.notOk(leftOut.some(({ record }) => toHex(record.id) === toHex(pruned.id)));
});
