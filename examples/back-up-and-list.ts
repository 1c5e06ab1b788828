/**
 * Backs up a folder and lists all snapshots.
 * Usage: back-up-and-list REPOSITORY CACHE_DIR FOLDER, passphrase in VARVE_PASSWORD
 */
import { backup, compileExclusion, type LeftOut, selectSnapshots, shortHex } from '../lib/index.js';
import { open } from './open.js';

const [location, cacheDir, folder] = process.argv.slice(2) as [string, string, string];
const repository = await open(location, process.env.VARVE_PASSWORD ?? '', cacheDir);

const report = await backup(repository, {
  paths: [folder],
  exclusion: await compileExclusion({ patterns: [{ pattern: '*.tmp' }], caches: true }),
  tags: ['example'],
  onProblem: ({ path, code }) => console.error(Buffer.from(path).toString(), code),
});
console.log(`${report.state}: ${report.totalFiles} files, ${report.newBytes} bytes stored`);

// A snapshot that does not open hides no other one, but nobody should take the list for all there is.
const onLeftOut = ({ record, error }: LeftOut): void => {
  console.error(`${shortHex(record.id)} is left out: ${error.message}`);
  process.exitCode = 1;
};
for (const { id, time, body } of await selectSnapshots(repository, { filter: { tags: [['example']] }, onLeftOut })) {
  console.log(shortHex(id), new Date(time.sec * 1000).toISOString(), body.host, body.root.totals.bytes);
}
await repository.store.close();
