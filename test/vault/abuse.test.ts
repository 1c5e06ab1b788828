/** Many writers at once, and clients that send garbage, too much, too slowly or nothing at all: the vault loses nothing and goes on. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { concat, toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import { ENTRY_LABEL, encodeEntry } from '../../lib/format/entry.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry, loadLedger } from '../../lib/ledger/ledger.js';
import { receiptsOf } from '../../lib/ledger/standing.js';
import { startVaultRepository } from '../helpers/vault.js';

t.test('200 writers that commit at once lose nothing', async (t) => {
  const made = await startVaultRepository(t);
  const admin = await made.open('admin');
  const time = timeOfMs(Date.now());
  const seeds = Array.from({ length: 200 }, () => new Uint8Array(randomBytes(32)));
  for (const seed of seeds)
    await appendEntry(admin, made.keyring.adminSeed, time, () => ({
      type: EntryType.writerCert,
      publicKey: publicKeyOf(seed),
      domain: new Uint8Array(randomBytes(16)),
    }));
  const names = await Promise.all(
    seeds.map(async (seed, i) => {
      const store = await made.connect('writer');
      const author = authorOf(publicKeyOf(seed));
      let previous: Uint8Array = new Uint8Array(32);
      const mine: string[] = [];
      for (let sequence = 0; sequence < 2; sequence++) {
        const payload = { type: EntryType.incident, code: 'test', detail: `writer ${i} entry ${sequence}` };
        const signed = encodeEntry({ repository: admin.id, author, sequence, previous, time, payload });
        const bytes = concat(signed, sign(seed, ENTRY_LABEL, signed));
        await store.put(entryName(author, sequence), [bytes]);
        if (store.receiptOf(entryName(author, sequence)) === undefined) throw new Error('no receipt');
        previous = sha256(bytes);
        mine.push(`${toHex(author)}/${sequence}`);
      }
      await store.close();
      return mine;
    }),
  );
  const ledger = await loadLedger(await made.open('reader'), true);
  const receipts = receiptsOf(ledger);
  t.equal(names.flat().filter((name) => !receipts.has(name)).length, 0, 'every entry is there and acknowledged');
  const own = ledger.chains.find(({ role }) => role === 'vault')!;
  t.ok(own.entries.length < 600, 'entries that wait together share a receipt');
});

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

t.test('garbage, cut frames, huge headers and slow clients end their own connections and nothing else', async (t) => {
  const limits = { firstRequestMs: 400, stallMs: 400, idleMs: 2000 };
  const made = await startVaultRepository(t, { limits });
  const genesis = await (await made.connect('reader')).get('genesis');
  const alive = async (what: string): Promise<void> => {
    const store = await made.connect('reader');
    t.same(await store.get('genesis'), genesis, what);
    await store.close();
  };
  const raw = async (bytes: readonly Buffer[], socketPath = made.sockets.writer): Promise<void> => {
    const socket = connect(socketPath);
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'connect');
    for (const part of bytes) socket.write(part);
    await Promise.race([once(socket, 'close').catch(() => undefined), sleep(50)]);
    socket.destroy();
  };
  for (let i = 0; i < 60; i++) {
    const noise = randomBytes(1 + ((i * 97) % 3000));
    await raw(i % 3 === 0 ? [noise] : i % 3 === 1 ? [PREFACE, noise] : [PREFACE, SETTINGS, noise]);
  }
  for (let type = 0; type < 12; type++)
    await raw([PREFACE, SETTINGS, Buffer.from([0, 0x40, 0, type, 0xff, 0, 0, 0, 1]), randomBytes(200)]);
  await raw([PREFACE, SETTINGS, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]);
  await raw([randomBytes(1000)], `${made.stateDir}/control.sock`);
  await raw([Buffer.from('{"role":"god"}\n'), PREFACE], `${made.stateDir}/control.sock`);
  await alive('after garbage');

  const session = http2.connect('http://vault', { createConnection: () => connect(made.sockets.writer) });
  session.on('error', () => undefined);
  const status = (headers: http2.OutgoingHttpHeaders): Promise<number | string> =>
    new Promise((resolve) => {
      const stream = session.request(headers);
      stream.on('response', (answer) => resolve(Number(answer[':status'])));
      stream.on('error', () => resolve('error'));
      stream.on('close', () => resolve('closed'));
      stream.resume();
    });
  const id = '0'.repeat(64);
  for (const headers of [
    { ':method': 'GET', ':path': '/get' },
    { ':method': 'POST', ':path': '/../../etc/passwd' },
    { ':method': 'POST', ':path': '/get', 'varve-kind': 'pack', 'varve-id': '../../../etc/passwd' },
    { ':method': 'POST', ':path': '/get', 'varve-kind': 'pack', 'varve-id': `${id}0` },
    { ':method': 'POST', ':path': '/get', 'varve-kind': '__proto__', 'varve-id': id },
    { ':method': 'POST', ':path': '/get', 'varve-kind': 'pack', 'varve-id': id.toUpperCase().replaceAll('0', 'A') },
    { ':method': 'POST', ':path': '/get', 'varve-kind': 'entry', 'varve-author': '0'.repeat(32), 'varve-sequence': '1e3' },
    { ':method': 'POST', ':path': '/get', 'varve-kind': 'pack', 'varve-id': id, 'varve-offset': '-1', 'varve-length': '5' },
    { ':method': 'POST', ':path': '/list', 'varve-kind': 'index', 'varve-from': '0', 'varve-prefix': '..' },
    { ':method': 'POST', ':path': '/put', 'varve-kind': 'pack', 'varve-id': id, 'varve-size': '99999999999' },
    { ':method': 'POST', ':path': '/prune', 'varve-step': 'sweep' },
    { ':method': 'POST', ':path': '/hello', 'varve-protocol': '2' },
  ])
    t.equal(await status(headers), 400, JSON.stringify(headers).slice(0, 90));
  t.not(
    await status({ ':method': 'POST', ':path': '/hello', 'varve-protocol': '1', filler: 'x'.repeat(60_000) }),
    200,
    'huge headers',
  );
  session.destroy();
  await alive('after requests that are none');

  const slow = http2.connect('http://vault', { createConnection: () => connect(made.sockets.writer) });
  slow.on('error', () => undefined);
  const stream = slow.request({
    ':method': 'POST',
    ':path': '/put',
    'varve-kind': 'pack',
    'varve-id': id,
    'varve-size': '1000000',
  });
  stream.on('error', () => undefined);
  stream.write('x');
  t.not(await Promise.race([once(stream, 'close'), sleep(5000)]), undefined, 'a stalled put is ended');
  slow.destroy();
  const silent = connect(made.sockets.writer);
  silent.on('error', () => undefined);
  silent.resume();
  t.not(await Promise.race([once(silent, 'close'), sleep(5000)]), undefined, 'a silent connection is ended');
  const many = Array.from({ length: 400 }, () => connect(made.sockets.writer).on('error', () => undefined));
  await sleep(300);
  await alive('readers are served while writers’ connections are all taken');
  for (const socket of many) socket.destroy();
  await sleep(100);
  t.ok(await (await made.connect('writer')).get('genesis'), 'and writers again when those are gone');
});
