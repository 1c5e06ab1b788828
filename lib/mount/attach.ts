/**
 * Attaching a FUSE connection to a directory and taking it off again, as root by mount(2) and as an ordinary user by fusermount3.
 * Knows nothing of the protocol spoken on the descriptor. Nothing here looks inside a mount.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MountError } from '../errors.js';
import { native } from '../native.js';
import type { MountOptions } from './driver.js';
import { isMounted } from './mount-table.js';

export const FUSE_DEVICE = '/dev/fuse';
/** What /proc/mounts shows after `fuse.`. */
export const SUBTYPE = 'varve';

// mount(2) and umount2(2) flags, <sys/mount.h>.
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const O_PATH = 0o10000000;

/** How long a mount may look busy although its last user is gone. */
const BUSY_TRIES = 5;
const BUSY_PAUSE_MS = 100;

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Full path of fusermount3 (or fusermount of fuse 2), or undefined when there is none on PATH. */
export function findFusermount(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/bin'].filter((folder) => folder !== '');
  for (const name of ['fusermount3', 'fusermount']) {
    for (const folder of folders) if (existsSync(join(folder, name))) return join(folder, name);
  }
  return undefined;
}

/** Why this process cannot mount through /dev/fuse, or undefined. */
export function whyNoFuse(): string | undefined {
  if (process.platform !== 'linux') return 'this driver needs Linux';
  if (!existsSync(FUSE_DEVICE))
    return `${FUSE_DEVICE} is missing: the kernel has no FUSE, or this container was not given it (modprobe fuse, --device ${FUSE_DEVICE})`;
  try {
    accessSync(FUSE_DEVICE, constants.R_OK | constants.W_OK);
  } catch {
    return `${FUSE_DEVICE} may not be opened by this user (its mode is usually 0666)`;
  }
  if (!isRoot() && findFusermount() === undefined)
    return 'fusermount3 is not installed, and only root can mount without it (package fuse3)';
  return undefined;
}

/**
 * Opens a FUSE connection and mounts it on `mountpoint`, read-only, nosuid, nodev.
 *
 * @returns the connection's descriptor, for the caller to serve and to close
 * @throws MountError; then nothing is mounted
 */
export function attach(mountpoint: string, options: MountOptions, maxReadBytes: number): number {
  const shared = [`max_read=${maxReadBytes}`];
  if (options.defaultPermissions) shared.push('default_permissions');
  if (options.allowOther) shared.push('allow_other');
  if (!isRoot()) {
    const source = options.fsName.replace(/[\\,]/g, '\\$&');
    const list = ['ro', 'nosuid', 'nodev', `fsname=${source}`, `subtype=${SUBTYPE}`, ...shared].join(',');
    try {
      return native().fusermountOpen(findFusermount() ?? 'fusermount3', mountpoint, list);
    } catch (cause) {
      const hint = options.allowOther ? ' (allow_other needs user_allow_other in /etc/fuse.conf)' : '';
      throw new MountError(mountpoint, `cannot mount: ${(cause as Error).message}${hint}`, cause);
    }
  }
  let fd: number | undefined;
  try {
    fd = openSync(FUSE_DEVICE, 'r+');
    const list = ['rootmode=40000', 'user_id=0', 'group_id=0', ...shared].join(',');
    native().mountFuse(fd, mountpoint, options.fsName, SUBTYPE, MS_RDONLY | MS_NOSUID | MS_NODEV, list);
    return fd;
  } catch (cause) {
    if (fd !== undefined) closeSync(fd);
    const hint =
      (cause as NodeJS.ErrnoException).code === 'EPERM' ? ' (mounting needs CAP_SYS_ADMIN, which a container usually lacks)' : '';
    throw new MountError(mountpoint, `cannot mount: ${(cause as Error).message}${hint}`, cause);
  }
}

/**
 * Takes the topmost mount off `mountpoint`. A mount in use is tried again for half a second, then detached if `lazy`, else left alone.
 *
 * @throws MountError when it is in use and not `lazy`, or when the system refuses
 */
export async function detach(mountpoint: string, { lazy }: { readonly lazy: boolean }): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const problem = await detachOnce(mountpoint, false);
    if (problem === undefined) return;
    if (!problem.busy) throw new MountError(mountpoint, `cannot unmount: ${problem.message}`);
    if (attempt < BUSY_TRIES) {
      await sleep(BUSY_PAUSE_MS);
      continue;
    }
    if (!lazy)
      throw new MountError(
        mountpoint,
        'is in use: a process has a file open or its working directory there (fuser -vm shows which); or take it off although it is in use: varve umount --lazy',
      );
    const lazyProblem = await detachOnce(mountpoint, true);
    if (lazyProblem !== undefined) throw new MountError(mountpoint, `cannot unmount: ${lazyProblem.message}`);
    return;
  }
}

interface DetachProblem {
  readonly busy: boolean;
  readonly message: string;
}

async function detachOnce(mountpoint: string, lazy: boolean): Promise<DetachProblem | undefined> {
  if (isRoot() && process.platform === 'linux') {
    try {
      native().umount(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
      return undefined;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return { busy: code === 'EBUSY', message };
    }
  }
  const [program, args] =
    process.platform === 'darwin'
      ? ['/sbin/umount', lazy ? ['-f', mountpoint] : [mountpoint]]
      : [findFusermount() ?? 'fusermount3', ['-u', ...(lazy ? ['-z'] : []), '--', mountpoint]];
  return await new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.on('error', (error) => resolve({ busy: false, message: error.message }));
    child.on('close', (status) =>
      resolve(status === 0 ? undefined : { busy: /busy/i.test(said), message: said.trim() || `status ${status}` }),
    );
  });
}

/**
 * Cuts the connection but leaves the mount in place, so that everything under it fails with ENOTCONN: what becomes of a mount whose
 * server is broken. Synchronous, for use while the process ends.
 *
 * @returns whether the connection is cut now; when false, it ends with the last thread that serves it
 */
export function abortConnection(mountpoint: string, device: string): boolean {
  if (!isMounted(mountpoint, device)) return true;
  const minor = device.split(':')[1];
  try {
    writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, '1', { flag: 'r+' });
    return true;
  } catch {
    // fusectl is not mounted, or not ours to write.
  }
  if (!isRoot()) return false;
  // A forced umount aborts the connection first and then fails because the mount is in use: by the descriptor held here.
  let held: number | undefined;
  try {
    held = openSync(mountpoint, O_PATH);
    native().umount(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY';
  } finally {
    if (held !== undefined) closeSync(held);
  }
}

/** Makes a request arrive at `mountpoint` from another process, so that a thread waiting for one wakes up. */
export function poke(mountpoint: string): void {
  spawnSync('stat', [join(mountpoint, `.wake-${process.hrtime.bigint()}`)], {
    stdio: 'ignore',
    timeout: 250,
    killSignal: 'SIGKILL',
  });
}

/** The kernel gives every mount 128 KiB, which caps sequential reads; only root may raise it, and only after INIT was answered. */
export function raiseReadAhead(device: string, options: MountOptions): void {
  if (options.readAheadKib <= 0 || !isRoot() || process.platform !== 'linux') return;
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(options.readAheadKib));
  } catch (error) {
    options.onLog(`read-ahead stays at the kernel's default: ${(error as Error).message}`);
  }
}
