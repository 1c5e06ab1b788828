/**
 * Snapshots that do not open, among good ones: a manifest that nobody can open, one that is missing, one whose tree is not there. Every command goes on with the rest, names
 * what it left out, and ends with 15.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { encodeManifestBody } from '../../lib/format/manifest.js';
import { manifestName } from '../../lib/format/names.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { forgeManifest, forgeSession, HandChain, snapshotPayload } from '../helpers/attacker.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { type Ran, runner } from './program.js';

t.setTimeout(300_000);
const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(source);
const made = await makeRepository(folder);
const repository = await made.open();

async function good(host: string): Promise<string> {
  writeFileSync(join(source, 'file'), `of ${host}\n`);
  writeFileSync(join(source, host), host);
  return toHex((await made.backup({ paths: [source], host, label: 'l', tags: [host], threads: 1 })).snapshotId!);
}
/** Commits a manifest with this body, or with one that is none. */
async function commit(body: Uint8Array = Uint8Array.of(0)): Promise<string> {
  const manifest = forgeManifest(await forgeSession(repository), [], { body });
  await repository.store.put(manifest.name, [manifest.bytes]);
  const chain = await HandChain.at(repository, made.keyring.writer!.seed);
  const entry = chain.next(Date.now(), snapshotPayload(manifest));
  await repository.store.put(entry.name, [entry.bytes]);
  return toHex(manifest.id);
}

const web1 = await good('web1');
const older = await commit();
const again = await good('web1');
const web2 = await good('web2');
const newer = await commit();
writeFileSync(join(folder, 'whole.key'), await exportKeyFile(made.keyring, undefined, { label: 'whole' }), {
  mode: 0o600,
});
const varve = runner({
  VARVE_REPOSITORY: made.location,
  VARVE_KEY_FILE: join(folder, 'whole.key'),
  VARVE_CACHE_DIR: join(folder, 'caches'),
  VARVE_STATE_DIR: join(folder, 'state'),
});
const short = (id: string): string => id.slice(0, 8);
/** Ids of what was named on stderr with --json. */
const named = ({ stderr }: Ran): string[] =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ message_type: type, error }) => type === 'warning' && error === 'CORRUPT')
    .map(({ snapshot }) => String(snapshot));
const ids = ({ records }: Ran, type: string): string[] =>
  (records as Record<string, unknown>[]).filter((one) => one.message_type === type).map(({ id }) => String(id));

/** The command ends with 15 and names these snapshots, with what to do. */
function leavesOut(t: Test, ran: Ran, leftOut: readonly string[], what: string): void {
  t.equal(ran.status, 15, `${what}: ${ran.stderr}`);
  t.same(named(ran), leftOut, `${what} names what it left out`);
}

t.test('a list has every good snapshot, and names the others with the reason and what to do', async (t) => {
  const json = varve(['snapshots', '--json']);
  leavesOut(t, json, [older, newer], 'snapshots');
  t.same(ids(json, 'snapshot'), [web1, again, web2]);
  const text = varve(['snapshots']);
  t.equal(text.status, 15);
  for (const id of [web1, again, web2]) t.match(text.stdout, short(id));
  const lines = text.stderr.trim().split('\n');
  t.equal(lines.length, 2);
  for (const [i, id] of [older, newer].entries())
    t.match(lines[i], new RegExp(`^varve: snapshot ${short(id)} of .* is left out: CBOR: array expected.*varve check`));
  leavesOut(t, varve(['snapshots', '--json', '--host', 'web2']), [older, newer], 'with a filter');
  t.equal(varve(['snapshots', '--until', '2001-01-01']).status, 0, 'not one that the ledger alone excludes');
  t.equal(varve(['snapshots', short(web1), 'latest~1']).status, 0, 'what is named and opens is no affair of the others');
});

t.test('find, stats and tag work on the others, and say in their sums what is missing', async (t) => {
  const found = varve(['find', 'web1', '--json']);
  leavesOut(t, found, [older, newer], 'find');
  t.match(found.records.at(-1), { found: 2, snapshots: 3, unreadable: 0, left_out: [older, newer] });
  t.equal(varve(['find', 'web1', '-s', web1]).status, 0, 'one that is not asked for is not missed');
  leavesOut(t, varve(['find', 'web1', '-s', newer, '--json']), [newer], 'find in what does not open');
  const stats = varve(['stats', '--json']);
  leavesOut(t, stats, [older, newer], 'stats');
  t.match(stats.records[0], { snapshots: 3, left_out: [older, newer] });
  const tagged = varve(['tag', '--add', 'x', '--host', 'web1', '--json']);
  leavesOut(t, tagged, [older, newer], 'tag');
  t.same(ids(tagged, 'tagged'), [web1, again]);
  t.match(tagged.records.at(-1), { changed: 2, left_out: [older, newer] });
});

t.test('latest with a filter is the newest good one, and what was passed over on the way is named', async (t) => {
  const target = join(folder, 'restored');
  const restored = varve(['restore', `latest:${source}`, '--host', 'web1', '--target', target, '--json']);
  leavesOut(t, restored, [newer], 'restore');
  t.match(restored.records.at(-1), { message_type: 'summary', snapshot_id: again });
  t.equal(readFileSync(join(target, 'file'), 'utf8'), 'of web1\n');
  const listed = varve(['ls', 'latest', '--host', 'web1', '--json']);
  leavesOut(t, listed, [newer], 'ls');
  t.same(ids(listed, 'snapshot'), [again]);
  const dumped = varve(['dump', `latest~1:${source}/file`, '--tag', 'web1']);
  t.equal(dumped.status, 15);
  t.equal(dumped.stdout, 'of web1\n');
  t.same(dumped.stderr.match(/snapshot [0-9a-f]{8}/g), [`snapshot ${short(newer)}`, `snapshot ${short(older)}`]);
  leavesOut(t, varve(['diff', 'latest~1', 'latest', '--host', 'web1', '--json']), [newer, older], 'diff, each once');
  const none = varve(['ls', 'latest', '--host', 'elsewhere', '--json']);
  t.equal(none.status, 1, 'none at all');
  t.same(named(none), [newer, older]);
});

t.test('a snapshot that is named, by id or as the newest of all, is never another one', async (t) => {
  for (const name of [short(newer), 'latest']) {
    const target = join(folder, `not-${name}`);
    const refused = varve(['restore', name, '--target', target]);
    t.equal(refused.status, 15, name);
    t.match(refused.stderr, `snapshots/${newer}: CBOR: array expected`);
    t.notOk(existsSync(target));
  }
});

t.test('a tree that is not there, in a manifest that opens, keeps nobody from searching the rest', async (t) => {
  const { body } = await selectSnapshot(repository, web1);
  const hollow = await commit(encodeManifestBody({ ...body, root: { ...body.root, tree: randomBytes(32) } }));
  const found = varve(['find', 'web2', '--json']);
  t.equal(found.status, 15);
  t.match(found.records[0], { message_type: 'match', snapshots: [web2] });
  t.match(found.records.at(-1), { found: 1, snapshots: 4, unreadable: 1 });
  t.match(found.stderr, new RegExp(`"path":"/","snapshots":\\["${hollow}"\\]`));
  t.match(varve(['find', 'web2']).stderr, new RegExp(`/ of snapshot ${short(hollow)} was not searched: .*varve check`));
});

t.test('a manifest that is missing is named like one that is damaged', async (t) => {
  const path = join(made.location, manifestName(Buffer.from(web1, 'hex')));
  renameSync(path, `${path}.away`);
  const ran = varve(['snapshots', '--json', '--host', 'web1']);
  leavesOut(t, ran, [web1, older, newer], 'snapshots');
  t.match(ran.stderr, /is left out: is missing/);
  t.same(ids(ran, 'snapshot').slice(0, 1), [again]);
  renameSync(`${path}.away`, path);
});
