/**
 * Commands on a tree that nobody can walk to its end: each hears SIGTERM and SIGINT at once, whether it prints to a file, to a pipe that is read or to nobody. And objects
 * that no snapshot needs, or that cannot be read at all: a check tells of them and goes on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ChunkType, PackClass } from '../../lib/format/pack.js';
import { check } from '../../lib/verify/check.js';
import { MAIN } from '../cli/program.js';
import { forgePack, packNameOf } from '../helpers/attacker.js';
import { scratch } from '../helpers/backup-repository.js';
import { damagedRepository } from '../helpers/damaged-repository.js';
import { directoryEntry, HostileWriter, inlineEntry } from '../helpers/hostile-trees.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
const { repository } = repo;
const writer = await HostileWriter.of(repository);
const tree = writer.repeated(7, 64, writer.leaf([inlineEntry('file', 'x')]));
const hex = await writer.commit(writer.leaf([directoryEntry('bomb', tree)]));

t.test('every long command ends at a signal', async (t) => {
  const folder = scratch(t);
  const environment = {
    PATH: process.env.PATH,
    VARVE_REPOSITORY: repo.folder,
    VARVE_PASSWORD: repo.passphrase,
    VARVE_CACHE_DIR: join(folder, 'cache'),
    VARVE_STATE_DIR: join(folder, 'state'),
  };
  const verbs: readonly (readonly string[])[] = [
    ['ls', hex],
    ['diff', 'latest~1', hex],
    ['dump', `${hex}:/`],
    ['restore', hex, '--target', join(folder, 'out')],
    ['restore', hex, '--dry-run', '--target', join(folder, 'none')],
  ];
  for (const [i, args] of verbs.entries())
    for (const to of ['file', 'pipe'] as const) {
      const signal = i % 2 === 0 ? 'SIGTERM' : 'SIGINT';
      const fd = to === 'file' ? openSync('/dev/null', 'w') : undefined;
      const child = spawn(process.execPath, [MAIN, ...args], { env: environment, stdio: ['ignore', fd ?? 'pipe', 'ignore'] });
      child.stdout?.resume();
      const ended = once(child, 'exit');
      // Until it is at it: what is printed, or made, says so; a second is enough for all of them.
      await Promise.race([child.stdout === null ? sleep(2500) : once(child.stdout, 'data'), sleep(2500)]);
      t.equal(child.exitCode, null, `${args[0]} is still at it`);
      const began = performance.now();
      child.kill(signal);
      const [status] = (await ended) as [number | null];
      t.equal(status, 130, `${args.join(' ')} to a ${to}, ${signal}`);
      t.ok(performance.now() - began < 10_000, `${Math.round(performance.now() - began)} ms`);
      if (fd !== undefined) closeSync(fd);
    }
});

t.test('packs that nothing pins, however odd, end no check', async (t) => {
  const before = await check(repository);
  t.equal(before.errorCount, 0);
  const bytes = new Uint8Array(1);
  const ids = Array.from({ length: 65_536 }, (_, i) => {
    const id = new Uint8Array(32);
    new DataView(id.buffer).setUint32(0, i);
    return { id, type: ChunkType.data, bytes };
  });
  const odd = [
    forgePack(writer.keys, ids),
    forgePack(writer.keys, [ids[0]!, ids[0]!, ids[0]!]),
    forgePack(writer.keys, [{ ...ids[0]!, type: ChunkType.treePage }], PackClass.metadata),
  ];
  for (const pack of odd) {
    const undo = repo.change(packNameOf(pack), pack.bytes.slice());
    for (const readData of [false, true]) {
      const report = await check(repo.withoutCaches(), { readData });
      t.equal(report.counts.snapshots, before.counts.snapshots);
    }
    undo();
  }
});

t.test('an object of a newer version, or with a name that is none, ends no check', async (t) => {
  const newer = (name: string): (() => void) => {
    const bytes = repo.read(name).slice();
    bytes[5] = 2;
    return repo.change(name, bytes);
  };
  for (const prefix of ['snapshots/', 'index/', 'packs/', 'ledger/', 'keys/']) {
    const name = repo.names(prefix).at(-1)!;
    const undo = newer(name);
    const report = await check(repo.withoutCaches(), { readData: true }).catch((error: Error) => error);
    t.ok(!(report instanceof Error) && report.errors.some(({ object }) => object === name), `${prefix} ${String(report)}`);
    undo();
  }
  const names = ['packs/zz', `index/${'0'.repeat(200)}`, 'snapshots/\u202etxt', 'ledger/x/y', `keys/${'f'.repeat(255)}`];
  for (const name of names) {
    const undo = repo.change(name, new Uint8Array(1));
    const report = await check(repository);
    t.equal(report.counts.snapshots, 3, name);
    undo();
  }
});
