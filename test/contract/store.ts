/** The suite that every store passes, whatever keeps its bytes. `make` gives an empty store. */
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { NotFoundError, ObjectExistsError } from '../../lib/errors.js';
import { isMendableStore, type Store } from '../../lib/store/store.js';
import { storedNames } from '../helpers/stored-names.js';

const bytes = (text: string): Uint8Array => utf8(text);
const text = (data: Uint8Array): string => Buffer.from(data).toString('latin1');

export function storeContract(t: Test, name: string, make: (t: Test) => Promise<Store>): void {
  const with_ = (title: string, body: (t: Test, store: Store) => Promise<void>): void => {
    t.test(`${name}: ${title}`, async (t) => {
      const store = await make(t);
      t.teardown(() => store.close());
      await body(t, store);
    });
  };

  with_('what is put is got back, and its size is known', async (t, store) => {
    await store.put('packs/3f/3f9a', [bytes('one'), bytes(''), bytes(' two')]);
    t.equal(text(await store.get('packs/3f/3f9a')), 'one two');
    t.match(await store.stat('packs/3f/3f9a'), { name: 'packs/3f/3f9a', sizeBytes: 7 });
    t.equal((await store.get('packs/3f/3f9a')).constructor, Uint8Array, 'plain bytes, so that slice copies');
  });

  with_('stat and list agree on when an object was stored, and storing it again does not make it younger', async (t, store) => {
    const before = Date.now();
    await store.put('packs/a', [bytes('one')]);
    const info = await store.stat('packs/a');
    for await (const listed of store.list('packs/')) t.same(listed, info);
    // A store that cannot tell says nothing; then nothing in it is ever old enough to be pruned.
    if (info?.storedMs !== undefined) t.ok(Math.abs(info.storedMs - before) < 60_000, `${info.storedMs} is about ${before}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await store.put('packs/a', [bytes('one')]);
    t.same(await store.stat('packs/a'), info);
  });

  with_('a put keeps a copy: neither buffer changes the object', async (t, store) => {
    const mine = bytes('abc');
    await store.put('a', [mine]);
    mine[0] = 0;
    (await store.get('a'))[1] = 0;
    t.equal(text(await store.get('a')), 'abc');
  });

  with_('ranges at, across and past the end', async (t, store) => {
    await store.put('a', [bytes('0123456789')]);
    const range = async (offset: number, length: number): Promise<string> => text(await store.get('a', { offset, length }));
    t.equal(await range(0, 10), '0123456789');
    t.equal(await range(3, 4), '3456');
    t.equal(await range(9, 1), '9');
    t.equal(await range(8, 100), '89');
    t.equal(await range(10, 1), '');
    t.equal(await range(1000, 5), '');
    t.equal(await range(4, 0), '');
    t.equal(await range(2, Number.MAX_SAFE_INTEGER - 2), '23456789');
    for (const [offset, length] of [
      [-1, 2],
      [0, -1],
      [0.5, 1],
      [0, Number.NaN],
    ] as const)
      await t.rejects(store.get('a', { offset, length }), RangeError, `${offset}+${length}`);
  });

  with_('an empty object is an object', async (t, store) => {
    await store.put('empty', []);
    t.equal((await store.get('empty')).byteLength, 0);
    t.equal((await store.get('empty', { offset: 0, length: 9 })).byteLength, 0);
    t.match(await store.stat('empty'), { name: 'empty', sizeBytes: 0 });
    await t.rejects(store.put('empty', [bytes('x')]), ObjectExistsError);
    t.same(await storedNames(store, ''), ['empty']);
  });

  with_('the same bytes again are no error, however they are cut', async (t, store) => {
    await store.put('a/b', [bytes('same bytes')]);
    await store.put('a/b', [bytes('same '), bytes('bytes')]);
    t.equal(text(await store.get('a/b')), 'same bytes');
    t.same(await storedNames(store, ''), ['a/b']);
  });

  with_('other bytes under a taken name are refused, and the old ones stay', async (t, store) => {
    await store.put('a', [bytes('first')]);
    for (const other of ['other', 'firs', 'first!', '', 'First'])
      await t.rejects(store.put('a', [bytes(other)]), ObjectExistsError, JSON.stringify(other));
    t.equal(text(await store.get('a')), 'first');
  });

  with_('fifty puts of one name at once with the same bytes all succeed', async (t, store) => {
    await Promise.all(Array.from({ length: 50 }, () => store.put('x/y/same', [bytes('equal')])));
    t.equal(text(await store.get('x/y/same')), 'equal');
    t.same(await storedNames(store, ''), ['x/y/same']);
  });

  with_('of fifty puts of one name at once with different bytes exactly one wins', async (t, store) => {
    const contents = Array.from({ length: 50 }, (_, i) => `content ${i} `.repeat(1 + (i % 7) * 900));
    const results = await Promise.allSettled(contents.map((content) => store.put('x/race', [bytes(content)])));
    const winners = contents.filter((_, i) => results[i]!.status === 'fulfilled');
    t.equal(winners.length, 1);
    t.equal(text(await store.get('x/race')), winners[0]);
    for (const result of results) if (result.status === 'rejected') t.type(result.reason, ObjectExistsError);
  });

  with_('a big object in many parts comes back byte for byte', async (t, store) => {
    const parts = Array.from({ length: 5000 }, (_, i) => new Uint8Array(1 + ((i * 7919) % 8389)).fill(i & 255));
    const whole = Buffer.concat(parts);
    t.ok(whole.byteLength > 20 * 1024 * 1024, 'more than 20 MiB');
    await store.put('packs/big', parts);
    t.ok(whole.equals(await store.get('packs/big')));
    t.ok(whole.subarray(12345678, 12345678 + 70000).equals(await store.get('packs/big', { offset: 12345678, length: 70000 })));
    await store.put('packs/big', [whole]);
    parts[4999]![0] = parts[4999]![0]! ^ 1;
    await t.rejects(store.put('packs/big', parts), ObjectExistsError, 'one bit near the end');
  });

  with_('lists by folder and by the beginning of a name', async (t, store) => {
    for (const name of ['genesis', 'packs/3f/3f9a', 'packs/3f/3fff', 'packs/a0/a000', 'packs-old/x', 'ledger/a/01'])
      await store.put(name, [bytes(name)]);
    t.same(await storedNames(store, ''), [
      'genesis',
      'ledger/a/01',
      'packs-old/x',
      'packs/3f/3f9a',
      'packs/3f/3fff',
      'packs/a0/a000',
    ]);
    t.same(await storedNames(store, 'packs/'), ['packs/3f/3f9a', 'packs/3f/3fff', 'packs/a0/a000']);
    t.same(await storedNames(store, 'packs'), ['packs-old/x', 'packs/3f/3f9a', 'packs/3f/3fff', 'packs/a0/a000']);
    t.same(await storedNames(store, 'packs/3f/3f9'), ['packs/3f/3f9a']);
    t.same(await storedNames(store, 'packs/3'), ['packs/3f/3f9a', 'packs/3f/3fff']);
    t.same(await storedNames(store, 'genesis'), ['genesis']);
    t.same(await storedNames(store, 'nothing/here/'), []);
    t.same(await storedNames(store, 'genesis/'), []);
    for await (const info of store.list('ledger/')) t.match(info, { name: 'ledger/a/01', sizeBytes: 11 });
    for (const prefix of ['/', '../', 'a/../', 'A', '.hidden']) await t.rejects(storedNames(store, prefix), RangeError, prefix);
  });

  with_('what is not there is undefined to stat and NotFoundError to get', async (t, store) => {
    await store.put('a/b', [bytes('x')]);
    for (const missing of ['nothing', 'a/c', 'b/c/d', 'a/b/c']) {
      t.equal(await store.stat(missing), undefined, missing);
      await t.rejects(store.get(missing), NotFoundError, missing);
      await t.rejects(store.get(missing, { offset: 0, length: 1 }), NotFoundError, missing);
      await store.remove(missing);
    }
    t.same(await storedNames(store, ''), ['a/b']);
  });

  with_('a removed object is gone, and its name is free again', async (t, store) => {
    await store.put('keys/one', [bytes('first')]);
    await store.remove('keys/one');
    t.equal(await store.stat('keys/one'), undefined);
    t.same(await storedNames(store, 'keys/'), []);
    await store.remove('keys/one');
    await store.put('keys/one', [bytes('second')]);
    t.equal(text(await store.get('keys/one')), 'second');
  });

  with_(
    'damaged bytes under a name that is their digest are replaced by the right ones, and nothing else ever is',
    async (t, store) => {
      if (!isMendableStore(store)) return void t.fail('every store replaces what is damaged');
      const right = bytes('what the name promises');
      const digest = createHash('sha256').update(right).digest('hex');
      for (const name of [`packs/${digest.slice(0, 2)}/${digest}`, `index/${digest}`, `snapshots/${digest}`]) {
        await t.rejects(store.replaceDamaged(name, [right]), NotFoundError, 'absent: it is for a put');
        for (const wrong of ['what the name promised', '', 'what the name promises!']) {
          await store.put(name, [bytes(wrong)]);
          await t.rejects(store.put(name, [right]), ObjectExistsError);
          await t.rejects(store.replaceDamaged(name, [bytes('neither')]), { code: 'REFUSED' });
          await t.rejects(store.replaceDamaged(name, [bytes(wrong)]), { code: 'REFUSED' });
          t.equal(text(await store.get(name)), wrong, 'what is refused changes nothing');
          await Promise.allSettled(
            Array.from({ length: 5 }, () => store.replaceDamaged(name, [bytes('what the name '), bytes('promises')])),
          );
          t.same(await store.get(name), right);
          t.match(await store.stat(name), { sizeBytes: right.byteLength });
          await t.rejects(store.replaceDamaged(name, [right]), ObjectExistsError, 'it is whole');
          await store.remove(name);
        }
      }
      for (const name of [
        'genesis',
        'keys/0011223344556677',
        `ledger/${digest.slice(0, 32)}/0000000000000000`,
        `other/${digest}`,
      ]) {
        await store.put(name, [bytes('x')]);
        await t.rejects(store.replaceDamaged(name, [right]), { code: 'REFUSED' }, name);
        t.equal(text(await store.get(name)), 'x');
      }
      await t.rejects(store.replaceDamaged('../x', [right]), RangeError);
    },
  );

  with_('names that are not object names are refused by every operation', async (t, store) => {
    for (const bad of [
      '',
      '.',
      '..',
      '../x',
      'a/../b',
      '/etc/passwd',
      'a//b',
      'a/',
      'A',
      'packs/3F',
      '.hidden',
      'a/.hidden',
      'a b',
      'a\0b',
      'ä',
      '-a',
      'a\\b',
      'tmp',
      'tmp/x',
      'x'.repeat(201),
    ]) {
      const shown = JSON.stringify(bad.slice(0, 20));
      await t.rejects(store.put(bad, [bytes('x')]), RangeError, `put ${shown}`);
      await t.rejects(store.get(bad), RangeError, `get ${shown}`);
      await t.rejects(store.stat(bad), RangeError, `stat ${shown}`);
      await t.rejects(store.remove(bad), RangeError, `remove ${shown}`);
    }
    await store.put('a1/b-c_d.e', [bytes('x')]);
    await store.put('x'.repeat(200), [bytes('x')]);
    t.equal((await storedNames(store, '')).length, 2);
  });
}
