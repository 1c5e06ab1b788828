/**
 * The golden repository must stay readable for ever, with its key file and with its passphrase, and hold what it held when it was made.
 * `VARVE_MAKE_GOLDEN=1` makes it where there is none, as root.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { toHex, utf8 } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { resolvePins } from '../../lib/ledger/pins.js';
import { openSnapshot, readEnvelope, snapshotRecords, tagChanges } from '../../lib/ledger/snapshots.js';
import { unlockWithKeyFile, unlockWithPassphrase } from '../../lib/repository/keys.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { openSnapshotReader } from '../../lib/repository/snapshot-reader.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { GOLDEN, GOLDEN_PASSPHRASE, makeRepository, makeSource, readExpected } from '../helpers/golden.js';

const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-golden-'));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));

/** Snapshots in order, the first and the last with every entry. */
async function describe(repository: Repository): Promise<unknown> {
  const ledger = await loadLedger(repository, true);
  const changes = tagChanges(repository, ledger);
  const snapshots: Record<string, unknown>[] = [];
  const records = snapshotRecords(ledger);
  for (const record of records) {
    const snapshot = await openSnapshot(repository, record, changes);
    const { envelope, body } = snapshot;
    const pins = await resolvePins(envelope, async (id) => (await readEnvelope(repository, id)).envelope, 'golden');
    const described: Record<string, unknown> = {
      id: toHex(snapshot.id),
      time: snapshot.time,
      host: body.host,
      label: body.label,
      tags: [...snapshot.tags].sort(),
      state: envelope.state,
      pinDepth: envelope.pins.depth,
      pins: pins.byteLength / 32,
      problems: body.problems.map(({ code }) => code),
      retainUntilSec: snapshot.payload.retainUntilSec,
      slots: snapshot.payload.slots,
      totals: body.root.totals,
    };
    if (record === records[0] || record === records.at(-1)) {
      const reader = await openSnapshotReader(repository, [pins]);
      try {
        const path = Buffer.from(body.paths[0]!).toString('utf8');
        described.source = path;
        const all = Object.entries(readExpected(reader, envelope.domain, pins, body.root, path));
        const isMany = ([hex]: [string, unknown]): boolean => hex.startsWith(toHex(utf8('many/')));
        described.entries = Object.fromEntries(all.filter((one) => !isMany(one)));
        // 2,200 empty files: what matters is that they are the same.
        described.many = toHex(sha256(utf8(JSON.stringify(all.filter(isMany)))));
      } finally {
        await reader.close();
      }
    }
    snapshots.push(described);
  }
  return snapshots;
}

if (process.env.VARVE_MAKE_GOLDEN === '1' && !fs.existsSync(join(GOLDEN, 'expected.json'))) {
  const source = join(scratch, 'source');
  fs.mkdirSync(source);
  makeSource(source);
  fs.mkdirSync(GOLDEN, { recursive: true });
  const { repository, keyFile } = await makeRepository(join(GOLDEN, 'repository'), source, join(scratch, 'making'));
  fs.writeFileSync(join(GOLDEN, 'key'), keyFile);
  fs.rmSync(join(GOLDEN, 'repository', 'tmp'), { recursive: true, force: true });
  fs.writeFileSync(join(GOLDEN, 'expected.json'), `${JSON.stringify(await describe(repository), null, 1)}\n`);
}
const expected = JSON.parse(fs.readFileSync(join(GOLDEN, 'expected.json'), 'utf8')) as unknown;

t.test('the golden repository opens with its key file and holds what it held', async (t) => {
  const place = await locateRepository(await openDirectoryStore(join(GOLDEN, 'repository')));
  const keyring = await unlockWithKeyFile(place, fs.readFileSync(join(GOLDEN, 'key')), 'key');
  t.strictSame(JSON.parse(JSON.stringify(await describe(openRepository(place, keyring, join(scratch, 'by-key'))))), expected);
});

t.test('the golden repository opens with its passphrase, and reads the same without index objects', async (t) => {
  const folder = join(scratch, 'without-index');
  fs.cpSync(join(GOLDEN, 'repository'), folder, { recursive: true });
  fs.rmSync(join(folder, 'index'), { recursive: true });
  const place = await locateRepository(await openDirectoryStore(folder));
  const { keyring } = await unlockWithPassphrase(place, GOLDEN_PASSPHRASE);
  await t.rejects(unlockWithPassphrase(place, 'another'), { code: 'WRONG_KEY' });
  t.strictSame(
    JSON.parse(JSON.stringify(await describe(openRepository(place, keyring, join(scratch, 'by-passphrase'))))),
    expected,
  );
});
