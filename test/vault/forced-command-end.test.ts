/** A forced command whose input has ended ends too, whatever was sent: malformed openings, cut frames, requests without an end, answers that are not read. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { openVaultStore } from '../../lib/store/vault.js';
import { MAX_SOCKET_PATH_BYTES } from '../../lib/store/vault-protocol.js';
import { startVault } from '../../lib/vault/server.js';
import { pumpToVault } from '../../lib/vault/stdio.js';
import { startVaultRepository } from '../helpers/vault.js';
import { place } from '../helpers/vault-process.js';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const NO_WINDOW = Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);

function frame(type: number, flags: number, stream: number, body: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Headers that need no table. */
function headers(path: string, more: Record<string, string> = {}): Buffer {
  const all = { ':method': 'POST', ':path': path, ':scheme': 'http', ':authority': 'vault', ...more };
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return Buffer.concat(Object.entries(all).map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])));
}

function openings(): [string, Buffer][] {
  const found: [string, Buffer][] = [];
  for (let cut = 0; cut <= PREFACE.byteLength; cut += 5) found.push([`preface to ${cut}`, PREFACE.subarray(0, cut)]);
  for (let type = 0; type < 12; type++) {
    for (const flags of [0, 4, 5])
      found.push([`frame ${type}/${flags}`, Buffer.concat([PREFACE, SETTINGS, frame(type, flags, 1, randomBytes(20))])]);
    found.push([`cut frame ${type}`, Buffer.concat([PREFACE, SETTINGS, frame(type, 0, 1, randomBytes(200)).subarray(0, 50)])]);
  }
  const put = { 'varve-kind': 'entry', 'varve-author': '0'.repeat(32), 'varve-sequence': '0', 'varve-size': '1000' };
  found.push(
    ['settings alone', Buffer.concat([PREFACE, SETTINGS])],
    ['a request', Buffer.concat([PREFACE, SETTINGS, frame(1, 5, 1, headers('/hello', { 'varve-protocol': '1' }))])],
    [
      'a request without an end',
      Buffer.concat([PREFACE, SETTINGS, frame(1, 4, 1, headers('/hello', { 'varve-protocol': '1' }))]),
    ],
    ['half a body', Buffer.concat([PREFACE, SETTINGS, frame(1, 4, 1, headers('/put', put)), frame(0, 0, 1, randomBytes(100))])],
    ['no window', Buffer.concat([PREFACE, NO_WINDOW, frame(1, 5, 1, headers('/get', { 'varve-kind': 'genesis' }))])],
  );
  for (let i = 0; i < 20; i++) {
    found.push([`noise ${i}`, randomBytes(1 + i * 50)]);
    found.push([`noise ${i} after a preface`, Buffer.concat([PREFACE, SETTINGS, randomBytes(1 + i * 50)])]);
  }
  return found;
}

t.test('every session ends soon after the end of its input', async (t) => {
  // The vault's own patience is longer than this test.
  const limits = { firstRequestMs: 3_600_000, idleMs: 3_600_000, stallMs: 3_600_000 };
  const made = await startVaultRepository(t, { limits });
  const late: string[] = [];
  await Promise.all(
    openings().map(async ([name, bytes]) => {
      const [input, output] = [new PassThrough(), new PassThrough()];
      output.resume();
      const ended = pumpToVault(made.stateDir, { role: 'writer' }, input, output).then(() => true);
      input.end(bytes);
      if ((await Promise.race([ended, sleep(60_000, false, { ref: false })])) !== true)
        late.push(`${name}: ${bytes.toString('hex')}`);
    }),
  );
  t.same(late, []);
  t.ok(await (await made.connect('reader')).get('genesis'), 'and others are served');
});

t.test('a socket whose path is too long is refused by name, by the vault, its clients and its forced command', async (t) => {
  const it = await place(t);
  const long = join(it.folder, 'x'.repeat(120));
  const message = new RegExp(`may have ${MAX_SOCKET_PATH_BYTES} bytes, and ${long}`);
  const serve = it.run(['serve', '-r', it.repo, '--state', it.state, '--socket', `writer=${long}`]);
  t.equal(serve.status, 1, serve.stderr);
  t.match(serve.stderr, message);
  t.notOk(existsSync(it.repo), 'before anything is made');
  const state = it.run(['serve', '-r', it.repo, '--state', long, '--socket', `writer=${it.sockets.writer}`]);
  t.match(state.stderr, /control\.sock has \d+; choose a shorter one/);
  const joined = it.run(['serve', '--stdio', '--state', long, '--role', 'writer']);
  t.equal(joined.status, 10);
  t.match(joined.stderr, /choose a shorter one/);
  const client = it.run(['snapshots', '-r', `vault:${long}`]);
  t.equal(client.status, 10);
  t.match(client.stderr, message);
  await t.rejects(openVaultStore(`vault:${long}`), { code: 'NO_REPOSITORY', message });
  await t.rejects(startVault({ repository: it.repo, stateDir: it.state, sockets: { reader: long } }), { code: 'STORE', message });
});
