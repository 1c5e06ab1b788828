/** What `check` makes of repositories that are whole byte by byte and wrong all the same; subsets; and that its report stays bounded. */
import t from 'tap';
import { concat, toHex } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { createSessionKey, manifestKey } from '../../lib/crypto/session.js';
import { CorruptError } from '../../lib/errors.js';
import { type Envelope, encodeEnvelope, encodeManifestBody, type ManifestBody, manifestAad } from '../../lib/format/manifest.js';
import { manifestName, parsePackName } from '../../lib/format/names.js';
import { EntryType, type SnapshotPayload } from '../../lib/format/payload.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { openSnapshot, type Snapshot, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { openRepository } from '../../lib/repository/repository.js';
import { check } from '../../lib/verify/check.js';
import { choosePacks } from '../../lib/verify/pack-scan.js';
import { Findings, MAX_AFFECTED, MAX_FINDINGS, MAX_KEPT } from '../../lib/verify/report.js';
import { damagedRepository } from '../helpers/damaged-repository.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
const { repository } = repo;
const packs = repo.names('packs/').map((name) => parsePackName(name)!);

async function newest(): Promise<Snapshot> {
  const ledger = await loadLedger(repository);
  return openSnapshot(repository, snapshotRecords(ledger).at(-1)!, tagChanges(repository, ledger));
}

/** Commits a forged copy of the newest snapshot, signed and sealed as a writer could. @returns its id, hex, and what takes it away again */
async function forge(changes: {
  envelope?: Partial<Envelope>;
  body?: Partial<ManifestBody>;
  payload?: Partial<SnapshotPayload>;
  /** Seals it for another domain, which the root secret gives. */
  domain?: Uint8Array;
}): Promise<{ hex: string; undo: () => void }> {
  const { envelope: own, body, payload, time } = await newest();
  let envelope = own;
  let key = await repository.sessionKey(envelope, envelope);
  if (changes.domain !== undefined) {
    const keys = repository.domainKeys(changes.domain);
    const made = await createSessionKey(repository.genesis.readerKey, keys, { ...envelope, domain: changes.domain });
    envelope = { ...envelope, domain: changes.domain, ...made.sealed };
    key = made.key;
  }
  const head = encodeEnvelope({
    ...envelope,
    pins: { depth: 0, ids: joinSorted(packs) },
    pinCount: packs.length,
    ...changes.envelope,
  });
  const bytes = concat(
    head,
    seal(manifestKey(key, envelope.session), manifestAad(sha256(head)), encodeManifestBody({ ...body, ...changes.body })),
  );
  const id = sha256(bytes);
  const manifest = repo.change(manifestName(id), bytes);
  const before = new Set(repo.names('ledger/'));
  await appendEntry(repository, repository.keyring.writer!.seed, time, () => ({
    ...payload,
    type: EntryType.snapshot,
    ...changes.payload,
    manifest: id,
  }));
  const entry = repo.names('ledger/').find((name) => !before.has(name))!;
  return {
    hex: toHex(id),
    undo() {
      manifest();
      repo.change(entry, undefined);
    },
  };
}

t.test('a snapshot that does not pin what it needs is named, though the snapshot before it pins that', async (t) => {
  for (const left of packs.filter((id) => repo.read(`packs/${toHex(id).slice(0, 2)}/${toHex(id)}`)[88] === 1)) {
    const ids = packs.filter((id) => toHex(id) !== toHex(left));
    const { hex, undo } = await forge({
      envelope: { pins: { depth: 0, ids: joinSorted(ids) }, pinCount: ids.length, pinBytes: 0 },
    });
    const report = await check(repository);
    const mine = report.errors.filter(({ message }) => message === 'needs chunks that stand in none of its packs');
    t.same(
      mine.map(({ object }) => object),
      [`snapshots/${hex}`],
    );
    t.ok(mine[0]!.affectedCount > 0);
    t.ok(mine[0]!.affects.every(({ snapshot, path }) => snapshot === hex && path.startsWith(repo.source)));
    undo();
  }
});

t.test('totals, pins and states that are not true are found', async (t) => {
  const { body, envelope } = await newest();
  const totals = { ...body.root.totals, files: body.root.totals.files + 1 };
  const cases: [string, RegExp, Parameters<typeof forge>[0]][] = [
    ['totals', /totals of a directory/, { body: { root: { ...body.root, totals } } }],
    ['pin count', /pin count/, { envelope: { pinCount: packs.length + 1 } }],
    ['pin bytes', /do not have the size/, { envelope: { pinBytes: 1 } }],
    ['state', /not what its ledger entry says/, { payload: { state: 1 } }],
    [
      'base',
      /which is missing/,
      {
        envelope: {
          pins: { depth: 1, base: new Uint8Array(32), removed: new Uint8Array(0), added: new Uint8Array(0) },
          pinCount: 0,
        },
      },
    ],
    ['tree', /stand in none|no pack that the snapshot pins/, { body: { root: { ...body.root, tree: new Uint8Array(32) } } }],
  ];
  for (const [what, message, change] of cases) {
    const { hex, undo } = await forge(change);
    const report = await check(repository);
    const errors = report.errors.filter((error) => message.test(error.message));
    t.same(
      errors.map(({ object }) => object),
      [`snapshots/${hex}`],
      what,
    );
    undo();
  }
  t.ok(envelope.pinCount > 0);
});

t.test('a stream that is not that of its host and label is found', async (t) => {
  const stream = new Uint8Array(16).fill(7);
  for (const [what, change] of [
    ['another stream', { envelope: { stream }, payload: { stream } }],
    ['another host', { body: { host: 'somebody else' } }],
  ] as const) {
    const { hex, undo } = await forge(change);
    const errors = (await check(repository)).errors.filter(({ message }) => /stream does not follow/.test(message));
    t.same(
      errors.map(({ object }) => object),
      [`snapshots/${hex}`],
      what,
    );
    undo();
  }
});

t.test('a snapshot of a domain that its writer has no certificate for, with packs of another domain, is found', async (t) => {
  const { hex, undo } = await forge({ domain: new Uint8Array(16).fill(9) });
  const errors = (await check(repository)).errors.filter(({ object }) => object === `snapshots/${hex}`);
  for (const message of [/pins a pack of another domain/, /no certificate gives to its writer/])
    t.ok(
      errors.some((error) => message.test(error.message)),
      String(message),
    );
  undo();
});

t.test('the key in use is compared with the repository', async (t) => {
  const writer = repository.keyring.writer!;
  const using = (changed: object) =>
    check(openRepository(repository, { ...repository.keyring, writer: { ...writer, ...changed } }, repository.cacheDir));
  const foreign = await using({ seed: new Uint8Array(32).fill(1) });
  t.same(
    foreign.warnings.filter(({ object }) => object === 'keys').map(({ message }) => message),
    ['the key in use is of a writer that no certificate names for its domain'],
  );
  t.same(
    (await check(repository)).warnings.filter(({ object }) => object === 'keys'),
    [],
  );
  const wrong = await using({ domain: new Uint8Array(16).fill(3) });
  t.ok(wrong.errors.some(({ object, message }) => object === 'keys' && /domain secret/.test(message)));
});

t.test('an entry that its author may not write is found, and a claim of an init is only a warning', async (t) => {
  const before = new Set(repo.names('ledger/'));
  const policy = { minimumSec: 0, hourSec: 0, daySec: 0, weekSec: 0, monthSec: 0, yearSec: 0 };
  const seed = repository.keyring.writer!.seed;
  await appendEntry(repository, seed, (await newest()).time, () => ({ type: EntryType.policy, ...policy }));
  const entry = repo.names('ledger/').find((name) => !before.has(name))!;
  const claim = `init-${'0'.repeat(32)}`;
  const undo = repo.change(claim, new Uint8Array(1));
  const report = await check(repository);
  t.same(
    report.errors.map(({ object, message }) => `${object}: ${message}`),
    [`${entry}: changes nothing: is of a type that its author (writer) may not write`],
  );
  t.ok(report.warnings.some(({ object }) => object === claim));
  undo();
  repo.change(entry, undefined);
});

t.test('a retention shorter than the policy says is an error, a longer one a warning', async (t) => {
  const { payload } = await newest();
  const shorter = await forge({ payload: { retainUntilSec: payload.retainUntilSec - 100_000, slots: 0 } });
  const found = (await check(repository)).errors.filter(({ message }) => /less time than the policy/.test(message));
  t.same(
    found.map(({ affects }) => affects),
    [[{ snapshot: shorter.hex, path: '/' }]],
  );
  t.match(found[0]!.object, /^ledger\//);
  shorter.undo();
  const longer = await forge({ payload: { retainUntilSec: payload.retainUntilSec + 86_400 } });
  const report = await check(repository);
  t.notOk(report.errors.some(({ message }) => /policy/.test(message)));
  t.ok(report.warnings.some(({ message }) => /another time than the policy/.test(message)));
  longer.undo();
});

t.test('a page shared by snapshots is decoded once', async (t) => {
  const { counts } = await check(repository);
  const { hex, undo } = await forge({ envelope: { claimed: { sec: 1, nsec: 0 } } });
  const again = await check(repository);
  t.equal(again.counts.snapshots, counts.snapshots + 1);
  t.equal(again.counts.treePages, counts.treePages, hex);
  undo();
});

t.test('subsets: parts are disjoint and cover everything, a share and a size take about as much', async (t) => {
  const all = new Map(Array.from({ length: 1000 }, (_, i) => [toHex(sha256(Uint8Array.of(i >> 8, i))), 1000]));
  const parts = [1, 2, 3, 4, 5].map((n) => choosePacks(all, { kind: 'nth', n, of: 5 }));
  t.same(parts.flat().sort(), [...all.keys()].sort());
  t.same(choosePacks(all, { kind: 'nth', n: 2, of: 5 }), parts[1], 'the same each time');
  t.equal(choosePacks(all, { kind: 'percent', percent: 12.5 }).length, 125);
  t.equal(choosePacks(all, { kind: 'bytes', bytes: 99_500 }).length, 100);
  t.notSame(choosePacks(all, { kind: 'percent', percent: 10 }), choosePacks(all, { kind: 'percent', percent: 10 }), 'random');
  const report = await check(repository, { subset: { kind: 'bytes', bytes: 1 } });
  t.ok(report.counts.readBytes > 0 && report.counts.readBytes < report.counts.packBytes);
  await t.rejects(check(repository, { subset: { kind: 'nth', n: 3, of: 2 } }), RangeError);
});

t.test('a check can be interrupted, needs the reader’s key, and tells how far it is', async (t) => {
  const gone = new AbortController();
  gone.abort();
  await t.rejects(check(repository, { signal: gone.signal, readData: true }), { code: 'INTERRUPTED' });
  const writer = openRepository(repository, { ...repository.keyring, root: null }, repository.cacheDir);
  await t.rejects(check(writer), { code: 'ROLE' });
  const phases: string[] = [];
  await check(repository, { readData: true, onProgress: ({ phase, done, total }) => phases.push(`${phase} ${done}/${total}`) });
  t.ok(phases.includes('trees 2/2') && phases.includes(`data ${packs.length}/${packs.length}`), phases.join(' '));
});

t.test('findings are bounded and counted', async (t) => {
  const findings = new Findings();
  for (let i = 0; i < 250; i++) findings.error('packs/00/x', 'CORRUPT', 'is bad', { snapshot: 's', path: `/${i}` });
  t.equal(findings.errorCount, 1);
  t.equal(findings.errors[0]!.affects.length, MAX_AFFECTED);
  t.equal(findings.errors[0]!.affectedCount, 250);
  for (let i = 0; i < MAX_FINDINGS * 2; i++) findings.thrown(new CorruptError(`index/${i}`, 'is bad'), 'x');
  t.equal(findings.errors.length, MAX_FINDINGS);
  t.equal(findings.errorCount, MAX_FINDINGS * 2 + 1);
  const all = new Findings();
  all.takeErrors(findings);
  t.equal(all.errorCount, findings.errorCount);
  findings.takeBack(({ object }) => object !== 'packs/00/x' && object !== `index/${MAX_FINDINGS * 2 - 1}`);
  t.equal(findings.errorCount, 2, 'those that are not listed are taken back too');
  t.same(
    findings.errors.map(({ object }) => object),
    ['packs/00/x', `index/${MAX_FINDINGS * 2 - 1}`],
  );
  for (let i = 0; i < MAX_KEPT * 2; i++) all.error(`index/${i}`, 'CORRUPT', 'is bad', { snapshot: 's', path: '/' });
  all.takeBack(() => true);
  t.equal(all.errorCount, MAX_KEPT + 1, 'beyond the limit they stay counted');
  t.throws(() => findings.thrown(new TypeError('a mistake in the program'), 'x'), TypeError);
});
