// From the recorded runs to results.md: medians, ratios to restic, and whether each reach is met. Pure but for reading what machine
// this is.
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What the figures were measured on, for people. */
export function machine() {
  const os = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown system';
  const [first] = cpus();
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB RAM, ${os}, kernel ${release()}, node ${process.version}`;
}

/** Middle of `numbers`, mean of the two middle ones when they are even; undefined of none. */
export function median(numbers) {
  const sorted = numbers.filter((number) => Number.isFinite(number)).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function shown(number, unit = '') {
  if (number === undefined) return '–';
  const digits = Math.abs(number) >= 1000 ? 0 : Math.abs(number) >= 100 ? 1 : 2;
  return `${number.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`;
}

const line = (cells) => `| ${cells.join(' | ')} |`;
const good = (runs) => runs.filter((run) => run.error === undefined);

/** One line for each figure of a row. */
function verdicts(row, record, tools) {
  return row.figures.map((figure) => {
    const of = (name) => median(good(record.runs[name] ?? []).map(figure.of));
    const cells = tools.map((name) => {
      const value = of(name);
      if (value !== undefined) return shown(value, figure.unit);
      return record.runs[name]?.some((run) => run.error !== undefined) ? 'failed' : '–';
    });
    const mine = of('varve');
    const restic = of('restic');
    const met = figure.reaches.map((reach) => (mine === undefined ? undefined : reach.met(mine, restic)));
    const verdict =
      figure.reaches.length === 0 ? '' : met.includes(undefined) ? 'not measured' : met.every(Boolean) ? 'yes' : 'NO';
    const ratio = mine === undefined || restic === undefined || restic === 0 ? '–' : `${(mine / restic).toFixed(2)} ×`;
    return line([row.name, figure.title, ...cells, ratio, figure.reaches.map((reach) => reach.text).join(', '), verdict]);
  });
}

/** One line for each tool of a row: what the medians cost. */
function costs(row, record, tools) {
  return tools
    .filter((name) => record.runs[name] !== undefined)
    .map((name) => {
      const runs = good(record.runs[name]);
      const of = (key) => median(runs.map((run) => run[key]));
      const spread =
        runs.length < 2 || of('wallS') === undefined
          ? ''
          : `${shown(Math.min(...runs.map((run) => run.wallS)))}–${shown(Math.max(...runs.map((run) => run.wallS)))}`;
      const wall = of('wallS');
      const foreign = of('foreignS');
      const noisy = wall !== undefined && foreign !== undefined && foreign > 0.2 * wall ? ' (!)' : '';
      return line([
        row.name,
        name,
        `${runs.length}/${record.runs[name].length}`,
        shown(wall),
        spread,
        shown(of('cpuS')),
        shown(of('rssMiB')),
        shown(of('daemonCpuS')),
        shown(of('daemonMiB')),
        shown(of('storedMB')),
        shown(foreign) + noisy,
      ]);
    });
}

/** One line for each run that rows are left from, with its command once. */
function earlierRuns(older, records) {
  const runs = new Map();
  for (const { name } of older) {
    const { date, command } = records[name];
    const run = `${date}, \`${command}\``;
    runs.set(run, [...(runs.get(run) ?? []), name]);
  }
  return [...runs].map(([run, names]) => `* From an earlier run (${run}): ${names.join(', ')}`);
}

/**
 * The text of results.md.
 *
 * @param results - { machine, command, notes, tools: [{ name, version, secret }], rows: { [name]: { date, command, runs: { [tool]: [run] } } } }
 * @param rows - all rows, in the order of the report
 */
export function report(results, rows) {
  const done = rows.filter((row) => results.rows[row.name] !== undefined);
  const tools = results.tools.map((tool) => tool.name);
  const failures = done.flatMap((row) =>
    tools.flatMap((name) => {
      const error = (results.rows[row.name].runs[name] ?? []).find((run) => run.error !== undefined)?.error;
      return error === undefined ? [] : [`**${row.name}, ${name}**`, '', '```', error, '```', ''];
    }),
  );
  const older = earlierRuns(
    done.filter((row) => results.rows[row.name].command !== results.command),
    results.rows,
  );
  return [
    '# Results',
    '',
    `Written by \`${results.command}\` on ${results.date}. Figures are medians of interleaved runs (varve, restic, Borg, varve, …); n is in the second table.`,
    'Times drift on a shared machine: compare ratios, and read CPU seconds beside wall seconds.',
    '',
    `* Machine: ${results.machine}`,
    ...results.tools.map((tool) => `* ${tool.name}: ${tool.version ?? 'not found'}; ${tool.secret}`),
    ...results.notes.map((note) => `* ${note}`),
    ...older,
    '',
    '## Figures',
    '',
    line(['row', 'figure', ...tools, 'varve : restic', 'reach', 'met']),
    line(['---', '---', ...tools.map(() => '---:'), '---:', '---', '---']),
    ...done.flatMap((row) => verdicts(row, results.rows[row.name], tools)),
    '',
    '## What they cost',
    '',
    'Wall, user+sys and peak memory are of the command (for mounts: of the client that reads; the server has columns of its own). Stored bytes are the sizes of all',
    'files in the repository, without the tools’ local caches. Foreign CPU is what the rest of the machine used meanwhile; (!) marks a wall time that it probably inflated.',
    '',
    line([
      'row',
      'tool',
      'n',
      'wall s',
      'range',
      'CPU s',
      'peak MiB',
      'server CPU s',
      'server MiB',
      'stored MB',
      'foreign CPU s',
    ]),
    line(['---', '---', ...Array(9).fill('---:')]),
    ...done.flatMap((row) => costs(row, results.rows[row.name], tools)),
    '',
    '## Rows',
    '',
    ...done.map((row) => `* ${row.name}: ${row.title}`),
    '',
    ...(failures.length === 0 ? [] : ['## Failures', '', ...failures]),
  ].join('\n');
}
