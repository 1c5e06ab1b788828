// Runs compiled test files under tap, several at a time, and writes TAP to standard output. Part of `npm test`; scripts/test.mjs has the rest.
// tap's own runner would load TypeScript into every file's process and translate the library there again, which takes longer than most tests.
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import t from 'tap';
import { compiledTest, root } from './setup.mjs';

const TIMEOUT_S = Number(process.env.VARVE_TEST_TIMEOUT_S ?? 900);

// The default of a test file's own tests is 30 seconds.
process.env.TAP_TIMEOUT = String(TIMEOUT_S);
t.setTimeout(0);
t.jobs = Math.max(2, Math.min(4, availableParallelism()));
// Without NODE_OPTIONS, in which tap asks every process that a test starts to load its record of processes, and to write in .tap.
// The longest first, so that none of them runs alone at the end.
const LONGEST = ['test/retention/simulation.test.ts', 'test/cli/roles.test.ts', 'test/faults/rotation.test.ts'];
const isLong = (file) => LONGEST.includes(relative(root, join(root, file)));
const files = process.argv.slice(2);
for (const file of [...files.filter(isLong), ...files.filter((file) => !isLong(file))])
  t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', compiledTest(file)], {
    name: relative(root, join(root, file)),
    cwd: root,
    buffered: true,
    timeout: TIMEOUT_S * 1000,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
