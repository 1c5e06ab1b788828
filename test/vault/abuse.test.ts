/** Many writers at once, and clients that send garbage, too much, too slowly or nothing at all: the vault loses nothing and goes on. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { concat, toHex } from '../../lib/bytes.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import { ENTRY_LABEL, encodeEntry } from '../../lib/format/entry.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { timeOfMs } from '../../lib/format/time.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { announcement } from '../../lib/vault/announce.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

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
  const { receipts } = ledger;
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

/** A connection as a forced command makes it for `writer` (author id; undefined: whoever), or through the socket of writers. */
function connection(t: Test, made: TestVaultRepository, writer?: string | 'socket'): http2.ClientHttp2Session {
  const socket = writer === 'socket' ? connect(made.sockets.writer) : connect(`${made.stateDir}/control.sock`);
  if (writer !== 'socket') socket.write(announcement({ role: 'writer', writer }));
  const session = http2.connect('http://vault', { createConnection: () => socket });
  session.on('error', () => undefined);
  socket.on('error', () => undefined);
  t.teardown(() => session.destroy());
  return session;
}

/** Whether a hello is answered. */
async function isServed(session: http2.ClientHttp2Session): Promise<boolean> {
  if (session.destroyed || session.closed) return false;
  const stream = session.request({ ':method': 'POST', ':path': '/hello', 'varve-protocol': '1' });
  stream.resume();
  return await new Promise((resolve) => {
    stream.on('response', (answer) => resolve(answer[':status'] === 200));
    stream.on('error', () => resolve(false));
    stream.on('close', () => resolve(false));
  });
}

/** A put that never ends. */
function hold(session: http2.ClientHttp2Session): void {
  const headers = { 'varve-kind': 'pack', 'varve-id': '0'.repeat(64), 'varve-size': '1000000' };
  const stream = session.request({ ':method': 'POST', ':path': '/put', ...headers });
  stream.on('error', () => undefined);
  stream.write('x');
}

const [ONE, OTHER] = ['1'.repeat(32), '2'.repeat(32)];

t.test('a writer that takes every connection of its role keeps no other writer out', async (t) => {
  const made = await startVaultRepository(t);
  const greedy = Array.from({ length: 256 }, () => connection(t, made, ONE));
  t.ok((await Promise.all(greedy.map(isServed))).every(Boolean), 'it has them all');
  for (const session of greedy) hold(session);
  await sleep(300);
  const others = Array.from({ length: 40 }, () => connection(t, made, OTHER));
  t.ok((await Promise.all(others.map(isServed))).every(Boolean), 'another writer gets what it asks for, though all were busy');
  t.notOk(await isServed(connection(t, made, ONE)), 'the greedy one gets no more');
  t.equal(greedy.filter((session) => !session.destroyed && !session.closed).length, 216, 'and lost as many as the other took');
  t.ok((await Promise.all(others.map(isServed))).every(Boolean), 'which stay');
  t.ok(await isServed(connection(t, made, 'socket')), 'and those who come through the socket are another peer');
});

t.test('among those who cannot be told apart, what is used least gives way', async (t) => {
  const made = await startVaultRepository(t, { limits: { heldMs: 3000 } });
  const silent = Array.from({ length: 200 }, () => connect(made.sockets.writer).on('error', () => undefined));
  t.teardown(() => void silent.map((socket) => socket.destroy()));
  await sleep(1100);
  const idle = Array.from({ length: 56 }, () => connection(t, made, 'socket'));
  t.ok((await Promise.all(idle.map(isServed))).every(Boolean));
  const busy = Array.from({ length: 200 }, () => connection(t, made, 'socket'));
  t.ok((await Promise.all(busy.map(isServed))).every(Boolean), 'those who never asked for anything go first');
  t.ok((await Promise.all(idle.map(isServed))).every(Boolean), 'those who did are still there');
  for (const session of busy) hold(session);
  await sleep(100);
  const more = Array.from({ length: 56 }, () => connection(t, made, 'socket'));
  t.ok((await Promise.all(more.map(isServed))).every(Boolean), 'then those who ask for nothing now');
  t.same(await Promise.all(idle.map(isServed)), Array(56).fill(false));
  for (const session of more) hold(session);
  await sleep(100);
  t.notOk(await isServed(connection(t, made, 'socket')), 'nobody is ended in the middle of a request');
  await sleep(3000);
  t.ok(await isServed(connection(t, made, 'socket')), 'unless it takes very long');
  const { open } = made;
  t.ok((await loadLedger(await open('writer'))).entries.length > 0, 'and a client of ours gets through');
});
