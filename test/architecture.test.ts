/** Who may import whom: the table behind the picture in docs/architecture.md, and the few rules of the house that a program can check. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import t from 'tap';
import { packageRoot } from '../lib/native.js';

const BOTTOM = ['errors', 'bytes', 'id', 'folders', 'printable'];
const CORE = ['store', 'chunk-index', 'format', 'crypto', 'chunker', 'native', ...BOTTOM];
const LEDGER = ['ledger', 'repository', ...CORE];

/** Module → what it may import besides itself. `folder/file` allows that one file only. A module that is not here may not exist. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: BOTTOM,
  bytes: BOTTOM,
  id: BOTTOM,
  folders: BOTTOM,
  printable: BOTTOM,
  native: BOTTOM,
  store: ['native', ...BOTTOM],
  format: BOTTOM,
  crypto: ['native', ...BOTTOM],
  chunker: ['native', ...BOTTOM],
  'chunk-index': ['format', 'native', ...BOTTOM],
  repository: CORE,
  ledger: ['repository', ...CORE],
  retention: LEDGER,
  // policy and slots are pure: which snapshots to keep, decided when one is written and recomputed when it is checked
  // the guard process: stands beside ingest and prunes with what retention has
  vault: ['retention', ...LEDGER],
  ingest: ['retention/policy', 'retention/slots', ...LEDGER],
  restore: LEDGER,
  browse: LEDGER,
  view: LEDGER,
  verify: ['retention/policy', 'retention/slots', ...LEDGER],
  replicate: LEDGER,
  mount: ['view', ...LEDGER],
  index: ['*'],
};

/** Packages of modules that are pure functions over bytes; everything that does I/O is missing on purpose. */
const PURE_PACKAGES: Readonly<Record<string, RegExp>> = {
  format: /^(cborg(\/|$)|@noble\/|zstd-napi$|node:(buffer|zlib|util)$)/,
  crypto: /^(@noble\/|@hpke\/|zstd-napi$|cborg(\/|$)|node:(crypto|buffer|util)$)/,
};

const root = packageRoot();

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** Text of `file` without comments, so that prose is not taken for code. A `//` in a string costs the rest of that line only. */
function code(file: string): string {
  return readFileSync(join(root, file), 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(^|[^:])\/\/.*$/gm, '$1');
}

function imports(file: string): string[] {
  return [...code(file).matchAll(/(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*['"]([^'"]+)['"]/g)].map(
    (match) => match[1]!,
  );
}

/** Module of a path below lib/: the folder, or the name of a top file. */
const moduleOf = (path: string): string => path.split('/')[0]!.replace(/\.[tj]s$/, '');

const lib = sources('lib');
const cli = sources('cli');

t.test('every module in lib/ stands in the table', async (t) => {
  const unknown = new Set(
    lib.map((file) => moduleOf(posix.relative('lib', file))).filter((module) => MAY_IMPORT[module] === undefined),
  );
  t.same([...unknown], [], 'give a new module its place in docs/architecture.md and in this table');
});

t.test('nothing in lib/ imports upwards or sideways', async (t) => {
  const broken: string[] = [];
  for (const file of lib) {
    const from = moduleOf(posix.relative('lib', file));
    for (const specifier of imports(file).filter((name) => name.startsWith('.'))) {
      const target = posix.relative('lib', posix.join(dirname(file), specifier)).replace(/\.js$/, '');
      if (target.startsWith('..')) broken.push(`${file} imports ${specifier}, which is outside lib/`);
      else {
        const to = moduleOf(target);
        const allowed = MAY_IMPORT[from] ?? [];
        if (to !== from && !allowed.includes('*') && !allowed.includes(to) && !allowed.includes(target))
          broken.push(`${file} imports ${specifier}: ${from} may import ${allowed.join(', ')}`);
      }
    }
  }
  t.same(broken, []);
});

t.test('cli/ sees lib/index.ts and nothing else of lib/', async (t) => {
  const broken = cli.flatMap((file) =>
    imports(file)
      .filter((name) => name.startsWith('.'))
      .map((specifier) => posix.join(dirname(file), specifier))
      .filter((target) => !target.startsWith('cli/') && target !== 'lib/index.js')
      .map((target) => `${file} imports ${target}: export what it needs from lib/index.ts`),
  );
  t.same(broken, []);
});

t.test('format and crypto are pure: bytes in, bytes out, no I/O', async (t) => {
  const broken = lib.flatMap((file) => {
    const pure = PURE_PACKAGES[moduleOf(posix.relative('lib', file))];
    return pure === undefined
      ? []
      : imports(file)
          .filter((name) => !name.startsWith('.') && !pure.test(name))
          .map((name) => `${file} imports ${name}`);
  });
  t.same(broken, []);
});

t.test('native.ts is the only door to the addon', async (t) => {
  const broken = [...lib, ...cli].filter(
    (file) => file !== 'lib/native.ts' && /varve\.node|build\/Release|['"]Release['"]/.test(code(file)),
  );
  t.same(broken, [], 'import { native } from lib/native.ts instead');
});

/** `file` and all that it imports when it is loaded, as paths below the root. What is loaded later, or for its types only, does not count. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = code(file).replaceAll(/\b(?:import|export)\s+type\b[^;]*;/g, '');
  for (const [, specifier] of text.matchAll(/\b(?:from|import)\s+['"](\.[^'"]+)['"]/g))
    loadedWith(posix.join(dirname(file), specifier!).replace(/\.js$/, '.ts'), seen);
  return seen;
}

t.test('a forced command of SSH, started for every connection, loads little', async (t) => {
  const loaded = [...loadedWith('cli/stdio.ts'), ...loadedWith('lib/vault/stdio.ts')].sort();
  t.ok(loaded.includes('lib/vault/announce.ts'), 'it was looked at');
  t.same(
    loaded.filter((file) => !/^(lib\/(bytes|errors|folders|id|index)|cli\/stdio|lib\/vault\/(stdio|announce))\.ts$/.test(file)),
    [
      'lib/format/payload.ts',
      'lib/printable.ts',
      'lib/retention/slots.ts',
      'lib/retention/why-kept.ts',
      'lib/store/vault-protocol.ts',
    ],
  );
});

t.test('nothing in lib/ prints', async (t) => {
  const broken = lib.filter((file) => /\bconsole\s*\.|\bprocess\s*\.\s*(stdout|stderr)\b/.test(code(file)));
  t.same(broken, [], 'return it, throw it, or hand it to a callback such as onProgress or onLog');
});

t.test('no file is called utils, and lib/index.ts is the only barrel', async (t) => {
  const all = [...lib, ...cli];
  t.same(
    all.filter((file) => /(^|\/)(utils?|helpers?|common|misc)\.ts$/.test(file)),
    [],
    'name a file for the one idea it holds',
  );
  t.same(
    all.filter((file) => file.endsWith('/index.ts') && file !== 'lib/index.ts'),
    [],
  );
  const forwarding = lib.filter((file) => file !== 'lib/index.ts' && /\bexport\s*\*\s*(as\s+\w+\s*)?from\b/.test(code(file)));
  t.same(forwarding, [], 'import from the file that has it');
});

t.test('the table itself has no cycles: for any two modules at most one may import the other', async (t) => {
  const broken: string[] = [];
  const reaches = (from: string, goal: string, seen: Set<string>): boolean =>
    (MAY_IMPORT[from] ?? [])
      .map(moduleOf)
      .some((to) => to !== from && !BOTTOM.includes(to) && (to === goal || (!seen.has(to) && reaches(to, goal, seen.add(to)))));
  for (const module of Object.keys(MAY_IMPORT))
    if (!BOTTOM.includes(module) && reaches(module, module, new Set())) broken.push(module);
  t.same(broken, []);
});
