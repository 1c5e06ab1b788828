/**
 * Root restores into a folder that belongs to somebody else, who puts entries of his own in the place of those being restored. Whatever he swaps, and whenever: nothing of
 * his becomes another's or set-id, no byte of a secret lands in what he can read, and no name outside his folder leads to what is his.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../lib/bytes.js';
import { native } from '../../lib/native.js';
import type { RestoreReport } from '../../lib/restore/options.js';
import { restore } from '../../lib/restore/restore.js';
import { directory, file, pieces, type TinyRepository, tinyRepository } from '../helpers/tiny-repository.js';

const USER = 65_534;
const SECRET = Buffer.alloc(70_000, 'secret of root. ');
const NAMES = ['attributed', 'big', 'dir', 'fifo', 'linked', 'mended', 'small', 'symlink'];

const skip = process.geteuid?.() !== 0 && 'needs root';
const scratch = fs.mkdtempSync(join(tmpdir(), 'varve-swapped-'));
fs.chmodSync(scratch, 0o711);
t.teardown(() => fs.rmSync(scratch, { recursive: true, force: true }));

let tiny: TinyRepository;
let snapshot: Awaited<ReturnType<TinyRepository['snapshot']>>;
t.before(async () => {
  tiny = await tinyRepository(join(scratch, 'repository'), join(scratch, 'cache'));
  const link = { id: new Uint8Array(16).fill(7), nlink: 2 };
  const xattrs = [{ name: utf8('user.mark'), value: utf8('of root') }];
  snapshot = await tiny.snapshot({
    of: directory(
      {
        attributed: file(SECRET.subarray(0, 5000), { mode: 0o4755, xattrs }),
        big: pieces([SECRET, SECRET], { mode: 0o4755 }),
        dir: directory(
          { inner: file('inner', { mode: 0o4755 }), rows: pieces([SECRET, SECRET], { mode: 0o4755 }) },
          { mode: 0o755 },
        ),
        fifo: { kind: 'fifo', mode: 0o600 },
        linked: file(SECRET.subarray(0, 6000), { mode: 0o4755, link }),
        mended: pieces([SECRET, SECRET], { mode: 0o4755 }),
        small: file(SECRET.subarray(0, 4000), { mode: 0o4755 }),
        symlink: { kind: 'symlink', target: 'small' },
      },
      { owner: { uid: USER, gid: USER } },
    ),
    zsafe: directory({ second: file(SECRET.subarray(0, 6000), { mode: 0o4755, link }) }),
  });
});

/** A target of root's in which the folder `of` is the user's, with an old version of one file. */
function prepare(): string {
  const target = fs.mkdtempSync(join(scratch, 'target-'));
  fs.chmodSync(target, 0o755);
  for (const name of ['of', 'zsafe']) fs.mkdirSync(join(target, name));
  fs.chownSync(join(target, 'of'), USER, USER);
  fs.writeFileSync(join(target, 'of/mended'), 'an older version', { mode: 0o600 });
  return target;
}

/** What the user has made: by inode, with an open descriptor, so that no inode is given out twice. */
class Attacker {
  readonly made = new Map<number, { readonly path: string; readonly fd: number | undefined }>();
  #number = 0;

  /** Puts an entry of his own in the place of everything that is root's and stands in the folder now. */
  swap(folder: string): void {
    for (const name of NAMES) {
      const path = join(folder, name);
      const stat = fs.lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined || this.made.has(stat.ino)) continue;
      fs.renameSync(path, `${path}.aside${this.#number++}`);
      if (stat.isDirectory()) {
        fs.mkdirSync(path, 0o755);
        this.#note(join(path, 'inner'), () => fs.writeFileSync(join(path, 'inner'), 'a program of his', { mode: 0o755 }));
      }
      this.#note(path, () => {
        if (stat.isSymbolicLink()) fs.symlinkSync('elsewhere', path);
        else if (stat.isFIFO()) execFileSync('mkfifo', ['-m', '644', path]);
        else if (!stat.isDirectory()) fs.writeFileSync(path, 'a program of his', { mode: 0o755 });
      });
    }
  }

  #note(path: string, make: () => void): void {
    make();
    fs.lchownSync(path, USER, USER);
    const { ino } = fs.lstatSync(path);
    const fd = fs.lstatSync(path).isFile() ? fs.openSync(path, 'r') : undefined;
    this.made.set(ino, { path, fd });
  }

  close(): void {
    for (const { fd } of this.made.values()) if (fd !== undefined) fs.closeSync(fd);
  }
}

/** What the attack came to, in words; nothing when it came to nothing. */
function gains(target: string, made: ReadonlyMap<number, unknown>): string[] {
  const found: string[] = [];
  for (const name of (fs.readdirSync(target, { recursive: true }) as string[]).sort()) {
    const path = join(target, name);
    const stat = fs.lstatSync(path);
    if (!made.has(stat.ino)) continue;
    if (name.startsWith('zsafe')) found.push(`${name} is his`);
    if (stat.uid !== USER) found.push(`${name} belongs to ${stat.uid}`);
    if ((stat.mode & 0o6000) !== 0) found.push(`${name} has mode ${(stat.mode & 0o7777).toString(8)}`);
    if (stat.isFile() && fs.readFileSync(path).includes('secret of root')) found.push(`${name} holds the secret`);
    if (stat.isFile() && native().getXattrs(utf8(path)).length > 0) found.push(`${name} has attributes`);
  }
  return found;
}

t.test('swapped between any two calls of the kernel, nothing of the user’s becomes root’s', { skip }, async (t) => {
  const kernel = native() as unknown as Record<string, (...args: unknown[]) => unknown>;
  const originals = { ...kernel };
  t.teardown(() => Object.assign(kernel, originals));
  for (let when = 0; ; when++) {
    const target = prepare();
    const attacker = new Attacker();
    let calls = 0;
    for (const [name, call] of Object.entries(originals)) {
      kernel[name] = (...args) => {
        if (calls++ === when) attacker.swap(join(target, 'of'));
        return call(...args);
      };
    }
    let report: RestoreReport;
    try {
      report = await restore(tiny.repository, snapshot, { targetPath: target, threads: 0 });
    } finally {
      Object.assign(kernel, originals);
    }
    const found = gains(target, attacker.made);
    if (found.length > 0) t.fail(`swapped before call ${when} of ${calls}: ${found.join('; ')}`);
    attacker.close();
    fs.rmSync(target, { recursive: true });
    if (when >= calls) {
      t.same(report.problems, [], 'without a swap all is restored');
      t.ok(when > 50, `${when} moments were tried`);
      break;
    }
  }
});

t.test('swapped all the time by a process of the user’s, nothing of his becomes root’s', { skip }, async (t) => {
  for (let round = 0; round < 15; round++) {
    const target = prepare();
    const script = `
      const fs = require('fs'), { join } = require('path');
      process.chdir(${JSON.stringify(join(target, 'of'))});
      let n = 0;
      process.stdout.write('ready');
      process.stdin.resume().on('end', () => process.exit());
      (function loop() {
        for (let i = 0; i < 200; i++) for (const name of ['attributed', 'big', 'linked', 'mended', 'small']) try {
          if (fs.lstatSync(name).uid === ${USER}) continue;
          fs.writeFileSync('own' + n, 'a program of his', { mode: 0o755 });
          fs.renameSync('own' + n++, name);
        } catch {}
        setImmediate(loop);
      })();`;
    const child = spawn('setpriv', [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', process.execPath, '-e', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    await restore(tiny.repository, snapshot, { targetPath: target, threads: 2 });
    child.stdin.end();
    await ended;
    for (const name of fs.readdirSync(join(target, 'of'))) {
      const path = join(target, 'of', name);
      const stat = fs.lstatSync(path);
      if (!stat.isFile()) continue;
      const text = fs.readFileSync(path, 'latin1').slice(0, 16);
      if (text === 'a program of his' && (stat.uid !== USER || (stat.mode & 0o6000) !== 0)) t.fail(`${name} became another’s`);
      if (stat.uid === USER && text.startsWith('secret')) t.fail(`${name} holds the secret`);
    }
    t.not(fs.readFileSync(join(target, 'zsafe/second'), { encoding: 'latin1', flag: 'a+' }).slice(0, 9), 'a program');
    fs.rmSync(target, { recursive: true });
  }
});
