/** What docs/security.md and the adversary suite's table name as tests is there: files, and titles or parts of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import t from 'tap';
import { packageRoot } from '../lib/native.js';

const at = (...names: string[]): string => join(packageRoot(), ...names);
const read = (...names: string[]): string => readFileSync(at(...names), 'utf8');
/** Pages write another apostrophe than titles. */
const plain = (text: string): string => text.replaceAll('\u2019', "'").toLowerCase();

/** Titles by file, such as `adversary/writer`. */
const titles = new Map(
  (readdirSync(at('test'), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => {
      const found = read('test', name).matchAll(/t\.test\(\s*(?:'((?:[^'\\]|\\.)*)'|`([^`]*)`|"([^"]*)")/g);
      return [name.slice(0, -'.test.ts'.length), [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? '')] as const;
    }),
);
const has = (file: string, title: string): boolean => (titles.get(file) ?? []).some((one) => plain(one).includes(plain(title)));

t.test('every test that the security page names is there', async (t) => {
  const page = read('docs', 'security.md');
  let count = 0;
  for (const [, file, list] of page.matchAll(/`([a-z0-9]+\/[a-z-]+)`(?:: ([^)`]*))?/g)) {
    t.ok(titles.has(file!), String(file));
    for (const title of (list ?? '').split(/[;,]/).map((text) => text.trim().replace(/\.$/, '')))
      if (title !== '') t.ok(has(file!, title), `${file}: ${title}`);
    count++;
  }
  t.ok(count > 25);
  for (const [, folder] of page.matchAll(/`([a-z0-9]+)\/`/g))
    t.ok(existsSync(at('test', folder!)) || folder === 'test', String(folder));
  const rules = [...page.matchAll(/^\| (R\d+) \|.*\| ([^|]*) \|$/gm)];
  t.equal(rules.length, 12);
  const all = [...titles].filter(([file]) => file.startsWith('retention/')).map(([file]) => file);
  for (const [, rule, list] of rules)
    for (const title of list!.split(';').map((text) => text.trim().replace(/ \u2026$/, '')))
      t.ok(
        all.some((file) => has(file, title)),
        `${rule}: ${title}`,
      );
});

t.test('every test that the table of attacks names is there', async (t) => {
  let count = 0;
  for (const line of read('test', 'adversary', 'README.md').split('\n')) {
    let file: string | undefined;
    for (const part of (line.split('|').at(-2) ?? '').replaceAll(/\([^)]*\)/g, '').split(/(`[^`]+\.test\.ts`)/)) {
      const named = /^`([^`]+)\.test\.ts`$/.exec(part)?.[1];
      if (named !== undefined) {
        file = normalize(`adversary/${named}`);
        t.ok(titles.has(file), file);
        count++;
      } else if (file !== undefined)
        for (const title of part.split(/[;,]/).map((text) => text.split('\u2026')[0]!.trim()))
          if (title !== '' && !/^(repeats|seed)/.test(title)) t.ok(has(file, title), `${file}: ${title}`);
    }
  }
  t.ok(count > 40, `${count} of them`);
});
