/** The program in one file (scripts/bundle.mjs): it is what runs, alone and in its threads; without V8's code for it, or with code that does not fit, it does the same. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fuseNativeDriver } from '../../lib/mount/fuse-native.js';
import { kernelDriver } from '../../lib/mount/kernel.js';
import { packageRoot } from '../../lib/native.js';
import { scratch } from '../helpers/backup-repository.js';

const folder = scratch(t);
const root = packageRoot();
const copy = join(folder, 'package');
mkdirSync(join(copy, 'dist'), { recursive: true });
for (const name of ['bundle', 'cli', 'lib']) cpSync(join(root, 'dist', name), join(copy, 'dist', name), { recursive: true });
for (const name of ['node_modules', 'build', 'package.json']) symlinkSync(join(root, name), join(copy, name));

const source = join(folder, 'source');
mkdirSync(source);
writeFileSync(join(source, 'a.txt'), 'the same again '.repeat(100_000));

/** Changes one bit: V8 would take it for what it made itself. */
function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.byteLength >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

/** Backs up, checks, restores and mounts with the copy. */
function goesRound(t: Test, name: string): void {
  const at = (part: string): string => join(folder, name, part);
  const { NODE_OPTIONS: _, ...env } = process.env;
  const varve = (...args: string[]): void => {
    const { status, stderr } = spawnSync(process.execPath, [join(copy, 'dist/cli/main.js'), ...args], {
      env: {
        ...env,
        VARVE_REPOSITORY: at('repo'),
        VARVE_KEY_FILE: at('key'),
        VARVE_CACHE_DIR: at('cache'),
        VARVE_STATE_DIR: at('state'),
      },
      encoding: 'utf8',
    });
    t.equal(status, 0, `${name}: ${args[0]}: ${stderr}`);
  };
  mkdirSync(join(folder, name));
  varve('init');
  varve('backup', source);
  varve('check', '--read-data');
  varve('restore', `latest:${source}`, '--target', at('target'));
  t.same(readFileSync(join(at('target'), 'a.txt')), readFileSync(join(source, 'a.txt')), name);
  for (const driver of [kernelDriver, fuseNativeDriver]) {
    const why = driver.unavailable();
    if (why !== undefined) {
      t.pass(driver.name, { skip: why });
      continue;
    }
    const mountpoint = at(driver.name);
    mkdirSync(mountpoint);
    varve('mount', '--driver', driver.name, mountpoint);
    t.same(
      readFileSync(join(mountpoint, 'latest', source, 'a.txt')),
      readFileSync(join(source, 'a.txt')),
      `${name}: ${driver.name}`,
    );
    varve('umount', mountpoint);
  }
}

t.test('whatever V8’s code beside it is, the bundle does the same; without a bundle the modules do', async (t) => {
  const bundle = join(copy, 'dist/bundle');
  const codes = readdirSync(bundle).filter((name) => name.endsWith('.code'));
  for (const part of ['cli-program', 'lib-ingest-worker', 'lib-restore-worker', 'lib-verify-worker'])
    t.ok(codes.includes(`${part}.code`), `the build keeps V8’s code of ${part}`);

  const modules = ['cli/program', 'lib/ingest/worker', 'lib/restore/worker', 'lib/verify/worker', 'lib/mount/kernel-worker'].map(
    (name) => `${name}.js`,
  );
  const texts = modules.map((name) => readFileSync(join(copy, 'dist', name)));
  for (const name of modules) rmSync(join(copy, 'dist', name));
  goesRound(t, 'trained');
  for (const name of codes) flip(join(bundle, name));
  goesRound(t, 'misfit');
  for (const name of codes) rmSync(join(bundle, name));
  goesRound(t, 'untrained');

  rmSync(bundle, { recursive: true });
  for (const [i, name] of modules.entries()) writeFileSync(join(copy, 'dist', name), texts[i]!);
  goesRound(t, 'modules');
});
