import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { concat, toHex, utf8 } from '../../lib/bytes.js';
import { native } from '../../lib/native.js';

const kernels = native();
const joined = (paths: readonly string[]): Uint8Array => concat(...paths.flatMap((path) => [utf8(path), Uint8Array.of(0)]));

function tree(folders: number): { root: string; paths: string[] } {
  const root = mkdtempSync(join(tmpdir(), 'varve-ahead-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const paths = Array.from({ length: folders }, (_, i) => join(root, `d${i}`));
  for (const [i, path] of paths.entries()) {
    mkdirSync(path);
    for (let file = 0; file < i % 5; file++) writeFileSync(join(path, `f${file}`), 'x'.repeat(file));
  }
  return { root, paths };
}

/** Takes until the thread has it; what is not begun when it is asked for is never made, so it is asked for again. */
async function taken(handle: number, path: string): Promise<Uint8Array> {
  for (let tries = 0; tries < 1000; tries++) {
    kernels.scanAhead(handle, joined([path]));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const scan = kernels.scanAheadTake(handle, utf8(path));
    if (scan !== undefined) return scan;
  }
  throw new Error('never scanned');
}

t.test('what is scanned ahead is what scanDirectory returns, once, in whatever order it is taken', async (t) => {
  const { paths } = tree(600);
  const handle = kernels.scanAheadCreate();
  kernels.scanAhead(handle, joined(paths));
  const order = [...paths.slice(300).reverse(), ...paths.slice(0, 300)];
  const wrong = order.filter((path) => {
    const ahead = kernels.scanAheadTake(handle, utf8(path));
    return ahead !== undefined && toHex(ahead) !== toHex(kernels.scanDirectory(utf8(path)));
  });
  t.same(wrong, []);
  t.equal(toHex(await taken(handle, paths[4]!)), toHex(kernels.scanDirectory(utf8(paths[4]!))));
  t.equal(kernels.scanAheadTake(handle, utf8(paths[4]!)), undefined, 'not twice');
  kernels.scanAheadFree(handle);
});

t.test('the thread goes on when what lay ready is taken, however much is asked for', async (t) => {
  const { paths } = tree(700);
  const handle = kernels.scanAheadCreate();
  kernels.scanAhead(handle, joined(paths));
  await new Promise((resolve) => setTimeout(resolve, 300));
  let ready = 0;
  for (const path of paths) {
    if (kernels.scanAheadTake(handle, utf8(path)) !== undefined) ready++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(ready > 64, `${ready} were ready; 64 may lie ready at once`);
  kernels.scanAheadFree(handle);
});

t.test('what cannot be scanned is left to the caller, and bad arguments are refused', async (t) => {
  const { root, paths } = tree(2);
  symlinkSync(paths[0]!, join(root, 'link'));
  const handle = kernels.scanAheadCreate();
  const absent = join(root, 'absent');
  kernels.scanAhead(handle, joined([absent, join(root, 'link')]));
  await taken(handle, paths[1]!);
  for (const path of [absent, join(root, 'link')]) t.equal(kernels.scanAheadTake(handle, utf8(path)), undefined, path);
  t.throws(() => kernels.scanAhead(handle, utf8('/tmp')), RangeError, 'a path must end with NUL');
  t.throws(() => kernels.scanAheadTake(handle, Uint8Array.of(0x2f, 0)), TypeError);
  kernels.scanAheadFree(handle);
  t.throws(() => kernels.scanAheadTake(handle, utf8(root)), RangeError, 'a freed handle');
  t.throws(() => kernels.scanAheadFree(handle), RangeError);
});
