#!/usr/bin/env node
/** The program: finds the command, loads its file alone, runs it, and turns whatever it throws into a message and an exit status. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The program out of the one file that scripts/bundle.mjs makes of it, which starts faster; or, where that is not there, out of its modules. */
async function loadProgram(): Promise<typeof import('./program.js')> {
  const bundled = fileURLToPath(new URL('../bundle/cli/program.cjs', import.meta.url));
  return existsSync(bundled) ? createRequire(import.meta.url)(bundled) : import('./program.js');
}

/** Version in package.json, two folders above the compiled file. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const argv = process.argv.slice(2);
// Scripts ask for the version often; nothing else needs to be loaded for it.
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    process.stderr.write(`varve: standard output cannot be written (${code})\n`);
    process.exitCode = 1;
  });
  process.stdout.write(`varve ${version()}\n`);
} else if (!argv.includes('--stdio') || !(await (await import('./stdio.js')).joinVault(argv)))
  await (await loadProgram()).runProgram(argv, `varve ${version()}`);
