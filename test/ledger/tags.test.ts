/** Whose word about tags counts: a writer's for the snapshots of its own domain, an admin's for any; whatever else is said changes nothing. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { equalBytes, toHex } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { encodeTagChange, tagsAad } from '../../lib/format/entry.js';
import { EntryType } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { selectSnapshot, selectSnapshots } from '../../lib/ledger/select.js';
import { tagSnapshots } from '../../lib/ledger/tags.js';
import { openRepository, type Repository } from '../../lib/repository/repository.js';
import { check } from '../../lib/verify/check.js';
import { HandChain } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { strictly } from '../helpers/strictly.js';
import { startVaultRepository } from '../helpers/vault.js';

const folder = scratch(t);
const made = await makeRepository(folder);
const owner = await made.open();
const otherKey = newWriterKey(owner);
await certifyWriter(owner, otherKey);
const { seed: otherSeed, domain: otherDomain } = otherKey.writer!;
const { domain: ownDomain } = made.keyring.writer!;

async function take(repository: Repository): Promise<Uint8Array> {
  const file = join(folder, 'file');
  writeFileSync(file, randomBytes(50));
  return (await backup(repository, { paths: [file], tags: ['first'], threads: 1 })).snapshotId!;
}
const own = await take(owner);
const others = await take(openRepository(owner, otherKey, join(folder, 'cache-other')));

/** Tags of the owner's snapshot and of the other writer's, as a reader sees them. */
async function tags(): Promise<[readonly string[], readonly string[]]> {
  const all = await selectSnapshots(await made.open(), strictly);
  const of = (id: Uint8Array): readonly string[] => all.find((one) => equalBytes(one.id, id))!.tags;
  return [of(own), of(others)];
}
/** What the other writer says in an entry of `domain`, sealed as who knows that domain's secret can. */
async function otherSays(domain: Uint8Array, snapshots: Uint8Array[], added: string[]): Promise<void> {
  const chain = await HandChain.at(owner, otherSeed);
  const aad = tagsAad(owner.id, authorOf(publicKeyOf(otherSeed)), chain.sequence);
  const sealed = seal(owner.domainKeys(domain).tags, aad, encodeTagChange({ snapshots, added, removed: ['first'] }));
  const entry = chain.next(Date.now(), { type: EntryType.tags, domain, sealed });
  await owner.store.put(entry.name, [entry.bytes]);
}

t.test('a writer changes tags in its own domain, and in no other', async (t) => {
  await otherSays(otherDomain, [own, others], ['mine']);
  t.same(await tags(), [['first'], ['mine']], 'an entry of its domain says nothing of a snapshot of another');
  await otherSays(ownDomain, [own], ['stolen']);
  t.same(await tags(), [['first'], ['mine']], 'an entry of a domain that it is not certified for says nothing at all');
  const { errors } = await check(await made.open());
  t.match(errors, [
    { object: `ledger/${toHex(authorOf(publicKeyOf(otherSeed)))}`, message: /tag entry 2 .*no certificate gives/ },
  ]);
});

t.test('an admin changes tags in any domain; without its key only those of the own domain change', async (t) => {
  const withoutAdmin = openRepository(owner, { ...made.keyring, adminSeed: null }, join(folder, 'cache-writer'));
  const entries = async (): Promise<number> => (await loadLedger(await made.open())).entries.length;
  const before = await entries();
  const both = await selectSnapshots(withoutAdmin, strictly);
  await t.rejects(tagSnapshots(withoutAdmin, both, { add: ['x'] }), { code: 'ROLE', message: /admin’s key/ });
  t.equal(await entries(), before, 'and then nothing was written');
  await tagSnapshots(withoutAdmin, [await selectSnapshot(withoutAdmin, toHex(own))], { add: ['x'] });
  t.same(await tags(), [['first', 'x'], ['mine']]);
  await tagSnapshots(owner, await selectSnapshots(owner, strictly), { set: ['all'] });
  t.same(await tags(), [['all'], ['all']]);
  const { entries: all } = await loadLedger(await made.open());
  const last = all.filter(({ payload }) => payload.type === EntryType.tags).slice(-2);
  t.same(
    last.map(({ author }) => toHex(author)).sort(),
    [made.keyring.writer!.seed, made.keyring.adminSeed!].map((seed) => toHex(authorOf(publicKeyOf(seed)))).sort(),
    'the writer speaks where it may, the admin for the rest',
  );
});

t.test('a vault refuses a writer that changes tags in a domain of others', async (t) => {
  const vault = await startVaultRepository(t);
  const writer = await vault.open('writer');
  const chain = await HandChain.at(writer, vault.keyring.writer!.seed);
  const entry = (domain: Uint8Array) => chain.peek(Date.now(), { type: EntryType.tags, domain, sealed: randomBytes(100) });
  const foreign = entry(randomBytes(16));
  await t.rejects(writer.store.put(foreign.name, [foreign.bytes]), { code: 'REFUSED', message: /not certified for/ });
  const right = entry(vault.keyring.writer!.domain);
  await writer.store.put(right.name, [right.bytes]);
});
