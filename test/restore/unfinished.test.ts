/** What an interrupted restore leaves, who can read it, and what the next run makes of it; and that a finished entry has nothing but what the snapshot has. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import type { Snapshot } from '../../lib/ledger/snapshots.js';
import { native } from '../../lib/native.js';
import type { RestoreOptions, RestoreReport } from '../../lib/restore/options.js';
import { restore } from '../../lib/restore/restore.js';
import { directory, file, pieces, type TinyRepository, tinyRepository } from '../helpers/tiny-repository.js';

const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-unfinished-'));
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));
const skip = process.geteuid?.() !== 0 && 'needs root';
const noAcl =
  skip || (spawnSync('setfacl', ['-m', 'u:65534:r', scratch]).status !== 0 && 'needs setfacl and a file system with ACLs');
let number = 0;
const newPath = (): string => join(scratch, `t${number++}`);

let tiny: TinyRepository;
t.before(async () => {
  tiny = await tinyRepository(join(scratch, 'repository'), join(scratch, 'cache'));
});

const into = (snapshot: Snapshot, targetPath: string, options: Partial<RestoreOptions> = {}): Promise<RestoreReport> =>
  restore(tiny.repository, snapshot, { targetPath, threads: 0, ...options });
const filled = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte);
const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777;

const CHANGES =
  /^(mkdirAt|createAt|openAt|openWritable|openPathAt|openDirBeneath|unlinkAt|symlinkAt|linkFd|mknodAt|writeAt|truncateFd|punchHole|setMetadataFd|writeFilesAt)$/;

/** Runs a restore that does nothing more to the target from call number `when` on, as if it had been killed there. @returns false when it was done before that */
async function killedAt(when: number, run: () => Promise<unknown>): Promise<boolean> {
  const kernel = native() as unknown as Record<string, (...args: unknown[]) => unknown>;
  const originals = { ...kernel };
  let calls = 0;
  for (const [name, call] of Object.entries(originals)) {
    if (!CHANGES.test(name)) continue;
    kernel[name] = (...args) => {
      if (calls++ >= when) throw new TypeError('killed');
      return call(...args);
    };
  }
  try {
    await run();
    return false;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return true;
  } finally {
    Object.assign(kernel, originals);
  }
}

t.test('killed anywhere, what the next run finds is finished by it, whatever may be overwritten', async (t) => {
  const snapshot = await tiny.snapshot({
    d: directory({ inline: file('inline'), small: file('a small file, whole in one call') }, { mode: 0o750 }),
    old: pieces([filled(1, 70_000), filled(2, 70_000)], { mode: 0o640 }),
    rows: pieces([filled(3, 70_000), filled(4, 70_000)], { mode: 0o640 }),
  });
  for (const overwrite of ['if-newer', 'never', 'if-changed', 'always'] as const) {
    let moments = 0;
    for (let when = 0; ; when++) {
      const target = newPath();
      fs.mkdirSync(target);
      fs.writeFileSync(join(target, 'old'), filled(1, 140_000), { mode: 0o600 });
      fs.utimesSync(join(target, 'old'), 5, 5);
      const wasKilled = await killedAt(when, () => into(snapshot, target));
      const begun =
        fs.readFileSync(join(target, 'old')).compare(filled(1, 140_000)) !== 0 || modeOf(join(target, 'old')) !== 0o600;
      const report = await into(snapshot, target, { overwrite });
      t.same(report.problems, [], `${overwrite} after ${when}`);
      const right = (name: string, content: Uint8Array | string, mode: number): void => {
        const path = join(target, name);
        const same = fs.readFileSync(path).equals(Buffer.from(content));
        const time = fs.lstatSync(path, { bigint: true }).mtimeNs === 1_709_210_096_123_456_789n;
        if (!same || !time || modeOf(path) !== mode)
          t.fail(`${overwrite}, killed before call ${when}: ${name} ${same} ${time} ${modeOf(path)}`);
      };
      right('d/inline', 'inline', 0o644);
      right('d/small', 'a small file, whole in one call', 0o644);
      right('rows', Buffer.concat([filled(3, 70_000), filled(4, 70_000)]), 0o640);
      if (begun || overwrite !== 'never') right('old', Buffer.concat([filled(1, 70_000), filled(2, 70_000)]), 0o640);
      if (modeOf(join(target, 'd')) !== 0o750) t.fail(`${overwrite}, killed before call ${when}: d`);
      fs.rmSync(target, { recursive: true });
      moments = when;
      if (!wasKilled) break;
    }
    t.ok(moments > 15, `${moments} moments`);
  }
});

t.test('killed anywhere, no secret can be read by others in what is left', { skip: noAcl }, async (t) => {
  const secret = Buffer.alloc(140_000, 'a secret ');
  const snapshot = await tiny.snapshot({
    open: file(secret.subarray(0, 5000), { mode: 0o600 }),
    rows: pieces([secret.subarray(0, 70_000), secret.subarray(70_000)], { mode: 0o600 }),
    shared: pieces([secret.subarray(0, 70_000), secret.subarray(70_000)], { mode: 0o640 }),
  });
  for (let when = 0; ; when++) {
    const target = newPath();
    fs.mkdirSync(target, { mode: 0o777 });
    execFileSync('setfacl', ['-d', '-m', 'u:65534:rw', target]);
    for (const name of ['open', 'rows']) {
      fs.writeFileSync(join(target, name), 'old and open to everybody');
      fs.chmodSync(join(target, name), 0o666);
    }
    const readers = ['open', 'rows'].map((name) => fs.openSync(join(target, name), 'r'));
    const wasKilled = await killedAt(when, () => into(snapshot, target));
    for (const name of fs.readdirSync(target)) {
      if (!fs.readFileSync(join(target, name)).includes('secret')) continue;
      const reads = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'head', '-c1', join(target, name)]);
      if (reads.status === 0) t.fail(`killed before call ${when}: ${name} is read by another user`);
    }
    // Whoever had the old file open sees nothing of the new one.
    for (const fd of readers) {
      if (fs.readFileSync(fd).includes('secret')) t.fail(`killed before call ${when}: an old descriptor reads the secret`);
      fs.closeSync(fd);
    }
    fs.rmSync(target, { recursive: true });
    if (wasKilled) continue;
    t.ok(when > 10);
    break;
  }
});

t.test('ACLs, attributes and capabilities that the snapshot does not have are gone', { skip: noAcl }, async (t) => {
  const xattrs = [{ name: utf8('user.kept'), value: utf8('1') }];
  const snapshot = await tiny.snapshot({
    d: directory({ inner: file('inner', { mode: 0o640 }), sub: directory({ deep: file('deep') }) }, { mode: 0o750 }),
    same: file('the same content in both, in a chunk', { mode: 0o640, xattrs }),
    zother: file('not the same content, in a chunk', { mode: 0o640 }),
  });
  const target = newPath();
  fs.mkdirSync(join(target, 'd'), { recursive: true });
  fs.writeFileSync(join(target, 'same'), 'the same content in both, in a chunk');
  fs.writeFileSync(join(target, 'zother'), 'something else');
  for (const name of ['same', 'zother']) {
    execFileSync('setfacl', ['-m', 'u:65534:rw', join(target, name)]);
    execFileSync('setfattr', ['-n', 'user.planted', '-v', 'x', join(target, name)]);
    execFileSync('setfattr', ['-n', 'security.capability', '-v', '0sAQAAAgAgAAAAAAAAAAAAAAAAAAA=', join(target, name)]);
  }
  execFileSync('setfacl', ['-m', 'u:65534:rwx', '-d', '-m', 'u:65534:rwx', target, join(target, 'd')]);
  t.match(await into(snapshot, target), { problemCount: 0 });
  const attributes = (name: string): string[] =>
    native()
      .getXattrs(utf8(join(target, name)))
      .map(([key]) => Buffer.from(key).toString());
  t.same(attributes('same'), ['user.kept']);
  for (const name of ['d', 'd/inner', 'd/sub', 'd/sub/deep', 'zother']) t.same(attributes(name), [], name);
  t.equal(modeOf(join(target, 'd/inner')), 0o640);
  t.same(attributes('.'), ['system.posix_acl_access', 'system.posix_acl_default'], 'a target that was there keeps what it has');
});

t.test(
  'a target that the restore makes gets what the snapshot has for it, an existing one keeps what it has',
  { skip: noAcl },
  async (t) => {
    const acl = Buffer.from('0200000001000700ffffffff020007000000000004000500ffffffff10000700ffffffff20000500ffffffff', 'hex');
    const xattrs = [{ name: utf8('system.posix_acl_access'), value: new Uint8Array(acl) }];
    const snapshot = await tiny.snapshot({
      www: directory({ f: file('f') }, { mode: 0o2775, owner: { uid: 33, gid: 33 }, xattrs }),
    });
    const target = newPath();
    t.match(await into(snapshot, target, { subPath: utf8('/www') }), { problemCount: 0 });
    t.match(fs.statSync(target), { mode: 0o042775, uid: 33, gid: 33 });
    t.equal(fs.statSync(target, { bigint: true }).mtimeNs, 1_709_210_096_123_456_789n);
    t.same(
      native()
        .getXattrs(utf8(target))
        .map(([key]) => Buffer.from(key).toString()),
      ['system.posix_acl_access'],
    );
    fs.rmSync(target, { recursive: true });
    fs.mkdirSync(target, { mode: 0o711 });
    await into(snapshot, target, { subPath: utf8('/www') });
    t.match(fs.statSync(target), { mode: 0o040711, uid: 0, gid: 0 });
  },
);

t.test(
  'directories on the way to what was asked for keep what they have; those that had to be made get the snapshot’s',
  { skip },
  async (t) => {
    const snapshot = await tiny.snapshot({
      home: directory(
        {
          made: directory({ b: file('b') }, { mode: 0o751 }),
          u: directory({ a: file('a') }, { mode: 0o755, owner: { uid: 0, gid: 0 } }),
        },
        { mode: 0o711 },
      ),
    });
    const target = newPath();
    fs.mkdirSync(join(target, 'home/u'), { recursive: true });
    fs.chmodSync(join(target, 'home/u'), 0o700);
    fs.chownSync(join(target, 'home/u'), 1000, 1000);
    fs.chmodSync(join(target, 'home'), 0o755);
    const wanted = ['/home/u/a', '/home/made/b'];
    const include: RestoreOptions['include'] = (path) => {
      const text = Buffer.from(path).toString();
      return wanted.includes(text) ? 'yes' : wanted.some((one) => one.startsWith(`${text}/`)) ? 'maybe-below' : 'no';
    };
    t.match(await into(snapshot, target, { include }), { restored: 2, problemCount: 0 });
    t.match(fs.statSync(join(target, 'home/u')), { mode: 0o040700, uid: 1000, gid: 1000 });
    t.equal(modeOf(join(target, 'home')), 0o755);
    t.equal(modeOf(join(target, 'home/made')), 0o751);
  },
);

t.test('a file that only needed inline bytes, or no bytes, is finished, counted and verified', async (t) => {
  const snapshot = await tiny.snapshot({ empty: file('', { mode: 0o600 }), f: file('old\n', { mode: 0o600 }) });
  const target = newPath();
  fs.mkdirSync(target);
  for (const name of ['empty', 'f']) {
    fs.writeFileSync(join(target, name), 'newer\n');
    fs.chmodSync(join(target, name), 0o600);
  }
  t.match(await into(snapshot, target, { verify: true }), { restored: 2, verified: 2, skipped: 0, problemCount: 0 });
  for (const name of ['empty', 'f']) {
    t.equal(modeOf(join(target, name)), 0o600);
    t.equal(fs.statSync(join(target, name), { bigint: true }).mtimeNs, 1_709_210_096_123_456_789n);
  }
});
