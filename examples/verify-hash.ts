/**
 * Compares the SHA-256 that a snapshot recorded for a file with one computed from its stored bytes, without restoring it.
 * Usage: verify-hash REPOSITORY CACHE_DIR SNAPSHOT PATH, passphrase in VARVE_PASSWORD
 */
import { createHash } from 'node:crypto';
import { dumpFile, entryAt, openTrees, selectSnapshot, toHex, utf8 } from '../lib/index.js';
import { open } from './open.js';

const [location, cacheDir, name, path] = process.argv.slice(2) as [string, string, string, string];
const repository = await open(location, process.env.VARVE_PASSWORD ?? '', cacheDir);

const opened = await openTrees(repository, [await selectSnapshot(repository, name)]);
const tree = opened.trees[0]!;
const { entry } = await entryAt(tree, utf8(path));
const hash = createHash('sha256');
await dumpFile(tree, utf8(path), async (bytes) => void hash.update(bytes));
const found = hash.digest('hex');
const recorded = 'digest' in entry && entry.digest !== null ? toHex(entry.digest) : 'none';
console.log(found === recorded ? `matches ${found}` : `differs: recorded ${recorded}, stored ${found}`);
await opened.close();
await repository.store.close();
