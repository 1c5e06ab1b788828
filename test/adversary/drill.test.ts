/**
 * A ransom drill: for 24 hours of the vault's clock the writer's host belongs to an attacker, who does through the vault all that the other files show one by one. Then
 * the vault is started again, and a reader restores yesterday's snapshot and compares it with what was there, byte for byte.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { PackClass } from '../../lib/format/pack.js';
import { EntryType, payloadOf } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { standings } from '../../lib/ledger/standing.js';
import { sealIndexObject } from '../../lib/repository/pack-directory.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { restore } from '../../lib/restore/restore.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import type { Reading } from '../../lib/vault/clock.js';
import { check } from '../../lib/verify/check.js';
import {
  chunksOf,
  forgeManifest,
  forgePack,
  forgeSession,
  HandChain,
  imageOf,
  lostOf,
  only,
  packNameOf,
  signedEntry,
  snapshotPayload,
} from '../helpers/attacker.js';
import { noise } from '../helpers/damaged-repository.js';
import { startVaultRepository } from '../helpers/vault.js';

// Hundreds of objects, each durable: in memory where that can be had.
process.env.TMPDIR = '/dev/shm';
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const FLOOD_AN_HOUR = 6;

t.test(
  'after a day in an attacker’s hands, yesterday’s snapshot is restored byte for byte, and check names the attacker’s alone',
  async (t) => {
    const reading: { -readonly [K in keyof Reading]: Reading[K] } = { wallMs: Date.now(), uptimeMs: 9 * DAY, bootId: 'a' };
    const made = await startVaultRepository(t, { readClock: () => ({ ...reading }) });
    const source = join(made.folder, 'source');
    mkdirSync(source);
    const files = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`file-${i}`, noise(`file ${i}`, 9000 + i * 4000)]));
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(source, name), bytes);
    const options = { paths: [source], host: 'h', label: 'l', threads: 1, nowMs: () => reading.wallMs };
    const writer = await made.open('writer', only.writer(made.keyring));
    const connection = await made.connect('writer');
    const yesterday = toHex((await backup(writer, options)).snapshotId!);
    const good = await imageOf(made.vault.guard.store);
    const goodPacks = [...good].filter(([name]) => name.startsWith('packs/'));
    const disk = async (): Promise<Repository> =>
      openRepository(
        await locateRepository(await openDirectoryStore(made.repositoryDir)),
        only.reader(made.keyring),
        join(made.folder, `reader-${randomBytes(4).toString('hex')}`),
      );
    const standing = async (id: string) =>
      standings(await loadLedger(await disk()), reading.wallMs / 1000).find((one) => toHex(one.id) === id)!;
    const promised = (await standing(yesterday)).retainUntilSec;

    // ---- from here on the host is somebody else's --------------------------------------------------------------------------------
    const attackers = new Set<string>();
    const { seed, domain } = made.keyring.writer!;
    const author = toHex(authorOf(publicKeyOf(seed)));
    const tried = { refused: 0, taken: 0 };
    const put = async ({ name, bytes }: { name: string; bytes: Uint8Array }): Promise<void> => {
      try {
        await writer.store.put(name, [bytes]);
        attackers.add(name);
        tried.taken++;
      } catch {
        tried.refused++;
      }
    };
    const names = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const { name } of made.vault.guard.store.list('')) found.push(name);
      return found;
    };
    const held: http2.ClientHttp2Session[] = [];
    for (let hour = 0; hour < 24; hour++) {
      reading.wallMs += HOUR;
      reading.uptimeMs += HOUR;
      // Deletes and overwrites what there is.
      for (const [name, bytes] of good) {
        await writer.store.remove(name).catch(() => tried.refused++);
        const other = bytes.slice();
        other[hour % other.byteLength]! ^= 1;
        await put({ name, bytes: other });
      }
      for (const step of ['announce', 'sweep'] as const) await connection.prune(step).catch(() => tried.refused++);
      // Poisons: second copies of everything under its ids, and an index object that says so of the good packs.
      const keys = await forgeSession(writer);
      const listed = goodPacks.map(([name, pack]) => {
        const packClass = pack[88] === PackClass.data ? PackClass.data : PackClass.metadata;
        const chunks = chunksOf(writer, name, pack);
        const forged = forgePack(
          keys,
          chunks.map((chunk) => ({ ...chunk, bytes: noise(`poison ${hour}`, chunk.length) })),
          packClass,
        );
        return { name, forged };
      });
      for (const { forged } of listed) await put({ name: packNameOf(forged), bytes: forged.bytes });
      const own = listed.map(({ forged: { packId, header, directory, bytes } }) => ({
        packId,
        header,
        directory,
        packBytes: bytes.byteLength,
      }));
      const lies = own.map((pack, i) => ({ ...pack, packId: Buffer.from(goodPacks[i]![0].slice(-64), 'hex') }));
      for (const packs of [own, lies]) {
        const { id, parts } = sealIndexObject(writer, keys, packs);
        await put({ name: `index/${toHex(id)}`, bytes: Buffer.concat(parts) });
      }
      // Floods, ten years back and ahead, pinning its poison; among them some that no reader can open.
      const chain = await HandChain.at(writer, seed);
      const stream = payloadOf(
        (await loadLedger(writer)).entries.find(({ payload }) => payload.type === EntryType.snapshot)!.payload,
        'snapshot',
      )!.stream;
      for (let i = 0; i < FLOOD_AN_HOUR; i++) {
        const pins = i % 2 === 0 ? [] : own.map(({ packId, packBytes }) => ({ id: packId, bytes: packBytes }));
        const manifest = forgeManifest(keys, pins, { stream, state: i % 3 === 0 ? 1 : 0 });
        await put(manifest);
        await put(chain.next(reading.wallMs + (i % 2 === 0 ? -3650 : 3650) * DAY, snapshotPayload(manifest)));
      }
      await put(chain.next(reading.wallMs, { type: EntryType.tags, domain, sealed: randomBytes(64) }));
      await put(chain.next(reading.wallMs, { type: EntryType.incident, code: 'fire', detail: 'x'.repeat(300) }));
      // Forges entries of others, replays, sends what is none.
      for (const { author: other, entries, head } of (await loadLedger(writer)).chains)
        if (toHex(other) !== author)
          await put(
            signedEntry(
              writer,
              seed,
              { sequence: entries.length + 9, previous: head, timeMs: 0, author: other },
              { type: EntryType.incident, code: 'x', detail: '' },
            ),
          );
      for (const [name, bytes] of good)
        if (name.startsWith('ledger/')) await writer.store.put(name, [bytes]).catch(() => tried.refused++);
      await put({ name: `packs/00/00${toHex(sha256(randomBytes(4))).slice(2)}`, bytes: randomBytes(600) });
      const session = http2.connect('http://vault', { createConnection: () => connect(made.sockets.writer) });
      session.on('error', () => undefined);
      const hanging = session.request(
        { ':method': 'POST', ':path': '/put', 'varve-kind': 'manifest', 'varve-id': 'ab'.repeat(32), 'varve-size': '67108864' },
        { endStream: false },
      );
      hanging.on('error', () => undefined);
      const socket = connect(made.sockets.writer);
      socket.on('error', () => undefined);
      socket.end(randomBytes(500));
      held.push(session);
      // And encrypts what is on the disk, which the run that goes on backs up as it is.
      for (const name of Object.keys(files).slice(0, hour + 1)) writeFileSync(join(source, name), randomBytes(3000));
      if (hour % 3 === 2) {
        const before = new Set(await names());
        await backup(writer, options);
        for (const name of await names()) if (!before.has(name)) attackers.add(name);
      }
      if (hour % 8 === 7) for (const step of ['announce', 'sweep'] as const) await (await made.connect('admin')).prune(step);
    }
    for (const session of held) session.destroy();
    t.ok(tried.refused > 300, `${tried.refused} refused, ${tried.taken} taken`);

    // ---- the day after ------------------------------------------------------------------------------------------------------------
    await made.restart();
    reading.bootId = 'b';
    t.same(lostOf(good, await imageOf(made.vault.guard.store)), [], 'every object from before is there');
    const now = await standing(yesterday);
    t.ok(!now.pruned && now.retainUntilSec >= promised, 'yesterday’s snapshot is listed, and kept as long as was promised');
    const laptop = await disk();
    const target = join(made.folder, 'restored');
    const report = await restore(laptop, await selectSnapshot(laptop, yesterday), {
      targetPath: target,
      threads: 1,
      verify: true,
    });
    t.same(report.problems, []);
    const at = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    t.equal(at.length, Object.keys(files).length);
    for (const { parentPath, name } of at) t.ok(readFileSync(join(parentPath, name)).equals(files[name]!), name);

    const checked = await check(await disk(), { readData: true });
    const touched = new Set(checked.errors.flatMap(({ affects }) => affects.map(({ snapshot }) => snapshot)));
    t.notOk(touched.has(yesterday), 'check finds nothing wrong with yesterday’s');
    t.ok(touched.size > 50, `${touched.size} snapshots of the attacker’s are named`);
    const foreign = checked.errors
      .map(({ object }) => object)
      .filter((object) => !attackers.has(object) && !object.startsWith(`ledger/${author}`));
    if (foreign.length > 0)
      t.comment(
        JSON.stringify(
          checked.errors
            .filter(({ object }) => foreign.includes(object))
            .map(({ message, affectedCount }) => [message, affectedCount]),
        ),
      );
    t.same(foreign, [], 'and nothing but what the attacker sent');
    const codes = new Set(
      (await loadLedger(laptop)).entries.flatMap(({ author: by, payload }) =>
        toHex(by) === author ? [] : (payloadOf(payload, 'incident')?.code ?? []),
      ),
    );
    t.ok(
      codes.has('refused-deletion') && codes.has('refused-object') && codes.has('refused-entry'),
      `the ledger tells: ${[...codes]}`,
    );
  },
);
