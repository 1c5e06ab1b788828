import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeFolders } from '../lib/folders.js';

t.test('folders are made with all above them, for their owner alone, and left as they are', async (t) => {
  const root = t.testdir({});
  mkdirSync(join(root, 'there'), { mode: 0o755 });
  makeFolders(join(root, 'there/a/b/c'));
  for (const path of ['there/a', 'there/a/b', 'there/a/b/c']) t.equal(statSync(join(root, path)).mode & 0o777, 0o700, path);
  makeFolders(join(root, 'there'));
  t.equal(statSync(join(root, 'there')).mode & 0o777, 0o755);
  symlinkSync('there', join(root, 'link'));
  makeFolders(join(root, 'link/d'));
  t.ok(statSync(join(root, 'there/d')).isDirectory());
});

t.test('where none can be made it is an error, and comes back', async (t) => {
  const root = t.testdir({});
  writeFileSync(join(root, 'file'), '');
  t.throws(() => makeFolders(join(root, 'file')), { code: 'EEXIST' });
  t.throws(() => makeFolders(join(root, 'file/x')), { code: 'EEXIST' });
  symlinkSync('nowhere', join(root, 'dangling'));
  t.throws(() => makeFolders(join(root, 'dangling')), { code: 'EEXIST' });
  t.throws(() => makeFolders('/proc/varve/x'), { code: 'ENOENT' }, 'Node with recursive never comes back from this');
});
