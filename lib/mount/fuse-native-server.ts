/**
 * The process that serves a fuse-native mount: started by the driver, told by a message what to mount, ended by the end of the mount.
 * With `--probe` it only tries to load the package. When its parent is gone it kills itself, and the mount stays dead, never empty.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { asUtf8, lossyUtf8, utf8 } from '../bytes.js';
import type { Attributes, FileSystem, FileSystemSource } from './driver.js';
import { type Handlers, loadFuseNative } from './fuse-native-load.js';
import { nativeStatFs, PathView } from './fuse-native-paths.js';
import { loadSource } from './load-source.js';
import { limitLog } from './log-limit.js';

/** What the driver asks for. */
export interface ServerStart {
  readonly source: FileSystemSource;
  readonly mountpoint: string;
  /** Mount options as libfuse 2 takes them, each already escaped. */
  readonly mountOptions: readonly string[];
}

export type ServerMessage =
  | { readonly kind: 'listening' }
  | { readonly kind: 'mounted' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'log'; readonly message: string };

const isMac = process.platform === 'darwin';
const Errno = { ENOENT: 2, EIO: 5, EINVAL: 22, EROFS: 30, ENODATA: isMac ? 93 : 61 } as const;
/** How often to look whether libfuse has let go of the device: it tells nobody. */
const WATCH_MS = 200;
const O_ACCMODE = 3;

const tell = (message: ServerMessage): void => {
  process.send?.(message);
};

/** The handlers of `fs`: each answers before it returns, and whatever is thrown becomes EIO. */
function handlersOf(fs: FileSystem, onLog: (message: string) => void): Handlers {
  const paths = new PathView(fs);
  let lossyTold = false;
  const guard = (what: string, path: string, done: (result: number) => void, work: () => void): void => {
    try {
      work();
    } catch (error) {
      onLog(`${what} of ${path} failed: ${error instanceof Error ? error.message : String(error)}`);
      done(-Errno.EIO);
    }
    for (const line of fs.notices?.() ?? []) onLog(line);
  };
  /** Runs `work` on what the path names, or answers ENOENT. */
  const on = (what: string, path: string, done: (result: number) => void, work: (found: Attributes) => void): void =>
    guard(what, path, done, () => {
      const found = paths.find(path);
      if (found === undefined) done(-Errno.ENOENT);
      else work(found);
    });
  const shownName = (name: Uint8Array): string => {
    const text = asUtf8(name);
    if (text === undefined && !lossyTold) {
      lossyTold = true;
      onLog('a name that is not UTF-8 is shown with replacement characters; the kernel driver shows it as it is');
    }
    return text ?? lossyUtf8(name);
  };
  const refuse = (...args: never[]): void => (args.at(-1) as unknown as (result: number) => void)(-Errno.EROFS);

  return {
    getattr: (path, done) => on('getattr', path, done, (found) => done(0, paths.stat(found))),
    readdir: (path, done) =>
      on('readdir', path, done, (found) => {
        const own = paths.stat(found);
        const entries = paths.list(found.nodeId);
        const names = ['.', '..', ...entries.map((entry) => shownName(entry.name))];
        done(0, names, [own, own, ...entries.map((entry) => paths.stat(entry.attributes))]);
      }),
    readlink: (path, done) =>
      on('readlink', path, done, (found) => {
        const target = fs.readlink(found.nodeId);
        if (target === undefined) done(-Errno.EINVAL);
        else done(0, lossyUtf8(target));
      }),
    open: (path, flags, done) =>
      on('open', path, done, (found) => ((flags & O_ACCMODE) === 0 ? done(0, found.nodeId) : done(-Errno.EROFS))),
    read: (path, _fd, into, length, offset, done) =>
      on('read', path, done, (found) => done(fs.read(found.nodeId, offset, into.subarray(0, length)))),
    statfs: (path, done) => guard('statfs', path, done, () => done(0, nativeStatFs(fs.statfs()))),
    getxattr: (path, name, _position, done) =>
      on('getxattr', path, done, (found) => {
        const value = fs.getxattr(found.nodeId, utf8(name));
        if (value === undefined) done(-Errno.ENODATA);
        else done(0, value);
      }),
    listxattr: (path, done) => on('listxattr', path, done, (found) => done(0, fs.listxattr(found.nodeId).map(lossyUtf8))),
    create: refuse,
    write: refuse,
    truncate: refuse,
    ftruncate: refuse,
    utimens: refuse,
    chown: refuse,
    chmod: refuse,
    mknod: refuse,
    setxattr: refuse,
    removexattr: refuse,
    unlink: refuse,
    rename: refuse,
    link: refuse,
    symlink: refuse,
    mkdir: refuse,
    rmdir: refuse,
  };
}

/** libfuse closes its descriptor once the connection has ended, also after a lazy unmount. */
function holdsFuseDevice(): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse';
    } catch {
      return false;
    }
  });
}

async function serve(start: ServerStart): Promise<void> {
  const onLog = limitLog((message) => tell({ kind: 'log', message }));
  const make = loadFuseNative();
  const module = await loadSource(start.source.file);
  const fs = module.openFileSystem(start.source.data);
  const fuse = make(start.mountpoint, handlersOf(fs, onLog), start.mountOptions);
  await new Promise<void>((resolve, reject) => fuse.mount((error) => (error ? reject(error) : resolve())));
  tell({ kind: 'mounted' });
  if (isMac) return;
  setInterval(() => {
    if (holdsFuseDevice()) return;
    fs.close();
    process.exit(0);
  }, WATCH_MS);
}

if (process.argv[2] === '--probe') {
  // What it throws is all the answer there is: Node prints it and ends with a status.
  loadFuseNative();
} else {
  // exit() would run libfuse's own cleaning up; a killed server leaves a mount that answers ENOTCONN.
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  // Ctrl-C, a closed terminal and a service manager reach this process too; the driver's process decides what happens then.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.once('message', (start: ServerStart) => {
    serve(start).catch((error: unknown) => {
      tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    });
  });
  tell({ kind: 'listening' });
}
