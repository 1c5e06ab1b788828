/** Auditors, names, exports, streams and the bounds of a new policy, with the program as people run it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratch } from '../helpers/backup-repository.js';
import { type Ran, runner } from './program.js';

const folder = scratch(t);
const at = (...names: string[]): string => join(folder, ...names);
mkdirSync(at('source'));
writeFileSync(at('source', 'file'), 'content');
const machine = (name: string) =>
  runner({
    VARVE_REPOSITORY: at('repo'),
    VARVE_KEY_FILE: at(`${name}.key`),
    VARVE_CACHE_DIR: at('cache', name),
    VARVE_STATE_DIR: at('state', name),
  });
const [owner, auditor, web1] = [machine('owner'), machine('auditor'), machine('web1')];
const ok = (ran: Ran): Ran => {
  t.equal(ran.status, 0, ran.stderr);
  return ran;
};
type Row = Record<string, unknown>;
const rows = (ran: Ran, type: string): Row[] =>
  (ran.records as unknown as Row[]).filter(({ message_type: kind }) => kind === type);
const entries = (): number => rows(ok(owner(['ledger', 'show', '--json'])), 'entry').length;

t.test('init prints the policy, which has bounds; a longer duration raises the longest along', async (t) => {
  t.match(ok(owner(['init'])).stdout, /longest 400d, extension 30d, auto-prune off, daily-bytes 1.00 TiB, daily-snapshots 1000/);
  const raised = ok(owner(['policy', 'set', '--year', '7y']));
  t.match(raised.stdout, /longest +400d → 2562d/);
  t.match(raised.stdout, /longest was raised along/);
  const refused = owner(['policy', 'set', '--year', '7y', '--longest', '30d']);
  t.equal(refused.status, 2);
  t.match(refused.stderr, /give a longer --longest, or a shorter duration/);
  t.match(ok(owner(['policy', 'set', '--extension', '10d'])).stdout, /extension +30d → 10d/);
  t.match(ok(owner(['policy', 'set', '--extension', '0'])).stdout, /extension +10d → none/);
  t.equal(owner(['policy', 'set', '--extension', '91d']).status, 2);
  t.match(ok(owner(['policy', 'set', '--longest', '300d'])).stdout, /longest/, 'a lower cap by itself is allowed');
});

t.test('an auditor reads everything and changes nothing', async (t) => {
  for (const [name, ...flags] of [
    ['web1', '--role', 'writer', '--name', 'web1'],
    ['auditor', '--role', 'auditor', '--name', 'Examiner'],
  ] as const)
    ok(owner(['key', 'export', at(`${name}.key`), '--no-passphrase', ...flags]));
  ok(web1(['backup', at('source'), '--host', 'web1', '--label', 'www']));
  const before = entries();
  ok(auditor(['check']));
  t.equal(ok(auditor(['dump', 'latest', at('source', 'file')])).stdout, 'content');
  ok(auditor(['key', 'list']));
  for (const args of [
    ['backup', at('source')],
    ['tag', '--add', 'x', 'latest'],
    ['hold', 'add', 'latest', '--reason', 'x'],
    ['policy', 'set', '--day', '30d'],
    ['key', 'add'],
    ['stream', 'retire', 'web1/www', '--reason', 'x'],
    ['prune'],
  ])
    t.equal(auditor(args, { env: { VARVE_NEW_PASSWORD: 'x' } }).status, 17, args.join(' '));
  t.equal(entries(), before, 'nothing was written');
  const [row] = rows(ok(owner(['key', 'list', '--json'])), 'author').filter(({ role }) => role === 'auditor');
  t.match(row, { name: 'Examiner', state: 'active', since: /^20/, received: /^20/ });
});

t.test('an export of keys that exist leaves an entry, and authors are revoked by name', async (t) => {
  ok(owner(['key', 'export', at('reader.key'), '--role', 'reader', '--no-passphrase', '--name', 'laptop']));
  t.match(
    ok(owner(['ledger', 'show', '--type', 'incident'])).stdout,
    /key-exported: a key file for the reader role was made: laptop/,
  );
  ok(owner(['key', 'export', at('twin.key'), '--role', 'writer', '--no-passphrase', '--name', 'web1']));
  const ambiguous = owner(['key', 'revoke', 'web1', '--reason', 'gone']);
  t.equal(ambiguous.status, 1);
  t.match(ambiguous.stderr, /author web1 is ambiguous.*[0-9a-f]{32}, [0-9a-f]{32}/);
  ok(owner(['key', 'revoke', 'Examiner', '--reason', 'done']));
  t.equal(rows(ok(owner(['key', 'list', '--json'])), 'author').find(({ name }) => name === 'Examiner')?.state, 'revoked');
  t.match(ok(owner(['key', 'list'])).stdout, /web1/);
});

t.test('a stream that ends is expected no more, and a later snapshot brings it back', async (t) => {
  const list = (): Row[] => rows(ok(owner(['stream', 'list', '--json'])), 'stream');
  t.match(list(), [{ host: 'web1', label: 'www', writer_name: 'web1', newest_kept: true, retired: null }]);
  t.match(ok(owner(['status'])).stdout, /web1\/www/);
  t.equal(owner(['stream', 'retire', 'web1/other', '--reason', 'x']).status, 1);
  ok(owner(['stream', 'retire', 'web1/www', '--reason', 'switched off']));
  t.match(list(), [{ newest_kept: false, retired: { reason: 'switched off' } }]);
  t.notMatch(ok(owner(['status'])).stdout, /web1\/www/);
  t.match(
    ok(owner(['ledger', 'show', '--type', 'retire-stream'])).stdout,
    /retired stream [0-9a-f]{8} of writer [0-9a-f]{8}: switched off/,
  );
  t.equal(owner(['stream', 'retire', 'web1/www', '--reason', 'again']).status, 13);
  ok(web1(['backup', at('source'), '--host', 'web1', '--label', 'www']));
  t.match(list(), [{ newest_kept: true, retired: null }]);
  const id = list()[0]!.stream as string;
  ok(owner(['stream', 'retire', id.slice(0, 8), '--reason', 'by id']));
});

t.test('two writers that use one host are told once, and slots stand in the ledger', async (t) => {
  ok(owner(['backup', at('source'), '--host', 'web1', '--label', 'www']));
  const told = ok(owner(['snapshots'])).stderr;
  t.equal(told.match(/host web1 is used by 2 writers/g)?.length, 1, told);
  t.match(ok(owner(['status'])).stdout, /Host web1 is used by 2 writers/);
  const env = { VARVE_NEW_PASSWORD: 'pass' };
  ok(owner(['key', 'add', '--label', 'paper'], { env }));
  const [slot] = rows(ok(owner(['key', 'list', '--json'])), 'key') as [Row];
  t.match(slot, { label: 'paper', state: 'listed' });
  t.equal(owner(['key', 'remove', slot.id as string]).status, 13, 'the last one stays');
  const changed = ok(owner(['key', 'passwd', slot.id as string], { env: { VARVE_NEW_PASSWORD: 'new' } }));
  t.match(changed.stdout, /opens nothing any more/);
  const open = (passphrase: string): Ran =>
    runner({ VARVE_REPOSITORY: at('repo'), VARVE_CACHE_DIR: at('c'), VARVE_STATE_DIR: at('s'), VARVE_PASSWORD: passphrase })([
      'key',
      'list',
    ]);
  const old = open('pass');
  t.equal(old.status, 12);
  t.match(old.stderr, /an admin removed it on/);
  t.match(ok(open('new')).stdout, /removed; varve prune deletes it/);
  ok(owner(['key', 'restore', slot.id as string]));
  ok(open('pass'));
  t.match(ok(owner(['ledger', 'show', '--type', 'slots'])).stdout, /listed key slot [0-9a-f]{16} \(paper\); removed key slot/);
});
