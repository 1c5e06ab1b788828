/**
 * Names without an owner: a writer whose key was stolen publishes as another host, so that whoever restores that host gets its files. Every reader shows such a snapshot
 * under the writer's own name: lists, filters, the mount, JSON.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { EntryType, payloadOf } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { backup } from '../../lib/ingest/backup.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey, writerCert } from '../../lib/ledger/roles.js';
import { prepareRotation } from '../../lib/ledger/rotation.js';
import { selectSnapshot, selectSnapshots } from '../../lib/ledger/select.js';
import { openRepository } from '../../lib/repository/repository.js';
import { check } from '../../lib/verify/check.js';
import { Fixed } from '../../lib/view/root-names.js';
import { runner } from '../cli/program.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { openView, type View } from '../helpers/view.js';

const onLeftOut = ({ error }: { readonly error: Error }): void => {
  throw error;
};

t.test('a stolen writer key that publishes as another host is shown under its own name, by every command', async (t) => {
  const folder = scratch(t);
  const at = (...names: string[]): string => join(folder, ...names);
  for (const host of ['db1', 'web1']) {
    mkdirSync(at(host));
    writeFileSync(at(host, 'secret'), `the files of ${host}`);
  }
  const machine = (name: string) =>
    runner({
      VARVE_REPOSITORY: at('repo'),
      VARVE_KEY_FILE: at(`${name}.key`),
      VARVE_CACHE_DIR: at('cache', name),
      VARVE_STATE_DIR: at('state', name),
    });
  const [owner, db1, web1] = [machine('owner'), machine('db1'), machine('web1')];
  t.equal(owner(['init']).status, 0);
  for (const name of ['db1', 'web1']) {
    const made = owner(['key', 'export', at(`${name}.key`), '--role', 'writer', '--name', name, '--no-passphrase']);
    t.equal(made.status, 0, made.stderr);
  }
  const honest = db1(['backup', at('db1'), '--host', 'db1', '--label', 'etc']);
  t.equal(honest.status, 0);
  t.notMatch(honest.stderr, /not certified/);
  const forged = web1(['backup', at('web1'), '--host', 'db1', '--label', 'etc']);
  t.match(forged.stderr, /not certified for host db1; its snapshots are shown under web1/, 'backup says so itself');
  t.equal(owner(['restore', 'latest', '--host', 'db1', '--target', at('out')]).status, 0);
  t.equal(readFileSync(at('out', at('db1', 'secret')), 'utf8'), 'the files of db1', 'restore gives its files and no others');
  t.notOk(existsSync(at('out', at('web1'))));
  const listed = owner(['snapshots', '--json', '--host', 'db1']).records as unknown as Record<string, unknown>[];
  t.same(
    listed.map((one) => [one.host, one.claimed_host, one.foreign, one.writer_name]),
    [['db1', 'db1', false, 'db1']],
    'the newest of db1 is its own',
  );
  const own = owner(['snapshots', '--json', '--host', 'web1']).records as unknown as Record<string, unknown>[];
  t.same(
    own.map((one) => [one.host, one.claimed_host, one.foreign, one.writer_name]),
    [['web1', 'db1', true, 'web1']],
  );
  t.match(owner(['snapshots', '--writer']).stdout, /web1!.*web1 \([0-9a-f]{8}\)/);
  t.match(owner(['find', 'secret', '--host', 'db1', '--json']).stdout, /db1\/secret/);
  t.notMatch(owner(['find', 'secret', '--host', 'db1', '--json']).stdout, /web1\/secret/);
});

t.test('names, scopes and labels: what a certificate says decides, for the mount too', async (t) => {
  const folder = scratch(t);
  const made = await makeRepository(folder);
  const owner = await made.open();
  const file = join(folder, 'data');
  let files = 0;
  const take = async (keyring: Parameters<typeof openRepository>[1], host: string, label: string) => {
    writeFileSync(file, `data ${++files}`);
    const writer = openRepository(owner, { ...keyring, root: null, adminSeed: null }, join(folder, `cache-${files}`));
    const warnings: string[] = [];
    const { snapshotId } = await backup(writer, {
      paths: [file],
      host,
      label,
      threads: 1,
      onForeign: (text) => warnings.push(text),
    });
    return { id: toHex(snapshotId!), warnings };
  };
  const shownAs = async (id: string) => {
    const { body, foreign, claimedHost, writerName } = await selectSnapshot(await made.open(), id);
    return [body.host, claimedHost, foreign, writerName];
  };
  // It shares the founder's domain, and with it the id of every stream.
  const web = newWriterKey(owner, { shareDomain: true });
  await certifyWriter(owner, web, { name: 'web', scope: { hosts: ['web-*', 'web'], labels: ['www*'] } });
  const nameless = newWriterKey(owner, { shareDomain: true });
  await certifyWriter(owner, nameless, { scope: { hosts: ['n-*'], labels: [] } });
  const founders = await take(made.keyring, 'db1', 'l');
  const forged = await take(web, 'db1', 'l');
  t.same(await shownAs(founders.id), ['db1', 'db1', false, undefined]);
  t.same(await shownAs(forged.id), ['web', 'db1', true, 'web'], 'the first host without a star');
  t.match(forged.warnings, [/shown under web/]);
  t.same(await shownAs((await take(web, 'web-7', 'www')).id), ['web-7', 'web-7', false, 'web']);
  const label = await take(web, 'web-7', 'other');
  t.same(await shownAs(label.id), ['web-7', 'web-7', true, 'web'], 'another label counts as foreign');
  t.match(label.warnings, [/label other/]);
  const other = await take(nameless, 'db1', 'l');
  t.match((await shownAs(other.id))[0], /^writer-[0-9a-f]{8}$/, 'without a name, the id');
  const db1 = await selectSnapshots(await made.open(), { filter: { hosts: ['db1'] }, onLeftOut });
  t.same(
    db1.map(({ id }) => toHex(id)),
    [founders.id],
    'the filter goes by the host that is shown',
  );
  const names = (fs: View, nodeId: number): string[] =>
    fs.readdir(nodeId, 0, 100).entries.map(({ name }) => Buffer.from(name).toString());
  const view = await openView(t, await made.open());
  t.same(
    names(view, Fixed.hosts).sort(),
    ['db1', 'web', 'web-7', (await shownAs(other.id))[0] as string].sort(),
    'hosts/ of a mount has the same names',
  );
  const filtered = await openView(t, await made.open(), { filter: { hosts: ['db1'] } });
  t.equal(names(filtered, Fixed.snapshots).length, 1, 'and so does its filter');
  t.same((await check(await made.open())).errors, [], 'and nothing of it is damage');
  // A new certificate speaks for the snapshots that are there.
  await certifyWriter(owner, nameless, { name: 'second', scope: { hosts: ['db1'], labels: [] } });
  t.same(await shownAs(other.id), ['db1', 'db1', false, 'second']);
});

t.test('a rotated writer speaks for the same hosts, and a scope that does not verify for none', async (t) => {
  const folder = scratch(t);
  const made = await makeRepository(folder);
  const owner = await made.open();
  const web = newWriterKey(owner);
  await certifyWriter(owner, web, { name: 'web1', scope: { hosts: ['web1'], labels: ['a', 'b'] } });
  for (const newDomain of [false, true]) {
    const open = openRepository(owner, { ...made.keyring, writer: web.writer }, join(folder, 'cache'));
    const { keyring, commit } = await prepareRotation(open, 'writer', { newDomain });
    await commit();
    const file = join(folder, 'data');
    writeFileSync(file, 'x');
    for (const host of ['web1', 'db1']) {
      const writer = openRepository(
        owner,
        { ...keyring, root: null, adminSeed: null },
        join(folder, `cache-${host}-${newDomain}`),
      );
      const { snapshotId } = await backup(writer, { paths: [file], host, label: 'a', threads: 1 });
      const { body, foreign, writerName } = await selectSnapshot(await made.open(), toHex(snapshotId!));
      t.same([body.host, foreign, writerName], ['web1', host === 'db1', 'web1'], `${host}, new domain: ${newDomain}`);
    }
    const ledger = await loadLedger(owner);
    const cert = ledger.entries.map(({ payload }) => payloadOf(payload, 'writerCert')).findLast((one) => one !== undefined)!;
    t.notMatch(Buffer.from(cert.sealed!).toString('latin1'), /web1/, 'hosts are no clear text');
    if (newDomain) break;
  }
  const bad = newWriterKey(owner);
  const { publicKey, domain } = writerCert(owner, bad.writer!, 'bad', { hosts: ['*'], labels: [] });
  await appendEntry(owner, made.keyring.adminSeed, timeOfMs(Date.now()), () => ({
    type: EntryType.writerCert,
    publicKey,
    domain,
    name: 'bad',
    sealed: new Uint8Array(60),
  }));
  const file = join(folder, 'data');
  writeFileSync(file, 'y');
  const writer = openRepository(owner, bad, join(folder, 'cache-bad'));
  const { snapshotId } = await backup(writer, { paths: [file], host: 'db1', label: 'a', threads: 1 });
  t.equal((await selectSnapshot(await made.open(), toHex(snapshotId!))).body.host, 'bad');
  const { errors } = await check(await made.open());
  t.match(
    errors.map(({ message }) => message),
    [/hosts and labels do not verify/],
    'and check says so',
  );
});
