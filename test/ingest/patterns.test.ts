/** Patterns of backup and restore: restic's meaning, and names that are not UTF-8. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { compileExclusion, compileMatcher } from '../../lib/ingest/exclude.js';
import { compilePatterns, decodeName } from '../../lib/ingest/patterns.js';

const matches = (patterns: readonly string[], path: string | Uint8Array): boolean =>
  compilePatterns(patterns.map((pattern) => ({ pattern }))).matches(typeof path === 'string' ? Buffer.from(path) : path);

t.test('a pattern means what it means in restic', async (t) => {
  const rows: [pattern: string, path: string, expected: boolean][] = [
    ['*.o', '/src/a.o', true],
    ['*.o', '/src/a.oo', false],
    ['*', '/a', true],
    ['foo', '/a/foo/b/c', true],
    ['foo', '/a/food', false],
    ['foo/bar', '/x/foo/bar/y', true],
    ['foo/bar', '/x/foo/y/bar', false],
    ['/foo', '/foo/x', true],
    ['/foo', '/x/foo', false],
    ['/foo/', '/foo', true],
    ['/home/*/.cache', '/home/ann/.cache/x', true],
    ['/home/*/.cache', '/home/ann/work/.cache', false],
    ['/home/**/.cache', '/home/ann/work/.cache/x', true],
    ['/home/**/.cache', '/home/.cache', true],
    ['**/node_modules', '/a/b/node_modules/x', true],
    ['src/**', '/src', true],
    ['a**c', '/abbc', true],
    ['?.txt', '/é.txt', true],
    ['?.txt', '/ab.txt', false],
    ['[a-c]x', '/bx', true],
    ['[^a-c]x', '/bx', false],
    ['[^a-c]x', '/dx', true],
    ['[à-ü]x', '/éx', true],
    ['\\*', '/*', true],
    ['\\*', '/a', false],
    ['a.b', '/aXb', false],
    ['(x|y)+$', '/(x|y)+$', true],
    ['/', '/anything', true],
  ];
  for (const [pattern, path, expected] of rows) t.equal(matches([pattern], path), expected, `${pattern} on ${path}`);
});

t.test('later patterns win, and ! takes back', async (t) => {
  t.equal(matches(['*.log', '!keep.log'], '/x/keep.log'), false);
  t.equal(matches(['*.log', '!keep.log'], '/x/other.log'), true);
  t.equal(matches(['!keep.log', '*.log'], '/x/keep.log'), true);
  t.equal(matches(['*', '!/a', '/a/b'], '/a/b'), true);
  t.equal(
    compilePatterns([
      { pattern: '*.JPG', ignoreCase: true },
      { pattern: 'ÄÖ', ignoreCase: true },
    ]).matches(Buffer.from('/x/äö')),
    true,
  );
});

t.test('names that are not UTF-8 match as the bytes they are', async (t) => {
  const name = Buffer.from([0x2f, 0x61, 0xff, 0x62]);
  t.equal(matches(['a?b'], name), true);
  t.equal(matches(['a*'], name), true);
  t.equal(compilePatterns([{ pattern: name }]).matches(name), true);
  t.equal(compilePatterns([{ pattern: name }]).matches(Buffer.from([0x2f, 0x61, 0xfe, 0x62])), false);
  t.equal(matches(['a\ufffdb'], name), false, 'the replacement character is not what the bytes are');
  t.not(decodeName(Buffer.from([0xe2, 0x82])), decodeName(Buffer.from([0xe2, 0x83])), 'cut sequences stay different');
});

t.test('a search means the thing itself, not what lies beneath', async (t) => {
  const finds = (pattern: string, path: string): boolean =>
    compilePatterns([{ pattern }], { itself: true }).matches(Buffer.from(path));
  t.equal(finds('foo', '/a/foo'), true);
  t.equal(finds('foo', '/a/foo/b'), false);
  t.equal(finds('foo', '/foo/foo'), true);
  t.equal(finds('/etc/*.conf', '/etc/a.conf'), true);
  t.equal(finds('src/**', '/x/src/a/b'), true);
});

t.test('a pattern that cannot be is refused by name', async (t) => {
  t.throws(() => matches(['[a'], '/a'), { name: 'RangeError', message: /\[a/ });
  t.throws(() => matches(['[z-a]'], '/a'), RangeError);
});

t.test('a restore knows which directories may hold a match', async (t) => {
  const matcher = compileMatcher([{ pattern: '/home/*/docs' }]);
  const ask = (path: string): string => matcher(Buffer.from(path), true);
  t.same(['/', '/home', '/home/ann', '/home/ann/docs', '/home/ann/docs/x', '/home/ann/other', '/etc'].map(ask), [
    'maybe-below',
    'maybe-below',
    'maybe-below',
    'yes',
    'yes',
    'no',
    'no',
  ]);
  t.equal(compileMatcher([{ pattern: '*.pdf' }])(Buffer.from('/any/where'), true), 'maybe-below');
  t.equal(compileMatcher([{ pattern: '*.pdf' }])(Buffer.from('/any/where'), false), 'no');
  t.equal(compileMatcher([{ pattern: '/a/**/b' }])(Buffer.from('/a/x/y'), true), 'maybe-below');
});

t.test('directories are left out for what they hold, but keep the tag that says so', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'varve-exclude-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of [
    ['true', 'Signature: 8a477f597d28d172789f06886806bc55\n'],
    ['false', 'Signature: 0'],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'CACHEDIR.TAG'), text);
  }
  writeFileSync(join(folder, '.nobackup'), '');
  const exclusion = compileExclusion({ caches: true, ifPresent: [{ name: '.nobackup' }], largerThanBytes: 10 })!;
  t.equal(compileExclusion({ patterns: [], caches: false, ifPresent: [] }), undefined, 'rules that leave nothing out are none');
  const names = (list: readonly string[]): Uint8Array[] => list.map((name) => Buffer.from(name));
  const kept = (path: string, list: readonly string[]) =>
    exclusion.keepsOnly(Buffer.from(path), names(list))?.map((name) => Buffer.from(name).toString());
  t.same(kept(join(folder, 'true'), ['CACHEDIR.TAG', 'x']), ['CACHEDIR.TAG']);
  t.equal(kept(join(folder, 'false'), ['CACHEDIR.TAG', 'x']), undefined, 'a tag without the signature is an ordinary file');
  t.same(kept(folder, ['.nobackup', 'true']), ['.nobackup']);
  t.equal(exclusion.excludes(Buffer.from('/x'), { isDirectory: false, sizeBytes: 11 }), true);
  t.equal(exclusion.excludes(Buffer.from('/x'), { isDirectory: false, sizeBytes: 10 }), false);
});
