// One backup, or the making of a repository, in a process of its own: for tests that kill it, measure it, or run it as somebody else.
// The task is JSON (ChildTask in backup-repository.ts); standard output has a line when it begins, and the report as JSON. With `waits` it
// begins when a line comes in, so that its start can be had in advance.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { decodeKeyring } from '../../dist/lib/format/key-slot.js';
import { backup } from '../../dist/lib/ingest/backup.js';
import { initRepository } from '../../dist/lib/ledger/init.js';
import { locateRepository, openRepository } from '../../dist/lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../dist/lib/retention/slots.js';
import { createDirectoryStore, openDirectoryStore } from '../../dist/lib/store/directory.js';

const { repo, options, init, waits } = JSON.parse(process.argv[2]);
if (waits) {
  await once(process.stdin, 'data');
  process.stdin.destroy();
}
process.stdout.write('begins\n');
if (init) {
  const store = await createDirectoryStore(repo.location);
  await initRepository(store, { label: 'test', policy: DEFAULT_POLICY, passphrase: 'secret', log2N: 4 });
  process.stdout.write('{}');
} else {
  const keyring = decodeKeyring(new Uint8Array(readFileSync(repo.keyFile)), repo.keyFile);
  const repository = openRepository(await locateRepository(await openDirectoryStore(repo.location)), keyring, repo.cacheDir);
  const notes = [];
  const { state, newBytes, counts, problems } = await backup(repository, { ...options, onNote: (note) => notes.push(note) });
  const shown = problems.map(({ path, code }) => ({ path: Buffer.from(path).toString('latin1'), code }));
  // Not resourceUsage().maxRSS: on Linux that begins with what the parent had when it forked.
  const highWater = process.platform === 'linux' ? /VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) : null;
  const maxRssBytes = (highWater === null ? process.resourceUsage().maxRSS : Number(highWater[1])) * 1024;
  process.stdout.write(JSON.stringify({ state, newBytes, readBytes: counts.readBytes, maxRssBytes, problems: shown, notes }));
}
