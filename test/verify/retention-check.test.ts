/** What a snapshot promises is held against the policies that its run can have seen, whatever its writer says of when that began. */
import t from 'tap';
import { EntryType } from '../../lib/format/payload.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { initRepository } from '../../lib/ledger/init.js';
import { snapshotRecords } from '../../lib/ledger/snapshots.js';
import { openRepository } from '../../lib/repository/repository.js';
import { setPolicy } from '../../lib/retention/set-policy.js';
import { retain } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { walkLedger } from '../../lib/verify/ledger-walk.js';
import { listEntries } from '../../lib/verify/listing.js';
import { Findings } from '../../lib/verify/report.js';
import { RetentionCheck } from '../../lib/verify/retention-check.js';

const DAY = 86_400;
const NOW = 1_700_000_000;
const SHORT = { minimumSec: DAY, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, yearSec: 0 };
const LONG = { ...SHORT, minimumSec: 100 * DAY };

/** What is found of a snapshot that promises what the policy did which was replaced `ageDays` ago, of a run that says it began `ranDays` ago. */
async function find(ageDays: number, ranDays: number): Promise<string[]> {
  const store = new MemoryStore();
  const made = await initRepository(store, { label: 'test', policy: SHORT, nowMs: (NOW - 200 * DAY) * 1000 });
  const repository = openRepository(made.place, made.keyring, '');
  await setPolicy(repository, LONG, { nowMs: () => (NOW - ageDays * DAY) * 1000 });
  const { slots, retainUntilSec } = retain(SHORT, undefined, NOW, true, []);
  const payload = { type: EntryType.snapshot, manifest: new Uint8Array(32), stream: new Uint8Array(16), state: 0 } as const;
  await appendEntry(repository, made.keyring.writer!.seed, { sec: NOW, nsec: 0 }, () => ({ ...payload, slots, retainUntilSec }));
  const findings = new Findings();
  const ledger = await walkLedger(repository, { entries: await listEntries(store, findings) }, findings);
  const started = { sec: NOW - ranDays * DAY, nsec: 0 };
  new RetentionCheck(ledger).check(snapshotRecords(ledger)[0]!, started, findings);
  return [...findings.errors.map(({ message }) => `error: ${message}`), ...findings.warnings.map(({ message }) => message)];
}

t.test('a run of weeks may promise what the policy said when it began', async (t) => {
  t.same(await find(20, 25), []);
  t.same(await find(29, 29.5), []);
});

t.test('a policy of long ago is no excuse, whenever the run says that it began', async (t) => {
  for (const [age, ran] of [
    [20, 1],
    [32, 33],
    [60, NOW / DAY],
  ] as const)
    t.match(await find(age, ran), [/^error: keeps its snapshot for less time/], `${age} days, ${ran} days`);
});

t.test('clocks that differ by less than a day are a warning', async (t) => {
  t.match(await find(0.75, 0.5), [/^keeps its snapshot as a policy says that was in force within a day/]);
});
