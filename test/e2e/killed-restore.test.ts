/** `varve restore`, killed by the kernel at a system call of a file, and run again with each `--overwrite`: what is not whole is never taken for whole. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MAIN, runner } from '../cli/program.js';

const folder = fs.mkdtempSync(join(tmpdir(), 'varve-killed-'));
t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const environment = {
  VARVE_REPOSITORY: at('repository'),
  VARVE_KEY_FILE: at('key'),
  VARVE_CACHE_DIR: at('cache'),
  VARVE_STATE_DIR: at('state'),
};
const varve = runner(environment);
const noStrace = spawnSync('strace', ['-V']).status !== 0 && 'strace is not installed';

t.test('killed at any step of a small file or a large one, it is finished by the next run', { skip: noStrace }, async (t) => {
  const source = at('source');
  fs.mkdirSync(source);
  const contents = new Map<string, Buffer>();
  for (const [name, size] of [
    ['a', 3000],
    ['b', 20_000],
    ['large', 300_000],
  ] as const) {
    contents.set(name, Buffer.alloc(size, `content of ${name}, `));
    fs.writeFileSync(join(source, name), contents.get(name)!, { mode: 0o640 });
    fs.utimesSync(join(source, name), 1_000_000_000, 1_000_000_000);
  }
  t.equal(varve(['init']).status, 0);
  t.equal(varve(['backup', '-q', source]).status, 0);
  let killed = 0;
  for (const call of ['pwrite64', 'fchownat', 'utimensat', 'fchmod']) {
    for (const overwrite of ['never', 'if-newer', 'if-changed']) {
      const when = 1 + (killed % 3);
      const target = at('target');
      const run = ['restore', `latest:${source}`, '--target', target];
      const inject = `inject=${call}:signal=SIGKILL:when=${when}`;
      const traced = spawnSync(
        'strace',
        ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject, process.execPath, MAIN, ...run],
        {
          env: { PATH: process.env.PATH, HOME: folder, ...environment },
        },
      );
      if (traced.status !== 0) killed++;
      const again = varve([...run, '--overwrite', overwrite]);
      t.equal(again.status, 0, `${call}, ${when}, ${overwrite}: ${again.stderr}`);
      for (const [name, content] of contents) {
        const path = join(target, name);
        if (!fs.readFileSync(path).equals(content)) t.fail(`${call}, ${when}, ${overwrite}: the bytes of ${name}`);
        const { mode, mtimeMs } = fs.statSync(path);
        if (mode !== 0o100640 || mtimeMs !== 1e12)
          t.fail(`${call}, ${when}, ${overwrite}: mode ${mode.toString(8)}, time ${mtimeMs}`);
      }
      fs.rmSync(target, { recursive: true, force: true });
    }
  }
  t.ok(killed >= 10, `${killed} runs were killed`);
});
