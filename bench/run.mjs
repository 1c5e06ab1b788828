// Varve side by side with restic and Borg: runs the chosen rows, every repetition interleaved over the tools, and writes results.md.
// What a tool's commands are is in tools.mjs, what a row does in rows.mjs and its neighbours. A row that fails is reported, not fatal.
import { existsSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bench } from './bench.mjs';
import { linuxVersion } from './corpora.mjs';
import { canDropCaches, stopRunning } from './measure.mjs';
import { mountRows } from './mount-rows.mjs';
import { parseOptions, USAGE } from './options.mjs';
import { machine, report } from './report.mjs';
import { dataRows } from './rows.mjs';
import { scaleRows } from './scale-rows.mjs';
import { chooseTools } from './tools.mjs';
import { vaultRows } from './vault-rows.mjs';

const ROWS = [...dataRows, ...mountRows, ...vaultRows, ...scaleRows];
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(2);
}

/** One repetition of one row for one tool; a failure is a result too. */
async function once(bench, row, tool) {
  try {
    if (tool.version() === undefined) throw new Error(`${tool.name} is not there`);
    const { stdout, stderr, ...run } = await row.run(bench, tool);
    return run;
  } catch (error) {
    if (process.env.VARVE_BENCH_DEBUG) console.error(error);
    return { error: String(error.message ?? error) };
  }
}

async function runRow(bench, row, tools, options) {
  const runs = Object.fromEntries(
    tools.filter((tool) => row.only === undefined || row.only.includes(tool.name)).map((tool) => [tool.name, []]),
  );
  const repeat = row.long ? options.repeatLong : options.repeat;
  for (let i = 0; i < repeat; i++) {
    let broken;
    try {
      await row.round?.(bench);
    } catch (error) {
      broken = { error: String(error.message) };
    }
    for (const tool of tools) {
      // what failed once is not tried again: it would only cost time
      if (runs[tool.name] === undefined || runs[tool.name].some((run) => run.error !== undefined)) continue;
      const run = broken ?? (await once(bench, row, tool));
      runs[tool.name].push(run);
      console.error(`bench: ${row.name} ${i + 1}/${repeat} ${tool.name}: ${run.error?.split('\n')[0] ?? figuresOf(row, run)}`);
    }
  }
  return runs;
}

function figuresOf(row, run) {
  return row.figures.map((figure) => `${figure.title} ${figure.of(run)?.toFixed(2) ?? '–'} ${figure.unit}`).join(', ');
}

function fileSystemOf(path) {
  const magic = statfsSync(path).type;
  return { 61267: 'ext4', 16914836: 'tmpfs', 1481003842: 'xfs', 2435016766: 'btrfs' }[magic] ?? `type 0x${magic.toString(16)}`;
}

/** All recorded runs as JSON lines: what was measured on what, then one line for each row. */
function writeState({ rows, ...about }) {
  writeFileSync(
    stateFile,
    [about, ...Object.entries(rows).map(([name, record]) => ({ name, ...record }))]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(''),
  );
}

function readState() {
  const [about, ...rows] = readFileSync(stateFile, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { ...about, rows: Object.fromEntries(rows.map(({ name, ...record }) => [name, record])) };
}

let options;
try {
  options = parseOptions(process.argv.slice(2), root);
} catch (error) {
  fail(`${error.message}\n${USAGE}`);
}
if (options.help || options.list) {
  console.log(options.help ? USAGE : ROWS.map((row) => `${row.name.padEnd(22)}${row.title}`).join('\n'));
  process.exit(0);
}
const unknown = (options.rows ?? []).filter((name) => !ROWS.some((row) => row.name === name));
if (unknown.length > 0) fail(`no row called ${unknown.join(', ')}; --list names them`);
let tools;
try {
  tools = chooseTools(options);
} catch (error) {
  fail(error.message);
}

const stateFile = options.out.replace(/(\.md)?$/, '.jsonl');
const earlier = options.keep && existsSync(stateFile) ? readState() : { rows: {}, tools: [] };
const bench = new Bench(options);
// An interrupted run must leave neither mounts nor repositories behind.
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => {
    stopRunning();
    bench.close();
    process.exit(130);
  });

const described = tools.map((tool) => ({ name: tool.name, version: tool.version(), secret: tool.secret }));
const linux = linuxVersion(options);
const results = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' '),
  command: ['node bench/run.mjs', ...process.argv.slice(2).map((word) => (/\s/.test(word) ? `'${word}'` : word))].join(' '),
  machine: machine(),
  tools: [...described, ...earlier.tools.filter((tool) => !described.some((other) => other.name === tool.name))],
  notes: [
    `Scratch on ${fileSystemOf(bench.scratch)}; sources read once before each backup, so warm; mounts cold`,
    ...(canDropCaches() ? [] : ['Not root: caches could not be dropped, so nothing here was cold']),
    ...(linux === undefined ? [] : [`linux corpus: ${linux}`]),
  ],
  rows: earlier.rows,
};
try {
  for (const row of ROWS) {
    if (options.rows !== undefined && !options.rows.includes(row.name)) continue;
    const runs = await runRow(bench, row, tools, options);
    results.rows[row.name] = { date: results.date, command: results.command, runs };
    // after every row, so that an interrupted run keeps what it has
    writeState(results);
    writeFileSync(options.out, report(results, ROWS));
  }
} finally {
  bench.close();
}
console.error(`bench: written to ${relative(process.cwd(), options.out)}`);
