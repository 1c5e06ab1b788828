// Brings a fresh clone to a runnable state with only Node, npm and a C++ compiler: dependencies, addon, TypeScript build.
// Each step is skipped when its result is newer than what it is made from. Uses nothing but Node's own modules.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

/** Runs a command, quietly unless it fails; its output is then shown whole. */
export function run(what, command, args, options = {}) {
  process.stderr.write(`varve setup: ${what}\n`);
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n`);
  process.stderr.write(`varve setup: ${what} failed: ${command} ${args.join(' ')}\n`);
  if (result.error) process.stderr.write(`${result.error.message}\n`);
  process.exit(1);
}

function newestIn(folder, pattern) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && pattern.test(entry.name))
      newest = Math.max(newest, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return newest;
}

const mtime = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);

function npm(what, args) {
  // npm_execpath is the npm that runs us; outside npm, the one on PATH.
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('.js')) run(what, process.execPath, [cli, ...args]);
  else run(what, 'npm', args);
}

export function setupDependencies() {
  const installed = mtime(at('node_modules', '.package-lock.json'));
  if (installed >= mtime(at('package-lock.json')) && installed > 0) return;
  npm('installing dependencies (a few minutes: two of them compile)', ['ci', '--no-audit', '--no-fund']);
}

export function setupNative(force = false) {
  const addon = at('build', 'Release', 'varve.node');
  if (!force && mtime(addon) > Math.max(newestIn(at('native'), /\.(cc|h)$/), mtime(at('binding.gyp')))) return;
  const gyp = at('node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  // Headers that came with this Node spare a download.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const verb =
    existsSync(at('build', 'Makefile')) && mtime(at('build', 'Makefile')) > mtime(at('binding.gyp')) ? ['build'] : ['rebuild'];
  run('building the native addon', process.execPath, [gyp, ...verb, ...headers, '-j', '2']);
}

export function setupTypescript() {
  const stamp = at('dist', '.built');
  const newest = Math.max(newestIn(at('lib'), /\.ts$/), newestIn(at('cli'), /\.ts$/), mtime(at('tsconfig.json')));
  if (mtime(stamp) > newest) return;
  rmSync(stamp, { force: true });
  rmSync(at('dist', 'bundle'), { recursive: true, force: true });
  run('compiling TypeScript', process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json']);
  run('marking the build', process.execPath, [
    '-e',
    `require('fs').chmodSync(${JSON.stringify(at('dist/cli/main.js'))}, 0o755);require('fs').writeFileSync(${JSON.stringify(stamp)}, '')`,
  ]);
}

/** Made anew with every build, because a bundle of older code would run instead of it. Where it cannot be made, the program runs without. */
export function setupBundle() {
  const made = mtime(at('dist', 'bundle', 'load.cjs'));
  const packages = at('node_modules', '.package-lock.json');
  if (made > Math.max(mtime(at('dist', '.built')), mtime(packages), newestIn(at('scripts'), /^(bundle|train)/))) return;
  process.stderr.write('varve setup: making one file of the program\n');
  const { status, stderr, error } = spawnSync(process.execPath, [at('scripts', 'bundle.mjs')], { cwd: root, encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(
    `${stderr ?? ''}${error?.message ?? ''}\nvarve setup: that failed; every command starts slower without it\n`,
  );
}

/** Where the compiled form of a .ts file of test/ or examples/ stands. */
export const compiledTest = (file) => at('dist', relative(root, join(root, file)).replace(/\.ts$/, '.js'));

/** Translates those files of test/ and examples/ that are newer than their compiled forms; types are checked elsewhere. */
export async function setupTests() {
  const stale = ['test', 'examples'].flatMap((folder) =>
    readdirSync(at(folder), { recursive: true })
      .map((name) => join(folder, name))
      .filter((file) => file.endsWith('.ts') && mtime(compiledTest(file)) <= mtime(at(file))),
  );
  if (stale.length === 0) return;
  const { default: ts } = await import('typescript');
  const { config } = ts.readConfigFile(at('tsconfig.json'), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  for (const file of stale) {
    const { outputText } = ts.transpileModule(readFileSync(at(file), 'utf8'), {
      fileName: at(file),
      compilerOptions: { ...options, module: ts.ModuleKind.ES2022, inlineSourceMap: true },
    });
    mkdirSync(dirname(compiledTest(file)), { recursive: true });
    writeFileSync(compiledTest(file), outputText);
  }
}

export function setup() {
  setupDependencies();
  setupNative();
  setupTypescript();
  setupBundle();
}
