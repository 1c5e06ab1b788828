// Makes one file of the compiled program, dist/bundle/varve.cjs, and one small file for each of its parts that a process or a thread starts with; then has V8 keep
// its code for them (train.mjs). A short command so takes three fifths of the time: no hundred modules to find, read and compile. dist/lib and dist/cli do the same without.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';
import { train } from './train.mjs';

/** What is loaded by its name, in this process or another thread, and what others use of it. */
const PARTS = {
  'cli/program': ['runProgram'],
  'lib/ingest/worker': [],
  'lib/mount/fuse-native-server': [],
  'lib/mount/kernel-worker': [],
  'lib/restore/worker': [],
  'lib/store/bridge-worker': [],
  'lib/verify/worker': [],
  'lib/view/file-system-thread': ['openFileSystem'],
};

const dist = join(root, 'dist');
const folder = join(dist, 'bundle');
const unfinished = join(dist, `bundle.${process.pid}`);
process.on('exit', () => rmSync(unfinished, { recursive: true, force: true }));

/** The addon of classic-level stays where it is, which is where `level` finds it. */
const addonStays = {
  name: 'addon-stays',
  setup: (it) =>
    it.onLoad({ filter: /[\\/]classic-level[\\/]binding\.js$/ }, () => ({
      contents: `const { createRequire } = require('node:module');
        module.exports = createRequire(createRequire(bundleUrl).resolve('level'))('classic-level/binding.js');`,
    })),
};

await build({
  stdin: {
    contents: `module.exports = {${Object.keys(PARTS).map((name) => `${JSON.stringify(name)}: () => require('./${name}.js')`)}};`,
    resolveDir: dist,
  },
  outfile: join(unfinished, 'varve.cjs'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['fuse-native', 'zstd-napi'],
  define: { 'import.meta.url': 'bundleUrl' },
  legalComments: 'eof',
  logLevel: 'warning',
  plugins: [addonStays],
});
const digest = createHash('sha256')
  .update(readFileSync(join(unfinished, 'varve.cjs')))
  .digest('hex');
writeFileSync(
  join(unfinished, 'load.cjs'),
  readFileSync(join(root, 'scripts/bundle-load.cjs'), 'utf8').replace('(build)', digest),
);
for (const [name, used] of Object.entries(PARTS)) {
  const load = posix.join(posix.relative(posix.dirname(name), '.'), 'load.cjs');
  const lines = [`const part = require('${load}')('${name}');`, ...used.map((one) => `exports.${one} = part.${one};`)];
  mkdirSync(dirname(join(unfinished, name)), { recursive: true });
  writeFileSync(join(unfinished, `${name}.cjs`), `${lines.join('\n')}\n`);
}
// Two builds at once: the later one's counts.
rmSync(folder, { recursive: true, force: true });
renameSync(unfinished, folder);
try {
  train(folder);
} catch (error) {
  rmSync(folder, { recursive: true, force: true });
  throw error;
}
