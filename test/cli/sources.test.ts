/** What people name as sources, in arguments, lists and streams: it is stored, or they are told. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { scratch } from '../helpers/backup-repository.js';
import { MAIN, type Ran, type RunOptions, runner } from './program.js';

const ROOT = process.platform === 'linux' && process.getuid?.() === 0;
const NEEDS_ROOT = ROOT ? false : 'mounting needs root on Linux';

interface Place {
  readonly folder: string;
  readonly src: string;
  readonly environment: Readonly<Record<string, string>>;
  varve(args: readonly string[], options?: RunOptions): Ran;
  /** Paths in the newest snapshot below `src`. */
  stored(): string[];
}

function place(t: Test): Place {
  const folder = scratch(t);
  const src = join(folder, 'src');
  mkdirSync(src);
  const environment = {
    VARVE_REPOSITORY: join(folder, 'repo'),
    VARVE_KEY_FILE: join(folder, 'key'),
    VARVE_CACHE_DIR: join(folder, 'cache'),
    VARVE_STATE_DIR: join(folder, 'state'),
    VARVE_HOST: 'h',
  };
  const varve = runner(environment);
  t.equal(varve(['init', '-q']).status, 0);
  const stored = (): string[] => {
    const ids = varve(['snapshots', '--json']).records.filter((record) => 'id' in record);
    const { records } = varve(['ls', '--json', `${(ids.at(-1) as { id: string } | undefined)?.id}:${src}`]);
    return records
      .flatMap(({ path }: { path?: string }) => (path?.startsWith(`${src}/`) ? [path.slice(src.length + 1)] : []))
      .sort();
  };
  return { folder, src, environment, varve, stored };
}

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

function mountTmpfs(t: Test, at: string): void {
  mkdirSync(at, { recursive: true });
  t.equal(spawnSync('mount', ['-t', 'tmpfs', 'none', at]).status, 0);
  t.teardown(() => void spawnSync('umount', ['-l', at]));
}

t.test(
  'with -x each source has its own file system, and mount points that are not entered are named',
  { skip: NEEDS_ROOT },
  (t) => {
    const { src, varve, stored } = place(t);
    mountTmpfs(t, join(src, 'home'));
    write(src, { a: 'root', 'home/b': 'home' });
    for (const order of [
      [src, join(src, 'home')],
      [join(src, 'home'), src],
    ]) {
      t.equal(varve(['backup', '-q', '-x', ...order]).status, 0);
      t.same(stored(), ['a', 'home', 'home/b']);
    }
    const ran = varve(['backup', '-x', src]);
    t.match(ran.stdout, `1 mount point: ${join(src, 'home')}`);
    t.same(stored(), ['a', 'home']);
    const [summary] = varve(['backup', '-x', '--json', src]).records.slice(-1) as { mounts_not_entered?: unknown }[];
    t.same(summary?.mounts_not_entered, [{ path: join(src, 'home') }]);
    t.end();
  },
);

t.test('a source inside another, and beneath what is excluded, is stored', (t) => {
  const { src, varve, stored } = place(t);
  write(src, { 'a/b/c/f': '1', 'a/b/other': '2', 'a/g': '3', 'a/b/c/x.tmp': '4' });
  varve(['backup', '-q', '-e', join(src, 'a/b'), '-e', '*.tmp', join(src, 'a'), join(src, 'a/b/c')]);
  t.same(stored(), ['a', 'a/b', 'a/b/c', 'a/b/c/f', 'a/g']);
  varve(['backup', '-q', '-e', '*.tmp', join(src, 'a/b/c/x.tmp')]);
  t.same(stored(), ['a', 'a/b', 'a/b/c', 'a/b/c/x.tmp'], 'a file that is named itself, too');
  t.end();
});

t.test('a symlink with a slash means its directory; without one, and of an empty source, it is told', (t) => {
  const { src, varve, stored } = place(t);
  write(src, { 'real/f': 'precious', 'real/sub/g': 'too' });
  symlinkSync('real', join(src, 'current'));
  for (let run = 0; run < 2; run++) {
    const followed = varve(['backup', '-q', `${join(src, 'current')}/`]);
    t.equal(followed.status, 0);
    t.equal(followed.stderr, '');
    t.same(stored(), ['current', 'current/f', 'current/sub', 'current/sub/g']);
  }
  varve(['backup', '-q', src, `${join(src, 'current')}/`]);
  t.ok(stored().includes('current/f'), 'inside another source as well');
  const link = varve(['backup', '-q', join(src, 'current')]);
  t.equal(link.status, 0);
  t.equal(link.stderr.match(/is a symlink/g)?.length, 1, 'told once');
  t.same(stored(), ['current']);
  mkdirSync(join(src, 'empty'));
  t.match(varve(['backup', '-q', join(src, 'empty')]).stderr, /nothing in it/);
  t.match(varve(['backup', '-q', '-e', '*', join(src, 'real')]).stderr, /left out by what is excluded/);
  t.end();
});

t.test('attributes above the source that cannot be read cost nothing beneath', { skip: NEEDS_ROOT }, (t) => {
  const { folder, environment } = place(t);
  const me = join(folder, 'top', 'me');
  write(me, { doc: 'doc' });
  if (spawnSync('setfattr', ['-n', 'user.k', '-v', '1', join(folder, 'top')]).status !== 0) {
    t.pass('attributes', { skip: 'no setfattr, or no user attributes here' });
    t.end();
    return;
  }
  spawnSync('rm', ['-rf', join(folder, 'repo'), join(folder, 'key'), join(folder, 'cache'), join(folder, 'state')]);
  spawnSync('chown', ['-R', '12345:12345', folder]);
  spawnSync('chown', ['0:0', join(folder, 'top')]);
  chmodSync(folder, 0o755);
  chmodSync(join(folder, 'top'), 0o711);
  const user = (...args: string[]) =>
    spawnSync('setpriv', ['--reuid=12345', '--regid=12345', '--clear-groups', process.execPath, MAIN, ...args], {
      env: { PATH: process.env.PATH, ...environment },
      encoding: 'utf8',
    });
  t.equal(user('init', '-q').status, 0);
  const ran = user('backup', me);
  t.match(ran.stderr, /top: stored without attribute user\.k: permission denied/);
  t.match(ran.stdout, /1 new/);
  t.end();
});

t.test('lists: a name that is there is that name, whatever is in it; a wildcard without a match is a warning', (t) => {
  const { folder, src, varve, stored } = place(t);
  write(src, { 'a[1].txt': '1', b: '2', 'c d': '3' });
  const list = join(folder, 'list');
  writeFileSync(list, `\ufeff${src}/a[1].txt\r\n\r\n# a remark\r\n${src}/[b]\r\n`);
  t.equal(varve(['backup', '-q', '--files-from', list]).status, 0);
  t.same(stored(), ['a[1].txt', 'b']);
  writeFileSync(list, `${src}/b\n${src}/*.sql\n`);
  const ran = varve(['backup', '-q', '--files-from', list]);
  t.equal(ran.status, 3);
  t.match(ran.stderr, `list:2: nothing matches ${src}/*.sql`);
  t.same(stored(), ['b']);
  writeFileSync(list, `\ufeff${src}/c d\r\n`);
  t.equal(varve(['backup', '-q', '--files-from-verbatim', list]).status, 0);
  t.same(stored(), ['c d']);
  for (const option of ['--files-from', '--files-from-verbatim', '--files-from-raw', '--exclude-file']) {
    writeFileSync(list, Buffer.from(`\ufeff${src}/b\n`, 'utf16le'));
    const refused = varve(['backup', option, list, src]);
    t.equal(refused.status, 2);
    t.match(refused.stderr, /list: the list is in UTF-16/, option);
  }
  writeFileSync(list, 'fine\n[b\n');
  t.match(varve(['backup', '--exclude-file', list, src]).stderr, /list:2: pattern \[b/);
  writeFileSync(list, 'fine\n$NOT_SET/x\n');
  t.match(varve(['backup', '--exclude-file', list, src]).stderr, /list:2: /);
  t.end();
});

t.test('patterns: a slash at the end means directories; a ! that can do nothing is told; the help says so', (t) => {
  const { folder, src, varve, stored } = place(t);
  write(src, { 'p/build/x': '1', 'q/build': 'a file', 'video/a/keep/f': '2', 'k.tmp': '3' });
  const list = join(folder, 'list');
  writeFileSync(list, '\ufeff*.tmp\r\n');
  const ran = varve([
    'backup',
    '-q',
    '-e',
    'build/',
    '--exclude-file',
    list,
    '-e',
    `${src}/video/*`,
    '-e',
    `!${src}/video/a/keep`,
    src,
  ]);
  t.equal(ran.status, 0);
  t.same(stored(), ['p', 'q', 'q/build', 'video']);
  t.equal(ran.stderr.match(/takes nothing back/g)?.length, 1, 'once');
  t.match(ran.stderr, `!${src}/video/a/keep`);
  t.equal(varve(['backup', '-q', '-e', `${src}/video/a/*`, '-e', `!${src}/video/a/keep`, src]).stderr, '');
  t.ok(stored().includes('video/a/keep/f'));
  const help = varve(['backup', '--help']).stdout;
  for (const word of ['directories only', 'takes back', 'names a file that is there'])
    t.match(help.replaceAll(/\s+/g, ' '), word);
  t.end();
});

t.test(
  'files that hold another size than they say are stored as read',
  { skip: process.platform !== 'linux' && 'there is no /proc' },
  (t) => {
    const { varve } = place(t);
    for (const file of ['/proc/version', '/proc/sys/kernel/ostype']) {
      for (let run = 0; run < 2; run++) t.equal(varve(['backup', '-q', file]).status, 0);
      t.equal(varve(['dump', `latest:${file}`]).stdout, readFileSync(file, 'latin1'));
    }
    t.end();
  },
);

t.test('the repository, copies of it, caches and mounts are left out, and that is told', (t) => {
  const { folder, src, varve, stored } = place(t);
  write(src, { f: '1' });
  varve(['backup', '-q', src]);
  t.equal(spawnSync('cp', ['-a', join(folder, 'repo'), join(src, 'copy')]).status, 0);
  const [summary] = varve(['backup', '--json', folder]).records.slice(-1) as { left_out?: { path: string; reason: string }[] }[];
  t.same(summary?.left_out?.map(({ reason }) => reason).sort(), [
    'the cache of this repository',
    'this repository',
    'this repository',
  ]);
  t.same(stored(), ['copy', 'f']);
  const [cache] = summary!.left_out!.filter(({ reason }) => reason.includes('cache'));
  t.match(readFileSync(join(cache!.path, 'CACHEDIR.TAG'), 'utf8'), /^Signature: 8a477f597d28d172789f06886806bc55/);
  t.match(varve(['backup', '-q', join(folder, 'repo')]).stderr, /named as a source, but is left out/);
  t.end();
});

t.test('no two sets of sources share a default label, and naming one twice changes nothing', (t) => {
  const { src, varve } = place(t);
  const made = spawnSync('sh', ['-c', `mkdir "$1/$(printf 'd\\344')" "$1/$(printf 'd\\366')" "$1/a" "$1/a $1"`, 'sh', src]);
  const labelsOf = (...names: string[]): string => {
    const shell = spawnSync(
      'sh',
      ['-c', `cd "$3" && "$1" "$2" backup -q ${names.join(' ')}`, 'sh', process.execPath, MAIN, src],
      {
        env: { ...process.env, ...environmentOf(src) },
        encoding: 'utf8',
      },
    );
    t.equal(shell.status, 0, shell.stderr);
    return (
      varve(['snapshots', '--json'])
        .records.filter((record) => 'label' in record)
        .at(-1) as unknown as { label: string }
    ).label;
  };
  t.ok(made.status === 0 || made.status === 1);
  t.equal(labelsOf('.'), src);
  t.equal(labelsOf('.', './', src), src);
  const odd = [`"$(printf 'd\\344')"`, `"$(printf 'd\\366')"`].map((name) => labelsOf(name));
  t.same(odd, [`${src}/d\\xe4`, `${src}/d\\xf6`]);
  mkdirSync(join(src, 'x ', 'y'), { recursive: true });
  mkdirSync(join(src, 'x'), { recursive: true });
  t.not(labelsOf(`'x /y'`), labelsOf('x', '/y', '2>/dev/null', '||', 'true'));
  t.end();
});

function environmentOf(src: string): Record<string, string> {
  const folder = join(src, '..');
  return {
    VARVE_REPOSITORY: join(folder, 'repo'),
    VARVE_KEY_FILE: join(folder, 'key'),
    VARVE_CACHE_DIR: join(folder, 'cache'),
    VARVE_STATE_DIR: join(folder, 'state'),
    VARVE_HOST: 'h',
  };
}

t.test('an empty stream is refused unless it is meant; standard input that is a directory too', (t) => {
  const { varve, environment } = place(t);
  const ran = varve(['backup', '--stdin']);
  t.equal(ran.status, 1);
  t.match(ran.stderr, /--allow-empty/);
  t.equal(varve(['backup', '--stdin-from-command', '--', 'true']).status, 1);
  t.equal(varve(['snapshots', '--json']).records.filter((record) => 'id' in record).length, 0, 'nothing was stored');
  t.equal(varve(['backup', '-q', '--stdin', '--allow-empty']).status, 0);
  const directory = spawnSync(process.execPath, [MAIN, 'backup', '--stdin'], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: [openSync('/', 'r'), 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  t.equal(directory.status, 2);
  t.end();
});

t.test('block devices are read and written; dump fails when not all was written', { skip: NEEDS_ROOT }, (t) => {
  const { folder, varve, environment } = place(t);
  const disk = join(folder, 'disk');
  const random = spawnSync('head', ['-c', String(3 << 20), '/dev/urandom'], { maxBuffer: 8 << 20 }).stdout;
  writeFileSync(disk, random);
  const device = spawnSync('losetup', ['-f', '--show', disk], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const run = (script: string) =>
    spawnSync('sh', ['-c', script, 'sh', process.execPath, MAIN, device], {
      env: { PATH: process.env.PATH, ...environment },
      encoding: 'utf8',
    });
  if (device !== '' && existsSync(device)) {
    t.teardown(() => void spawnSync('losetup', ['-d', device]));
    t.equal(run('"$1" "$2" backup -q --stdin <"$3"').status, 0);
    spawnSync('dd', ['if=/dev/zero', `of=${device}`, 'bs=1M', 'count=3']);
    t.equal(run('"$1" "$2" dump latest:/stdin >"$3"').status, 0);
    t.ok(readFileSync(device).equals(random));
    varve(['backup', '-q', '--stdin', '--stdin-filename', 'larger'], { input: Buffer.concat([random, random]) });
    const short = run('"$1" "$2" dump latest:/larger >"$3"');
    t.equal(short.status, 1);
    t.match(short.stderr, /not everything was written/);
  } else t.pass('block devices', { skip: 'no loop device can be had here' });
  varve(['backup', '-q', '--stdin', '--stdin-filename', 'some'], { input: random });
  t.equal(run('"$1" "$2" dump latest:/some >/dev/full').status, 1);
  const pipe = run('{ "$1" "$2" dump latest:/some; echo $? >&2; } | head -c 10 >/dev/null');
  t.match(pipe.stderr, /^1$/m, 'a reader that has enough');
  t.end();
});

t.test('a name service that does not answer costs one wait, is told, and names come later', { skip: NEEDS_ROOT }, (t) => {
  const { folder, src, varve } = place(t);
  write(src, { a: '1', b: '2', 'c/d': '3' });
  for (const [name, id] of [
    ['a', '70001:70002'],
    ['b', '70003:70004'],
    ['c/d', '70005:70006'],
  ] as const)
    spawnSync('chown', [id, join(src, name)]);
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'getent'), '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
  const PATH = `${bin}:${process.env.PATH}`;
  const started = process.hrtime.bigint();
  const ran = varve(['backup', '-q', src], { env: { PATH } });
  t.equal(ran.status, 0);
  t.ok(process.hrtime.bigint() - started < 15_000_000_000n, 'one wait of 5 s, not six');
  t.equal(ran.stderr.match(/name service does not answer/g)?.length, 1);
  writeFileSync(join(bin, 'getent'), '#!/bin/sh\ndatabase=$1; shift; for id in "$@"; do echo "$database$id:x:$id:"; done\n', {
    mode: 0o755,
  });
  t.equal(varve(['backup', '-q', src], { env: { PATH } }).stderr, '');
  const files = varve(['ls', '--json', `latest:${src}`]).records as unknown as {
    path: string;
    user?: string;
    group?: string;
  }[];
  t.match(
    files.filter(({ path }) => /\/[abd]$/.test(path ?? '')).map(({ user, group }) => `${user} ${group}`),
    ['passwd70001 group70002', 'passwd70003 group70004', 'passwd70005 group70006'],
  );
  t.end();
});

t.test('counts are what was stored: what is only read again has not changed', (t) => {
  const { src, varve } = place(t);
  for (let i = 0; i < 20; i++) write(src, { [`f${i}`]: `content ${i}` });
  varve(['backup', '-q', src]);
  type Summary = Record<'files_new' | 'files_changed' | 'files_unmodified' | 'files_read_again', number>;
  const summary = (...args: string[]): Summary => varve(['backup', '--json', ...args, src]).records.at(-1) as unknown as Summary;
  const { files_new, files_changed, files_unmodified } = summary();
  t.same([files_new, files_changed, files_unmodified], [0, 0, 20], 'just made, so that times prove nothing');
  const forced = summary('--force');
  t.same([forced.files_new, forced.files_changed, forced.files_unmodified, forced.files_read_again], [0, 0, 20, 20]);
  writeFileSync(join(src, 'f3'), 'other');
  writeFileSync(join(src, 'fresh'), 'fresh');
  const changed = summary();
  t.same([changed.files_new, changed.files_changed, changed.files_unmodified], [1, 1, 19]);
  t.end();
});
