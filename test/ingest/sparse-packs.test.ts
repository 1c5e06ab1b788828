/** Packs of which a stream needs little are written again and let go, so that space can come free one day. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { resolvePins } from '../../lib/ledger/pins.js';
import { readEnvelope } from '../../lib/ledger/snapshots.js';
import type { Repository } from '../../lib/repository/repository.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';

async function pinsOf(repository: Repository, id: Uint8Array): Promise<Set<string>> {
  const read = async (manifest: Uint8Array) => (await readEnvelope(repository, manifest)).envelope;
  const joined = await resolvePins(await read(id), read, 'manifest');
  const pins = new Set<string>();
  for (let at = 0; at < joined.byteLength; at += 32) pins.add(toHex(joined.subarray(at, at + 32)));
  return pins;
}

/** A repository with a snapshot of a hundred files; `write` replaces one of them. */
async function hundredFiles(test: Test) {
  const folder = scratch(test);
  const source = join(folder, 'source');
  mkdirSync(source);
  const write = (i: number): void => writeFileSync(join(source, `f${i}`), randomBytes(10_000));
  for (let i = 0; i < 100; i++) write(i);
  const made = await makeRepository(folder);
  return { source, made, write, first: await made.backup({ paths: [source], label: 'x' }) };
}

t.test('a pack of which a snapshot needs less than half is not pinned by the one after it', async (t) => {
  const { source, made, write, first } = await hundredFiles(t);
  for (let i = 0; i < 70; i++) write(i);
  const second = await made.backup({ paths: [source], label: 'x' });
  utimesSync(join(source, 'f99'), 1, 1);
  const third = await made.backup({ paths: [source], label: 'x' });
  const repository = await made.open();
  const [a, b, c] = await Promise.all([first, second, third].map((report) => pinsOf(repository, report.snapshotId!)));
  const shared = [...a!].filter((pack) => b!.has(pack));
  t.ok(shared.length > 0, 'the second snapshot still uses a pack of the first');
  t.same(
    [...a!].filter((pack) => c!.has(pack)),
    [],
    'the third uses none of them',
  );
  t.ok(third.newBytes < 400_000, `it wrote the 30 live files again, not all (${third.newBytes} bytes)`);
  const fourth = await made.backup({ paths: [source], label: 'x' });
  t.ok(fourth.newBytes < 20_000, `and then there is nothing left to write again (${fourth.newBytes} bytes)`);
});

t.test('a little that is dead in a small pack is no reason to write anything again', async (t) => {
  const { source, made, write, first } = await hundredFiles(t);
  for (let i = 0; i < 6; i++) write(i);
  const second = await made.backup({ paths: [source], label: 'x' });
  for (let i = 0; i < 4; i++) write(i);
  const third = await made.backup({ paths: [source], label: 'x' });
  utimesSync(join(source, 'f99'), 1, 1);
  const fourth = await made.backup({ paths: [source], label: 'x' });
  const repository = await made.open();
  const [a, b, c, d] = await Promise.all([first, second, third, fourth].map((one) => pinsOf(repository, one.snapshotId!)));
  const small = [...b!].filter((pack) => !a!.has(pack) && c!.has(pack));
  t.ok(small.length > 0, 'the third snapshot still uses a pack of the second, a third of it');
  t.ok(
    small.some((pack) => d!.has(pack)),
    'and so does the fourth',
  );
});
