// In dist/bundle: loads a part of the program from the file that holds all of them, with the code that V8 made of it before (train.mjs) if it fits this Node.
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const { threadId } = require('node:worker_threads');

const TRAINING_MS = 100;
const file = join(__dirname, 'varve.cjs');
let parts;

function readCode(cache) {
  try {
    return readFileSync(cache);
  } catch {
    return undefined;
  }
}

/** Writes what V8 has compiled by now, again and again: a thread may be ended without notice. */
function keepCode(script, cache) {
  if (script.cachedDataRejected) throw new Error(`V8 refuses ${cache}, which it made itself`);
  const unfinished = `${cache}.${process.pid}.${threadId}`;
  const keep = () => {
    writeFileSync(unfinished, script.createCachedData());
    renameSync(unfinished, cache);
  };
  setInterval(keep, TRAINING_MS).unref();
  process.on('exit', keep);
}

module.exports = (name) => {
  if (parts === undefined) {
    const cache = join(__dirname, `${name.replaceAll('/', '-')}.code`);
    const cachedData = readCode(cache);
    // Latin-1, because what esbuild writes is ASCII, and V8 keeps that as it is.
    const source = `(function (require, module, bundleUrl) {${readFileSync(file, 'latin1')}\n})`;
    const script = new Script(source, {
      filename: file,
      ...(cachedData === undefined ? {} : { cachedData }),
    });
    if (process.env.VARVE_TRAIN_BUNDLE === dirname(file)) keepCode(script, cache);
    const module = { exports: undefined };
    script.runInThisContext()(createRequire(file), module, pathToFileURL(file).href);
    parts = module.exports;
  }
  return parts[name]();
};
