// Runs compiled test files under tap, several at a time, and writes TAP to standard output. Part of `npm test`; scripts/test.mjs has the rest.
// tap's own runner would load TypeScript into every file's process and translate the library there again, which takes longer than most tests.
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import t from 'tap';
import { compiledTest, root } from './setup.mjs';

const TIMEOUT_MS = 900_000;

t.setTimeout(0);
t.jobs = Math.max(2, Math.min(4, availableParallelism()));
for (const file of process.argv.slice(2))
  t.spawn(process.execPath, ['--enable-source-maps', compiledTest(file)], {
    name: relative(root, join(root, file)),
    cwd: root,
    buffered: true,
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
