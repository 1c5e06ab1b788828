/** What `varve check` prints of damage: which object, what it touches, and what to do about it, for people and for programs. */
import t from 'tap';
import { scratch } from '../helpers/backup-repository.js';
import { damagedRepository } from '../helpers/damaged-repository.js';
import { runner } from './program.js';

const repo = await damagedRepository();
t.teardown(() => repo.remove());
t.afterEach(() => repo.mend());
const folder = scratch(t);
const varve = runner({
  VARVE_REPOSITORY: repo.folder,
  VARVE_PASSWORD: repo.passphrase,
  VARVE_CACHE_DIR: `${folder}/cache`,
  VARVE_STATE_DIR: `${folder}/state`,
});
/** The largest pack: file content, not trees. */
const pack = repo
  .names('packs/')
  .sort((a, b) => repo.read(a).byteLength - repo.read(b).byteLength)
  .at(-1)!;
const [index] = repo.names('index/');

/** The object with a bit of its middle turned. */
function turned(name: string): Uint8Array {
  const bytes = repo.read(name);
  bytes[bytes.byteLength >> 1]! ^= 1;
  return bytes;
}

for (const [what, name, bytes, args, advice] of [
  [
    'a damaged pack',
    pack,
    turned(pack),
    ['--read-data'],
    /second copy.*backup again with --force.*not listed here can be restored/,
  ],
  ['a missing pack', pack, undefined, [], /second copy.*backup again with --force.*not listed here can be restored/],
  ['a damaged index object', index!, turned(index!), [], /no data is lost.*read from the packs.*remove the object/],
] as const)
  t.test(`${what} is named with what to do about it`, async (t) => {
    repo.change(name, bytes);
    const people = varve(['check', ...args]);
    t.equal(people.status, 15, people.stderr);
    const lines = people.stdout.split('\n');
    const at = lines.findIndex((line) => line.startsWith(`${name}: `));
    t.ok(at >= 0, people.stdout);
    const rest = lines.slice(at + 1);
    t.match(
      rest.find((line) => !/^ {4}(affects|and \d+ more) /.test(line)),
      advice,
      'below what it affects',
    );
    t.match(people.stdout, /\n1 error found\.\n$/);
    const programs = varve(['check', '--json', ...args]);
    t.equal(programs.status, 15);
    const errors = (programs.records as Record<string, unknown>[]).filter((one) => one.message_type === 'error');
    t.match(errors, [{ object: name, advice }]);
    t.equal(errors.length, 1);
    if (name === pack) t.ok((errors[0]!.affects as unknown[]).length > 0, 'and what it affects');
  });
