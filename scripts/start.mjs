// npm start [-- PATH]: the five-minute tour in one command. Sets up, backs PATH (or this project's own sources) up into a new repository, mounts
// it, finds a file through the mount, copies it out and compares it, and says which commands did it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { root, setup } from './setup.mjs';

setup();
const given = process.argv[2];
const source = resolve(process.env.INIT_CWD ?? process.cwd(), given ?? join(root, 'lib'));
const place = mkdtempSync(join(tmpdir(), 'varve-start-'));
const at = (name) => join(place, name);
const stays = given !== undefined || process.stdout.isTTY;
process.env.VARVE_REPOSITORY = at('repository');
process.env.VARVE_KEY_FILE = at('key');

const say = (text) => process.stdout.write(`${text}\n`);

function fail(command, result) {
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}\n`);
  process.stderr.write(`failed (${result.status}): ${command}\nEverything it made is in ${place}\n`);
  process.exit(1);
}

/** Runs a command, showing it and the last lines of what it says. */
function show(program, args, { quiet = false, may = false } = {}) {
  const shown = [program, ...args].join(' ');
  say(`\n$ ${shown}`);
  const file = program === 'varve' ? process.execPath : program;
  const result = spawnSync(file, program === 'varve' ? [join(root, 'dist/cli/main.js'), ...args] : args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (result.status !== 0 && !may) fail(shown, result);
  if (!quiet) for (const line of result.stdout.trimEnd().split('\n').slice(0, 12)) say(`  ${line}`);
  return result;
}

/** Some file below `folder`, not too large. */
function someFile(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile() && statSync(path).size < 1 << 24) return path;
    const below = entry.isDirectory() ? someFile(path) : undefined;
    if (below !== undefined) return below;
  }
  return undefined;
}

say(`The repository, its key file and the mount are in ${place}.`);
say('These two variables stand for -r and --key-file:');
say(`  export VARVE_REPOSITORY=${at('repository')} VARVE_KEY_FILE=${at('key')}`);
show('varve', ['init']);
const backup = show('varve', ['backup', source], { may: true });
if (backup.status !== 0 && backup.status !== 3) fail('varve backup', backup);
show('varve', ['snapshots']);

const example = statSync(source).isFile() ? source : someFile(source);
const copy = at('copy');
show('mkdir', [at('mnt')], { quiet: true });
const mounted = show('varve', ['mount', at('mnt')], { may: true });
if (mounted.status === 0) {
  const through = join(at('mnt'), 'latest', source);
  show('ls', [at('mnt')]);
  show('ls', [through]);
  if (example !== undefined) show('cp', ['-p', join(at('mnt'), 'latest', example), copy], { quiet: true });
} else {
  process.stdout.write(`${mounted.stderr}`);
  say('This machine does not let us mount (it takes /dev/fuse, and root or fusermount3): restoring the file instead.');
  if (example !== undefined) {
    show('varve', ['restore', `latest:${join(example, '..')}`, '--target', at('restored')], { quiet: true });
    show('cp', ['-p', join(at('restored'), example.split('/').pop()), copy], { quiet: true });
  }
}
if (example !== undefined) {
  show('cmp', [example, copy], { quiet: true });
  say(`  the copy is equal to ${example}`);
}
if (mounted.status === 0 && !stays) show('varve', ['umount', at('mnt')], { quiet: true });
say('');
if (stays) {
  say(`Look around in ${mounted.status === 0 ? at('mnt') : place}; every backup you make from now on appears there.`);
  if (mounted.status === 0) say(`When done: node ${join(root, 'dist/cli/main.js')} umount ${at('mnt')} && rm -r ${place}`);
} else {
  rmSync(place, { recursive: true, force: true });
  say('Done: backed up, mounted, compared, unmounted; what was made is removed again.');
}
