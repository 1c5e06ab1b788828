// Runs the commands that people run, so that V8's code for them is kept beside the bundle. Where there is no /dev/fuse, a mount starts slower, no more.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './setup.mjs';

const FILES = 300;
const LIMIT_MS = 60_000;

/** Not on every machine that has the device may everybody mount. */
function mount(varve, mountpoint) {
  try {
    varve('mount', mountpoint);
  } catch (error) {
    process.stderr.write(`varve setup: mounting starts slower: ${error.message}\n`);
    return;
  }
  try {
    spawnSync('find', [mountpoint, '-type', 'f', '-exec', 'cat', '{}', '+'], { stdio: 'ignore', timeout: LIMIT_MS });
  } finally {
    varve('umount', '--lazy', mountpoint);
  }
}

/** Trains the bundle in `folder`. @throws Error when a command fails */
export function train(folder) {
  const place = mkdtempSync(join(tmpdir(), 'varve-train-'));
  const at = (name) => join(place, name);
  const kept = Object.entries(process.env).filter(([name]) => !/^(VARVE_|NODE_OPTIONS)/.test(name));
  const env = {
    ...Object.fromEntries(kept),
    VARVE_TRAIN_BUNDLE: folder,
    VARVE_REPOSITORY: at('repository'),
    VARVE_KEY_FILE: at('key'),
    VARVE_CACHE_DIR: at('cache'),
    VARVE_STATE_DIR: at('state'),
  };
  const varve = (...args) => {
    const program = [join(root, 'dist/cli/main.js'), ...args];
    const { status, stderr } = spawnSync(process.execPath, program, { env, encoding: 'utf8', timeout: LIMIT_MS });
    if (status !== 0) throw new Error(`varve ${args.join(' ')} ended with ${status}: ${stderr}`);
  };
  try {
    mkdirSync(at('source'));
    for (let i = 0; i < FILES; i++) writeFileSync(join(at('source'), `${i}.txt`), `${i} `.repeat(500 + i * 20));
    writeFileSync(join(at('source'), 'large'), Buffer.alloc(40 << 20, 'larger than a block, and the same again and again. '));
    mkdirSync(at('mount'));
    varve('init');
    varve('backup', at('source'));
    varve('backup', '--force', at('source'));
    varve('backup', at('source'));
    varve('snapshots');
    varve('ls', 'latest');
    varve('check', '--read-data');
    varve('restore', 'latest', '--target', at('target'));
    if (existsSync('/dev/fuse')) mount(varve, at('mount'));
    // Of threads that were ended while they wrote.
    for (const name of readdirSync(folder)) if (/\.code\./.test(name)) rmSync(join(folder, name));
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
