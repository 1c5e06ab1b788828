/** The commands of retention, as people and programs run them: what they print, what they refuse, and with which exit status. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { runner } from './program.js';

t.setTimeout(600_000);

const folder = scratch(t);
const source = join(folder, 'source');
mkdirSync(source);
writeFileSync(join(source, 'a.txt'), 'hello\n'.repeat(100));
const { keyring, location } = await makeRepository(folder);
const keys = {
  whole: keyring,
  writer: { ...keyring, root: null, adminSeed: null },
  admin: { ...keyring, root: null, writer: null },
};
for (const [name, one] of Object.entries(keys))
  writeFileSync(join(folder, `${name}.key`), await exportKeyFile(one, undefined, { label: name }));
const environment = {
  VARVE_REPOSITORY: location,
  VARVE_CACHE_DIR: join(folder, 'caches'),
  VARVE_STATE_DIR: join(folder, 'state'),
};
const as = (name: keyof typeof keys) => runner({ ...environment, VARVE_KEY_FILE: join(folder, `${name}.key`) });
const varve = as('whole');
const admin = as('admin');

t.test('policy: shown, changed for what comes, refused without an admin’s key', async (t) => {
  t.match(varve(['policy', 'show']).stdout, /^minimum +1d\nhour +2d\nday +14d\nweek +8w\nmonth +366d\nyear +0\nwait +3d\n/);
  const set = admin([
    'policy',
    'set',
    '--day',
    '30d',
    '--year',
    '7y',
    '--class',
    'db',
    '--match-label',
    'pg-*',
    '--expect',
    '1h',
  ]);
  t.equal(set.status, 0, set.stderr);
  t.match(set.stdout, /class db +none → labels pg-\*: .*day 30d.*year 2562d; expected every 1h/);
  t.match(set.stdout, /from now on/);
  const wider = varve(['policy', 'set', '--minimum', '0', '--hour', '0', '--day', '0', '--week', '0', '--month', '0', '--json']);
  t.match(wider.records[0], {
    message_type: 'policy_changed',
    changed: true,
    before: { hour: 172_800, day: 1_209_600 },
    after: { hour: 0, day: 0 },
  });
  t.match(varve(['policy', 'set', '--hour', '0']).stdout, /already; nothing was written/);
  t.match(varve(['policy', 'show', '--json']).records[0], {
    classes: [{ name: 'db', labels: ['pg-*'], expect: 3600, day: 2_592_000 }],
  });
  for (const args of [['--day', 'soon'], ['--wait', '1h'], ['--expect', '1d'], ['--remove-class', 'none'], []])
    t.equal(varve(['policy', 'set', ...args]).status, 2, args.join(' '));
  t.equal(as('writer')(['policy', 'set', '--day', '1d']).status, 17);
  t.equal(admin(['policy', 'set', '--remove-class', 'db']).status, 0);
});

t.test('backup and snapshots say until when and why; forget refuses what is kept, and says what can be done', async (t) => {
  admin(['policy', 'set', '--class', 'db', '--match-label', 'pg-*', '--day', '30d']);
  const kept = varve(['backup', source, '--label', 'pg-main']);
  t.match(kept.stdout, /kept until \d{4}-.* at least \(first of its day; class db\)/);
  const [snapshot] = varve(['snapshots', '--json']).records;
  t.match(snapshot, { class: 'db', slots: ['day'], newest: true, expired: false, holds: [] });
  const { id } = snapshot as unknown as { id: string };
  const refused = admin(['forget', id, '--json']);
  t.equal(refused.status, 13);
  t.match(refused.stderr, /kept until .*first of its day, class db.*newest complete.*wait until/);
  t.equal(as('writer')(['forget', id]).status, 17);
  t.equal(admin(['forget', 'ffff']).status, 1);
});

t.test('hold, extend: an admin’s key alone is enough, a writer’s is not', async (t) => {
  const added = admin(['hold', 'add', 'latest', '--reason', 'audit', '--json']);
  t.equal(added.status, 0, added.stderr);
  const { hold } = added.records[0] as unknown as { hold: string };
  t.match(admin(['hold', 'list']).stdout, new RegExp(`${hold} .* audit`));
  t.match(varve(['snapshots']).stdout, / hold +db /);
  t.match(admin(['forget', 'latest']).stderr, new RegExp(`hold ${hold} is on it \\(audit\\).*varve hold release ${hold}`));
  t.equal(as('writer')(['hold', 'add', 'latest', '--reason', 'x']).status, 17);
  t.equal(as('writer')(['hold', 'release', hold]).status, 17);
  t.equal(admin(['hold', 'release', hold]).status, 0);
  t.match(admin(['hold', 'list']).stdout, /No holds/);
  t.match(admin(['hold', 'release', hold]).stderr, /released before/);
  t.match(admin(['extend', 'latest', '--for', '7y']).stdout, /kept until 20\d\d-/);
  t.match(admin(['extend', 'latest', '--for', '1y']).stdout, /as long or longer already/);
  t.equal(admin(['extend', 'latest', '--for', '0']).status, 2, 'nothing is shortened');
  t.equal(admin(['extend', 'latest', '--until', '2001-01-01']).status, 2);
  t.equal(as('writer')(['extend', 'latest', '--for', '9y']).status, 17);
});

t.test('prune announces what has expired, explains itself, and deletes nothing before its time', async (t) => {
  writeFileSync(join(source, 'b.txt'), 'first\n'.repeat(1000));
  const first = varve(['backup', source, '--label', 'short', '--json']).records.at(-1) as unknown as { snapshot_id: string };
  writeFileSync(join(source, 'b.txt'), 'other\n'.repeat(1000));
  t.equal(varve(['backup', source, '--label', 'short']).status, 0);
  const dry = admin(['prune', '--dry-run', '--json']);
  t.equal(dry.status, 0, dry.stderr);
  const packs = dry.records.filter(({ message_type }) => message_type === 'pack') as unknown as {
    state: string;
    reason: string;
    snapshot: string;
  }[];
  t.ok(packs.some(({ state, snapshot }) => state === 'expired' && snapshot === first.snapshot_id));
  t.ok(packs.some(({ state, reason }) => state === 'kept' && /newest complete/.test(reason)));
  t.match(admin(['prune', '--dry-run']).stdout, /Would be announced: 1 snapshot, \d+ packs? of .*\nKept: 2 snapshots/);
  const pruned = admin(['prune']);
  t.equal(pruned.status, 0, pruned.stderr);
  t.match(pruned.stdout, /Nothing was due to be deleted\.\nAnnounced: 1 snapshot, \d+ packs? of .* go with a prune from /);
  t.match(admin(['prune', '--sweep-only']).stdout, /^Nothing was due to be deleted\.\n$/);
  t.match(admin(['forget', first.snapshot_id]).stdout, /announced already/);
  t.equal(varve(['snapshots', '--json']).records.length, 3, 'all are still there');
  t.equal(as('writer')(['prune']).status, 17);
  const checked = varve(['check', '--read-data']);
  t.equal(checked.status, 0, checked.stdout + checked.stderr);
  t.equal(varve(['restore', first.snapshot_id, '--target', join(folder, 'out')]).status, 0, 'what is announced still reads');
});

t.test('every command teaches', async (t) => {
  for (const command of ['policy', 'hold', 'extend', 'forget', 'prune']) {
    const help = varve(['help', command]);
    t.ok(help.status === 0 && help.stdout.includes('Examples:'), command);
  }
});
