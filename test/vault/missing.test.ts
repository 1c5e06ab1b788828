/** A snapshot that does not come, to a vault in a process of its own: the alert command hears of it, the ledger keeps it, `status` says it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { unlockWithKeyFile } from '../../lib/repository/keys.js';
import { locateRepository, openRepository } from '../../lib/repository/repository.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { openVaultStore } from '../../lib/store/vault.js';
import { endVault, place, serve } from '../helpers/vault-process.js';

/** Later than this is late, with the factor of 1.5 that a vault allows. */
const EXPECT_SEC = 5;

t.test('a class whose snapshot is late is told by command, ledger and status, until the next one comes', async (t) => {
  const it = await place(t);
  const alerts = join(it.folder, 'alerts');
  const command = ['--alert-command', `cat >> '${alerts}'`];
  const keyFile = join(it.folder, 'key');
  const withKey = ['--key-file', keyFile];
  const source = join(it.folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'file'), 'x');
  const at = (role: 'writer' | 'reader' | 'admin'): string => `vault:${it.sockets[role]}`;
  const missed = (): { event: string; detail: string; vault: string }[] =>
    existsSync(alerts)
      ? readFileSync(alerts, 'utf8')
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line))
          .filter(({ event }) => event === 'snapshot-missing')
      : [];
  const backUp = (label: string): void => {
    const ran = it.run(['backup', '-r', at('writer'), ...withKey, source, '--label', label]);
    t.equal(ran.status, 0, ran.stderr);
  };
  const status = () => JSON.parse(it.run(['status', '-r', at('reader'), ...withKey, '--json']).stdout);

  const first = await serve(t, it, command);
  t.equal(it.run(['init', '-r', at('admin'), ...withKey]).status, 0);
  const store = await openVaultStore(at('admin'));
  const located = await locateRepository(store);
  const keyring = await unlockWithKeyFile(located, readFileSync(keyFile), keyFile);
  await setPolicy(openRepository(located, keyring, join(it.folder, 'c')), {
    classes: [{ name: 'db', labels: ['pg-*'], expectSec: EXPECT_SEC }],
  });
  await store.close();
  backUp('pg-main');
  backUp('other');
  await endVault(first);
  t.same(missed(), [], 'nothing is late yet');
  await sleep((EXPECT_SEC * 1.5 + 1) * 1000);

  // A vault looks a second after its start.
  await serve(t, it, command);
  for (let i = 0; i < 100 && missed().length === 0; i++) await sleep(100);
  const told = missed();
  t.equal(told.length, 1, 'one stream is expected, and it is late');
  t.match(told[0], {
    detail: /sent no complete snapshot of stream [0-9a-f]{8} for \d+ seconds; one is expected every 5 seconds$/,
    vault: /^[0-9a-f]+$/,
  });
  let said = status();
  for (let i = 0; i < 50 && said.incidents.length === 0; i++) {
    await sleep(100);
    said = status();
  }
  t.match(
    said.incidents.filter(({ code }: { code: string }) => code === 'snapshot-missing'),
    [{ detail: told[0]!.detail }],
    'the ledger has it, in the same words',
  );
  const streams = (now: { streams: { class: string | null; overdue: boolean; expect_seconds: number }[] }) =>
    now.streams
      .map(({ class: name, overdue, expect_seconds: expect }) => [name, overdue, expect])
      .sort((a, b) => Number(a[2]) - Number(b[2]));
  t.same(streams(said), [
    [null, false, 0],
    ['db', true, EXPECT_SEC],
  ]);
  t.match(it.run(['status', '-r', at('reader'), ...withKey]).stdout, /class db; OVERDUE/);

  backUp('pg-main');
  t.notMatch(it.run(['status', '-r', at('reader'), ...withKey]).stdout, /OVERDUE/, 'until the next one comes');
});
