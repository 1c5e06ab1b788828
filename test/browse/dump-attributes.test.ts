/** ACLs and attributes of a dump as GNU tar, bsdtar and Python's tarfile take them; and a dump that is cut off says so. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { native } from '../../lib/native.js';
import { MAIN, runner } from '../cli/program.js';

const folder = fs.mkdtempSync(join(tmpdir(), 'varve-dump-'));
t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const environment = {
  VARVE_REPOSITORY: at('repository'),
  VARVE_KEY_FILE: at('key'),
  VARVE_CACHE_DIR: at('cache'),
  VARVE_STATE_DIR: at('state'),
};
const varve = runner(environment);
const source = at('source');
fs.mkdirSync(join(source, 'd'), { recursive: true });
fs.writeFileSync(join(source, 'f'), 'content', { mode: 0o640 });
fs.writeFileSync(join(source, 'large'), Buffer.alloc(3 << 20, 'x'));
const mayAcl =
  process.geteuid?.() === 0 &&
  spawnSync('setfacl', ['-m', 'g::-,u:nobody:rw', join(source, 'f')]).status === 0 &&
  spawnSync('setfacl', ['-m', 'u:nobody:rx', '-d', '-m', 'g:12345:rwx,o::-', join(source, 'd')]).status === 0;
const skip = !mayAcl && 'needs root, setfacl and a file system with ACLs';
const PLAIN = 'user.plain';
if (mayAcl)
  for (const name of [PLAIN, 'user.a=b', 'user.50%', 'user.%3D'])
    execFileSync('setfattr', ['-n', name, '-v', `0s${Buffer.from(`of ${name}\0=`).toString('base64')}`, join(source, 'f')]);
const attributesOf = (path: string): Map<string, string> =>
  new Map(
    native()
      .getXattrs(utf8(path))
      .map(([name, value]) => [Buffer.from(name).toString(), Buffer.from(value as Uint8Array).toString('hex')]),
  );

t.before(() => {
  t.equal(varve(['init']).status, 0);
  t.equal(varve(['backup', '-q', source]).status, 0);
  const { status, stdout } = spawnSync(process.execPath, [MAIN, 'dump', `latest:${source}`], {
    env: { ...process.env, ...environment },
    maxBuffer: 1 << 28,
  });
  t.equal(status, 0);
  fs.writeFileSync(at('dump.tar'), stdout);
});

for (const [program, options] of [
  ['tar', ['--acls', '--xattrs', '--xattrs-include=*']],
  ['bsdtar', ['--acls', '--xattrs']],
] as const) {
  const missing = skip || (spawnSync(program, ['--version']).status !== 0 && `${program} is not installed`);
  t.test(`${program} restores ACLs, rights and attributes that were there`, { skip: missing }, async (t) => {
    const target = at(program);
    fs.mkdirSync(target);
    const { status, stderr } = spawnSync(program, ['-x', '-p', ...options, '-f', at('dump.tar'), '-C', target], {
      encoding: 'utf8',
    });
    t.equal(status, 0, stderr);
    for (const name of ['f', 'd']) {
      const [was, is] = [attributesOf(join(source, name)), attributesOf(join(target, name))];
      // bsdtar gives what GNU tar has escaped a name of its own besides.
      for (const key of is.keys()) if (program === 'bsdtar' && !was.has(key) && /%(3D|25)/.test(key)) is.delete(key);
      if (program === 'bsdtar' && was.get('user.%3D') !== is.get('user.%3D')) t.fail('user.%3D');
      t.same([...is].sort(), [...was].sort(), name);
      t.equal(fs.statSync(join(target, name)).mode, fs.statSync(join(source, name)).mode);
    }
  });
}

t.test('Python reads it and finds the ACL as text', { skip }, async (t) => {
  const script = `
import sys, json, tarfile
with tarfile.open(sys.argv[1]) as tar:
    print(json.dumps({member.name: {key: value for key, value in member.pax_headers.items() if 'acl' in key} for member in tar}))`;
  const found = JSON.parse(execFileSync('python3', ['-c', script, at('dump.tar')], { encoding: 'utf8' })) as Record<
    string,
    unknown
  >;
  const nobody = /^nobody:[^:]*:(\d+)/m.exec(fs.readFileSync('/etc/passwd', 'utf8'))![1];
  t.same(found.f, { 'SCHILY.acl.access': `user::rw-,user:${nobody}:rw-,group::---,mask::rw-,other::---` });
  t.match(found.d, { 'SCHILY.acl.default': /group:12345:rwx/ });
});

t.test('a dump whose reader goes away is one line and not status 0', async (t) => {
  for (const path of [`latest:${source}`, `latest:${source}/large`]) {
    const { stdout, stderr } = spawnSync(
      'bash',
      ['-c', '"$0" "$1" dump "$2" | head -c 10 >/dev/null; echo $PIPESTATUS', process.execPath, MAIN, path],
      {
        env: { ...process.env, ...environment },
        encoding: 'utf8',
      },
    );
    t.equal(stdout.trim(), '1');
    t.match(stderr, /^varve: standard output cannot be written \(EPIPE\); what was printed is not whole\n$/);
  }
});
