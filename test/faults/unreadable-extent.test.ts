/** A sparse file of which a part cannot be read, served by a real mount: it is left out and named, and no thread waits for the blocks that never come. */
import { join } from 'node:path';
import t from 'tap';
import { kernelDriver } from '../../lib/mount/kernel.js';
import { place } from '../contract/mount.js';
import { makeRepository, readLatest, scratch } from '../helpers/backup-repository.js';

t.test('a file with an extent that cannot be read', { skip: kernelDriver.unavailable() ?? false }, async (t) => {
  const at = place(t);
  const mounted = await at.mount(kernelDriver);
  const repo = await makeRepository(scratch(t));
  const bad = join(at.mountpoint, 'bad-extent.bin');
  const good = join(at.mountpoint, 'hello.txt');
  for (const threads of [1, 3]) {
    const report = await repo.backup({ paths: [bad, good], threads });
    t.same(
      report.problems.map(({ path, code }) => [Buffer.from(path).toString(), code]),
      [[bad, 'EIO']],
      `${threads} threads`,
    );
    t.equal(report.state, 'partial');
    const paths = [...(await readLatest(await repo.open())).keys()];
    t.ok(paths.includes(good), paths.join());
    t.notOk(paths.includes(bad));
  }
  await mounted.unmount();
});
