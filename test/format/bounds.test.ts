/** What a manifest and a tags entry may list: whoever opens one decides how much memory that costs, not whoever wrote it. */
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { decodeTagChange, encodeTagChange } from '../../lib/format/entry.js';
import {
  checkTags,
  decodeManifestBody,
  encodeManifestBody,
  MAX_NOTES,
  MAX_SOURCES,
  MAX_TAGS,
} from '../../lib/format/manifest.js';
import { cases } from '../helpers/vector-cases.js';

const body = decodeManifestBody(cases['manifest body']!.make(), 'body');
const of = (change: object) => () => decodeManifestBody(encodeManifestBody({ ...body, ...change }), 'body');
const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const corrupt = { code: 'CORRUPT' };

t.test('a manifest lists so many sources, tags and notes, and no more', async (t) => {
  t.throws(of({ paths: many(MAX_SOURCES + 1, () => utf8('/')) }), corrupt, 'sources');
  t.doesNotThrow(of({ paths: many(MAX_SOURCES, () => utf8('/')) }));
  t.throws(of({ tags: many(MAX_TAGS + 1, String) }), corrupt, 'tags');
  t.doesNotThrow(of({ tags: many(MAX_TAGS, String) }));
  t.throws(of({ tags: ['x'.repeat(1025)] }), corrupt, 'a long tag');
  t.throws(of({ tags: ['ä'.repeat(513)] }), corrupt, 'a tag long in bytes');
  t.throws(of({ notes: many(MAX_NOTES + 1, () => ['', '']) }), corrupt, 'notes');
});

t.test('a tags entry names so many snapshots and tags, and no more', async (t) => {
  const id = new Uint8Array(32);
  const decode = (change: { snapshots: Uint8Array[]; added: string[]; removed: string[] }) => () =>
    decodeTagChange(encodeTagChange(change), 'entry');
  t.throws(decode({ snapshots: many(16_385, () => id), added: ['a'], removed: [] }), corrupt);
  t.doesNotThrow(decode({ snapshots: many(16_384, () => id), added: ['a'], removed: [] }));
  t.throws(decode({ snapshots: [id], added: many(MAX_TAGS + 1, String), removed: [] }), corrupt);
  t.throws(decode({ snapshots: [id], added: [], removed: many(MAX_TAGS + 1, String) }), corrupt);
});

t.test('a person who gives too many or too long tags is told before anything is stored', async (t) => {
  t.throws(() => checkTags(many(MAX_TAGS + 1, String)), RangeError);
  t.throws(() => checkTags(['x'.repeat(1025)]), RangeError);
  t.doesNotThrow(() => checkTags(many(MAX_TAGS, String)));
});

t.test('an array that says it is longer than its object is refused before anything is made of it', async (t) => {
  const bytes = new CborWriter()
    .array(3)
    .array(2 ** 31)
    .finish();
  t.throws(() => decodeTagChange(bytes, 'entry'), corrupt);
});
