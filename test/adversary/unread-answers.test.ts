/** Answers that nobody reads, to a vault in a process of its own, under its own memory: what waits to be sent stays small, and others are served meanwhile. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { EntryType } from '../../lib/format/payload.js';
import { HandChain } from '../helpers/attacker.js';
import { ask, hostile, openAt, residentMiB, varve } from '../helpers/hostile-client.js';
import { type Place, place, serve } from '../helpers/vault-process.js';

const CONNECTIONS = 48;
const STREAMS = 32;
/** What all of them together may add; 1,536 answers of a mebibyte each are 1,536. */
const MAY_ADD_MIB = 220;

interface Scene {
  readonly it: Place;
  readonly pid: number;
  readonly keyFile: string;
  /** Of the writer, whose chain is long. */
  readonly author: string;
  /** A backup by another process. */
  backUp(): Promise<void>;
}

/** A vault whose ledger has more than a mebibyte of one writer's entries. */
async function scene(t: Test): Promise<Scene> {
  const it = await place(t);
  const vault = await serve(t, it);
  const keyFile = join(it.folder, 'key');
  await varve(it, ['init', '-r', `vault:${it.sockets.admin}`, '--key-file', keyFile]);
  const source = join(it.folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 20; i++) writeFileSync(join(source, `f${i}`), randomBytes(20_000));
  const writer = await openAt(t, it, 'writer', keyFile);
  const { seed, domain } = writer.keyring.writer!;
  const chain = await HandChain.at(writer, seed);
  for (let i = 0; i < 20; i++) {
    const { name, bytes } = chain.next(Date.now(), { type: EntryType.tags, domain, sealed: randomBytes(60_000) });
    await writer.store.put(name, [bytes]);
  }
  return {
    it,
    pid: vault.pid!,
    keyFile,
    author: toHex(authorOf(publicKeyOf(seed))),
    async backUp() {
      writeFileSync(join(source, 'changing'), randomBytes(1000));
      await varve(it, ['backup', '-r', `vault:${it.sockets.writer}`, '--key-file', keyFile, source]);
    },
  };
}

t.test('1,536 answers that nobody reads take little memory, and another host backs up meanwhile', async (t) => {
  const { it, pid, author, backUp } = await scene(t);
  await backUp();
  const before = residentMiB(pid);
  for (let i = 0; i < CONNECTIONS; i++) {
    const session = hostile(t, it.sockets.writer);
    for (let k = 0; k < STREAMS; k++)
      ask(session, '/entries', { 'varve-kind': 'entry', 'varve-author': author, 'varve-sequence': '0' });
  }
  await sleep(1500);
  const began = performance.now();
  await backUp();
  t.comment(`a backup took ${Math.round(performance.now() - began)} ms meanwhile`);
  const added = residentMiB(pid) - before;
  t.ok(added < MAY_ADD_MIB, `${Math.round(added)} MiB more than ${Math.round(before)}`);
});

t.test('nor do answers of every other kind, with a window that lets the first piece through', async (t) => {
  const { it, pid, author, backUp, keyFile } = await scene(t);
  await backUp();
  const before = residentMiB(pid);
  const requests: [string, Record<string, string>][] = [
    ['/entries', { 'varve-kind': 'entry', 'varve-author': author, 'varve-sequence': '0' }],
    ['/list', { 'varve-kind': 'pack', 'varve-from': '0' }],
    ['/list', { 'varve-kind': 'entry', 'varve-from': '0' }],
    ['/heads', {}],
    ['/hello', { 'varve-protocol': '1' }],
    ['/get', { 'varve-kind': 'genesis' }],
    ['/get', { 'varve-kind': 'pack', 'varve-id': '0'.repeat(64) }],
    ['/prune', { 'varve-step': 'plan' }],
  ];
  // More connections than may hold two mebibytes each within a role's share.
  for (let i = 0; i < 2 * CONNECTIONS; i++) {
    const session = hostile(t, i % 2 === 0 ? it.sockets.writer : it.sockets.admin, { windowBytes: 20_000 });
    for (let k = 0; k < STREAMS; k++) ask(session, ...requests[(i + k) % requests.length]!);
  }
  await sleep(1500);
  await backUp();
  const added = residentMiB(pid) - before;
  t.ok(added < MAY_ADD_MIB, `${Math.round(added)} MiB more than ${Math.round(before)}`);
  await varve(it, ['status', '-r', `vault:${it.sockets.reader}`, '--key-file', keyFile]);
});

t.test('those who do read get every byte of a long answer', async (t) => {
  const { it, keyFile } = await scene(t);
  const reader = await openAt(t, it, 'reader', keyFile);
  let entries = 0;
  for await (const { name, sizeBytes } of reader.store.list('ledger/')) {
    t.equal((await reader.store.get(name)).byteLength, sizeBytes, name);
    entries++;
  }
  t.ok(entries > 20);
});
