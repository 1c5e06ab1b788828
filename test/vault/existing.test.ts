/** `varve key certify-vault`: a repository that was in use before a vault guards it gets a vault whose word counts from then on. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { locateRepository } from '../../lib/repository/repository.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { place, serve } from '../helpers/vault-process.js';

t.test('an existing repository gets a vault key, and from then on its commits are acknowledged', async (t) => {
  const it = await place(t);
  const keyFile = join(it.folder, 'key');
  const withKey = ['--key-file', keyFile];
  const source = join(it.folder, 'source');
  mkdirSync(source);
  const backUp = (repository: string, content: string): string => {
    writeFileSync(join(source, 'file'), content);
    const ran = it.run(['backup', '-r', repository, ...withKey, source, '--label', 'l', '--json']);
    t.equal(ran.status, 0, ran.stderr);
    const lines = ran.stdout.trim().split('\n');
    return (JSON.parse(lines.at(-1)!) as { snapshot_id: string }).snapshot_id;
  };
  const records = async () => snapshotRecords(await loadLedger(await locateRepository(await openDirectoryStore(it.repo))));
  const receipted = async (): Promise<[string, boolean][]> =>
    (await records()).map(({ id, receipt }) => [toHex(id), receipt !== undefined]);

  t.equal(it.run(['init', '-r', it.repo, ...withKey]).status, 0);
  const before = backUp(it.repo, 'before there was a vault');
  const [direct] = await records();

  const vault = await serve(t, it);
  const at = (role: 'writer' | 'reader' | 'admin'): string => `vault:${it.sockets[role]}`;
  const status = () => JSON.parse(it.run(['status', '-r', at('reader'), ...withKey, '--json']).stdout);
  const { public_key: key, certified } = status().vault;
  t.equal(certified, false, 'nobody has said that it counts');
  t.match(it.run(['status', '-r', at('reader'), ...withKey]).stdout, /not certified yet: varve key certify-vault/);
  const unsigned = backUp(at('writer'), 'through a vault that does not count');
  t.same(await receipted(), [
    [before, false],
    [unsigned, false],
  ]);

  const wrong = it.run(['key', 'certify-vault', '0'.repeat(64), '-r', at('admin'), ...withKey]);
  t.equal(wrong.status, 13, 'not another than the one that was named');
  t.match(wrong.stderr, key);
  const readerKey = join(it.folder, 'reader.key');
  t.equal(it.run(['key', 'export', readerKey, '--role', 'reader', '--no-passphrase', '-r', at('admin'), ...withKey]).status, 0);
  t.equal(it.run(['key', 'certify-vault', '-r', at('admin'), '--key-file', readerKey]).status, 17, 'an admin only');
  t.equal(status().vault.certified, false);

  const done = it.run(['key', 'certify-vault', key, '-r', at('admin'), ...withKey]);
  t.equal(done.status, 0, done.stderr);
  t.match(done.stdout, `Certified vault ${key}.`);
  t.match(it.run(['key', 'certify-vault', '-r', at('admin'), ...withKey]).stdout, /was certified already/);
  t.equal(status().vault.certified, true);
  const after = backUp(at('writer'), 'through a vault that counts');
  t.same(
    await receipted(),
    [
      [before, false],
      [unsigned, false],
      [after, true],
    ],
    'what was there before keeps its author\u2019s time',
  );

  vault.kill('SIGKILL');
  await once(vault, 'exit');
  await serve(t, it);
  const later = backUp(at('writer'), 'after a restart');
  t.same(
    await receipted(),
    [
      [before, false],
      [unsigned, false],
      [after, true],
      [later, true],
    ],
    'a start acknowledges nothing that is older than its key',
  );
  t.same((await records())[0]!.received, direct!.received);
  for (const args of [
    ['check', '--read-data'],
    ['ledger', 'verify'],
  ]) {
    const ran = it.run([...args, '-r', at('reader'), ...withKey]);
    t.equal(ran.status, 0, `${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
  }
});
