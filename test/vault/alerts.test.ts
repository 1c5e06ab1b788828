/** What somebody hears of: floods are limited for each author and code and say what they left out; nothing harmless hides a change of who may do what. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { payloadOf } from '../../lib/format/payload.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey, revokeAuthor } from '../../lib/ledger/roles.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { Limits } from '../../lib/vault/alert-limits.js';
import { Alerts } from '../../lib/vault/alerts.js';
import { policyChangeText } from '../../lib/vault/change-text.js';
import { startVaultRepository } from '../helpers/vault.js';

const MINUTE = 60_000;
const [WEB, DB] = ['a'.repeat(32), 'b'.repeat(32)];

/** Alerts over a clock of the test's, and what became of them. */
function told(): { readonly alerts: Alerts; readonly incidents: string[]; readonly log: string[]; pass(ms: number): void } {
  let nowMs = 1000 * 86_400_000;
  const incidents: string[] = [];
  const log: string[] = [];
  const alerts = new Alerts({
    vault: 'v',
    incident: async (code, detail) => void incidents.push(`${code}: ${detail}`),
    onLog: (line) => log.push(line),
    nowMs: () => nowMs,
  });
  return {
    alerts,
    incidents,
    log,
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

t.test('a flood by one author hides nothing of another, nor another code, and is counted', async (t) => {
  const { alerts, incidents, log, pass } = told();
  for (let i = 0; i < 10_000; i++) alerts.tell('refused-object', `harmless ${i}`, WEB);
  alerts.tell('refused-object', 'of the other', DB);
  alerts.tell('refused-deletion', 'of the same', WEB);
  t.same(log, ['refused-object: harmless 0', 'refused-object: of the other', 'refused-deletion: of the same']);
  t.same(incidents, log);
  alerts.tellLeftOut();
  t.equal(log.length, 3, 'not yet');
  pass(MINUTE);
  alerts.tellLeftOut();
  t.same(log.slice(3), ['refused-object: harmless 9999 (and 9998 more since the last)'], 'though no other comes');
  pass(10 * MINUTE);
  alerts.tell('refused-object', 'again', WEB);
  t.same(incidents.slice(3), ['refused-object: again (and 9999 more since the last)']);
});

t.test('a day of harmless refusals leaves the ledger room for others', async (t) => {
  const { alerts, incidents, pass } = told();
  for (let i = 0; i < 140; i++) {
    for (const code of ['refused-object', 'refused-entry', 'refused-overwrite', 'quota'] as const)
      alerts.tell(code, 'harmless', WEB);
    pass(10 * MINUTE);
  }
  t.equal(incidents.length, 80, 'twenty of a code in a day');
  alerts.tell('refused-deletion', 'the one', DB);
  alerts.tell('clock-jump', 'the vault’s own');
  t.same(incidents.slice(80), ['refused-deletion: the one', 'clock-jump: the vault’s own']);
});

t.test('changes of policy, keys, holds and the end of trust are never left out', async (t) => {
  const { alerts, incidents, log } = told();
  const codes = [
    'policy-change',
    'key-added',
    'key-retired',
    'hold-released',
    'slot-change',
    'stream-retired',
    'prune-intent',
    'rollback',
  ] as const;
  for (let i = 0; i < 200; i++) for (const code of codes) alerts.tell(code, `number ${i}`, WEB);
  t.equal(log.length, 1600);
  t.same(incidents, log);
});

t.test('what others wrote stands in one line without control characters, and says how much of it was cut off', async (t) => {
  const { alerts, log } = told();
  alerts.tell('key-retired', `reason \u001b[2J\nvarve: fine ${'x'.repeat(5000)}`);
  t.match(log[0], /^key-retired: reason \\x1b\[2J\\x0avarve: fine x+… \(1\d\d\d characters more\)$/);
});

t.test('what limits remember is bounded, whatever comes', async (t) => {
  const limits = new Limits({ everyMs: 1000 });
  for (let i = 0; i < 50_000; i++) limits.pass(`key ${i}`, i, '');
  t.equal(limits.size, 4096);
  t.equal(limits.pass('key 49999', 50_000, ''), undefined, 'the newest are remembered');
});

t.test('the text of a policy change has old and new values, of what differs only, and what decides first', async (t) => {
  const terms = { waitSec: 259_200, longestSec: 0, autoPrune: false, dailyBytes: 0, dailySnapshots: 0, classes: [] };
  const before = { ...DEFAULT_POLICY, terms };
  t.equal(
    policyChangeText(before, { ...before, daySec: 3600, terms: { ...terms, waitSec: 86_400, autoPrune: true } }),
    'day 14 days → 1 hours; wait 3 days → 1 days; auto-prune off → on',
  );
  const one = { ...DEFAULT_POLICY, name: 'db', hosts: ['db*'], labels: [], tags: [], expectSec: 0 };
  const many = Array.from({ length: 500 }, (_, i) => ({ ...one, name: `class-${i}` }));
  const text = policyChangeText(before, { ...before, minimumSec: 0, terms: { ...terms, classes: many } });
  t.match(text, /^minimum 1 days → 0; class class-0 added \(/);
  t.equal(
    policyChangeText(
      { ...before, terms: { ...terms, classes: [one] } },
      { ...before, terms: { ...terms, classes: [{ ...one, hosts: [] }] } },
    ),
    'class db: hosts db* → any',
  );
  t.match(policyChangeText({ ...before, terms: { ...terms, classes: [one] } }, before), /^class db removed \(minimum 1 days, /);
});

t.test('a vault tells every change by an admin, with ids and values, to the command, the log and the ledger', async (t) => {
  const folder = t.testdir();
  const alerts = join(folder, 'alerts');
  writeFileSync(alerts, '');
  const made = await startVaultRepository(t, { alertCommand: `cat >> '${alerts}'` });
  const admin = await made.open('admin');
  const keyring = newWriterKey(admin);
  await setPolicy(admin, { daySec: 15 * 86_400 });
  await setPolicy(admin, { daySec: 86_400 });
  await certifyWriter(admin, keyring);
  const author = authorOf(publicKeyOf(keyring.writer!.seed));
  await revokeAuthor(admin, toHex(author), 'lost');
  const { guard } = made.vault;
  await guard.alerts.settled();
  const hex = toHex(author);
  const expected: [string, RegExp][] = [
    ['policy-change', /changes the retention policy: day 14 days → 15 days$/],
    ['policy-change', /changes the retention policy: day 15 days → 1 days$/],
    ['key-added', new RegExp(`certifies writer ${hex} \\(public key [0-9a-f]{64}\\) for domain [0-9a-f]{32}$`)],
    [
      'key-retired',
      new RegExp(`retires ${hex}: its chain ends at 0 entries, and what it signs later does not count; reason given: lost$`),
    ],
  ];
  const { entries } = await loadLedger(await made.open('reader'));
  const incidents = entries.flatMap(({ payload }) => payloadOf(payload, 'incident') ?? []);
  for (const [code, text] of expected)
    t.ok(
      incidents.some((one) => one.code === code && text.test(one.detail)),
      `${code} ${text}`,
    );
  t.equal(incidents.filter(({ code }) => code === 'policy-change').length, 2);
});
