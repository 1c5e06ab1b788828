// In dist/bundle: loads a part of the program from the file that holds all of them, with the code that V8 made of it before (train.mjs), if it is whole and was made
// of this very file by this very Node. V8 itself compares little more than lengths.
const { createHash } = require('node:crypto');
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const { threadId } = require('node:worker_threads');

/** SHA-256 of varve.cjs, written here by bundle.mjs. */
const BUILD = '(build)';
const DIGEST_BYTES = 32;
const TRAINING_MS = 100;
/** A mount outlives the build that trained it, should that be stopped. */
const TRAINING_MOST_MS = 60_000;
const file = join(__dirname, 'varve.cjs');
let parts;

const digestOf = (code) => createHash('sha256').update(`${BUILD} ${process.version} ${process.arch} `).update(code).digest();

/** A file holds the digest, then the code. */
function readCode(path) {
  try {
    const bytes = readFileSync(path);
    const code = bytes.subarray(DIGEST_BYTES);
    return digestOf(code).equals(bytes.subarray(0, DIGEST_BYTES)) ? code : undefined;
  } catch {
    return undefined;
  }
}

/** Writes what V8 has compiled by now, again and again: a thread may be ended without notice. */
function keepCode(script, path) {
  if (script.cachedDataRejected) throw new Error(`V8 refuses ${path}, which it made itself`);
  const unfinished = `${path}.${process.pid}.${threadId}`;
  const keep = () => {
    const code = script.createCachedData();
    writeFileSync(unfinished, Buffer.concat([digestOf(code), code]));
    renameSync(unfinished, path);
  };
  const timer = setInterval(keep, TRAINING_MS).unref();
  setTimeout(() => clearInterval(timer), TRAINING_MOST_MS).unref();
  process.on('exit', () => performance.now() < TRAINING_MOST_MS && keep());
}

module.exports = (name) => {
  if (parts === undefined) {
    const path = join(__dirname, `${name.replaceAll('/', '-')}.code`);
    const cachedData = readCode(path);
    // Latin-1, because V8 keeps that as it is; what esbuild writes is ASCII but for a few comments.
    const source = `(function (require, module, bundleUrl) {'use strict';${readFileSync(file, 'latin1')}\n})`;
    const script = new Script(source, { filename: file, ...(cachedData === undefined ? {} : { cachedData }) });
    if (process.env.VARVE_TRAIN_BUNDLE === __dirname) keepCode(script, path);
    const module = { exports: undefined };
    script.runInThisContext()(createRequire(file), module, pathToFileURL(file).href);
    parts = module.exports;
  }
  return parts[name]();
};
