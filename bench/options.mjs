// What the harness takes on its command line. No tool and no row is known here.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const USAGE = `node bench/run.mjs [options]
  --rows a,b,…        rows to run (default: all; --list names them)
  --tools a,b,…       varve,restic,borg (default), restic-debian; restic is trixie's 0.18 if it can be had, else the installed one
  --repeat N          repetitions of short rows (default 3)
  --repeat-long N     repetitions of long rows (default 1)
  --corpora DIR       where the corpora are, or are made (default: $VARVE_CORPORA, ~/.cache/varve-corpora)
  --scratch DIR       where repositories and restored files go (default: a new folder in /tmp); what the harness makes there is removed
  --varve FILE        the program measured (default: dist/cli/main.js)
  --index-chunks N    chunks of the index-100m row (default 100000000)
  --vault-source DIR  tree of the rows about a vault (default: the linux corpus)
  --ten-times-mb N    size of the small tree of the ten-times row (default 150)
  --fio-seconds N     length of a random-read run (default 10)
  --timeout S         limit of one command (default 1800)
  --out FILE          results (default: bench/results.md; the runs themselves go beside it as .jsonl)
  --keep              keep the rows in the results that are not run now
  --no-download       do not try to fetch trixie's restic
  --list              name the rows and stop`;

/** @returns the options, checked. @throws Error with a message for people */
export function parseOptions(argv, root) {
  const { values } = parseArgs({
    args: argv,
    options: {
      rows: { type: 'string' },
      tools: { type: 'string', default: 'varve,restic,borg' },
      repeat: { type: 'string', default: '3' },
      'repeat-long': { type: 'string', default: '1' },
      corpora: { type: 'string', default: process.env.VARVE_CORPORA || join(homedir(), '.cache', 'varve-corpora') },
      scratch: { type: 'string' },
      varve: { type: 'string', default: join(root, 'dist', 'cli', 'main.js') },
      'index-chunks': { type: 'string', default: '100000000' },
      'vault-source': { type: 'string' },
      'ten-times-mb': { type: 'string', default: '150' },
      'fio-seconds': { type: 'string', default: '10' },
      timeout: { type: 'string', default: '1800' },
      out: { type: 'string', default: join(root, 'bench', 'results.md') },
      keep: { type: 'boolean', default: false },
      'no-download': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const count = (name) => {
    const number = Number(values[name]);
    if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} takes a whole number from 1, not ${values[name]}`);
    return number;
  };
  const names = (text) =>
    text
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean);
  return {
    root,
    rows: values.rows === undefined ? undefined : names(values.rows),
    tools: names(values.tools),
    repeat: count('repeat'),
    repeatLong: count('repeat-long'),
    corpora: resolve(values.corpora),
    scratch: values.scratch === undefined ? undefined : resolve(values.scratch),
    varve: resolve(values.varve),
    indexChunks: count('index-chunks'),
    vaultSource: values['vault-source'] === undefined ? undefined : resolve(values['vault-source']),
    tenTimesMb: count('ten-times-mb'),
    fioSeconds: count('fio-seconds'),
    timeoutS: count('timeout'),
    out: resolve(values.out),
    keep: values.keep,
    download: !values['no-download'],
    list: values.list,
    help: values.help,
  };
}
