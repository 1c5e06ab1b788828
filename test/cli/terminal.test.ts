/** What only a terminal shows: the prompt for a passphrase and the progress bar, in a real tmux. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratch } from '../helpers/backup-repository.js';
import { MAIN } from './program.js';

const skip = spawnSync('tmux', ['-V']).status === 0 ? false : 'tmux is not installed';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('a terminal', { skip }, async (t) => {
  const folder = scratch(t);
  const socket = join(folder, 'tmux');
  const tmux = (...args: string[]): string =>
    spawnSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' }).stdout;
  const environment = { VARVE_REPOSITORY: join(folder, 'repo'), VARVE_CACHE_DIR: join(folder, 'cache') };
  const exports = Object.entries(environment)
    .map(([name, value]) => `export ${name}=${value}`)
    .join('; ');
  tmux(
    'new-session',
    '-d',
    '-x',
    '120',
    '-y',
    '40',
    `env -u VARVE_PASSWORD -u VARVE_KEY_FILE sh -c '${exports}; PS1="> " exec sh'`,
  );
  t.teardown(() => void tmux('kill-server'));
  const screen = (): string => tmux('capture-pane', '-p');
  const type = (text: string): void => void tmux('send-keys', text, 'Enter');
  /** Waits until the screen shows `pattern`. */
  const shows = async (pattern: RegExp): Promise<boolean> => {
    for (let attempt = 0; attempt < 600; attempt++) {
      if (pattern.test(screen())) return true;
      await pause(50);
    }
    return false;
  };
  const varve = `${process.execPath} ${MAIN}`;
  /** The prompt and nothing else: one that was answered stands there until the shell has cleared the screen. */
  const PROMPT = /^Passphrase for .*: *\n\s*$/;

  await t.test('init asks twice, shows nothing, and asks again when the two differ', async (t) => {
    type(`clear; ${varve} init; echo status $?`);
    t.ok(await shows(/Passphrase for the new repository:/));
    type('geheim');
    t.ok(await shows(/again:/));
    type('other');
    t.ok(await shows(/The two differ/));
    for (const time of [/differ\.\n.*repository: *$/m, /differ\.[\s\S]*again: *$/m]) {
      t.ok(await shows(time));
      type('geheim');
    }
    t.ok(await shows(/Created repository[\s\S]*status 0/), screen());
    t.notOk(/geheim|other/.test(screen()), 'nothing that was typed is shown');
  });

  await t.test('the third wrong passphrase is 12, Ctrl-C at the prompt is 130', async (t) => {
    type(`clear; ${varve} snapshots; echo status $?`);
    t.ok(await shows(PROMPT));
    tmux('send-keys', 'falsch', 'BSpace', 'Enter');
    t.ok(await shows(/(not right; try again\.\s+Passphrase for \S+ *\s*){1}$/), screen());
    tmux('send-keys', 'Enter');
    t.ok(await shows(/is empty; try again\.\s+Passphrase for \S+ *\s*$/), screen());
    type('falsch');
    t.ok(await shows(/status 12/), screen());
    type(`clear; ${varve} -q snapshots; echo status $?`);
    t.ok(await shows(PROMPT));
    type('falsch');
    t.ok(await shows(/try again/), screen());
    type('geheim');
    t.ok(await shows(/status 0/), screen());
    type(`clear; ${varve} snapshots; echo status $?`);
    t.ok(await shows(PROMPT));
    tmux('send-keys', 'C-c');
    t.ok(await shows(/status 130/), screen());
  });

  await t.test('what is typed before anybody asks is neither an answer nor for the shell', async (t) => {
    // Held back until the line is typed ahead: the first thing that init does after asking.
    const gate = join(folder, 'gate');
    type(`clear; while [ ! -e ${gate} ]; do sleep 0.1; done; ${varve} -q snapshots; echo status $?`);
    type('echo to the shell');
    t.ok(await shows(/to the shell/), 'it was typed');
    writeFileSync(gate, '');
    t.ok(await shows(/Passphrase for \S+ *\s*$/), screen());
    type('geheim');
    t.ok(await shows(/status 0/), screen());
    t.equal(screen().match(/to the shell/g)?.length, 1, 'it was not run');
  });

  await t.test('backup draws a bar with rate and time left, and leaves a clean screen', async (t) => {
    const source = join(folder, 'source');
    mkdirSync(source);
    const noise = Buffer.alloc(1 << 20);
    for (let i = 0; i < 200; i++) {
      for (let at = 0; at < noise.byteLength; at += 4) noise.writeUInt32LE((Math.random() * 2 ** 32) >>> 0, at);
      writeFileSync(join(source, `f${i}`), noise);
    }
    type(`clear; export VARVE_PASSWORD=geheim; ${varve} backup ${source}; echo status $?`);
    t.ok(await shows(/backing up .* files, .*\/s/), 'counts, when nothing is known of the total');
    t.ok(await shows(/status 0/), screen());
    type(`clear; ${varve} backup --force ${source}; echo status $?`);
    t.ok(await shows(/backing up \[.*\] +\d+% .* of 200 MiB, .*\/s, \d+:\d\d left/), 'a bar towards what the last snapshot held');
    t.ok(await shows(/status 0/));
    t.notOk(/\[=*-*\]/.test(screen()), 'the bar is gone afterwards');
    t.match(screen(), /200 changed|200 unmodified|0 new/);
  });
});
