/** Reading objects by path from a thread that waits, for as long as a mount lasts. */
import { mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CorruptError, StoreError } from '../../lib/errors.js';
import { openBlocking } from '../../lib/store/blocking.js';

t.test('what could not be read is opened anew the next time: what lies there may be whole by then', async (t) => {
  const root = `${t.testdir()}/`;
  const reads = openBlocking({ kind: 'files', root });
  t.teardown(() => reads.close());
  const into = new Uint8Array(5);
  // A directory opens as a file does, and fails when it is read.
  mkdirSync(join(root, 'object'));
  t.throws(() => reads.readInto('object', 0, into), StoreError);
  rmdirSync(join(root, 'object'));
  writeFileSync(join(root, 'object'), 'cut');
  t.throws(() => reads.readInto('object', 0, into), CorruptError);
  writeFileSync(join(root, 'other'), 'whole');
  renameSync(join(root, 'other'), join(root, 'object'));
  reads.readInto('object', 0, into);
  t.equal(Buffer.from(into).toString(), 'whole');
});
