/**
 * Whatever a connection asks for, sends half of, cancels or does not read, in any order: afterwards a vault in a process of its own has its memory back, holds nothing,
 * and honest work goes on. The seed is printed; `VARVE_SEED=N` repeats a run.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import type http2 from 'node:http2';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { EntryType } from '../../lib/format/payload.js';
import { MAX_WRITER_ENTRY_BYTES } from '../../lib/store/vault-protocol.js';
import { HandChain, only } from '../helpers/attacker.js';
import { ask, hostile, openAt, residentMiB, varve } from '../helpers/hostile-client.js';
import { startVaultRepository } from '../helpers/vault.js';
import { place, serve } from '../helpers/vault-process.js';

const STEPS = 1500;
/** What the process may keep: its heap does not shrink at once. */
const MAY_KEEP_MIB = 250;

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
}

t.test('after any requests of a hostile connection memory returns and honest work goes on', async (t) => {
  const seed = Number(process.env.VARVE_SEED ?? randomBytes(4).readUInt32LE());
  t.comment(`seed ${seed}`);
  const random = generator(seed);
  const below = (end: number): number => Math.floor(random() * end);
  const pick = <V>(list: readonly V[]): V => list[below(list.length)]!;
  const it = await place(t);
  const vault = await serve(t, it);
  const keyFile = join(it.folder, 'key');
  await varve(it, ['init', '-r', `vault:${it.sockets.admin}`, '--key-file', keyFile]);
  const source = join(it.folder, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'file'), randomBytes(100_000));
  const backUp = (): Promise<string> => varve(it, ['backup', '-r', `vault:${it.sockets.writer}`, '--key-file', keyFile, source]);
  await backUp();
  const writer = await openAt(t, it, 'writer', keyFile);
  const author = toHex(authorOf(publicKeyOf(writer.keyring.writer!.seed)));
  const packs: string[] = [];
  for await (const { name } of writer.store.list('packs/')) packs.push(name.slice(-64));
  const before = residentMiB(vault.pid!);

  const id = (): string => (random() < 0.5 ? pick(packs) : toHex(randomBytes(32)));
  const number = (): string => String(pick([0, 1, 100, 16_384, 1 << 20, 67_108_864, Number.MAX_SAFE_INTEGER]));
  const requests: readonly (() => [string, Record<string, string>])[] = [
    () => ['/hello', { 'varve-protocol': '1' }],
    () => ['/heads', {}],
    () => ['/stat', { 'varve-kind': 'pack', 'varve-id': id() }],
    () => ['/get', { 'varve-kind': 'pack', 'varve-id': id(), 'varve-offset': number(), 'varve-length': number() }],
    () => ['/get', { 'varve-kind': 'genesis' }],
    () => ['/list', { 'varve-kind': pick(['pack', 'index', 'manifest', 'entry', 'slot']), 'varve-from': number() }],
    () => ['/entries', { 'varve-kind': 'entry', 'varve-author': author, 'varve-sequence': number() }],
    () => ['/put', { 'varve-kind': pick(['pack', 'index', 'manifest']), 'varve-id': id(), 'varve-size': number() }],
    () => ['/replace-damaged', { 'varve-kind': pick(['pack', 'index', 'manifest']), 'varve-id': id(), 'varve-size': number() }],
    () => ['/put', { 'varve-kind': 'entry', 'varve-author': author, 'varve-sequence': number(), 'varve-size': number() }],
    () => ['/remove', { 'varve-kind': 'pack', 'varve-id': id() }],
    () => ['/prune', { 'varve-step': pick(['plan', 'sweep']) }],
    () => ['/nothing', { 'varve-kind': 'x'.repeat(below(3000)) }],
  ];
  const sessions: http2.ClientHttp2Session[] = [];
  const streams: http2.ClientHttp2Stream[] = [];
  for (let step = 0; step < STEPS; step++) {
    const dice = random();
    if (sessions.length < 40 && dice < 0.1)
      sessions.push(
        hostile(t, it.sockets[pick(['writer', 'reader', 'admin'] as const)], { windowBytes: pick([0, 1, 20_000, 65_535]) }),
      );
    else if (dice < 0.15 && sessions.length > 0) sessions.splice(below(sessions.length), 1)[0]!.destroy();
    else if (dice < 0.3 && streams.length > 0) streams.splice(below(streams.length), 1)[0]!.close(8);
    else if (sessions.length > 0) {
      const [verb, headers] = pick(requests)();
      const stream = ask(pick(sessions), verb, headers, random() < 0.5);
      if (stream === undefined) continue;
      streams.push(stream);
      if (stream.writable) stream.write(randomBytes(pick([0, 100, 70_000])));
      if (random() < 0.2) stream.resume();
    }
    if (step % 100 === 99) await sleep(5);
  }
  await backUp();
  const during = residentMiB(vault.pid!) - before;
  for (const session of sessions) session.destroy();
  await sleep(1000);
  await backUp();
  const kept = residentMiB(vault.pid!) - before;
  t.comment(`${Math.round(during)} MiB more meanwhile, ${Math.round(kept)} afterwards`);
  t.ok(during < MAY_KEEP_MIB && kept < MAY_KEEP_MIB);
  t.same(
    readdirSync(join(it.repo, 'tmp')).filter((name) => /^\d+-/.test(name)),
    [],
    'nothing half stored is left',
  );
  await varve(it, ['check', '-r', `vault:${it.sockets.reader}`, '--key-file', keyFile, '--read-data']);
});

t.test('what is held for a role comes back to nothing, and stays below its share', async (t) => {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const { seed, domain } = made.keyring.writer!;
  const chain = await HandChain.at(writer, seed);
  for (let i = 0; i < 20; i++) {
    const { name, bytes } = chain.next(Date.now(), { type: EntryType.tags, domain, sealed: randomBytes(60_000) });
    await writer.store.put(name, [bytes]);
  }
  const { guard } = made.vault;
  const author = toHex(authorOf(publicKeyOf(seed)));
  const sessions = Array.from({ length: 60 }, () => hostile(t, made.sockets.writer, { windowBytes: 100_000 }));
  let most = 0;
  for (let round = 0; round < 20; round++) {
    for (const session of sessions) {
      ask(session, '/entries', { 'varve-kind': 'entry', 'varve-author': author, 'varve-sequence': '0' });
      const put = { 'varve-kind': 'manifest', 'varve-id': toHex(randomBytes(32)), 'varve-size': '1000000' };
      ask(session, '/put', put, false)?.write(randomBytes(50_000));
    }
    await sleep(20);
    most = Math.max(most, guard.heldBytes('writer'));
  }
  t.ok(most > 30 << 20, `${most} bytes were held`);
  t.ok(most <= 64 << 20, 'and no more than a role may');
  t.ok(await (await made.connect('writer')).get('genesis'));
  for (const session of sessions) session.destroy();
  for (let i = 0; i < 100 && guard.heldBytes('writer') > 0; i++) await sleep(50);
  t.equal(guard.heldBytes('writer'), 0);
});

t.test('a tags or incident entry of a writer that is larger than 64 KiB is refused, through whatever connection', async (t) => {
  const made = await startVaultRepository(t);
  const { seed, domain } = made.keyring.writer!;
  const writer = await made.open('writer', only.writer(made.keyring));
  const chain = await HandChain.at(writer, seed);
  const tags = (bytes: number) => ({ type: EntryType.tags, domain, sealed: randomBytes(bytes) }) as const;
  const large = chain.peek(Date.now(), tags(MAX_WRITER_ENTRY_BYTES));
  const incident = chain.peek(Date.now(), { type: EntryType.incident, code: 'x', detail: 'y'.repeat(MAX_WRITER_ENTRY_BYTES) });
  const admin = await made.connect('admin');
  for (const [store, entry] of [
    [writer.store, large],
    [writer.store, incident],
    [admin, large],
  ] as const)
    await t.rejects(store.put(entry.name, [entry.bytes]), {
      code: 'REFUSED',
      message: /65536 bytes that a writer’s or auditor’s entry may have/,
    });
  const small = chain.next(Date.now(), tags(MAX_WRITER_ENTRY_BYTES - 1000));
  await writer.store.put(small.name, [small.bytes]);
});
