#!/usr/bin/env node
/** The program: finds the command, loads its file alone, runs it, and turns whatever it throws into a message and an exit status. */
import { readFileSync } from 'node:fs';

/** Version in package.json, two folders above the compiled file. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const argv = process.argv.slice(2);
// Scripts ask for the version often; nothing else needs to be loaded for it.
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) process.stdout.write(`varve ${version()}\n`);
else if (!argv.includes('--stdio') || !(await (await import('./stdio.js')).joinVault(argv)))
  await (await import('./program.js')).runProgram(argv, `varve ${version()}`);
