#!/usr/bin/env node
/** The program: finds the command, loads its file alone, runs it, and turns whatever it throws into a message and an exit status. */
import { readFileSync } from 'node:fs';

/** Version in package.json, two folders above the compiled file. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

// Scripts ask for the version often; nothing else needs to be loaded for it.
if (process.argv.length === 3 && (process.argv[2] === '--version' || process.argv[2] === '-V'))
  process.stdout.write(`varve ${version()}\n`);
else await (await import('./program.js')).runProgram(process.argv.slice(2), `varve ${version()}`);
