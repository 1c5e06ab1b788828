/**
 * Restores one file of the latest snapshot into a folder.
 * Usage: restore-one-file REPOSITORY CACHE_DIR PATH TARGET, passphrase in VARVE_PASSWORD
 */
import { restore, selectSnapshot, utf8 } from '../lib/index.js';
import { open } from './open.js';

const [location, cacheDir, path, targetPath] = process.argv.slice(2) as [string, string, string, string];
const repository = await open(location, process.env.VARVE_PASSWORD ?? '', cacheDir);

const latest = await selectSnapshot(repository, 'latest');
const report = await restore(repository, latest, { targetPath, subPath: utf8(path), verify: true });
for (const { message } of report.problems) console.error(message);
console.log(`${report.restored} restored, ${report.verified} verified`);
await repository.store.close();
process.exitCode = report.problemCount === 0 ? 0 : 1;
