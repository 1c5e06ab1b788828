/** Progress where there is no terminal: a line a minute, JSON objects with --json, nothing with -q; never on standard output. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Output } from '../../cli/output.js';
import { Progress, type Step } from '../../cli/progress.js';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { makeRepository, scratch } from '../helpers/backup-repository.js';
import { runner } from './program.js';

/** What is written to stderr while `step` is told at these seconds after the beginning: [second, text]. */
function told(t: Test, step: Step, seconds: readonly number[], options: { json?: boolean; quiet?: boolean } = {}): unknown[] {
  t.intercept(process.stderr, 'isTTY', { value: false });
  let nowMs = 1_000_000;
  const progress = new Progress(new Output({ json: false, quiet: false, ...options }), 'backing up', () => nowMs);
  const lines: unknown[] = [];
  for (const second of seconds) {
    nowMs = 1_000_000 + second * 1000;
    const written = t.capture(process.stderr, 'write', () => true);
    progress.update(step);
    written.restore();
    for (const { args } of written()) lines.push([second, args[0]]);
  }
  progress.stop();
  return lines;
}

const HALF = { files: 10, bytes: 3 << 20, totalFiles: 40, totalBytes: 12 << 20 };

t.test('a line a minute at most says how much, how fast and how long still', async (t) => {
  t.same(told(t, HALF, [0, 1, 59.9, 60, 60.1, 119, 121, 180, 190]), [
    [60, 'varve: backing up 3.00 MiB of 12.0 MiB, 10 of 40 files, 51.2 KiB/s, 3:00 left\n'],
    [121, 'varve: backing up 3.00 MiB of 12.0 MiB, 10 of 40 files, 25.4 KiB/s, 6:03 left\n'],
    [190, 'varve: backing up 3.00 MiB of 12.0 MiB, 10 of 40 files, 16.2 KiB/s, 9:30 left\n'],
  ]);
});

t.test('what is not known is not made up', async (t) => {
  t.same(told(t, { files: 7, bytes: 600, noun: 'packs' }, [60]), [[60, 'varve: backing up 600 B, 7 packs, 10 B/s\n']]);
  t.same(told(t, { files: 0, bytes: 0, totalFiles: 40, totalBytes: 0 }, [60]), [
    [60, 'varve: backing up 0 B, 0 of 40 files, 0 B/s\n'],
  ]);
});

t.test('with --json it is a status record', async (t) => {
  const records = (step: Step): unknown[] => told(t, step, [59, 60, 61], { json: true }).map((line) => (line as string[])[1]);
  t.same(
    records(HALF).map((line) => JSON.parse(line as string)),
    [
      {
        message_type: 'status',
        schema: 1,
        seconds_elapsed: 60,
        seconds_remaining: 180,
        total_bytes: 12 << 20,
        total_files: 40,
        bytes_done: 3 << 20,
        files_done: 10,
      },
    ],
  );
  t.match(records(HALF), [/^\{.*\}\n$/], 'on a line of its own');
  t.same(JSON.parse(records({ files: 7, bytes: 600 })[0] as string), {
    message_type: 'status',
    schema: 1,
    seconds_elapsed: 60,
    bytes_done: 600,
    files_done: 7,
  });
});

t.test('-q says nothing, however long it takes, and neither does what has ended', async (t) => {
  t.same(told(t, HALF, [60, 120, 3600], { quiet: true }), []);
  t.same(told(t, HALF, [60, 120, 3600], { quiet: true, json: true }), []);
});

t.test('commands that take long tell it on stderr, and stdout has what it always has', async (t) => {
  const folder = scratch(t);
  const source = join(folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 50; i++) writeFileSync(join(source, `f${i}`), `${i} `.repeat(500));
  const { keyring, location } = await makeRepository(folder);
  writeFileSync(join(folder, 'whole.key'), await exportKeyFile(keyring, undefined, { label: 'whole' }), { mode: 0o600 });
  const varve = runner({
    VARVE_REPOSITORY: location,
    VARVE_KEY_FILE: join(folder, 'whole.key'),
    VARVE_CACHE_DIR: join(folder, 'cache'),
    VARVE_STATE_DIR: join(folder, 'state'),
    // A clock by which every millisecond takes minutes.
    NODE_OPTIONS: '--import=data:text/javascript,const%20real=performance.now.bind(performance);performance.now=()=>real()*1e6',
  });
  const types = (text: string): unknown[] => [
    ...new Set(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).message_type),
    ),
  ];
  for (const [command, noun, ...args] of [
    ['backing up', 'files', 'backup', source],
    ['checking', '(objects|snapshots|packs)', 'check', '--read-data'],
    ['restoring', 'files', 'restore', 'latest', '--target', join(folder, 'target')],
  ] as const) {
    const people = varve(args);
    t.equal(people.status, 0, people.stderr);
    t.match(people.stderr, new RegExp(`^(varve: ${command} [^\\n]*\\d ${noun}, [^\\n]*/s[^\\n]*\\n)+$`), args[0]);
    t.notMatch(people.stdout, command);
    const programs = varve([...args, '--json', ...(args[0] === 'backup' ? ['--force'] : [])]);
    t.equal(programs.status, 0, programs.stderr);
    const said = args[0] === 'restore' ? ['file', 'summary'] : ['summary'];
    t.same([types(programs.stderr), types(programs.stdout)], [['status'], said], args[0]);
    if (args[0] === 'check') t.equal(varve([...args, '-q']).stderr, '', 'and nothing with -q');
  }
});
