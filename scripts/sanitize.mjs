// node scripts/sanitize.mjs [FILE.test.ts…]: builds the addon with the address and undefined-behaviour sanitizers beside the usual one and runs test files on it;
// without files, those of the addon, the chunk index, the format and the fuzzers. With `--native N [DECODER…]`: N mutants for each decoder outside Node (test/fuzz/native-fuzz.cc).
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { compiledTest, root, run, setup, setupTests } from './setup.mjs';

const at = (...parts) => join(root, ...parts);
const FLAGS = ['-g', '-O1', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'];
const FOLDER = at('build', 'sanitized');
const DECODERS = ['directory', 'builder', 'leaf', 'frame', 'segment'];
const FOLDERS = ['test/native', 'test/chunk-index', 'test/format', 'test/fuzz'];

setup();
await setupTests();
mkdirSync(FOLDER, { recursive: true });
const words = process.argv.slice(2);
if (words[0] === '--native') await fuzzNative(words[1] ?? '1000000', words.length > 2 ? words.slice(2) : DECODERS);
else testFiles(words.length > 0 ? words : FOLDERS.flatMap(testsIn));

function testsIn(folder) {
  return readdirSync(at(folder), { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name))
    .sort();
}

/** The whole addon, in a copy of what it is made from, so that the usual build stays as it is. */
function buildAddon() {
  for (const part of ['binding.gyp', 'native', 'package.json']) cpSync(at(part), join(FOLDER, part), { recursive: true });
  if (!existsSync(join(FOLDER, 'node_modules')))
    run('linking packages', 'ln', ['-s', at('node_modules'), join(FOLDER, 'node_modules')]);
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const flags = FLAGS.join(' ');
  const env = { ...process.env, CFLAGS: flags, CXXFLAGS: flags, LDFLAGS: '-fsanitize=address,undefined' };
  const verb = existsSync(join(FOLDER, 'build', 'Makefile')) ? 'build' : 'rebuild';
  const gyp = at('node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  run('building the addon with sanitizers', process.execPath, [gyp, verb, ...headers, '-j', '2'], { cwd: FOLDER, env });
  return join(FOLDER, 'build', 'Release', 'varve.node');
}

function testFiles(files) {
  const addon = buildAddon();
  const asked = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  const env = {
    ...process.env,
    VARVE_SANITIZED_ADDON: addon,
    LD_PRELOAD: asked.stdout.trim(),
    // What Node itself never frees is no finding; UBSAN ends the process at the first.
    ASAN_OPTIONS: `detect_leaks=0:alloc_dealloc_mismatch=0:${process.env.ASAN_OPTIONS ?? ''}`,
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  delete env.NODE_OPTIONS;
  let failed = 0;
  for (const file of files) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--require', at('scripts', 'sanitized-addon.cjs'), '--enable-source-maps', compiledTest(file)],
      {
        cwd: root,
        env,
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      },
    );
    process.stdout.write(`${status === 0 ? 'ok    ' : 'not ok'}  ${file}\n`);
    if (status === 0) continue;
    failed++;
    const lines = stdout.split('\n').filter((line) => /^ *not ok/.test(line));
    process.stdout.write(`${lines.slice(0, 20).join('\n')}\n${stderr.slice(0, 8000)}\n`);
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

async function fuzzNative(mutants, decoders) {
  const zstd = at('node_modules', 'zstd-napi', 'deps', 'zstd', 'lib');
  const objects = [];
  for (const folder of ['common', 'decompress'])
    for (const name of readdirSync(join(zstd, folder)).filter((file) => file.endsWith('.c'))) {
      const object = join(FOLDER, `${name}.o`);
      objects.push(object);
      if (existsSync(object)) continue;
      const defines = ['-DXXH_NAMESPACE=ZSTD_', '-DZSTD_DISABLE_ASM', '-DZSTD_NO_TRACE'];
      run(`compiling ${name}`, 'gcc', [...FLAGS, '-w', ...defines, '-c', join(zstd, folder, name), '-o', object]);
    }
  const sources = [
    'leaf-reader',
    'pack-directory',
    'segment-format',
    'segment-reader',
    'segment-writer',
    'segment-merge',
    'zstd-frame',
  ];
  const program = join(FOLDER, 'native-fuzz');
  const inputs = [at('test/fuzz/native-fuzz.cc'), ...sources.map((name) => at('native', `${name}.cc`)), ...objects];
  run('building native-fuzz', 'g++', ['-std=c++20', ...FLAGS, `-I${zstd}`, '-o', program, ...inputs, '-lcrypto', '-lpthread']);
  const seeds = join(FOLDER, 'seeds');
  rmSync(seeds, { recursive: true, force: true });
  mkdirSync(seeds);
  await (await import(compiledTest('test/fuzz/seeds.ts'))).writeSeeds(seeds);
  const seed = process.env.VARVE_SEED ?? String(Math.floor(Math.random() * 2 ** 32));
  process.stdout.write(`VARVE_SEED=${seed}, ${availableParallelism()} processors\n`);
  for (const decoder of decoders) {
    const files = readdirSync(seeds).filter((name) => name.startsWith(`${decoder}-`));
    const { status } = spawnSync(program, [decoder, mutants, seed, ...files.map((name) => join(seeds, name))], {
      stdio: 'inherit',
    });
    if (status !== 0) process.exitCode = 1;
  }
}
