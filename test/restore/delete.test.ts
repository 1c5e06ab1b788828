/** `delete` removes only what the snapshot knows not to be there, and an entry is replaced only by what is to replace it, whatever the kinds of both. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { compileMatcher } from '../../lib/ingest/exclude.js';
import type { Snapshot } from '../../lib/ledger/snapshots.js';
import type { RestoreOptions, RestoreReport } from '../../lib/restore/options.js';
import { restore } from '../../lib/restore/restore.js';
import { directory, file, type TinyNode, type TinyRepository, tinyRepository } from '../helpers/tiny-repository.js';

const scratch = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'varve-delete-')));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));
let number = 0;
const newPath = (): string => join(scratch, `t${number++}`);

let tiny: TinyRepository;
t.before(async () => {
  tiny = await tinyRepository(join(scratch, 'repository'), join(scratch, 'cache'));
});

const into = (snapshot: Snapshot, targetPath: string, options: Partial<RestoreOptions> = {}): Promise<RestoreReport> =>
  restore(tiny.repository, snapshot, { targetPath, threads: 0, ...options });
const excluding = (...patterns: string[]): RestoreOptions['exclude'] => compileMatcher(patterns.map((pattern) => ({ pattern })));
const make = (path: string, content = 'of the target'): void => {
  fs.mkdirSync(join(path, '..'), { recursive: true });
  fs.writeFileSync(path, content);
};

t.test('an exclusion protects by the path in the snapshot, in the target and below it, and relatively', async (t) => {
  const snapshot = await tiny.snapshot({ srv: directory({ a: directory({ f: file('1') }), cache: directory({}) }) });
  for (const form of ['/srv/cache', 'TARGET/cache', '/cache', 'cache', 'LINK/cache']) {
    for (const inside of [true, false]) {
      const target = newPath();
      const link = newPath();
      make(join(target, 'cache/p'));
      make(join(target, 'extra'));
      fs.symlinkSync(target, link);
      const exclude = excluding(form.replace('TARGET', target).replace('LINK', link))!;
      const options = { delete: true, exclude };
      if (inside) await into(snapshot, link, { ...options, subPath: utf8('/srv') });
      else if (form === '/srv/cache' || form === 'cache') {
        // The directory that is excluded is not in the snapshot at all.
        const without = await tiny.snapshot({ srv: directory({}) });
        fs.renameSync(target, `${target}x`);
        fs.mkdirSync(target);
        fs.renameSync(`${target}x`, join(target, 'srv'));
        await into(without, target, options);
      } else continue;
      t.equal(fs.readFileSync(join(target, inside ? 'cache/p' : 'srv/cache/p'), 'utf8'), 'of the target', form);
      t.notOk(fs.existsSync(join(target, inside ? 'extra' : 'srv/extra')), 'what is not excluded goes');
    }
  }
});

t.test('what another file system in the target holds is not deleted', async (t) => {
  const target = newPath();
  for (const name of ['listed', 'extra/deep', 'bound', 'elsewhere']) fs.mkdirSync(join(target, name), { recursive: true });
  const mounts: [string, string[]][] = [
    ['listed', ['-t', 'tmpfs', 'varve-test']],
    ['extra/deep', ['-t', 'tmpfs', 'varve-test']],
    ['bound', ['--bind', join(target, 'elsewhere')]],
  ];
  const mounted: string[] = [];
  try {
    for (const [name, options] of mounts) {
      if (process.getuid?.() !== 0 || spawnSync('mount', [...options, join(target, name)]).status !== 0) {
        t.pass('mounts', { skip: 'mounting needs root' });
        return;
      }
      mounted.push(join(target, name));
      make(join(target, name, 'precious'));
    }
    const snapshot = await tiny.snapshot({ bound: directory({}), elsewhere: directory({}), listed: directory({}) });
    for (const dryRun of [true, false]) {
      const notes: string[] = [];
      const deleted: string[] = [];
      const report = await into(snapshot, target, {
        delete: true,
        dryRun,
        exclude: excluding('/elsewhere')!,
        onNote: (message, path) => notes.push(`${Buffer.from(path ?? [])}: ${message.slice(0, 30)}`),
        onItem: (action, path) => action === 'deleted' && deleted.push(Buffer.from(path).toString()),
      });
      t.equal(report.problemCount, 0);
      for (const [name] of mounts) t.ok(fs.existsSync(join(target, name, 'precious')), name);
      t.ok(notes.some((note) => note.startsWith('listed: kept: another file system')));
      t.ok(notes.some((note) => note.startsWith('bound: kept: another file system')));
      t.same(deleted, dryRun ? ['extra'] : [], 'only the run itself looks into what it deletes');
    }
  } finally {
    for (const path of mounted) spawnSync('umount', [path]);
  }
});

t.test('what the snapshot could not read is not deleted; when it does not say all of it, nothing is', async (t) => {
  const snapshot = await tiny.snapshot({ home: directory({ closed: directory({}), u: directory({ f: file('f') }) }) }, [
    '/home/closed',
    '/home/u/secret',
    '/home/gone/deeper/f',
  ]);
  const target = newPath();
  const kept = ['closed/a', 'u/secret', 'gone/deeper/f'];
  for (const name of [...kept, 'u/other']) make(join(target, name));
  t.match(await into(snapshot, target, { subPath: utf8('/home'), delete: true }), { deleted: 1, problemCount: 0 });
  for (const name of kept) t.ok(fs.existsSync(join(target, name)), name);
  const many = Array.from({ length: 10_000 }, (_, i) => `/${i}`);
  const cut = await tiny.snapshot({ f: file('f') }, many, 10_001);
  make(join(target, 'extra'));
  await t.rejects(into(cut, target, { delete: true }), { code: 'REFUSED' });
  t.ok(fs.existsSync(join(target, 'extra')));
  t.match(await into(cut, target), { problemCount: 0 });
});

t.test('an empty path is refused, and dots and slashes mean what they mean everywhere', async (t) => {
  const snapshot = await tiny.snapshot({ a: directory({ b: directory({ f: file('f') }) }) });
  await t.rejects(into(snapshot, newPath(), { subPath: utf8('') }), RangeError);
  for (const path of ['/a/b', '/a/b/', 'a//b', '/a/./b/.', '/a/x/../b', '/../a/b', '/a/b/f']) {
    const target = newPath();
    await into(snapshot, target, { subPath: utf8(path) });
    t.same(fs.readdirSync(target), ['f'], path);
  }
  await t.rejects(into(snapshot, '/', { subPath: utf8('/a/..'), delete: true }), { code: 'REFUSED' }, 'and so is all of it');
});

t.test('a directory in the place of a file is not removed when something in it may be excluded', async (t) => {
  const target = newPath();
  make(join(target, 'a/p.keep'));
  const report = await into(await tiny.snapshot({ a: file('a') }), target, { delete: true, exclude: excluding('*.keep')! });
  t.match(report, { restored: 0, problems: [{ code: 'KIND' }] });
  t.ok(fs.existsSync(join(target, 'a/p.keep')));
});

t.test('if-newer leaves what is newer, whatever the kinds of both', async (t) => {
  const kinds: Record<string, TinyNode> = {
    directory: directory({ f: file('f') }, { mode: 0o750 }),
    fifo: { kind: 'fifo' },
    file: file('of the snapshot, in a chunk'),
    symlink: { kind: 'symlink', target: 'of the snapshot' },
  };
  const makers: Record<string, (path: string) => void> = {
    directory: (path) => fs.mkdirSync(path, { mode: 0o711 }),
    fifo: (path) => spawnSync('mkfifo', [path]),
    file: (path) => make(path),
    symlink: (path) => fs.symlinkSync('of the target', path),
  };
  const kindOf = (path: string): string => {
    const stat = fs.lstatSync(path);
    return stat.isDirectory() ? 'directory' : stat.isFIFO() ? 'fifo' : stat.isSymbolicLink() ? 'symlink' : 'file';
  };
  for (const [kind, node] of Object.entries(kinds)) {
    for (const [there, maker] of Object.entries(makers)) {
      const snapshot = await tiny.snapshot({ x: node });
      for (const isNewer of [true, false]) {
        const target = newPath();
        fs.mkdirSync(target);
        maker(join(target, 'x'));
        fs.lutimesSync(join(target, 'x'), 0, isNewer ? 2_000_000_000 : 1_000_000_000);
        const report = await into(snapshot, target, { overwrite: 'if-newer' });
        t.equal(
          kindOf(join(target, 'x')),
          isNewer ? there : kind,
          `a ${kind} over a ${there} that is ${isNewer ? 'newer' : 'older'}`,
        );
        if (kind === 'directory' && there === 'directory')
          t.equal(fs.statSync(join(target, 'x')).mode & 0o777, isNewer ? 0o711 : 0o750);
        if (isNewer && there === 'file') t.equal(fs.readFileSync(join(target, 'x'), 'utf8'), 'of the target');
        t.equal(report.missing, isNewer && kind === 'directory' && there !== 'directory' ? 1 : 0);
      }
    }
  }
});
