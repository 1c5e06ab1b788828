// npm test: sets up, type-checks, lints, and runs the tests under tap; prints what failed and, last, the counts.
// Arguments name test files; without any, all of test/ runs.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, setup, setupTests } from './setup.mjs';

// Files that take long come first, or one of them would run alone at the end.
const FIRST = /^test\/(faults|cli|ingest|e2e|retention)\//;

setup();
await setupTests();
const at = (...parts) => join(root, ...parts);
let files = process.argv.slice(2);
if (files.length === 0) {
  files = readdirSync(at('test'), { recursive: true })
    .map((name) => join('test', name))
    .filter((name) => name.endsWith('.test.ts'))
    .sort((a, b) => FIRST.test(b) - FIRST.test(a) || (a < b ? -1 : 1));
  run('checking types', process.execPath, [at('node_modules/typescript/bin/tsc'), '--noEmit', '-p', 'tsconfig.test.json']);
  run('checking style', process.execPath, [at('node_modules/@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.']);
}
// Imported late: in a fresh clone it is there only after setup.
const { Parser } = await import('tap-parser');

mkdirSync(at('.tap'), { recursive: true });
const log = createWriteStream(at('.tap', 'output.tap'));
const counts = { passed: 0, failed: 0, skipped: 0 };
const skips = new Set();

/** Counts test points; one that sums up a subtest is left out, its points have been counted. */
function watch(parser, depth, trail) {
  let summaryOf;
  parser.on('child', (child) => {
    const name = child.name.replace(/^Subtest: /, '');
    watch(child, depth + 1, [...trail, name]);
    child.on('complete', () => {
      summaryOf = name;
    });
  });
  parser.on('assert', (result) => {
    const isSummary = summaryOf !== undefined;
    summaryOf = undefined;
    if (result.skip || result.todo) {
      counts.skipped++;
      skips.add(`${[...trail, result.name].join(' › ')}: ${result.skip || result.todo}`);
    } else if (!isSummary) {
      if (result.ok) counts.passed++;
      else {
        counts.failed++;
        process.stdout.write(
          `not ok  ${[...trail, result.name].join(' › ')}\n${result.diag ? `${JSON.stringify(result.diag, null, 2)}\n` : ''}`,
        );
      }
    } else if (!result.ok && depth === 0) counts.failed++;
    if (depth === 0)
      process.stdout.write(`${result.ok ? 'ok    ' : 'not ok'}  ${result.name} (${((result.time ?? 0) / 1000).toFixed(1)} s)\n`);
  });
}

const parser = new Parser();
watch(parser, 0, []);
const tap = spawn(process.execPath, [at('scripts/run-files.mjs'), ...files], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
tap.stdout.on('data', (chunk) => {
  log.write(chunk);
  parser.write(chunk);
});
const status = await new Promise((resolve) => tap.on('close', resolve));
parser.end();
for (const skip of skips) process.stdout.write(`skipped  ${skip}\n`);
if (status !== 0 && counts.failed === 0) {
  process.stdout.write(`tap ended with status ${status} although no test failed; its output is in .tap/output.tap\n`);
  counts.failed++;
}
process.stdout.write(
  `\n${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}\n`,
);
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;
